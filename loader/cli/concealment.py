"""Passwords out of the command line, which every user of the machine can see."""

import os
import sys
from collections.abc import Sequence

from psycopg import Error
from psycopg.pq import Conninfo

from loader.settings import export_dsn


def conceal_dsn() -> None:
    """Start this process again, with the DSN in the environment, if its arguments show a password.

    Its id stays the same. Only its user can see the environment of a process.
    """
    given = sys.argv[1:]
    kept, dsn = without_dsn(given)
    # Where there is no exec, a new process would take the place of one that ends.
    if dsn is None or not _has_password(dsn) or not sys.executable or os.name == "nt":
        return
    export_dsn(dsn)
    os.execv(sys.executable, [*sys.orig_argv[: -len(given)], *kept])  # noqa: S606


def without_dsn(arguments: Sequence[str]) -> tuple[list[str], str | None]:
    """Split arguments into those without ``--dsn``, and its value; the last one counts."""
    kept: list[str] = []
    dsn: str | None = None
    rest = iter(arguments)
    for argument in rest:
        if argument == "--":
            return [*kept, argument, *rest], dsn
        name, equals, value = argument.partition("=")
        if name != "--dsn":
            kept.append(argument)
        elif equals:
            dsn = value
        else:
            dsn = next(rest, dsn)
    return kept, dsn


def _has_password(dsn: str) -> bool:
    try:
        options = Conninfo.parse(os.fsencode(dsn))
    except Error:
        # What is wrong with it is told where it is used.
        return False
    return any(option.keyword in (b"password", b"sslpassword") and option.val for option in options)
