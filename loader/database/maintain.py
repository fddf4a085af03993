"""Maintenance of the raw schema: idempotent, and safe beside loads, dbt and another maintenance."""

from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection, errors, sql

from loader.database.citus import ask_where_chunks_are, wait_for_readers
from loader.database.ledger import ALL, mend_numbers, remove_crashed_loads
from loader.database.merge_chunks import bring_together
from loader.database.migrate import migrate
from loader.database.models import ModelsBusyError, models_at_rest
from loader.database.partitions import (
    Partitions,
    analyze,
    analyze_parent_when_due,
    delete_events,
    set_partition_by,
)
from loader.database.queries import query, value, values
from loader.database.retention import retain
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
        purge_waits_for: why withdrawn loads could not be purged, or chunks not be brought together,
            this time.
        chunks_before: short chunks of several loads that were brought together.
        chunks_after: how many they became.
        rebuilt_indexes: those that took twice what they need; with both sizes.
        rewritten: partitions most of which was gone, written anew.
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
    chunks_before: int
    chunks_after: int
    rebuilt_indexes: list[str]
    rewritten: list[str]
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
    # By the clock of the server: what is dropped does not come back, and many clocks are wrong.
    today: datetime = value(conn, "select clock_timestamp()")
    dropped, drop_waits_for = ([], None) if age is None else retain(conn, age, now or today)
    partitions = _partitions_ahead(conn, ahead, today)
    purged: dict[int, int] = {}
    waits_for = None
    chunks = [0, 0]
    try:
        _purge(conn, purged)
        for counts in bring_together(conn):
            chunks = [sum(pair) for pair in zip(chunks, counts, strict=True)]
        if left := values(conn, query("purgeable_loads"), {"load_seq": ALL}):
            waits_for = f"dbt to take note of {len(left)} withdrawn loads in every model: dbt build"
    except ModelsBusyError as reason:
        waits_for = str(reason)
    rewritten = _rewrite(conn)
    # What was purged counts as changed; and statistics say what an index needs.
    analyzed = _analyze(conn)
    return Maintenance(
        removed_loads=removed,
        created_partitions=partitions,
        analyzed=analyzed,
        purged_loads=list(purged),
        purged_rows=sum(purged.values()),
        purge_waits_for=waits_for,
        chunks_before=chunks[0],
        chunks_after=chunks[1],
        rebuilt_indexes=_rebuild_indexes(conn),
        rewritten=rewritten,
        dropped_partitions=dropped,
        drop_waits_for=drop_waits_for,
        converted_events=converted,
    )


def _partitions_ahead(conn: Connection, ahead: int, today: datetime) -> list[str]:
    partitions = Partitions(conn)
    first, end = partitions.by_day.slot(int(today.timestamp()) // 86_400)
    for _ in range(ahead):
        _, end = partitions.by_day.slot(end)
    return partitions.ensure(first, end)


def _rewrite(conn: Connection) -> list[str]:
    """Write partitions anew most of which is gone, where that takes a moment; it excludes others.

    Who has one in use keeps it as it is: its room is taken by what is loaded later.
    """
    conn.execute("select pg_stat_force_next_flush()")
    names = [name for (name,) in ask_where_chunks_are(conn, "mostly_gone")]
    for name in names:
        conn.execute(sql.SQL("vacuum (full, skip_locked) {}").format(sql.Identifier("raw", name)))
    return names


def _rebuild_indexes(conn: Connection) -> list[str]:
    """Build bloated indexes anew beside everybody; return which, and why.

    PostgreSQL waits for transactions that may use the old one. After a minute it is left for the
    next time, which also removes what a killed one left.
    """
    _drop_half_built(conn)
    rebuilt = []
    for name, size, needed in conn.execute(query("bloated_indexes")).fetchall():
        if _patiently(conn, "reindex index concurrently {}", name):
            rebuilt.append(f"{name} ({size / 2**20:.1f} MB, {needed / 2**20:.1f} MB needed)")
        else:
            _drop_half_built(conn)
    return rebuilt


def _drop_half_built(conn: Connection) -> None:
    for name in values(conn, query("half_built_indexes")):
        # Of one that is being built somebody has the lock, and it is gone when we get it.
        _patiently(conn, "drop index concurrently if exists {}", name)


def _patiently(conn: Connection, statement: str, index: str) -> bool:
    """Run a statement that waits for other transactions; tell whether it got through."""
    before = value(conn, "select current_setting('lock_timeout')")
    conn.execute("set lock_timeout = '1min'")
    try:
        conn.execute(sql.SQL(statement).format(sql.Identifier("raw", index)))
    except errors.LockNotAvailable:
        return False
    finally:
        conn.execute("select set_config('lock_timeout', %s, false)", [before])
    return True


def _analyze(conn: Connection) -> list[str]:
    due = ask_where_chunks_are(conn, "analyze_due")
    analyzed = [name for (name,) in due if analyze(conn, name)]
    analyze_parent_when_due(conn)
    return analyzed


def _purge(conn: Connection, purged: dict[int, int]) -> None:
    """Remove the rows of withdrawn loads that no model will read again; count them by load."""
    with conn.transaction():
        found = _purgeable(conn)
    if found:
        wait_for_readers(conn)
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
    parameters = {"load_seq": min((mark.load_seq for mark in marks), default=ALL)}
    return values(conn, query("purgeable_loads"), parameters)
