"""Connections to PostgreSQL, and what its errors mean to the user."""

import re
from contextlib import suppress

import psycopg
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict

from loader.embedded import start_embedded
from loader.errors import DatabaseError, LoaderError, UsageError
from loader.settings import Settings

CONNECT_TIMEOUT_SECONDS = 15

# A URI with an @ or / in the password that is not percent-encoded would make libpq take a part
# of the password for the host, and show it.
_HOST = r"(\[[0-9a-fA-F:.]+\]|[^@/?#:,\s\[\]]*)(:\d*)?"
_URI = re.compile(rf"postgres(ql)?://([^@/?#\s]*@)?{_HOST}(,{_HOST})*(/[^@?#\s]*)?(\?[^@#\s]*)?")


def database_dsn(settings: Settings) -> str:
    """Return the conninfo to connect with; the embedded server is started when it is to be used.

    Raises:
        UsageError: the DSN cannot be read.
    """
    if settings.dsn is None:
        return start_embedded(settings)
    try:
        if "://" in settings.dsn and not _URI.fullmatch(settings.dsn):
            raise ValueError
        conninfo_to_dict(settings.dsn)
    except (psycopg.Error, ValueError):
        # Without the cause, which quotes the DSN.
        raise UsageError(
            f"the connection string of {settings.dsn_origin} cannot be read; "
            "in a URI, percent-encode special characters of the password"
        ) from None
    return settings.dsn


def connect(dsn: str, *, purpose: str = "main") -> Connection:
    """Open a connection in autocommit mode; use ``conn.transaction()`` for transactions.

    Args:
        dsn: a conninfo that ``database_dsn`` has checked.
        purpose: what the connection is for, part of its ``application_name``.

    Raises:
        DatabaseError: the server cannot be reached, or refuses us.
    """
    parameters: dict[str, str | int] = {
        "application_name": f"video-events loader ({purpose})",
        "client_encoding": "utf8",
    }
    if not _connect_timeout_is_given(dsn):
        parameters["connect_timeout"] = CONNECT_TIMEOUT_SECONDS
    try:
        conn = psycopg.connect(dsn, autocommit=True, **parameters)  # type: ignore[arg-type]
    except psycopg.OperationalError as error:
        raise DatabaseError(f"cannot connect: {_last_line(error)}") from error
    # Not as startup options, which would replace the user's own and which poolers refuse.
    conn.execute(
        "select set_config('search_path', 'pg_catalog, pg_temp', false),"
        " set_config('timezone', 'UTC', false), set_config('datestyle', 'ISO, YMD', false),"
        " set_config('statement_timeout', '0', false), set_config('lock_timeout', '0', false),"
        " set_config('client_min_messages', 'warning', false)"
    )
    return conn


def explain(error: psycopg.Error) -> LoaderError:
    """Return the error to show for one that PostgreSQL or libpq reported."""
    state = error.sqlstate
    lost = state is None or state.startswith("08") or state.startswith("57P")
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) and lost:
        return DatabaseError(
            f"the server went away: {_last_line(error)}; nothing more became visible, and the "
            "same command can be run again"
        )
    return LoaderError(f"the database refuses: {_last_line(error)}")


def redact(text: str, settings: Settings | None) -> str:
    """Remove the DSN and its password from a text that is about to be shown."""
    if settings is None or not settings.dsn:
        return text
    secrets = [settings.dsn]
    with suppress(psycopg.Error):
        secrets.append(str(conninfo_to_dict(settings.dsn).get("password") or ""))
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    return text


def _connect_timeout_is_given(dsn: str) -> bool:
    if "connect_timeout" in conninfo_to_dict(dsn):
        return True
    defaults = psycopg.pq.Conninfo.get_defaults()
    return any(option.keyword == b"connect_timeout" and option.val for option in defaults)


def _last_line(error: Exception) -> str:
    """Return the one line of a message that says what is wrong."""
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        return str(error.diag.message_primary)
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__
