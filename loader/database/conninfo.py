"""Connection strings: whether one can be read, and what it says to other programs."""

import re
from collections.abc import Mapping
from typing import Final

import psycopg
from psycopg.pq import Conninfo, ConninfoOption

from loader.errors import UsageError
from loader.settings import Settings, with_environment

# A URI with an @ or / in the password that is not percent-encoded would make libpq take a part
# of the password for the host, and show it.
_HOST: Final = r"(\[[0-9a-fA-F:.]+\]|[^@/?#:,\s\[\]]*)(:\d*)?"
_URI: Final = re.compile(
    rf"postgres(ql)?://([^@/?#\s]*@)?{_HOST}(,{_HOST})*(/[^@?#\s]*)?(\?[^@#\s]*)?"
)
_SCHEME: Final = re.compile(r"(jdbc:)?([a-z][a-z0-9]*)(\+[a-z0-9_]+)?://", re.IGNORECASE)
_PASSWORDS: Final = (b"password", b"sslpassword")

# What libpq has a default for that other programs, or dbt's profile, do not share.
_ALWAYS: Final = (b"host", b"port", b"user", b"dbname")
_SERVICES: Final = (b"service", b"servicefile")


def check_readable(dsn: str, origin: str) -> None:
    """Check that libpq can read a connection string; a message never shows a part of it."""
    try:
        if "://" in dsn and not _URI.fullmatch(dsn):
            raise ValueError
        _parse(dsn)
    except (psycopg.Error, ValueError):
        # Without the cause, which quotes the DSN.
        raise UsageError(
            f"the connection string of {origin} cannot be read; {_what_works(dsn, origin)}"
        ) from None


def check_option(dsn: str) -> None:
    """Refuse a value of ``--dsn`` that cannot be read, or shows a password to everybody."""
    check_readable(dsn, "--dsn")
    if any(option.keyword in _PASSWORDS and option.val for option in _parse(dsn)):
        raise UsageError(
            "--dsn: everybody on this machine can see the arguments of a command, so no password "
            "may stand there; put the connection string into LOADER_DSN, or the password into "
            "~/.pgpass or the file that PGPASSFILE names"
        )


def user_of(settings: Settings) -> str | None:
    """Return the name that the settings log in with; None for the embedded server."""
    if settings.dsn is None:
        return None
    users = [one.val for one in _resolve(settings.dsn) if one.keyword == b"user" and one.val]
    return _decode(users[0]) if users else None


def connection_variables(dsn: str) -> dict[str, str | None]:
    """Return the ``PG*`` variables with which psql, dbt and others connect as we do.

    None is what must not be set. A service is resolved, for dbt's profile knows of none, and would
    win over the rest.
    """
    found: dict[str, str | None] = {}
    given = {option.keyword for option in _parse(dsn) if option.val is not None}
    for option in _resolve(dsn):
        if option.envvar is None:
            continue
        name = option.envvar.decode()
        if option.keyword in _SERVICES:
            found[name] = None
        elif option.val is not None and (
            option.val != option.compiled or option.keyword in {*given, *_ALWAYS}
        ):
            found[name] = _decode(option.val)
    found.setdefault("PGDATABASE", found.get("PGUSER"))
    if "PGHOSTADDR" not in found:
        # Empty, it is for libpq the directory of sockets that it was built for.
        found.setdefault("PGHOST", "")
    return found


def with_connection(variables: Mapping[str, str], dsn: str) -> dict[str, str]:
    """Return the environment in which another process connects as we do with a conninfo."""
    found = {**variables, **connection_variables(dsn)}
    return {name: value for name, value in found.items() if value is not None}


def _resolve(dsn: str) -> list[ConninfoOption]:
    """Return each option with the value that libpq would connect with."""
    given = {option.keyword: option for option in _parse(dsn) if option.val is not None}
    services = {
        option.envvar.decode(): _decode(option.val or b"")
        for keyword, option in given.items()
        if keyword in _SERVICES and option.envvar is not None
    }
    # What a service says wins over the variables, and what a connection string says over both.
    with with_environment(services):
        defaults = Conninfo.get_defaults()
    return [given.get(option.keyword, option) for option in defaults]


def _parse(dsn: str) -> list[ConninfoOption]:
    return Conninfo.parse(dsn.encode("utf-8", "surrogateescape"))


def _decode(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _what_works(dsn: str, origin: str) -> str:
    """Say what to write instead."""
    works = "what works is: postgresql://USER@HOST:PORT/DATABASE"
    if origin != "--dsn":
        works += ", with a colon and the percent-encoded password behind USER if it needs one"
    scheme = _SCHEME.match(dsn)
    if scheme is None:
        return f"{works}, or: host=HOST port=PORT user=USER dbname=DATABASE"
    is_ours = scheme[2].lower() in ("postgres", "postgresql")
    if scheme[1]:
        return f"it has the form of JDBC, and {works}"
    if scheme[3] and is_ours:
        return f"it has the form of SQLAlchemy, and {works}"
    return works if is_ours else f"it is none of PostgreSQL, and {works}"
