"""Connections to PostgreSQL, and what its errors mean to the user."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import psycopg
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict

from loader.database.conninfo import user_of
from loader.database.queries import value
from loader.database.session import Session
from loader.errors import DatabaseError, LoaderError, UnexpectedError
from loader.settings import Settings

# So that a network that is gone is noticed within two minutes. What a server does not take counts
# as lost later than any lock is waited for: a COPY that waits for one takes nothing either.
_DEFAULTS: Final = {
    "connect_timeout": 15,
    "keepalives_idle": 60,
    "keepalives_interval": 15,
    "keepalives_count": 4,
    "tcp_user_timeout": 900_000,
}

_ANOTHER_OWNER: Final = (
    "; PGREQUIREPEER, which `loader db env` sets, keeps who used the embedded server from going on "
    "to that of another user by mistake; if that is what you want: unset PGREQUIREPEER"
)
# By the state of SQL: what is wrong, and what helps.
_KNOWN: Final = {
    "53100": (
        "the disk of the server is full",
        "make room, then run the same command again",
    ),
    "22P05": (
        "the database was created with an encoding that has no place for a name or a text",
        "load into a database that is created with: "
        "create database NAME template template0 encoding 'UTF8'",
    ),
}
_OUT_OF_MEMORY = "53200"

# To the end of the line: where a password ends, nobody can tell once it was quoted by others.
_URI_WITH_PASSWORD = re.compile(r"(postgres(?:ql)?://[^\s:/@]*:).*@")
_PASSWORD = re.compile(r"(password\s*=).*")


def connect(dsn: str, *, purpose: str = "main", as_owner: bool = True) -> Connection:
    """Open a connection in autocommit mode; use ``conn.transaction()`` for transactions.

    Args:
        dsn: a conninfo that can be read.
        purpose: what the connection is for, part of its ``application_name``.
        as_owner: act as the role that owns schema raw, if there is one that the user belongs to.

    Raises:
        DatabaseError: the server cannot be reached, or refuses us; or a variable makes no sense.
        UsageError: it is behind a pooler that gives each transaction another session.
    """
    parameters: dict[str, Any] = {
        "application_name": f"video-events loader ({purpose})",
        "client_encoding": "utf8",
    }
    given = _given(dsn)
    parameters |= {name: value for name, value in _DEFAULTS.items() if name not in given}
    try:
        return Session.begin(dsn, as_owner=as_owner, **parameters)
    except psycopg.Error as error:
        hint = _ANOTHER_OWNER if "requirepeer specifies" in str(error) else ""
        raise DatabaseError(f"cannot connect: {_last_line(error)}{hint}") from error


# States of SQL after which another attempt may succeed: what the connection, the server, its memory
# and disk, other transactions and administrators do; also the server's own failures (XX000), which
# are often those of a node of it.
_PASSING: Final = ("08", "25P03", "25P04", "40", "53", "55006", "55P03", "57", "58", "XX000")
_READ_ONLY: Final = "25006"
_TAKES_NO_WRITES: Final = (
    "the server takes no writes: it is a standby, or was made read-only; nothing more became "
    "visible; connect to the primary (with all hosts in the connection string: "
    "target_session_attrs=read-write), then run the same command again"
)


def may_pass(error: BaseException) -> bool:
    """Tell whether what the database failed with may be over when it is tried again."""
    if isinstance(error, psycopg.Error) and error.sqlstate is not None:
        return error.sqlstate.startswith((*_PASSING, _READ_ONLY))
    # Without a state it comes from the network, or from what was closed.
    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError | DatabaseError)


def require_writable(conn: Connection) -> None:
    """Refuse a server that is a standby, or read-only: something is to be written now."""
    if value(conn, "select current_setting('transaction_read_only')") == "on":
        raise DatabaseError(_TAKES_NO_WRITES)


def explain(error: BaseException, settings: Settings | None = None) -> LoaderError:
    """Return the error to show: one of ours as it is, else what PostgreSQL or libpq means."""
    if isinstance(error, LoaderError):
        return error
    if isinstance(error, OSError) and error.filename is not None:
        return LoaderError(f"{error.filename}: {error.strerror}")
    if isinstance(error, MemoryError):
        return LoaderError("there is not enough memory here; nothing more became visible")
    if not isinstance(error, psycopg.Error):
        return UnexpectedError(f"unexpected {type(error).__name__}: {error}")
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return refusal(error, "loader", None if settings is None else user_of(settings))
    return _explain_failure(error) or LoaderError(f"the database refuses: {_last_line(error)}")


@contextmanager
def explaining() -> Iterator[None]:
    """Raise what PostgreSQL reports as an error of ours."""
    try:
        yield
    except psycopg.Error as error:
        raise explain(error) from error


def _explain_failure(error: psycopg.Error) -> LoaderError | None:
    """Return what a server means that could not do it, None if it is the command's fault."""
    state = error.sqlstate
    # The last word of a server that has to stop, as one without room for its log.
    is_panic = error.diag.severity_nonlocalized == "PANIC"
    if state in _KNOWN and not is_panic:
        what, advice = _KNOWN[state]
        return LoaderError(f"{what}: {_last_line(error)}; nothing more became visible; {advice}")
    if state == _OUT_OF_MEMORY and "max_locks_per_transaction" in (error.diag.message_hint or ""):
        return LoaderError(
            f"the server has no room for more locks: {_last_line(error)}; nothing more became "
            "visible; set max_locks_per_transaction higher and restart the server, or partition "
            "by longer times, see docs/howto/schedule-maintenance.md"
        )
    if state == _READ_ONLY:
        return DatabaseError(_TAKES_NO_WRITES)
    if isinstance(error, psycopg.errors.LockNotAvailable):
        holders = "; ".join(getattr(error, "__notes__", [])) or _last_line(error)
        return DatabaseError(
            f"others hold a lock for too long: {holders}; nothing more became visible; run the "
            "same command again when they are done; to wait longer: "
            "PGOPTIONS='-c video_events.lock_timeout=1h'"
        )
    lost = is_panic or state is None or state.startswith(("08", "57P"))
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) and lost:
        # Of a cluster the coordinator may be there, and tell of a node that is not.
        is_node = re.search("node of the cluster|remote node", _last_line(error))
        who = "the cluster is not whole" if is_node else "the server went away"
        return DatabaseError(
            f"{who}: {_last_line(error)}; nothing more became visible, and the same command can be "
            "run again"
        )
    return None


