"""``--dedupe exact``: drop events that are already loaded, by way of a staging table."""

from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection, sql

from loader.database.ledger import staging_name
from loader.database.locks import DEDUPE, lock
from loader.database.partitions import insert_chunks
from loader.database.queries import template


@dataclass(frozen=True, kw_only=True)
class Inserted:
    """What of the staged events was new."""

    rows: int
    first_event_at: datetime | None
    last_event_at: datetime | None


def create_staging(conn: Connection, load_id: int) -> None:
    """Create the staging table of a load.

    Unlogged and not temporary, because several connections fill it; whoever removes the load
    after a crash drops it.
    """
    conn.execute(
        sql.SQL(
            "create unlogged table {} (like raw.event_chunks, row_number bigint not null)"
        ).format(sql.Identifier("raw", staging_name(load_id)))
    )


def insert_new_events(conn: Connection, load_id: int) -> Inserted:
    """Move staged events into ``raw.event_chunks``, but for those that are visible there already.

    Of equal events in the input the first one stays. The lock is kept until the session gives it
    back after publishing: another loader that looks for duplicates must see this load.
    """
    lock(conn, DEDUPE)
    staging = sql.Identifier("raw", staging_name(load_id))
    conn.execute(sql.SQL("analyze {}").format(staging))
    bounds = conn.execute(template("staged_bounds").format(staging=staging)).fetchone() or (None,)
    row = None
    with conn.transaction():
        if bounds[0] is not None:
            # Literals: bounds that the planner knows leave out whole partitions.
            statement = template("insert_new_events").format(
                staging=staging,
                first=sql.Literal(bounds[0]),
                last=sql.Literal(bounds[1]),
                insert_chunks=insert_chunks("event_chunks"),
            )
            row = conn.execute(statement).fetchone()
        conn.execute(sql.SQL("drop table {}").format(staging))
    if row is None:
        return Inserted(rows=0, first_event_at=None, last_event_at=None)
    return Inserted(rows=row[0], first_event_at=row[1], last_event_at=row[2])
