from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import Connection, errors

from loader.database.names_to_ids import NamesToIds
from loader.database.partitions import Partitions
from loader.errors import InputError
from loader.loading import copy as copying
from loader.loading.chunks import Cutter
from loader.loading.copy import Copier
from loader.loading.encode import HEADER, TRAILER, EncodedRows, Encoder
from loader.loading.options import ShardBy
from tests.support.waits import wait_until

# The years that PostgreSQL and Python both have.
MICROSECONDS = st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999)
EVENT = st.tuples(
    MICROSECONDS,
    st.sampled_from([-(2**31), 1, 2, 2**31 - 1]),
    st.integers(-(2**15), 2**15 - 1),
    st.none() | st.dictionaries(st.text(st.characters(exclude_characters="\0", codec="utf-8")),
                                st.integers(), max_size=3),
)  # fmt: skip


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(events=st.lists(EVENT, max_size=30), has_row_numbers=st.booleans(), slices=st.booleans())
def test_what_is_encoded_is_what_arrives(
    conn: Connection, events: list[Any], has_row_numbers: bool, slices: bool
) -> None:
    texts = [None if event[3] is None else json.dumps(event[3]) for event in events]
    attributes = pa.array(["{}", *texts, "x"], pa.string()).slice(1, len(texts))
    rows = EncodedRows(
        event_time=np.array([event[0] for event in events], dtype=np.int64),
        source_id=np.array([event[1] for event in events], dtype=np.int32),
        event_type_id=np.array([event[2] for event in events], dtype=np.int16),
        attributes=attributes if slices else pa.array(texts, pa.string()),
        row_number=7,
    )
    conn.execute("drop table if exists copied")
    conn.execute("create temporary table copied (like raw.event_chunks, row_number bigint)")
    cutter = Cutter(2**40, has_attributes=True, is_numbered=has_row_numbers)
    statement = f"copy copied ({', '.join(cutter.columns)}) from stdin with (format binary)"
    with conn.cursor().copy(statement.encode()) as copy:
        copy.write(HEADER)
        for part in cutter.encode(rows):
            copy.write(part)
        copy.write(TRAILER)
    found = conn.execute(
        "select (extract(epoch from t) * 1000000)::bigint, source_id, event_type_id, attribute,"
        " load_id from copied cross join lateral unnest(event_times, event_type_ids, attributes)"
        " as events (t, event_type_id, attribute)"
    ).fetchall()
    assert sorted(found, key=str) == sorted([(*event, 2**40) for event in events], key=str)
    assert conn.execute(
        "select count(*) from copied where first_event_at <> event_times[1]"
        " or last_event_at <> event_times[cardinality(event_times)]"
        " or event_count <> cardinality(event_times) or row_number is null = %s"
        " or event_times <> array(select unnest(event_times) order by 1)",
        [has_row_numbers],
    ).fetchone() == (0,)


def batch(*names: str) -> Any:
    column = pa.array(names).dictionary_encode()
    return pa.RecordBatch.from_pydict(
        {
            "event_time": pa.array([0] * len(names), pa.timestamp("us", "UTC")),
            "source": column,
            "event_type": column,
        }
    )


def test_names_keep_their_ids(conn: Connection) -> None:
    first = Encoder(conn).rows_of(batch("b", "a", "b"))
    again = Encoder(conn).rows_of(batch("a", "c", "b"))
    ids: dict[str, int] = dict(
        conn.execute("select source_name, source_id from raw.sources").fetchall()
    )
    assert sorted(ids) == ["a", "b", "c"]
    assert first.source_id.tolist() == [ids[name] for name in "bab"]
    assert again.source_id.tolist() == [ids[name] for name in "acb"]
    assert first.source_id.dtype == np.int32
    assert first.event_type_id.dtype == np.int16


def test_known_names_use_up_no_ids(conn: Connection) -> None:
    for _ in range(3):
        Encoder(conn).rows_of(batch("a", "b"))
    Encoder(conn).rows_of(batch("c"))
    assert conn.execute("select max(event_type_id) from raw.event_types").fetchone() == (3,)


def test_a_column_of_too_many_types_is_the_wrong_column(conn: Connection) -> None:
    conn.execute("select setval('raw.event_types_event_type_id_seq', 32767)")
    with pytest.raises(InputError, match="--type-column"):
        NamesToIds(conn, "event_types").ids_of(pa.array(["x"]).dictionary_encode())


