"""Databases of which parts were restored to another moment, or changed by hand."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection

Run = Callable[..., Any]
Write = Callable[..., Path]
Scalar = Callable[[str], object]
Problems = Callable[[], list[str]]

PROGRESS = (
    "create schema analytics; create table analytics.model_progress"
    " (model_name text primary key, load_seq bigint, definition jsonb, updated_at timestamptz)"
)
COUNTS = (
    "select source_name, count(*) from raw.events join raw.sources using (source_id)"
    " join raw.loads using (load_id) where withdrawn_seq is null group by 1 order by 1"
)


@pytest.fixture
def problems(run_loader: Run) -> Problems:
    """What `loader status` says; none of it changes how it ends."""

    def find() -> list[str]:
        shown = run_loader("status")
        outcome = run_loader("status", "--json")
        assert (shown.exit_code, outcome.exit_code) == (0, 0)
        found: list[str] = json.loads(outcome.stdout)["problems"]
        assert shown.stderr == "".join(f"loader: {problem}\n" for problem in found)
        return found

    return find


def test_tables_without_rows_are_tables_of_before_any_load(
    conn: Connection, run_loader: Run, write_events: Write, problems: Problems
) -> None:
    """A dump with --schema-only has what marks the schema as ours, and none of the rows of one."""
    for table in ("schema_version", "load_counter", "partitioning", "retention"):
        conn.execute(f"delete from raw.{table}".encode())
    outcome = run_loader("status")
    assert "loader maintain (or load something)" in outcome.stderr
    outcome = run_loader("load", write_events("1.csv"))
    assert outcome.exit_code == 0, outcome.stderr
    assert problems() == []


def test_numbers_that_were_given_are_not_given_again(
    conn: Connection, run_loader: Run, write_events: Write, problems: Problems, scalar: Scalar
) -> None:
    run_loader("load", write_events("1.csv"))
    run_loader("load", write_events("2.csv", start="2024-06-01T00"))
    assert problems() == []
    for table, column in (("loads", "load_id"), ("sources", "source_id")):
        conn.execute(f"alter table raw.{table} alter column {column} restart with 1".encode())
    # Of the last one only events are left: they must not become those of another load.
    conn.execute("delete from raw.loads where load_id = 2")
    conn.execute("update raw.load_counter set load_seq = 1")
    found = problems()
    assert len(found) == 2
    assert "raw.loads_load_id_seq would give a number again that is taken, up to 1" in found[0]
    path = write_events("3.csv", start="2024-07-01T00")
    path.write_text(path.read_text() + "2024-07-01T00:01:00Z,car,a new camera\n")
    outcome = run_loader("load", path)
    assert outcome.exit_code == 0, outcome.stderr
    assert problems() == []
    assert scalar("select max(load_id) from raw.loads") == 3
    assert conn.execute(COUNTS).fetchall() == [
        ("a new camera", 1), ("camera 0", 2), ("camera 1", 2), ("camera 2", 2),
    ]  # fmt: skip


def test_a_ledger_that_was_changed_by_hand(
    conn: Connection, run_loader: Run, write_events: Write, problems: Problems
) -> None:
    for month in (5, 6, 7):
        run_loader("load", write_events(f"{month}.csv", start=f"2024-0{month}-01T00"))
    conn.execute("delete from raw.loads where load_id = 2")
    (found,) = problems()
    assert "1 rows of the ledger raw.loads are gone, of 3" in found
    assert "docs/howto/back-up-and-restore.md" in found
    conn.execute("update raw.load_counter set load_seq = 2")
    (found,) = problems()
    assert "counter of loads is at 2, and the ledger at 3" in found
    assert "set load_seq of raw.load_counter to 3" in found


def test_marts_from_before_rows_went(
    conn: Connection, run_loader: Run, write_events: Write, problems: Problems
) -> None:
    run_loader("load", write_events("1.csv"))
    run_loader("withdraw", "1")
    run_loader("maintain")
    conn.execute(PROGRESS)
    conn.execute("insert into analytics.model_progress values ('now', 2), ('new', null)")
    assert problems() == []
    conn.execute("insert into analytics.model_progress values ('restored', 1)")
    (found,) = problems()
    assert found.startswith("analytics.restored has not taken note of load 1 or of its withdrawal")
    assert "dbt build --full-refresh" in found


def test_offsets_from_before_the_ledger(conn: Connection, problems: Problems) -> None:
    conn.execute(
        "insert into raw.loads (load_seq, origin, loader_version, options) values (1, 'kafka:t',"
        ' \'0\', \'{"kafka": {"group": "g", "topic": "t", "identity": "i", "offsets":'
        ' {"0": [0, 7], "1": [3, 9]}}}\')'
    )
    conn.execute("update raw.load_counter set load_seq = 1")
    conn.execute(
        "insert into raw.kafka_offsets values ('g', 't', 'i', 0, 5), ('g', 't', 'i', 1, 9)"
    )
    (found,) = problems()
    assert "group g would read topic t, partition 0, from offset 5 on" in found
    assert "up to 7" in found


def test_more_partitions_than_the_server_has_locks_for(
    conn: Connection, problems: Problems, monkeypatch: pytest.MonkeyPatch
) -> None:
    conn.execute(
        "do $$ begin for n in 1..6 loop execute format('create table raw.p%s partition of"
        " raw.event_chunks for values from (%L) to (%L)', n, date '2024-1-1' + n,"
        " date '2024-1-2' + n);"
        " end loop; end $$"
    )
    assert problems() == []
    monkeypatch.setattr("loader.database.status.QUERIES_AT_ONCE", 10_000)
    (found,) = problems()
    assert "a query of all 6 partitions takes 18 locks, and the server has room for 6,400" in found
    assert "set max_locks_per_transaction = " in found
