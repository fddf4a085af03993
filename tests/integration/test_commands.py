import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection

Run = Callable[..., Any]
Write = Callable[..., Path]

LIVE_VIEW = """
create schema analytics;
create table analytics.category_activity_periods_live (
    category text, event_count bigint, started_at timestamptz, ended_at timestamptz
);
insert into analytics.category_activity_periods_live values
    ('vehicles', 2, '2024-05-13 18:35:00Z', '2024-05-13 18:36:00Z'),
    ('other', 1, '2024-05-13 18:30:00Z', '2024-05-13 18:30:00Z'),
    ('vehicles', 3, '2024-05-13 18:30:30Z', '2024-05-13 18:31:30.000250Z')
"""


def test_status_tells_what_is_loaded_and_how_far_behind_models_are(
    run_loader: Run, write_events: Write, conn: Connection
) -> None:
    run_loader("load", write_events("1.csv", count=3, bad=1))
    run_loader("load", write_events("2.csv", count=2))
    run_loader("withdraw", "2")
    conn.execute("create schema analytics_internal")
    conn.execute(
        "create table analytics_internal.model_progress"
        " (model_name text, load_seq bigint, definition jsonb, updated_at timestamptz)"
    )
    conn.execute(
        "insert into analytics_internal.model_progress"
        " values ('a', 1, '{}', now()), ('b', null, null, null)"
    )
    conn.execute("create table analytics_internal.b ()")
    outcome = run_loader("status", "--json")
    assert outcome.exit_code == 0
    status = json.loads(outcome.stdout)
    ledger = status["ledger"]
    assert (ledger["load_seq"], ledger["loads"], ledger["withdrawals"]) == (3, 1, 1)
    assert (ledger["rows_read"], ledger["rows_loaded"], ledger["rows_rejected"]) == (4, 3, 1)
    assert [(model["model"], model["loads_behind"]) for model in status["models"]] == [
        ("analytics.a", 2),
        ("analytics_internal.b", 3),
    ]
    text = run_loader("status").stdout
    assert "4 read = 3 loaded + 1 rejected + 0 duplicate + 0 left out" in text
    assert "analytics.a" in text
    with conn.transaction():
        # As VACUUM FULL keeps it.
        conn.execute("lock table analytics_internal.model_progress in access exclusive mode")
        outcome = run_loader("status", PGOPTIONS="-c video_events.lock_timeout=1s")
    assert outcome.exit_code == 0
    assert "not shown: somebody keeps analytics_internal.model_progress locked" in outcome.stdout


def test_loads_are_listed_newest_first(run_loader: Run, write_events: Write) -> None:
    for number in (1, 2):
        run_loader("load", write_events(f"{number}.csv", count=number))
    run_loader("withdraw", "1")
    rows = json.loads(run_loader("loads", "--json").stdout)
    assert [(row["load_id"], row["kind"]) for row in rows] == [
        (3, "withdrawal"),
        (2, "load"),
        (1, "load"),
    ]
    table = run_loader("loads").stdout
    assert "withdrawn" in table
    assert "withdraws 1" in table


def test_withdraw_says_what_is_wrong(run_loader: Run) -> None:
    outcome = run_loader("withdraw", "7")
    assert outcome.exit_code == 2
    assert outcome.stderr == "loader: there is no load 7; see: loader loads\n"


def test_rejects_are_shown_with_line_and_reason(run_loader: Run, write_events: Write) -> None:
    run_loader("load", write_events("1.csv", bad=2))
    lines = run_loader("rejects").stdout.splitlines()
    assert len(lines) == 2
    assert "line 5" in lines[0]
    assert "bad,car,camera 0" in lines[0]
    assert run_loader("rejects", "--load", "99").stdout == ""


