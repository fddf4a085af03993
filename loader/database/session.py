"""Sessions: connections with settings of our own, which nobody else ever gets to see."""

from __future__ import annotations

from contextlib import suppress
from typing import Final, Self

import psycopg
from psycopg import Connection, sql
from psycopg.pq import TransactionStatus

from loader.database.poolers import require_sessions

# A load takes as long as its input, and a pipe may be silent for hours: what a role or a database
# limits, for the sake of queries, does not end it.
_SETTINGS: Final = {
    "search_path": "pg_catalog, pg_temp",
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "client_min_messages": "warning",
    # Policies of a table are somebody's functions, which would run with our rights.
    "row_security": "off",
}
_SETTINGS_17: Final = {"transaction_timeout": "0"}

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


class Session(Connection):
    """A connection in autocommit mode that leaves nothing of itself in a pool.

    One that goes straight to the server ends there with all that it has set. One of a pooler may be
    somebody else's next: it is given back as it was found.
    """

    _found: dict[str, str]

    @classmethod
    def begin(cls, dsn: str, *, as_owner: bool, **parameters: str | int) -> Self:
        """Connect, and set what we rely on.

        Raises:
            UsageError: a pooler does not leave us one session.
            psycopg.OperationalError: the server cannot be reached, or refuses us.
        """
        conn = cls.connect(dsn, autocommit=True, **parameters)  # type: ignore[arg-type]
        conn._found = {}
        try:
            conn._set_up(dsn, as_owner=as_owner)
        except BaseException:
            conn.close()
            raise
        return conn

    def close(self) -> None:
        """Give back what a pooler passes on, and close the connection."""
        if not self.closed and self.info.transaction_status == TransactionStatus.IDLE:
            # In any other state a pooler throws it away, as it does one that is broken.
            with suppress(psycopg.Error):
                self._give_back()
        super().close()

    def _set_up(self, dsn: str, *, as_owner: bool) -> None:
        is_new = self.info.server_version >= 170000
        settings = _SETTINGS | (_SETTINGS_17 if is_new else {})
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
            self._set(self._found, sql.SQL("true"))
            self.execute("select pg_catalog.pg_advisory_unlock_all()")

    def _read(self, names: list[str]) -> dict[str, str]:
        statement = sql.SQL(
            "select name, pg_catalog.current_setting(name)"
            " from pg_catalog.unnest({}::pg_catalog.text[]) as name"
        ).format(names)
        return dict(self.execute(statement).fetchall())

    def _set(self, settings: dict[str, str], condition: sql.Composable) -> bool:
        """Set them if the condition holds; tell whether it does."""
        calls = sql.SQL(", ").join(
            sql.SQL("pg_catalog.set_config({}, {}, false)").format(name, value)
            for name, value in settings.items()
        )
        found = self.execute(sql.SQL("select {} where {}").format(calls, condition)).fetchone()
        return found is not None
