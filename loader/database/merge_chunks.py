"""Chunks of several loads: brought together by maintenance, taken apart by a withdrawal.

A load of one event makes a chunk of one event, which takes more than ten times its share of a long
one. Once every model has taken note of some loads, nobody asks for them one by one any more but who
withdraws one, or looks at the past; see docs/decisions/0046.
"""

from collections.abc import Iterator
from typing import Any, Final

from psycopg import Connection, sql

from loader.database.citus import keep_partitions, loads_among, wait_for_readers
from loader.database.locks import CHUNKS, lock_for_transaction
from loader.database.models import models_at_rest
from loader.database.partitions import EVENTS_PER_CHUNK, about_partitions, insert_chunks
from loader.database.queries import template, value, values
from loader.errors import LoaderError

# Of so many or more, the number of the load of each event takes what is saved.
_FEW_EVENTS: Final = EVENTS_PER_CHUNK // 3


def bring_together(conn: Connection) -> Iterator[tuple[int, int]]:
    """Bring short chunks of one source and day together, partition by partition.

    Only those of published loads that every model has taken note of, and none to be withdrawn.
    Yielded is how many chunks there were and how many they became, when that is committed.
    ModelsBusyError: dbt is at work; what is left, the next time does.
    """
    with conn.transaction():
        until = _known_to_all(conn)
        names = values(conn, about_partitions("partitions_to_bring_together"), {"load_seq": until})
    if names:
        wait_for_readers(conn)
    for name in names:
        with conn.transaction():
            lock_for_transaction(conn, CHUNKS)
            # A model may have come, or come back, that knows less.
            until = min(until, _known_to_all(conn))
            gone = template("bring_together").format(
                partition=sql.Identifier("raw", name),
                few_events=sql.Literal(_FEW_EVENTS),
                is_known=loads_among(
                    conn, template("visible_until").format(load_seq=sql.Literal(until))
                ),
            )
            counts = _make_anew(conn, gone, load_id=0)
            _note(conn, "together_seq", until)
        yield counts
    _note(conn, "together_until", until)


def take_apart(conn: Connection, load_id: int) -> None:
    """Give the events of a load, in the transaction that withdraws it, chunks of their own."""
    lock_for_transaction(conn, CHUNKS)
    found = conn.execute(
        "select first_event_at, last_event_at from raw.loads cross join raw.partitioning"
        " where load_id = %s and load_seq <= together_seq",
        [load_id],
    ).fetchone()
    if found is not None:
        first, last = found
        gone = template("take_apart").format(
            load_id=sql.Literal(load_id), first=sql.Literal(first), last=sql.Literal(last)
        )
        _make_anew(conn, gone, load_id=load_id)


def _known_to_all(conn: Connection) -> int:
    """Return up to which load all models know the ledger, and keep them from going on."""
    marks = [mark.load_seq for mark in models_at_rest(conn)]
    counted: int = value(conn, "select load_seq from raw.load_counter")
    return min([counted, *marks])


def _make_anew(conn: Connection, gone: sql.Composed, load_id: int) -> tuple[int, int]:
    keep_partitions(conn)
    statement = template("make_chunks_anew").format(
        gone=gone,
        load_id=sql.Literal(load_id),
        insert_chunks=insert_chunks("event_chunks", mixes_loads=True),
    )
    before, after, is_complete = conn.execute(statement).fetchall()[0]
    if not is_complete:
        raise LoaderError(
            "chunks were to be made anew, and events are missing; nothing was changed"
        )
    return before, after


def _note(conn: Connection, column: str, load_seq: int) -> None:
    names: dict[str, Any] = {"column": sql.Identifier(column), "load_seq": sql.Literal(load_seq)}
    conn.execute(
        sql.SQL(
            "update raw.partitioning set {column} = {load_seq} where {column} < {load_seq}"
        ).format(**names)
    )
