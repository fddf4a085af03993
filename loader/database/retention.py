"""Retention: old partitions of ``raw.event_chunks`` are dropped; what marts hold of them stays.

Two instants in ``raw.retention`` make that exact (docs/decisions/0010). Nothing that is older than
``retained_from`` is loaded or withdrawn any more, and once every model has taken note of all that
was, what is older than ``dropped_before``, a day earlier, is dropped.
"""

from datetime import datetime
from typing import Final

from psycopg import Connection, errors, sql

from loader.database.locks import SCHEMA, holders, in_short_tries, lock_for_transaction
from loader.database.models import ModelMark, ModelsBusyError, full_name, models_at_rest
from loader.database.partitions import PORTION, about_partitions
from loader.database.queries import query, template, value
from loader.database.waiting import now_and_then


def retained_from(conn: Connection, load_id: int) -> datetime | None:
    """Return the instant before which a load may have no rows."""
    statement: Final = "select retained_from from raw.loads where load_id = %s"
    found: datetime | None = value(conn, statement, [load_id])
    return found


def retain(conn: Connection, age: str, now: datetime) -> tuple[list[str], str | None]:
    """Drop the partitions that ended longer ago than an age, and early alerts passed on before.

    Returned are these partitions, and why others could not be dropped; None if there are none.
    """
    limit = {"age": age, "now": now}
    conn.execute(query("forget_early_alerts"), limit)
    conn.execute(query("move_retention"), limit)
    dropped: list[str] = []
    tell = now_and_then()
    waits_for = None
    try:
        # The check only spares locks where there is nothing to do.
        while _droppable(conn) and (
            names := in_short_tries(conn, "raw.event_chunks", lambda: _drop_portion(conn))
        ):
            dropped += names
            tell(f"dropped {len(dropped)} partitions so far, the last one {dropped[-1]}")
    except ModelsBusyError as reason:
        waits_for = str(reason)
    except errors.LockNotAvailable:
        waits_for = f"{holders(conn, 'raw.event_chunks')} to be done with raw.event_chunks"
    return dropped, waits_for


def _check(conn: Connection, marks: list[ModelMark]) -> None:
    """Raise when somebody may still change, or read, what is to be dropped."""
    row = conn.execute(query("loads_before_retention")).fetchone()
    unfinished, load_seq = row or (None, None)
    if unfinished is not None:
        raise ModelsBusyError(f"load {unfinished}, which began before")
    for mark in marks:
        name = full_name(conn, mark.schema, mark.model_name)
        if mark.load_seq < (load_seq or 0):
            raise ModelsBusyError(
                f"model {name} to take note of loads up to {load_seq}, it is at {mark.load_seq}: "
                f"dbt build; if there is no such model any more: delete its row from "
                f"{mark.schema}.model_progress"
            )
        if mark.has_long_gap:
            raise ModelsBusyError(
                f"model {name} to be built with an activity_gap of at most a day; with a longer "
                "one it needs all events"
            )


def _droppable(conn: Connection) -> list[tuple[str, datetime]]:
    """Return the partitions that can be dropped, oldest first, and before which nothing is then."""
    return conn.execute(about_partitions("droppable_partitions")).fetchall()


def _drop_portion(conn: Connection) -> list[str]:
    """Drop the oldest partitions; return their names."""
    _check(conn, models_at_rest(conn))
    # Nobody creates a partition over the bound meanwhile.
    lock_for_transaction(conn, SCHEMA)
    portion = _droppable(conn)[:PORTION]
    for name, _ in portion:
        partition = sql.Identifier("raw", name)
        conn.execute(template("keep_last_events").format(partition=partition))
    # From here on readers wait. Only: locks on the other partitions would be in the way of
    # autovacuum.
    conn.execute("lock table only raw.event_chunks in access exclusive mode")
    for name, dropped_before in portion:
        conn.execute(sql.SQL("drop table {}").format(sql.Identifier("raw", name)))
        conn.execute(
            "update raw.retention set dropped_before = greatest(dropped_before, %s)",
            [dropped_before],
        )
    return [name for name, _ in portion]
