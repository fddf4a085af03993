import json
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection, OperationalError

from loader.database import merge_chunks
from loader.database.connection import connect
from loader.database.ledger import withdraw
from loader.database.merge_chunks import _note
from tests.support.waits import wait_until

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


EVENTS = (
    "select event_time, source_id, event_type_id, load_id, attributes::text from raw.events"
    " order by 1, 2, 3, 4, 5"
)
CHUNKS = "select count(*) from raw.event_chunks where load_id = any(%s) or load_ids && %s::bigint[]"
# Of one source and day, in order, and visible as their loads are.
WRONG_CHUNKS = """
with chunks as (
    select chunks.*, loads.load_seq, loads.withdrawn_seq
    from raw.event_chunks as chunks join raw.loads as loads using (load_id)
)

select count(*) from chunks
where (first_event_at, last_event_at) <> (event_times[1], event_times[event_count])
    or event_count <> cardinality(event_times) or event_count <> cardinality(event_type_ids)
    or first_event_at::date <> last_event_at::date or event_count > 180
    or load_ids is not null and (
        withdrawn_seq is not null or cardinality(load_ids) <> event_count
        or exists (
            select from raw.loads
            where loads.load_id = any(load_ids)
                and (loads.withdrawn_seq is not null or loads.load_seq > chunks.load_seq)
        )
    )
"""


@pytest.fixture
def twelve_loads(run_loader: Run, tmp_path: Path) -> None:
    """Of four events each, on two days, of two sources; one has attributes, equal events come."""
    for load in range(12):
        path = tmp_path / f"{load}.csv"
        path.write_text(
            "time,type,source,note\n"
            + "".join(
                f"2024-05-{13 + n // 2}T15:{59 - load // 2}Z,car,camera {n % 2},{load}\n"
                for n in range(4)
            )
        )
        options = ["--attributes", "note"] if load == 3 else []
        assert run_loader("load", path, *options).exit_code == 0


@pytest.mark.usefixtures("twelve_loads")
def test_short_chunks_are_brought_together_and_taken_apart(
    maintained: Maintained, run_loader: Run, conn: Connection, scalar: Scalar
) -> None:
    conn.execute(PROGRESS)
    conn.execute("insert into analytics.model_progress values ('a', 10), ('b', 12)")
    before = conn.execute(EVENTS).fetchall()

    def chunks_of(*load_ids: int) -> int:
        row = conn.execute(CHUNKS, [[*load_ids], [*load_ids]]).fetchone()
        assert row is not None
        return int(row[0])

    done = maintained()
    assert (done["chunks_before"], done["chunks_after"]) == (40, 4)
    assert conn.execute(EVENTS).fetchall() == before
    assert (chunks_of(*range(1, 11)), chunks_of(11, 12)) == (4, 8)
    assert maintained()["chunks_before"] == 0
    conn.execute("update analytics.model_progress set load_seq = 12")
    assert "brought together: 12 into 4" in run_loader("maintain").stdout
    assert scalar("select count(*) from raw.event_chunks") == 4
    # One in the middle, and the one that the chunks stood with.
    for load_id in (4, 12):
        assert run_loader("withdraw", str(load_id)).exit_code == 0
        assert conn.execute(EVENTS).fetchall() == before
        assert chunks_of(load_id) == 4
        assert scalar(WRONG_CHUNKS) == 0
    conn.execute("update analytics.model_progress set load_seq = 14")
    assert maintained()["purged_loads"] == [4, 12]
    assert conn.execute(EVENTS).fetchall() == [row for row in before if row[3] not in (4, 12)]
    assert run_loader("withdraw", "5").exit_code == 0
    assert scalar(WRONG_CHUNKS) == 0


@pytest.mark.usefixtures("twelve_loads")
def test_a_withdrawal_waits_for_what_is_being_brought_together(
    maintained: Maintained, dsn: str, scalar: Scalar, monkeypatch: pytest.MonkeyPatch
) -> None:
    def note(*arguments: Any) -> None:
        monkeypatch.setattr(merge_chunks, "_note", _note)
        withdrawal.start()
        wait_until(lambda: scalar("select count(*) from pg_locks where not granted") == 1)
        _note(*arguments)

    with connect(dsn) as other:
        withdrawal = threading.Thread(target=withdraw, args=[other, 4])
        monkeypatch.setattr(merge_chunks, "_note", note)
        assert maintained()["chunks_after"] == 4
        withdrawal.join()
    assert scalar("select count(*) from raw.event_chunks where load_id = 4") == 4
    assert scalar(WRONG_CHUNKS) == 0