def test_a_copy_that_fails_says_so_and_keeps_nothing(dsn: str, conn: Connection) -> None:
    """Rows of a month without a partition: the server refuses them."""
    rows = EncodedRows(
        event_time=np.zeros(10, dtype=np.int64),
        source_id=np.ones(10, dtype=np.int32),
        event_type_id=np.ones(10, dtype=np.int16),
    )

    def copy_some() -> None:
        with Copier(
            dsn=dsn, table="event_chunks", load_id=1, has_attributes=False, workers=2
        ) as copier:
            for _ in range(50):
                copier.put(rows, 0)
            copier.finish()

    with pytest.raises(errors.CheckViolation):
        copy_some()
    assert conn.execute("select count(*) from raw.events").fetchone() == (0,)


def test_no_connection_keeps_what_was_given_up(
    dsn: str, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would look for it: before the end of a load there is nothing to remove."""
    # A cancel may also come when there is nothing to cancel.
    monkeypatch.setattr(Connection, "cancel_safe", lambda *_, **__: None)
    count = 10_000
    rows = EncodedRows(
        event_time=np.arange(count, dtype=np.int64),
        source_id=np.arange(count, dtype=np.int32) % 2,
        event_type_id=np.ones(count, dtype=np.int16),
    )
    Partitions(conn).prepare(rows.event_time)

    def copy_and_give_up() -> None:
        with Copier(
            dsn=dsn, table="event_chunks", load_id=1, has_attributes=False, workers=2
        ) as copier:
            copier._used = 2
            copier.put(rows, 0)
            wait_until(lambda: all(queue.empty() for queue in copier._queues.values()))
            assert len(copier._queues) == 2
            raise InputError("more than 0 rows are rejected")

    with pytest.raises(InputError):
        copy_and_give_up()
    assert conn.execute("select count(*) from raw.events").fetchone() == (0,)


def test_the_epochs_agree(conn: Connection) -> None:
    assert conn.execute("select '2000-01-01Z'::timestamptz").fetchone() == (
        datetime.fromisoformat("2000-01-01T00:00:00Z"),
    )


@pytest.mark.parametrize("key", ["source", "type"])
def test_a_connection_that_waits_for_the_server_gets_another(
    key: ShardBy, dsn: str, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From then on what is alike goes over one of them; each copies in a transaction of its own."""
    # However slow we are ourselves.
    monkeypatch.setattr(copying, "_MOST_WAITING", 0.2)
    count = 100_000
    rows = EncodedRows(
        event_time=np.arange(count, dtype=np.int64),
        source_id=np.arange(count, dtype=np.int32) % 5,
        event_type_id=(np.arange(count) % 7).astype(np.int16),
    )
    Partitions(conn).prepare(rows.event_time)
    conn.execute("create schema held")
    conn.execute(
        "create function held.wait() returns trigger language plpgsql as"
        " $$ begin perform pg_advisory_xact_lock_shared(1); return new; end $$"
    )
    conn.execute(
        "create trigger wait before insert on raw.event_chunks"
        " for each row execute function held.wait()"
    )
    conn.execute("select pg_advisory_lock(1)")
    begun = time.monotonic()

    def copy_some() -> None:
        with Copier(
            dsn=dsn, table="event_chunks", load_id=1, has_attributes=False, workers=2, shard_by=key
        ) as copier:
            for _ in range(10):
                copier.put(rows, 0)
            copier.finish()

    with ThreadPoolExecutor() as pool:
        copied = pool.submit(copy_some)
        waiting = "select from pg_locks where locktype = 'advisory' and objid = 1 and not granted"
        wait_until(lambda: bool(conn.execute(waiting).fetchall()) or copied.done())
        waited_from = time.monotonic()
        wait_until(lambda: time.monotonic() > waited_from + 1 + (waited_from - begun))
        conn.execute("select pg_advisory_unlock(1)")
        copied.result()

    column = {"source": "source_id", "type": "unnest(event_type_ids)"}[key]
    found = conn.execute(
        "select sum(event_count) over (partition by xmin::text) as of_transaction,"
        f" {column} as number, sum(event_count) over () from raw.event_chunks".encode()
    ).fetchall()
    assert {row[2] for row in found} == {10 * count}
    first, second = ({row[1] for row in found if row[0] == of} for of in
                     sorted({row[0] for row in found}, reverse=True))  # fmt: skip
    assert first > second
    assert {number % 2 for number in second} == {1}


def test_connections_are_as_many_as_the_server_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(copying, "time", SimpleNamespace(monotonic=lambda: now))
    copier = Copier(dsn="", table="event_chunks", load_id=1, has_attributes=False, workers=3)
    # Seconds that passed, those that connections waited meanwhile, and how many there are then.
    for passed, waited, expected in (
        (0.5, 0.5, 1),  # too soon to tell
        (0.5, 0.4, 2),
        (1, 1.5, 2),  # three quarters of the time of each
        (1, 1, 2),
        (2, 3.2, 3),
        (1, 3, 3),
    ):
        now += passed
        copier._waits.append(waited)
        copier._use_another_if_due()
        assert copier._used == expected, now
