"""Sessions: connections with settings of our own, which nobody else ever gets to see.

A load holds locks and settings of its sessions. Where a pooler shares them out by transaction (or
by statement), their locks stay with strangers, and their settings change what these see: such a
pooler is noticed, and refused.
"""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from socket import SHUT_RDWR, socket
from types import MappingProxyType
from typing import Any, Final, LiteralString, Self

import psycopg
from psycopg import Connection, sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import LockNotAvailable
from psycopg.pq import TransactionStatus

from loader.database.queries import value
from loader.database.waiting import Result, Waiting, Watch
from loader.errors import UsageError

# For how long a server that does not answer is waited for, unless tcp_user_timeout says so.
PATIENCE_SECONDS: Final = 300.0

# A load takes as long as its input, and a pipe may be silent for hours: what a role or a database
# limits, for the sake of queries, does not end it. Each is an expression.
_SETTINGS: Final[dict[str, LiteralString]] = {
    "search_path": "'pg_catalog, pg_temp'",
    "timezone": "'UTC'",
    "datestyle": "'ISO, YMD'",
    "intervalstyle": "'postgres'",
    # Who waits for a lock then goes on with what is there now, instead of failing.
    "default_transaction_isolation": "'read committed'",
    "statement_timeout": "'0'",
    # Nothing waits for ever; how long, a role, a database or PGOPTIONS may say.
    "lock_timeout": "coalesce(nullif("
    "pg_catalog.current_setting('video_events.lock_timeout', true), ''), '10min')",
    "idle_in_transaction_session_timeout": "'0'",
    "idle_session_timeout": "'0'",
    # So that a server notices within two minutes that we are gone, and gives our locks back.
    "tcp_keepalives_idle": "'60'",
    "tcp_keepalives_interval": "'15'",
    "tcp_keepalives_count": "'4'",
    "tcp_user_timeout": "'120000'",
    # Not known on Windows.
    "client_connection_check_interval": "case when pg_catalog.texteq("
    "pg_catalog.current_setting('dynamic_shared_memory_type'), 'windows') then '0' else '10s' end",
    "client_min_messages": "'warning'",
    # Policies of a table are somebody's functions, which would run with our rights.
    "row_security": "'off'",
}
_SETTINGS_17: Final[dict[str, LiteralString]] = {"transaction_timeout": "'0'"}

# Whatever a member of that role creates is then the role's, so that every member can work on it.
# A superuser is a member of every role.
_ACT_AS_OWNER: Final = """
select set_config('role', roles.rolname, false)
from pg_namespace as namespaces
inner join pg_roles as roles on namespaces.nspowner = roles.oid
where
    namespaces.nspname = 'raw'
    and roles.rolname <> current_user
    and pg_has_role(roles.oid, {privilege})
"""

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


