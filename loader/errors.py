"""Every error that the loader reports, each with the exit code it ends the command with.

A message says what happened, where, and what to do. It never holds a password or a DSN.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar


class LoaderError(Exception):
    """Something that the user can understand; shown as one line, without a traceback."""

    exit_code: ClassVar[int] = 1


class UnexpectedError(LoaderError):
    """A fault of ours, or of a library; for whoever mends it there is a traceback."""


class UsageError(LoaderError):
    """The command was called with options or arguments that make no sense."""

    exit_code: ClassVar[int] = 2


class NewerSchemaError(LoaderError):
    """A newer loader has changed the database; this one must not write into it."""


class OlderSchemaError(LoaderError):
    """An older loader has made the database; this one neither reads nor changes its events."""


class InputError(LoaderError):
    """The input cannot be used; nothing of it was loaded."""

    exit_code: ClassVar[int] = 4


class TooManyRejectsError(InputError):
    """More rows were rejected than ``--max-rejects`` allows; nothing was loaded."""


@contextmanager
def about(origin: str) -> Iterator[None]:
    """Name the input in the message of an InputError: what reads it does not know its name."""
    try:
        yield
    except InputError as error:
        raise type(error)(f"{origin}: {error}") from error


class DatabaseError(LoaderError):
    """The server cannot be reached, or went away."""

    exit_code: ClassVar[int] = 5


class CommitLostError(DatabaseError):
    """The server went away between COMMIT and its answer: it may have committed, or not."""


class ServerError(DatabaseError):
    """The embedded server could not be set up, started or stopped."""
