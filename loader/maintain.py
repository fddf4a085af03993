"""Maintenance of the raw schema: idempotent, and safe beside loads, dbt and another maintenance."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from psycopg import Connection, errors, sql

from loader.ledger import remove_crashed_loads
from loader.partitions import Partitions, analyze, analyze_parent_when_due, create_missing_indexes
from loader.schema import ensure_schema, read_sql

# dbt holds its marks for as long as a model takes; rather than wait, purge the next time.
_LOCK_TIMEOUT = "1s"


@dataclass(frozen=True, kw_only=True)
class Maintenance:
    """What was done.

    Attributes:
        removed_loads: loads that a crash had left.
        created_partitions: months to come.
        created_indexes: how many were missing.
        analyzed: partitions that had no statistics, or old ones.
        purged_loads: withdrawn loads whose rows were removed.
        purged_rows: how many rows these were.
        purge_waits_for: why withdrawn loads could not be purged this time.
    """

    removed_loads: list[int]
    created_partitions: list[str]
    created_indexes: int
    analyzed: list[str]
    purged_loads: list[int]
    purged_rows: int
    purge_waits_for: str | None


class _CannotPurgeError(Exception):
    """Somebody may still need the rows of withdrawn loads."""


def maintain(conn: Connection, ahead: int) -> Maintenance:
    """Do what is due.

    Args:
        conn: a connection in autocommit mode.
        ahead: for how many months after this one there shall be partitions.
    """
    ensure_schema(conn)
    removed = remove_crashed_loads(conn)
    partitions = _partitions_ahead(conn, ahead)
    indexes = create_missing_indexes(conn)
    purged: dict[int, int] = {}
    waits_for = None
    try:
        purged = _purge(conn)
        (left,) = conn.execute(read_sql("count_unpurged.sql").encode()).fetchone() or (0,)
        if left:
            waits_for = f"dbt to take note of {left} withdrawn loads in every model: dbt build"
    except _CannotPurgeError as reason:
        waits_for = str(reason)
    return Maintenance(
        removed_loads=removed,
        created_partitions=partitions,
        created_indexes=indexes,
        # At last: what was purged counts as changed.
        analyzed=_analyze(conn),
        purged_loads=list(purged),
        purged_rows=sum(purged.values()),
        purge_waits_for=waits_for,
    )


def _partitions_ahead(conn: Connection, ahead: int) -> list[str]:
    this_month = np.datetime64(datetime.now(UTC).replace(tzinfo=None), "M")
    partitions = Partitions(conn)
    return [name for month in range(ahead + 1) if (name := partitions.ensure(this_month + month))]


def _analyze(conn: Connection) -> list[str]:
    due = conn.execute(read_sql("analyze_due.sql").encode()).fetchall()
    analyzed = [name for (name,) in due if analyze(conn, name)]
    analyze_parent_when_due(conn)
    return analyzed


def _purge(conn: Connection) -> dict[int, int]:
    """Remove the rows of withdrawn loads that no model will read again; count them by load."""
    purged: dict[int, int] = {}
    with conn.transaction(), _models_at_rest(conn) as load_seq:
        parameters = {"load_seq": load_seq}
        found = conn.execute(read_sql("purgeable_loads.sql").encode(), parameters).fetchall()
        for (load_id,) in found:
            row = conn.execute(read_sql("purge_load.sql").encode(), {"load_id": load_id}).fetchone()
            purged[load_id] = 0 if row is None else int(row[0])
    return purged


@contextmanager
def _models_at_rest(conn: Connection) -> Iterator[int | None]:
    """Keep dbt from its marks, and yield how far the model is that is furthest behind.

    A model that is being built for the first time has no mark that others can see, and may have
    begun before a load was withdrawn: its rows must not go while it counts them. It holds a lock
    on the table of marks, though, as every model does that is at work.

    Yields:
        the position in the ledger that all models have reached; None when there are no models,
        or one has not reached any.
    """
    lowest: int | None = None
    for number, (schema,) in enumerate(
        conn.execute(read_sql("progress_schemas.sql").encode()).fetchall()
    ):
        progress = sql.Identifier(schema, "model_progress")
        try:
            conn.execute(f"set local lock_timeout = '{_LOCK_TIMEOUT}'".encode())
            conn.execute(sql.SQL("lock table {} in share mode").format(progress))
            row = conn.execute(
                sql.SQL("select min(coalesce(load_seq, 0)) from {}").format(progress)
            ).fetchone()
        except errors.LockNotAvailable:
            raise _CannotPurgeError(f"dbt, which is at work in schema {schema}") from None
        except (errors.InsufficientPrivilege, errors.WrongObjectType, errors.UndefinedColumn):
            raise _CannotPurgeError(
                f"the right to lock {schema}.model_progress, which says what dbt has taken note of"
            ) from None
        reached = 0 if row is None or row[0] is None else int(row[0])
        lowest = reached if number == 0 else min(lowest or 0, reached)
    # Without any model nobody will ever ask for what was withdrawn.
    yield 2**62 if lowest is None else lowest
