"""``--dedupe exact``: drop events that are already loaded, by way of a staging table."""

from datetime import datetime

from psycopg import Connection, sql

from loader.database.citus import (
    colocate,
    fences,
    keep_partitions,
    loads_among,
    wait_for_commits,
)
from loader.database.ledger import ALL, staging_name
from loader.database.locks import DEDUPE, lock
from loader.database.partitions import insert_chunks
from loader.database.queries import template
from loader.errors import DatabaseError


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
    conn: Connection, load_id: int, staged: int
) -> tuple[int, datetime | None, datetime | None]:
    """Move staged events into ``raw.event_chunks``, but for those that are visible there already.

    Of equal events in the input the first one stays. The lock is kept until the session gives it
    back after publishing: another loader that looks for duplicates must see this load. Returned are
    how many were new, the time of the first and of the last.

    Args:
        conn: a connection in autocommit mode.
        load_id: the load.
        staged: how many events were staged.

    Raises:
        DatabaseError: some of these are gone: a node of a cluster crashed, and is back.
    """
    lock(conn, DEDUPE)
    wait_for_commits(conn)
    staging = sql.Identifier("raw", staging_name(load_id))
    conn.execute(sql.SQL("analyze {}").format(staging))
    bounds = template("staged_bounds").format(staging=staging)
    ((found, first, last),) = conn.execute(bounds).fetchall()
    if found != staged:
        raise DatabaseError(
            f"{staged - found:,} of {staged:,} copied events were lost with a node of the cluster; "
            "nothing was loaded; run the same command again"
        )
    inserted: list[tuple[int, datetime, datetime]] = []
    with conn.transaction():
        keep_partitions(conn)
        if found:
            # Literals: bounds that the planner knows leave out whole partitions.
            statement = template("insert_new_events").format(
                staging=staging,
                first=sql.Literal(first),
                last=sql.Literal(last),
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