def refusal(error: psycopg.Error, role: str, user: str | None) -> LoaderError:
    """Return the error to show when the user lacks a right that members of a role have."""
    return LoaderError(
        f"the database refuses: {_last_line(error)}; what this command needs, members of the role "
        f'{role} have; an administrator can: grant {role} to "{user or "USER"}" '
        "(the roles are set up by: loader roles); who is a member and does not inherit: "
        f"export PGOPTIONS='-c role={role}'"
    )


def redact(text: str, settings: Settings | None) -> str:
    """Remove the DSN and its password from a text that is about to be shown.

    Also whatever looks like a password in a connection string: one may stand where no connection
    string belongs.
    """
    for dsn in () if settings is None else filter(None, (settings.dsn, *settings.other_dsns)):
        secrets = [dsn]
        with suppress(psycopg.Error):
            secrets.append(str(conninfo_to_dict(dsn).get("password") or ""))
        for secret in filter(None, secrets):
            text = text.replace(secret, "***")
    text = _URI_WITH_PASSWORD.sub(r"\1***@", text)
    return _PASSWORD.sub(r"\1***", text)


def _given(dsn: str) -> set[str]:
    """Return which parameters a conninfo has, or the environment."""
    defaults = psycopg.pq.Conninfo.get_defaults()
    return {*conninfo_to_dict(dsn), *(one.keyword.decode() for one in defaults if one.val)}


def _last_line(error: Exception) -> str:
    """Return the one line of a message that says what is wrong."""
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        return str(error.diag.message_primary)
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__
