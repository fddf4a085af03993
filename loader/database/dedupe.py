"""``--dedupe exact``: drop events that are already loaded, by way of a staging table."""

from datetime import datetime

from psycopg import Connection, sql

from loader.database.citus import colocate, fences, loads_among
from loader.database.ledger import ALL, staging_name
from loader.database.locks import DEDUPE, lock
from loader.database.partitions import insert_chunks
from loader.database.queries import template


def create_staging(conn: Connection, load_id: int) -> None:
    """Create the staging table of a load.

    Unlogged and not temporary, because several connections fill it; whoever removes the load
    after a crash drops it.
    """
    staging = sql.Identifier("raw", staging_name(load_id))
    statement = "create unlogged table {} (like raw.event_chunks, row_number bigint not null)"
    with conn.transaction():
        conn.execute(sql.SQL(statement).format(staging))
        colocate(conn, staging)


def insert_new_events(
    conn: Connection, load_id: int
) -> tuple[int, datetime | None, datetime | None]:
    """Move staged events into ``raw.event_chunks``, but for those that are visible there already.

    Of equal events in the input the first one stays. The lock is kept until the session gives it
    back after publishing: another loader that looks for duplicates must see this load. Returned are
    how many were new, the time of the first and of the last.
    """
    lock(conn, DEDUPE)
    staging = sql.Identifier("raw", staging_name(load_id))
    conn.execute(sql.SQL("analyze {}").format(staging))
    bounds = conn.execute(template("staged_bounds").format(staging=staging)).fetchone() or (None,)
    inserted: list[tuple[int, datetime, datetime]] = []
    with conn.transaction():
        if bounds[0] is not None:
            # Literals: bounds that the planner knows leave out whole partitions.
            statement = template("insert_new_events").format(
                staging=staging,
                first=sql.Literal(bounds[0]),
                last=sql.Literal(bounds[1]),
                is_visible=loads_among(
                    conn, template("visible_until").format(load_seq=sql.Literal(ALL))
                ),
                insert_chunks=insert_chunks("event_chunks"),
                **fences(conn),
            )
            inserted = conn.execute(statement).fetchall()
        conn.execute(sql.SQL("drop table {}").format(staging))
    if not inserted:
        return 0, None, None
    counts, firsts, lasts = zip(*inserted, strict=True)
    return sum(counts), min(firsts), max(lasts)