def test_many_loads_of_one_event_take_less_disk_than_rows_did(
    maintained: Maintained, run_loader: Run, write_events: Write, conn: Connection, scalar: Scalar
) -> None:
    run_loader("load", write_events(count=1))
    conn.execute(
        "insert into raw.loads (schema_version, load_seq, origin, loader_version, published_at,"
        " first_event_at, last_event_at) select 2, n, 'many', '0', now(), t, t"
        " from generate_series(2, 3000) as n,"
        " lateral (select timestamptz '2024-05-14Z' + n * interval '25 seconds') as one (t)"
    )
    conn.execute("update raw.load_counter set load_seq = 3000")
    conn.execute(
        "insert into raw.event_chunks select first_event_at, first_event_at, load_id, 1, 1,"
        " array[first_event_at], '{1}' from raw.loads where load_id > 1"
    )
    size = "select pg_total_relation_size('raw.event_chunks_2024_05')::float / 3000"
    assert float(str(scalar(size))) > 150
    assert maintained()["rewritten"] == ["event_chunks_2024_05"]
    # A row took 86 bytes, of which 28 in the index.
    assert float(str(scalar(size))) < 30
    assert scalar("select count(distinct load_id) from raw.events") == 3000


def test_bloated_indexes_are_rebuilt_and_killed_ones_cleaned_up(
    maintained: Maintained, run_loader: Run, write_events: Write, conn: Connection, dsn: str,
    scalar: Scalar,
) -> None:  # fmt: skip
    # A model that knows nothing yet keeps chunks as they are.
    conn.execute(f"{PROGRESS}; insert into analytics.model_progress values ('new', null)".encode())
    run_loader("load", write_events(count=1))
    conn.execute(
        "insert into raw.event_chunks select t, t, 1, 1, 1, array[t], '{1}'"
        " from generate_series(1, 40000) as n,"
        " lateral (select timestamptz '2024-05-14Z' + n * interval '1 second') as one (t)"
    )
    conn.execute("vacuum analyze raw.event_chunks_2024_05")
    assert maintained()["rebuilt_indexes"] == []
    conn.execute("delete from raw.event_chunks where extract(minute from first_event_at) > 5")
    # Later than the vacuum, they would count as changes since.
    conn.execute("select pg_stat_force_next_flush()")
    conn.execute("vacuum analyze raw.event_chunks_2024_05")
    indexes = (
        "select indexrelid::regclass::text from pg_index"
        " where indrelid = 'raw.event_chunks_2024_05'::regclass order by 1"
    )
    names = conn.execute(indexes).fetchall()

    # One is killed while it waits for somebody who may still use the old one.
    with connect(dsn) as reader, reader.transaction(), connect(dsn) as killed:
        reader.execute("set transaction isolation level repeatable read")
        reader.execute("select count(*) from raw.event_chunks")
        pid = killed.info.backend_pid
        reindex = f"reindex index concurrently {names[0][0]}"
        thread = threading.Thread(target=lambda: suppress_all(killed, reindex))
        thread.start()
        left = "select count(*) from pg_class where relname ~ '_ccnew$'"
        wait_until(lambda: scalar(left) == 1)
        wait_until(
            lambda: (
                scalar(f"select wait_event from pg_stat_activity where pid = {pid}") == "virtualxid"
            )
        )
        conn.execute(f"select pg_terminate_backend({pid})".encode())
        thread.join()
    assert scalar(left) == 1

    done = maintained()["rebuilt_indexes"]
    assert [why.split()[0] for why in done] == [
        "event_chunks_2024_05_source_id_first_event_at_last_event_at_idx"
    ]
    assert scalar(left) == 0
    assert conn.execute(indexes).fetchall() == names
    assert maintained()["rebuilt_indexes"] == []


def suppress_all(conn: Connection, statement: str) -> None:
    with suppress(OperationalError):
        conn.execute(statement.encode())
