"""``--dedupe exact``: drop events that are already loaded, by way of a staging table."""

from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection, sql

from loader.database.ledger import staging_name
from loader.database.locks import DEDUPE, lock
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
        sql.SQL("create unlogged table {} (like raw.events, row_number bigint not null)").format(
            sql.Identifier("raw", staging_name(load_id))
        )
    )


def insert_new_events(conn: Connection, load_id: int) -> Inserted:
    """Move staged events into ``raw.events``, but for those that are visible there already.

    Of equal events in the input the first one stays. The lock is kept until the session gives it
    back after publishing: another loader that looks for duplicates must see this load.
    """
    lock(conn, DEDUPE)
    staging = sql.Identifier("raw", staging_name(load_id))
    conn.execute(sql.SQL("analyze {}").format(staging))
    bounds = conn.execute(
        sql.SQL("select min(event_time), max(event_time) from {}").format(staging)
    ).fetchone()
    if bounds is None or bounds[0] is None:
        return Inserted(rows=0, first_event_at=None, last_event_at=None)
    with conn.transaction():
        # Literals: bounds that the planner knows leave out whole partitions.
        statement = template("insert_new_events").format(
            staging=staging, first=sql.Literal(bounds[0]), last=sql.Literal(bounds[1])
        )
        row = conn.execute(statement).fetchone()
        conn.execute(sql.SQL("drop table {}").format(staging))
    if row is None:
        return Inserted(rows=0, first_event_at=None, last_event_at=None)
    return Inserted(rows=row[0], first_event_at=row[1], last_event_at=row[2])