class Session(Connection):
    """A connection in autocommit mode that leaves nothing of itself in a pool.

    One that goes straight to the server ends there with all that it has set. One of a pooler may be
    somebody else's next: it is given back as it was found.
    """

    _found: Mapping[str, str] = MappingProxyType({})
    _reconnect: Callable[[], Connection] | None = None
    _pid: int
    _patience: float

    @classmethod
    def begin(cls, dsn: str, *, as_owner: bool, is_watched: bool = True, **parameters: Any) -> Self:
        """Connect, and set what we rely on.

        Args:
            dsn: a conninfo.
            as_owner: act as the role that owns schema raw.
            is_watched: tell what a statement waits for, and give up a server that is gone.
            parameters: of libpq; what the conninfo says comes second.
        """
        conn = cls.connect(dsn, autocommit=True, **parameters)
        try:
            conn._set_up(dsn, as_owner=as_owner)
            if is_watched:
                conn._begin_to_watch(dsn, parameters)
        except BaseException:
            conn.close()
            raise
        return conn

    def wait(
        self, gen: Waiting[Result], interval: float = 0.1, timeout: float | None = None
    ) -> Result:
        """Wait for the server, and tell what for when that takes long."""
        if self._reconnect is None:
            return super().wait(gen, interval, timeout)
        watch = Watch(
            pid=self._pid,
            patience=self._patience,
            reconnect=self._reconnect,
            break_off=self._break_off,
        )
        try:
            return super().wait(watch.over(gen), interval, timeout)
        except LockNotAvailable as error:
            if watch.blockers:
                error.add_note(watch.blockers)
            raise
        finally:
            watch.end()

    def _begin_to_watch(self, dsn: str, parameters: Mapping[str, Any]) -> None:
        others = {**parameters, "application_name": "video-events loader (look)"}
        self._pid = backend_pid(self) if self._found else self.info.backend_pid
        given = int(conninfo_to_dict(dsn).get("tcp_user_timeout") or 0)
        self._patience = given / 1000 if given > 0 else PATIENCE_SECONDS
        # Last: from now on it is watched.
        self._reconnect = partial(type(self).begin, dsn, as_owner=False, is_watched=False, **others)

    def _break_off(self) -> None:
        with socket(fileno=os.dup(self.pgconn.socket)) as ours, suppress(OSError):
            ours.shutdown(SHUT_RDWR)

    def close(self) -> None:
        """Give back what a pooler passes on, and close the connection."""
        if not self.closed and self.info.transaction_status == TransactionStatus.IDLE:
            # In any other state a pooler throws it away, as it does one that is broken.
            with suppress(psycopg.Error):
                self._give_back()
        super().close()

    def _set_up(self, dsn: str, *, as_owner: bool) -> None:
        is_new = self.info.server_version >= 170000
        settings = {
            name: sql.SQL(value)
            for name, value in (_SETTINGS | (_SETTINGS_17 if is_new else {})).items()
        }
        # Not as startup options, which would replace the user's own and which poolers refuse. A
        # pooler makes a number up for its client; then nothing is set yet. Until it is, the search
        # path of the database holds, in which anything may stand before PostgreSQL's own.
        is_direct = sql.SQL("pg_catalog.int4eq(pg_catalog.pg_backend_pid(), {})").format(
            self.info.backend_pid
        )
        if not self._set(settings, is_direct):
            self.prepare_threshold = None
            require_sessions(self, dsn)
            self._found = self._read([*settings, "role"])
            self._set(settings, sql.SQL("true"))
        if as_owner:
            privilege = "SET" if self.info.server_version >= 160000 else "MEMBER"
            self.execute(sql.SQL(_ACT_AS_OWNER).format(privilege=privilege))

    def _give_back(self) -> None:
        if self._found:
            found = {name: sql.Literal(value) for name, value in self._found.items()}
            self._set(found, sql.SQL("true"))
            self.execute("select pg_catalog.pg_advisory_unlock_all()")

    def _read(self, names: list[str]) -> dict[str, str]:
        statement = sql.SQL(
            "select name, pg_catalog.current_setting(name)"
            " from pg_catalog.unnest({}::pg_catalog.text[]) as name"
        ).format(names)
        return dict(self.execute(statement).fetchall())

    def _set(self, settings: Mapping[str, sql.Composable], condition: sql.Composable) -> bool:
        """Set them if the condition holds; tell whether it does."""
        calls = sql.SQL(", ").join(
            sql.SQL("pg_catalog.set_config({}, {}, false)").format(name, value)
            for name, value in settings.items()
        )
        found = self.execute(sql.SQL("select {} where {}").format(calls, condition)).fetchone()
        return found is not None


def backend_pid(conn: Connection) -> int:
    """Return the process that serves us now."""
    return int(value(conn, "select pg_catalog.pg_backend_pid()"))


def require_sessions(conn: Connection, dsn: str) -> None:
    """Make sure that a pooler leaves a session with whoever is connected, without changing it.

    Two connections ask in turns which process serves them. With sessions of their own each gets
    one answer, and never that of the other one. A pooler that shares them out gives both the one
    that was used last, if it is idle; and if others use it too, one of us soon gets another.
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
