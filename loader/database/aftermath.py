"""After a connection was lost: what became of the load, and removing what is left of it."""

import time
from contextlib import suppress

import psycopg

from loader.database.connection import connect
from loader.database.ledger import remove_load
from loader.database.locks import LOAD, lock
from loader.database.queries import query
from loader.errors import DatabaseError, LoaderError

# A server that restarts after a crash is back within seconds, mostly.
PATIENCE_SECONDS = 10.0
_SECONDS_BETWEEN_ATTEMPTS = 0.2
# How long the server may take to notice that a session is gone.
_LOCK_TIMEOUT = "5s"


def find_load_seq(dsn: str, load_id: int) -> int | None:
    """Return the place of a load in the ledger; None when it is not, and will not be, visible.

    The session that published it may still be at it: this waits for its end.

    Raises:
        DatabaseError: the server cannot be asked, or that session does not end.
    """
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            with connect(dsn, purpose="look up") as conn:
                conn.execute("select set_config('lock_timeout', %s, false)", [_LOCK_TIMEOUT])
                row = conn.execute(query("find_load_seq"), {"load_id": load_id}).fetchone()
                # Without a row somebody has removed the load, as is done to unpublished ones.
                return None if row is None else row[0]
        except (LoaderError, psycopg.Error) as error:
            if time.monotonic() >= end:
                raise DatabaseError(
                    f"the server went away while load {load_id} was being published, and does "
                    "not tell whether it is visible; run the same command again: it says so, "
                    "or loads the input"
                ) from error
        time.sleep(_SECONDS_BETWEEN_ATTEMPTS)


def remove_lost_load(dsn: str, load_id: int) -> None:
    """Remove an unpublished load over a new connection, if that is possible; else the next run."""
    with suppress(LoaderError, psycopg.Error), connect(dsn, purpose="clean up") as conn:
        conn.execute("select set_config('lock_timeout', %s, false)", [_LOCK_TIMEOUT])
        # Held by the old sessions until the server has noticed that they are gone.
        lock(conn, LOAD, load_id)
        remove_load(conn, load_id)
