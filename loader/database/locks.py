"""Advisory locks, named by what they protect.

Their keys are hashes, so that they cannot meet those of other programs in the database but by
an accident of 64 bits.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from psycopg import Connection, errors

from loader.database.queries import value
from loader.database.session import REFUSAL
from loader.database.waiting import LOGGER, SECONDS_UNTIL_TOLD
from loader.errors import UsageError

# Held, shared, by every session that writes rows of a load: its sign of life.
LOAD = "load"
# Held from the look-up of a fingerprint until its load is published.
FINGERPRINT = "fingerprint"
# Held from the search for duplicates until the load is published.
DEDUPE = "dedupe"
# Held while partitions or tables are created.
SCHEMA = "schema"
# Held, shared, while rows go into partitions of a cluster; alone while one is added to them.
PARTITIONS = "partitions"
# Held while chunks are brought together or taken apart.
CHUNKS = "chunks"
# Held while events of an older loader are converted.
MIGRATION = "migration"

_Done = TypeVar("_Done")

# Less than deadlock_timeout: it is always we who give up, and never a load, a query or autovacuum.
# And a moment only: who waits for a lock that excludes readers keeps all later ones waiting.
SHORT_TRY: Final = "300ms"
_HOLDER: Final = """
select
    locks.pid,
    coalesce(activity.usename, activity.backend_type, 'unknown'),
    activity.application_name,
    activity.xact_start at time zone 'UTC'
from pg_locks as locks
left join pg_stat_activity as activity on locks.pid = activity.pid
where
    locks.locktype = 'relation'
    and locks.database = (select oid from pg_database where datname = current_database())
    and (
        locks.relation = to_regclass(%(relation)s)
        or locks.relation in (
            select inhrelid from pg_inherits where inhparent = to_regclass(%(relation)s)
        )
    )
    and locks.granted
    and locks.pid <> pg_backend_pid()
order by activity.xact_start nulls last, locks.pid
limit 1
"""
_PAUSE_SECONDS: Final = 0.3
PATIENCE_SECONDS: Final = 3.0


def lock_key(kind: str, name: object = "") -> int:
    """Return the key of a lock as the signed 64-bit integer that PostgreSQL wants."""
    digest = hashlib.sha256(f"video-events {kind} {name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def lock(conn: Connection, kind: str, name: object = "") -> None:
    """Take a lock for the rest of the session, waiting for it."""
    conn.execute("select pg_advisory_lock(%s)", [lock_key(kind, name)])


def unlock(conn: Connection, kind: str, name: object = "") -> None:
    """Give a lock of the session back; refuse a pooler that gave us another session meanwhile."""
    if not value(conn, "select pg_advisory_unlock(%s)", [lock_key(kind, name)]):
        raise UsageError(REFUSAL)


def lock_for_transaction(conn: Connection, kind: str, name: object = "") -> None:
    """Take a lock until the current transaction ends, waiting for it."""
    conn.execute("select pg_advisory_xact_lock(%s)", [lock_key(kind, name)])


def show_life(conn: Connection, load_id: int) -> None:
    """Let other loaders see, for the rest of the session, that a load is being worked on."""
    conn.execute("select pg_advisory_lock_shared(%s)", [lock_key(LOAD, load_id)])


def try_take_over(conn: Connection, load_id: int) -> bool:
    """Take the lock of a load alone, for the session, if nobody works on that load."""
    return bool(value(conn, "select pg_try_advisory_lock(%s)", [lock_key(LOAD, load_id)]))


@contextmanager
def short_try(conn: Connection) -> Iterator[None]:
    """Run statements in a transaction that gives up, with LockNotAvailable, instead of waiting."""
    with conn.transaction():
        conn.execute(f"set local lock_timeout = '{SHORT_TRY}'".encode())
        yield


def in_short_tries(
    conn: Connection, table: str, work: Callable[[], _Done], *, patience: float | None = None
) -> _Done:
    """Run work in a transaction; begin it anew as often as a lock cannot be had at once.

    Args:
        conn: a connection in autocommit mode.
        table: what it locks, mostly: who has that is told after two seconds.
        work: what takes the locks; everything that it does is undone when it gets none.
        patience: seconds for which it is tried; None for PATIENCE_SECONDS.

    Raises:
        psycopg.errors.LockNotAvailable: others keep the lock for longer.
    """
    begun = time.monotonic()
    patience = PATIENCE_SECONDS if patience is None else patience
    is_told = False
    while True:
        try:
            with short_try(conn):
                return work()
        except errors.LockNotAvailable:
            waited = time.monotonic() - begun
            if waited >= patience:
                raise
        if waited >= SECONDS_UNTIL_TOLD and not is_told:
            LOGGER.warning(
                f"waiting for {holders(conn, table)} to be done with {table}; given up after "
                f"{patience:.0f} s"
            )
            is_told = True
        time.sleep(_PAUSE_SECONDS)


def holders(conn: Connection, relation: str) -> str:
    """Tell who has a lock of a table or a partition of it, for longest; for people to read."""
    row = conn.execute(_HOLDER, {"relation": relation}).fetchone()
    if row is None:
        return "somebody"
    pid, user, application, began = row
    what = f", {application}" if application else ""
    # Of others one sees no more than that, unless one may read all statistics.
    since = f", in a transaction since {began:%Y-%m-%d %H:%M:%S}Z" if began else ""
    return f"process {pid} (user {user}{what}{since})"
