import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection

from loader.database.connection import connect

Run = Callable[..., Any]
Write = Callable[..., Path]
Scalar = Callable[[str], object]
Maintained = Callable[..., dict[str, Any]]

PROGRESS = (
    "create schema analytics; create table analytics.model_progress"
    " (model_name text primary key, load_seq bigint, definition jsonb, updated_at timestamptz)"
)


@pytest.fixture
def maintained(run_loader: Run) -> Maintained:
    """Run ``loader maintain`` and return what it says."""

    def run(*options: str) -> dict[str, Any]:
        outcome = run_loader("maintain", "--json", *options)
        assert outcome.exit_code == 0, outcome.stderr
        done: dict[str, Any] = json.loads(outcome.stdout)
        return done

    return run


def test_an_empty_database_gets_its_partitions(
    maintained: Maintained, scalar: Scalar, run_loader: Run
) -> None:
    assert len(maintained("--ahead", "3")["created_partitions"]) == 4
    assert maintained("--ahead", "3")["created_partitions"] == []
    assert (
        scalar("select count(*) from pg_inherits where inhparent = 'raw.event_chunks'::regclass")
        == 4
    )
    assert run_loader("maintain").stdout == "nothing was due\n"


def test_what_is_due_is_done_once(
    maintained: Maintained,
    run_loader: Run,
    write_events: Write,
    conn: Connection,
) -> None:
    run_loader("load", write_events("1.csv", count=5))
    conn.execute(
        "insert into raw.loads (origin, loader_version, schema_version) values ('crashed', '0', 2)"
    )
    conn.execute(
        "insert into raw.event_chunks"
        " select t, t, 2, 1, 1, array[t], '{1}' from generate_series(1, 100),"
        " cast('2024-05-13Z' as timestamptz) as t"
    )
    # Statistics are sent at the end of a transaction, but not always at once.
    conn.execute("select pg_stat_force_next_flush()")
    done = maintained()
    assert done["removed_loads"] == [2]
    assert conn.execute("select count(*) from raw.events").fetchone() == (5,)
    again = maintained()
    assert again["removed_loads"] == again["created_partitions"] == again["purged_loads"] == []
    assert again["purged_rows"] == 0


def test_withdrawn_rows_go_when_every_model_knows(
    maintained: Maintained,
    run_loader: Run,
    write_events: Write,
    conn: Connection,
) -> None:
    conn.execute(PROGRESS)
    run_loader("load", write_events("1.csv", count=5))
    run_loader("load", write_events("2.csv", count=7, start="2024-06-01T00"))
    run_loader("withdraw", "1")
    conn.execute(
        "insert into analytics.model_progress values"
        " ('behind', 2), ('up to date', 3), ('new', null)"
    )
    assert maintained()["purged_loads"] == []
    conn.execute("update analytics.model_progress set load_seq = 3 where model_name = 'behind'")
    assert maintained()["purged_loads"] == []
    conn.execute("delete from analytics.model_progress where model_name = 'new'")
    conn.execute("update analytics.model_progress set load_seq = 2 where model_name = 'behind'")
    done = maintained()
    assert done["purged_loads"] == []
    assert "dbt build" in done["purge_waits_for"]
    conn.execute("update analytics.model_progress set load_seq = 3")
    done = maintained()
    assert (done["purged_loads"], done["purged_rows"]) == ([1], 5)
    assert done["purge_waits_for"] is None
    assert conn.execute("select count(*), min(load_id) from raw.events").fetchone() == (7, 2)
    assert maintained()["purged_loads"] == []
    # The ledger still knows, and the same file can be loaded again.
    assert run_loader("withdraw", "1").exit_code == 2
    assert run_loader("load", write_events("1.csv", count=5)).exit_code == 0


def test_no_row_goes_while_a_model_is_being_built(
    maintained: Maintained,
    run_loader: Run,
    write_events: Write,
    conn: Connection,
    dsn: str,
) -> None:
    conn.execute(PROGRESS)
    run_loader("load", write_events("1.csv", count=5))
    run_loader("withdraw", "1")
    with connect(dsn) as dbt, dbt.transaction():
        # A first build: what it writes about itself nobody else can see.
        dbt.execute("insert into analytics.model_progress values ('new', null)")
        done = maintained()
        assert done["purged_loads"] == []
        assert "analytics" in done["purge_waits_for"]
    assert conn.execute("select count(*) from raw.events").fetchone() == (5,)
