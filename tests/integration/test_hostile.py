"""Input that nobody would write on purpose, or that somebody would."""

import gzip
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection

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