def test_what_is_shown_of_rejects_moves_no_cursor(run_loader: Run, tmp_path: Path) -> None:
    path = tmp_path / "odd.csv"
    path.write_text(
        "time,type,source\nnever\x1b[2J\u202e,car,gate\n2024-05-13T15Z,car,\x9bgate\x1b\n"
    )
    assert run_loader("load", path).exit_code == 3
    outcome = run_loader("load", path.with_name("\x1b[2Jnone.csv"))
    assert outcome.exit_code == 4
    assert "\\x1b[2Jnone.csv" in outcome.stderr
    shown = run_loader("rejects").stdout
    assert "never\\x1b[2J\\u202e,car,gate" in shown
    assert [line for line in shown.splitlines() if not line.isprintable()] == []


def test_exported_rejects_can_be_mended_and_loaded(
    run_loader: Run, tmp_path: Path, conn: Connection
) -> None:
    file = tmp_path / "events.csv"
    bad = [b'bad,car,"caf\xff"\n', b"bad,car,a\\b\n", "bad,car,größe\n".encode()]
    file.write_bytes(b"".join([b"time,type,source\n2024-05-13T15:00:00Z,car,gate\n", *bad]))
    assert run_loader("load", file).exit_code == 3
    export = tmp_path / "rejected.csv"
    assert run_loader("rejects", "--load", "1", "--export", export).exit_code == 0
    exported = export.read_bytes()
    assert exported.endswith(b"".join(bad))
    again = run_loader("rejects", "--load", "1", "--export", export)
    assert again.exit_code == 2
    assert export.read_bytes() == exported
    mended = exported.replace(b"bad", b"2024-05-13T15:00:01Z").replace(b"\xff", b"e")
    export.write_bytes(mended)
    assert run_loader("load", export).exit_code == 0
    assert conn.execute("select count(*) from raw.events").fetchone() == (4,)


def test_exported_rejects_are_in_the_encoding_of_the_input(
    run_loader: Run, tmp_path: Path, conn: Connection
) -> None:
    file, export = tmp_path / "events.csv", tmp_path / "rejected.csv"
    text = "Straßenzählung\ntime,type,source\nnever,Fußgänger,Straße\n"
    file.write_bytes(text.encode("utf-16-be"))
    options = ("--encoding", "utf-16-be", "--skip-lines", "1")
    assert run_loader("load", file, *options).exit_code == 3
    assert run_loader("rejects", "--load", "1", "--export", export).exit_code == 0
    assert export.read_bytes() == file.read_bytes()
    mended = text.replace("never", "2024-05-13T15:00:01Z").encode("utf-16-be")
    export.write_bytes(mended)
    assert run_loader("load", export, *options).exit_code == 0
    assert conn.execute("select source_name from raw.sources").fetchone() == ("Straße",)


def test_the_export_of_rejects_says_how_to_load_them(
    run_loader: Run, tmp_path: Path, conn: Connection
) -> None:
    """Also what the name of the file and its folder have said."""
    seen, messages = tmp_path / "cam 7" / "seen.tsv", tmp_path / "messages.ndjson"
    seen.parent.mkdir()
    seen.write_text("when\twhat\tscore\n2024-05-13T15:00:00\tcar\t1\nbad\tPkw\t2\n")
    messages.write_text(
        '{"by": "gate", "seen": [{"t": 1715612400000, "k": "car"}, {"t": "bad"}]}\n'
    )
    options: dict[Path, tuple[str, ...]] = {
        seen: ("--source-from-path", "{source}/*", "--time-column", "when", "--type-column", "what",
               "--timezone", "Europe/Berlin", "--type-map", "Pkw=car", "--where", "score>=1",
               "--where", "score<9", "--attributes", "score"),
        messages: ("--time-column", "seen[].t", "--type", "any", "--source-column", "by",
                   "--time-format", "epoch_ms"),
    }  # fmt: skip
    for number, (file, given) in enumerate(options.items()):
        export = tmp_path / f"{number}.{'csv' if file is seen else 'ndjson'}"
        loaded = run_loader("load", file, *given, "--json")
        assert loaded.exit_code == 3
        load_id = json.loads(loaded.stdout)["load_id"]
        said = run_loader("rejects", "--load", load_id, "--export", export).stdout
        export.write_text(export.read_text().replace("bad", "2024-05-13T15:00:01", 1))
        if file is messages:
            export.write_text(export.read_text().replace('"2024-05-13T15:00:01"', "1715612401000"))
        command = shlex.split(said.partition("mend them, then: ")[2])
        assert command[:3] == ["loader", "load", str(export)]
        assert run_loader(*command[1:], "--dry-run").exit_code == 0
        assert run_loader(*command[1:]).exit_code == 0
    found = conn.execute("select source_name, count(*) from raw.sources join raw.events using "
                         "(source_id) group by 1 order by 1")  # fmt: skip
    assert found.fetchall() == [("cam 7", 2), ("gate", 2)]


