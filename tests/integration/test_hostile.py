"""Input that nobody would write on purpose, or that somebody would."""

import gzip
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection

from loader.alerting.notify import EarlyAlert, all_to_stderr
from loader.cli import report
from loader.database.activity import Alert, Period
from tests.conftest import Outcome

HEADER = b"time,type,source\n"
ROW = b"2024-05-13T15:00:00Z,car,north\n"
NAMES = [
    b"a b.csv",
    b"a'b\".csv",
    b"a\nb.csv",
    b"a\xff.csv",
    b"-a.csv",
    b"'; drop schema raw;--.csv",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_may_have_any_name(
    run_loader: Callable[..., Any], conn: Connection, tmp_path: Path, name: bytes
) -> None:
    path = tmp_path / os.fsdecode(name)
    for content, exit_code in ((HEADER + ROW, 0), (b"x\n", 4)):
        path.write_bytes(content)
        outcome = run_loader("load", path)
        assert outcome.exit_code == exit_code
        assert (outcome.stdout + outcome.stderr).count("\n") == 1
    assert conn.execute("select count(*) from raw.events").fetchone() == (1,)


def test_names_and_values_are_never_sql(
    run_loader: Callable[..., Any], conn: Connection, tmp_path: Path
) -> None:
    evil = "'); drop schema raw cascade; --"
    path = tmp_path / "events.csv"
    path.write_text(f'time,"{evil}",source,note\n2024-05-13T15:00:00Z,{evil},{evil},{evil}\n')
    outcome = run_loader("load", path, "--type-column", evil, "--attributes", "note")
    assert outcome.exit_code == 0
    found = conn.execute(
        "select event_type, source_name, attributes ->> 'note' from raw.events"
        " join raw.event_types using (event_type_id) join raw.sources using (source_id)"
    ).fetchall()
    assert found == [(evil, evil, evil)]


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_standard_input_begins_where_it_was_left(
    pg_environment: dict[str, str], conn: Connection, tmp_path: Path, compress: type[bytes]
) -> None:
    path = tmp_path / "events"
    path.write_bytes(b"not ours\n" + compress(HEADER + ROW * 3))
    with path.open("rb") as file:
        os.lseek(file.fileno(), len(b"not ours\n"), os.SEEK_SET)
        done = subprocess.run(
            [sys.executable, "-m", "loader", "load", "-"],
            stdin=file, env=pg_environment, check=False, capture_output=True, text=True,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert conn.execute("select count(*) from raw.events").fetchone() == (3,)


def test_rejects_that_were_only_counted_are_told(
    run_loader: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "events.csv"
    path.write_bytes(HEADER + b"25:00,car,north\n" * 10_003)
    assert run_loader("load", path).exit_code == 3
    shown = run_loader("rejects")
    assert shown.stdout.count("\n") == 10_000
    assert shown.stderr.startswith("3 more rejected rows were counted but not kept")
    exported = run_loader("rejects", "--load", "1", "--export", tmp_path / "mend.csv")
    assert "10,000 rows" in exported.stdout
    assert exported.stderr.startswith("3 more rejected rows")


def names_of(conn: Connection, table: str, name: str) -> set[str]:
    return {row[0] for row in conn.execute(f"select {name} from raw.{table}".encode())}


def test_a_wrong_column_fills_no_dictionary(
    run_loader: Callable[..., Any], conn: Connection, tmp_path: Path
) -> None:
    path = tmp_path / "events.csv"
    rows = [b"2024-05-13T15:00:00Z,t%d,s%d\n" % (row, row) for row in range(1_500)]
    path.write_bytes(HEADER + b"".join(rows))
    assert run_loader("load", path, "--max-sources", "900").exit_code == 3
    found = conn.execute(
        "select column_name, count(*), min(reason) from raw.rejected_events group by 1 order by 1"
    ).fetchall()
    assert [row[:2] for row in found] == [("source", 100), ("type", 500)]
    assert found[0][2] == (
        '"s900" is one source more than the 900 that a load may have; is --source-column right? '
        "If it is: --max-sources"
    )
    assert found[1][2].startswith('"t1000" is a new type, and this load has brought 1,000 of them')
    assert len(names_of(conn, "event_types", "event_type")) == 900
    assert names_of(conn, "sources", "source_name") == {f"s{row}" for row in range(900)}


def test_types_that_cannot_be_numbered_are_rejected(
    run_loader: Callable[..., Any], conn: Connection, tmp_path: Path
) -> None:
    conn.execute("select setval('raw.event_types_event_type_id_seq', 32765)")
    path = tmp_path / "events.csv"
    for names, rejected in (
        ([b"car", b"bus", b"van", b"car"], {"van"}),
        ([b"bike", b"car", b"bus", b"tram"], {"bike", "tram"}),
    ):
        conn.execute("truncate raw.rejected_events")
        rows = [b"2024-05-13T15:00:00Z,%s,north\n" % name for name in names]
        path.write_bytes(HEADER + b"".join(rows))
        assert run_loader("load", path).exit_code == 3
        found = conn.execute("select raw_text, reason from raw.rejected_events").fetchall()
        assert {text.split(",")[1] for text, _ in found} == rejected
        assert all("raw.event_types cannot number any more" in reason for _, reason in found)
    assert names_of(conn, "event_types", "event_type") == {"car", "bus"}
    assert conn.execute("select count(*) from raw.events").fetchone() == (5,)


# What colours, clears and rings a terminal, and what turns the order of reading round.
EVIL = "\x1b[31mred\x07\x9b2J\u202egpj.exe\u2066"


def check_is_text(outcome: Any) -> None:
    for line in (outcome.stdout + outcome.stderr).splitlines():
        assert line.isprintable(), repr(line)


def test_names_reach_a_terminal_as_text_only(
    run_loader: Callable[..., Any], conn: Connection, tmp_path: Path
) -> None:
    path = tmp_path / f"{EVIL}.csv"
    quoted = f"{EVIL} north"
    path.write_text(f"time,type,source\n2024-05-13T15:00:00Z,car,north\nbad {EVIL},car,{quoted}\n")
    assert run_loader("load", path).exit_code == 3
    conn.execute("update raw.sources set source_name = %s", [EVIL])
    for command in (
        ["load", str(path)], ["loads"], ["loads", "--json"], ["rejects"], ["status"],
        ["load", EVIL], [EVIL], ["load", str(path), "--time-column", EVIL],
        ["load", f"--{EVIL}", "-"],
        ["rejects", "--to", EVIL], ["load", "--format", EVIL, "-"], ["periods", "--schema", EVIL],
        ["--debug", "periods", "--since", EVIL], ["status", "--dsn", f"host={EVIL}"],
        ["rejects", "--load", "1", "--export", f"{tmp_path}/{EVIL}"], ["withdraw", "1"],
    ):  # fmt: skip
        check_is_text(run_loader(*command))
    assert json.loads(run_loader("loads", "--json").stdout)[1]["origin"].count("red") == 1
    shown = run_loader("rejects").stdout
    assert r"bad \x1b[31mred\x07\x9b2J\u202egpj.exe\u2066" in shown


def test_alerts_reach_a_terminal_as_text_only(capsys: pytest.CaptureFixture[str]) -> None:
    moment = datetime(2024, 5, 13, 15, tzinfo=UTC)
    early = EarlyAlert(
        rule_name=EVIL, source_name=EVIL, category=EVIL, started_at=moment, triggered_at=moment
    )
    assert early.as_text().isprintable()
    all_to_stderr([early])
    report.print_alerts(
        [Alert(rule_name=EVIL, source_name=EVIL, category=EVIL, triggered_at=moment, event_count=5)]
    )
    report.print_periods([Period(category=EVIL, started_at=moment, ended_at=moment, event_count=5)])
    print(report.as_json([early]))  # noqa: T201
    shown = capsys.readouterr()
    check_is_text(Outcome(exit_code=0, stdout=shown.out, stderr=shown.err))


@pytest.mark.parametrize(
    ("redirection", "variables"),
    [
        ("", {"PYTHONIOENCODING": "latin-1"}),
        ("", {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}),
        (">&-", {}),
        (">&- 2>&- <&-", {}),
        (">/dev/full 2>/dev/full", {}),
        ("| true", {}),
        ("2>&1 | true", {}),
    ],
)
def test_nothing_that_is_printed_changes_a_result(
    pg_environment: dict[str, str], tmp_path: Path, redirection: str, variables: dict[str, str]
) -> None:
    loader = f"{shlex.quote(sys.executable)} -m loader"
    for name, exit_code in (("h1_日", 0), ("h2_🚗", 3)):
        bad = b"25:00,car,north\n" if exit_code else b""
        (tmp_path / f"{name}.csv").write_bytes(HEADER + ROW + bad)
    script = f"set -o pipefail; {loader} load h*.csv {redirection}"

    def run(command: str, **more: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["bash", "-c", command], env=pg_environment | more, cwd=tmp_path, check=False,
            capture_output=True, text=True, errors="replace",
        )  # fmt: skip

    done = run(script, **variables)
    assert done.returncode == 3, done.stderr
    if not redirection:
        table = run(f"{loader} loads", **variables)
        assert table.returncode == 0, table.stderr
        assert re.findall(r"h[12]_", table.stdout) == ["h2_", "h1_"]
    found = json.loads(run(f"{loader} loads --json", **variables).stdout)
    # Where Python takes file names for ASCII, others are bytes to it.
    names = ["h2_🚗.csv", "h1_日.csv"] if "LC_ALL" not in variables else ["h2_", "h1_"]
    assert [row["origin"][: len(name)] for row, name in zip(found, names, strict=True)] == names


def test_a_result_that_cannot_be_printed_is_a_failure_of_what_only_prints(
    pg_environment: dict[str, str],
) -> None:
    done = subprocess.run(
        ["bash", "-c", '"$0" -m loader generate --events 50000 >/dev/full', sys.executable],
        env=pg_environment, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (
        1,
        "loader: standard output cannot be written: No space left on device\n",
    )
