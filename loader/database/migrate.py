"""Bring events that an older loader stored, each in a row, into chunks; see docs/decisions/0042.

The chunks grow beside the table of rows, which everybody goes on to use. A last transaction,
which is short, adds what came meanwhile, and puts the view ``raw.events`` in the place of the
table. At any moment there is one or the other, whole. What a killed run leaves, the next uses.
"""

import time
from typing import Final

from psycopg import Connection, errors, sql

from loader.database.locks import (
    MIGRATION,
    SCHEMA,
    holders,
    in_short_tries,
    lock,
    lock_for_transaction,
    unlock,
)
from loader.database.partitions import PORTION, create_partition, insert_chunks
from loader.database.queries import query, template, values
from loader.database.schema import CHANGE_PATIENCE_SECONDS, apply_schema, is_older
from loader.database.waiting import now_and_then
from loader.errors import LoaderError, UsageError

# Loads go on meanwhile: the last transaction has only what came during a round as short as this.
_SHORT_ROUND_SECONDS: Final = 2.0
_MOST_ROUNDS: Final = 20


def migrate(conn: Connection) -> int | None:
    """Convert the events of a database of schema version 1; None when there was nothing to do.

    The connection is in autocommit mode, and of the owner of schema raw. What is returned is how
    many events this run has converted.
    """
    lock(conn, MIGRATION)
    try:
        events = _convert_all(conn) if is_older(conn) else None
        _drop_rows(conn)
        return events
    finally:
        unlock(conn, MIGRATION)


def _convert_all(conn: Connection) -> int:
    _refuse_dependents(conn)
    conn.execute(query("prepare_migration"))
    events = 0
    for _ in range(_MOST_ROUNDS):
        begun = time.monotonic()
        events += _convert_partitions(conn)
        if time.monotonic() - begun < _SHORT_ROUND_SECONDS:
            break
    try:
        return events + in_short_tries(
            conn, "raw.events", lambda: _swap(conn), patience=CHANGE_PATIENCE_SECONDS
        )
    except errors.LockNotAvailable as error:
        raise LoaderError(
            f"the events are converted, but {holders(conn, 'raw.events')} has kept tables of "
            f"schema raw in use for {CHANGE_PATIENCE_SECONDS:.0f} s; run the same command again "
            "when that is done"
        ) from error


def _convert_partitions(conn: Connection) -> int:
    """Convert what published loads have in each partition and was not converted before."""
    names = values(conn, query("partition_names"), {"table": "raw.events"})
    tell = now_and_then()
    events = 0
    for place, name in enumerate(names):
        tell(f"converted {events:,} events, {place} of {len(names)} partitions")
        with conn.transaction():
            # Together: what is counted, and what is copied.
            conn.execute("set transaction isolation level repeatable read")
            conn.execute(query("begin_partition"), {"partition": name})
            _create_partition_of_chunks(conn, name)
            events += _convert(conn, name)
    return events


def _create_partition_of_chunks(conn: Connection, name: str) -> None:
    found = conn.execute(query("chunks_partition"), {"partition": name}).fetchone()
    if found is not None:
        chunks, bounds = found
        # As PostgreSQL itself writes the bounds of the other table.
        create_partition(conn, "converted_chunks", chunks, sql.SQL(bounds))


def _convert(conn: Connection, name: str) -> int:
    """Convert what is new in a partition; return the number of its events."""
    statement = template("convert_partition").format(
        partition=sql.Identifier("raw", name), insert_chunks=insert_chunks("converted_chunks")
    )
    row = conn.execute(statement, {"partition": name}).fetchone()
    assert row is not None  # noqa: S101 - an aggregate
    there, converted = row
    if there != converted:
        raise LoaderError(
            f"partition raw.{name} has {there:,} new events, but {converted:,} came into chunks; "
            "nothing of them was kept: please report this"
        )
    return int(converted)


def _swap(conn: Connection) -> int:
    """Put the view in the place of the table, with whatever came since the last round."""
    conn.execute("set local search_path = ''")
    lock_for_transaction(conn, SCHEMA)
    # Nobody publishes, and nobody writes rows, until this is committed.
    conn.execute("lock table only raw.events in access exclusive mode")
    conn.execute("lock table raw.loads in access exclusive mode")
    events = 0
    for name in values(conn, query("unconverted_partitions")):
        conn.execute(query("begin_partition"), {"partition": name})
        _create_partition_of_chunks(conn, name)
        events += _convert(conn, name)
    # Retention of the older loader may have dropped some meanwhile.
    for name in values(conn, query("dropped_meanwhile")):
        conn.execute(sql.SQL("drop table {}").format(sql.Identifier("raw", name)))
    dependents = conn.execute(query("dependents")).fetchall()
    conn.execute(query("replace_rows"))
    apply_schema(conn)
    conn.execute(query("forget_purged"))
    # They hold the table, whatever its name is now; so each is made again, with all that it has.
    for *_, statement in dependents:
        conn.execute(statement.encode())
    for statement in values(conn, query("rights_on_rows")):
        conn.execute(statement.encode())
    return events


def _drop_rows(conn: Connection) -> None:
    """Drop the table of rows, which nobody uses any more, some partitions at a time."""
    while names := values(conn, query("partition_names"), {"table": "raw.events_in_rows"}):
        some = sql.SQL(", ").join(sql.Identifier("raw", name) for name in names[:PORTION])
        with conn.transaction():
            conn.execute(sql.SQL("drop table {}").format(some))
    conn.execute("drop table if exists raw.events_in_rows, raw.converted_partitions")


def _refuse_dependents(conn: Connection) -> None:
    found = conn.execute(query("dependents")).fetchall()
    if odd := [what for is_view, _, what, *_ in found if not is_view]:
        raise UsageError(
            "raw.events becomes a view, and these can depend on a table only: "
            f"{', '.join(odd)}; drop them, and create them again afterwards; nothing was changed"
        )
    if foreign := [what for _, _, what, may_be_replaced, _ in found if not may_be_replaced]:
        raise UsageError(
            "these views read raw.events and have to be made again, which this user may not do: "
            f"{', '.join(foreign)}; run this as a superuser, or as a member of their owners' "
            "roles; nothing was changed"
        )