def test_of_a_row_that_was_cut_nothing_is_exported(run_loader: Run, tmp_path: Path) -> None:
    """Its start looks like a row, and would be loaded as one."""
    file = tmp_path / "events.ndjson"
    events = [
        {"time": "2024-05-13T15:00:00Z", "type": "car", "source": "a" * size} for size in (1, 0)
    ]
    long = b'{"note": "' + b"x" * 2**20 + b'"}'
    file.write_bytes(b"\n".join([*(json.dumps(event).encode() for event in events), long]))
    assert run_loader("load", file).exit_code == 3
    export = tmp_path / "rejected.ndjson"
    outcome = run_loader("rejects", "--load", "1", "--export", export)
    assert outcome.exit_code == 0
    assert export.read_bytes() == json.dumps(events[1]).encode() + b"\n"
    assert outcome.stderr == "1 rows are too long to be kept whole and not in it\n"


def test_periods_are_given_by_category_in_time_order(run_loader: Run, conn: Connection) -> None:
    conn.execute(LIVE_VIEW)
    outcome = run_loader("periods", "--json")
    assert outcome.exit_code == 0
    assert json.loads(outcome.stdout) == {
        "people": [],
        "vehicles": [
            ["2024-05-13T18:30:30Z", "2024-05-13T18:31:30.000250Z"],
            ["2024-05-13T18:35:00Z", "2024-05-13T18:36:00Z"],
        ],
    }
    limits = ("--since", "2024-05-13T18:32:00Z", "--until", "2024-05-13T20:36:00+02:00")
    found = json.loads(run_loader("periods", "--json", *limits).stdout)
    assert found["vehicles"] == [["2024-05-13T18:35:00Z", "2024-05-13T18:36:00Z"]]
    assert "other" in run_loader("periods").stdout


@pytest.mark.parametrize("command", [["periods"], ["alerts"], ["explain", "1"]])
def test_without_models_the_advice_is_to_build_them(
    run_loader: Run, write_events: Write, command: list[str]
) -> None:
    assert run_loader("load", write_events()).exit_code == 0
    # Also a name that looks like a parameter is one.
    for schema in ("elsewhere", "100%s (Ü)"):
        outcome = run_loader(*command, "--schema", schema)
        assert outcome.exit_code == 2
        assert f'schema "{schema}"' in outcome.stderr
        assert "dbt build" in outcome.stderr


def test_a_wrong_time_is_a_usage_error(run_loader: Run) -> None:
    assert run_loader("periods", "--since", "yesterday").exit_code == 2


@pytest.mark.parametrize("format_", ["csv", "ndjson", "parquet"])
def test_generated_events_can_be_loaded(run_loader: Run, tmp_path: Path, format_: str) -> None:
    file = tmp_path / f"events.{format_}"
    options = ("--events", "500", "--late", "0.1", "--format", format_, "--output", file)
    assert run_loader("generate", *options).exit_code == 0
    result = json.loads(run_loader("load", file, "--json").stdout)
    assert (result["rows_loaded"], result["rows_rejected"]) == (500, 0)
