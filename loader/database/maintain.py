"""Maintenance of the raw schema: idempotent, and safe beside loads, dbt and another maintenance."""

from dataclasses import dataclass
from datetime import UTC, datetime

from psycopg import Connection

from loader.database.ledger import mend_numbers, remove_crashed_loads
from loader.database.migrate import migrate
from loader.database.models import ModelsBusyError, models_at_rest
from loader.database.partitions import (
    Partitions,
    analyze,
    analyze_parent_when_due,
    delete_events,
    set_partition_by,
)
from loader.database.queries import query
from loader.database.retention import Retained, retain
from loader.database.schema import ensure_schema
from loader.settings import PartitionBy


@dataclass(frozen=True, kw_only=True)
class Maintenance:
    """What was done.

    Attributes:
        removed_loads: loads that a crash had left.
        created_partitions: for the months, weeks or days to come.
        analyzed: partitions that had no statistics, or old ones.
        purged_loads: withdrawn loads whose rows were removed.
        purged_rows: how many rows these were.
        purge_waits_for: why withdrawn loads could not be purged this time.
        dropped_partitions: those that are older than what is retained.
        drop_waits_for: why such ones could not be dropped this time.
        converted_events: events in rows that were brought into chunks; None if there were none.
    """

    removed_loads: list[int]
    created_partitions: list[str]
    analyzed: list[str]
    purged_loads: list[int]
    purged_rows: int
    purge_waits_for: str | None
    dropped_partitions: list[str]
    drop_waits_for: str | None
    converted_events: int | None


def maintain(
    conn: Connection,
    ahead: int,
    *,
    age: str | None = None,
    partition_by: PartitionBy | None = None,
    now: datetime | None = None,
    is_migration: bool = False,
) -> Maintenance:
    """Do what is due.

    Args:
        conn: a connection in autocommit mode.
        ahead: for how many months, weeks or days after this one there shall be partitions.
        age: drop partitions that ended longer ago, an interval as PostgreSQL reads it.
        partition_by: how long new partitions shall be; None for as long as they are.
        now: from when that is counted; None for the present.
        is_migration: first convert what an older loader has stored.
    """
    converted = migrate(conn) if is_migration else None
    ensure_schema(conn)
    mend_numbers(conn)
    set_partition_by(conn, partition_by)
    removed = remove_crashed_loads(conn)
    retained = Retained(dropped_partitions=[], waits_for=None)
    if age is not None:
        retained = retain(conn, age, now or datetime.now(UTC))
    partitions = _partitions_ahead(conn, ahead)
    purged: dict[int, int] = {}
    waits_for = None
    try:
        _purge(conn, purged)
        (left,) = conn.execute(query("count_unpurged")).fetchone() or (0,)
        if left:
            waits_for = f"dbt to take note of {left} withdrawn loads in every model: dbt build"
    except ModelsBusyError as reason:
        waits_for = str(reason)
    return Maintenance(
        removed_loads=removed,
        created_partitions=partitions,
        # At last: what was purged counts as changed.
        analyzed=_analyze(conn),
        purged_loads=list(purged),
        purged_rows=sum(purged.values()),
        purge_waits_for=waits_for,
        dropped_partitions=retained.dropped_partitions,
        drop_waits_for=retained.waits_for,
        converted_events=converted,
    )


def _partitions_ahead(conn: Connection, ahead: int) -> list[str]:
    partitions = Partitions(conn)
    today = int(datetime.now(UTC).timestamp()) // 86_400
    first, end = partitions.layout.slot(today)
    for _ in range(ahead):
        _, end = partitions.layout.slot(end)
    return partitions.ensure(first, end)


def _analyze(conn: Connection) -> list[str]:
    due = conn.execute(query("analyze_due")).fetchall()
    analyzed = [name for (name,) in due if analyze(conn, name)]
    analyze_parent_when_due(conn)
    return analyzed


def _purge(conn: Connection, purged: dict[int, int]) -> None:
    """Remove the rows of withdrawn loads that no model will read again; count them by load."""
    with conn.transaction():
        found = _purgeable(conn)
    for load_id in found:
        deleted = delete_events(conn, load_id, may_go=lambda: load_id in _purgeable(conn))  # noqa: B023
        if deleted is not None:
            conn.execute(
                "update raw.loads set purged_at = clock_timestamp() where load_id = %s", [load_id]
            )
            purged[load_id] = deleted


def _purgeable(conn: Connection) -> list[int]:
    """Return the loads whose rows nobody reads until the end of the transaction, or later."""
    marks = models_at_rest(conn)
    # Without any model nobody will ever ask for what was withdrawn.
    parameters = {"load_seq": min((mark.load_seq for mark in marks), default=2**62)}
    found = conn.execute(query("purgeable_loads"), parameters).fetchall()
    return [load_id for (load_id,) in found]
