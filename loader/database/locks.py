"""Advisory locks, named by what they protect.

Their keys are hashes, so that they cannot meet those of other programs in the database but by
an accident of 64 bits.
"""

import hashlib

from psycopg import Connection

# Held, shared, by every session that writes rows of a load: its sign of life.
LOAD = "load"
# Held from the look-up of a fingerprint until its load is published.
FINGERPRINT = "fingerprint"
# Held from the search for duplicates until the load is published.
DEDUPE = "dedupe"
# Held while partitions or tables are created.
SCHEMA = "schema"
# Held while an index of a partition is built, so that nobody else builds it too.
INDEX = "index"


def lock_key(kind: str, name: object = "") -> int:
    """Return the key of a lock as the signed 64-bit integer that PostgreSQL wants."""
    digest = hashlib.sha256(f"video-events {kind} {name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def lock(conn: Connection, kind: str, name: object = "") -> None:
    """Take a lock for the rest of the session, waiting for it."""
    conn.execute("select pg_advisory_lock(%s)", [lock_key(kind, name)])


def unlock(conn: Connection, kind: str, name: object = "") -> None:
    """Give a lock of the session back."""
    conn.execute("select pg_advisory_unlock(%s)", [lock_key(kind, name)])


def lock_for_transaction(conn: Connection, kind: str, name: object = "") -> None:
    """Take a lock until the current transaction ends, waiting for it."""
    conn.execute("select pg_advisory_xact_lock(%s)", [lock_key(kind, name)])


def show_life(conn: Connection, load_id: int) -> None:
    """Let other loaders see, for the rest of the session, that a load is being worked on."""
    conn.execute("select pg_advisory_lock_shared(%s)", [lock_key(LOAD, load_id)])


def stop_showing_life(conn: Connection, load_id: int) -> None:
    """Take back ``show_life``."""
    conn.execute("select pg_advisory_unlock_shared(%s)", [lock_key(LOAD, load_id)])


def try_take_over(conn: Connection, load_id: int) -> bool:
    """Take the lock of a load alone, for the session, if nobody works on that load."""
    row = conn.execute("select pg_try_advisory_lock(%s)", [lock_key(LOAD, load_id)]).fetchone()
    return row is not None and bool(row[0])
