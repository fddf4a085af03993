"""What is printed: never in the way of the work, and to a terminal never more than text."""

import errno
import io
import os
import select
import sys
from typing import Any, TextIO

import click

from loader.errors import LoaderError


def printable(text: str) -> str:
    """Return a text with everything escaped that cannot be printed.

    Names come from input: a control character in one could change what a terminal shows, and a
    bidirectional one the order in which it is read.
    """
    if text.isprintable():
        return text
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text
    )


def echo(text: str, *, err: bool = False) -> None:
    """Print one line, on standard output or standard error."""
    click.echo(printable(text), err=err)  # noqa: TID251 - the one place


def echo_lines(text: str, *, err: bool = False) -> None:
    """Print lines."""
    for line in text.rstrip("\n").split("\n"):
        echo(line, err=err)


class _Output(io.FileIO):
    """A descriptor to print on, which may be full, closed or not wait.

    Where it forgives, what cannot be written is lost, and nothing else happens but that the first
    error is noted.
    """

    forgives = False
    failure: OSError | None = None

    def write(self, data: Any, /) -> int:
        try:
            while (written := super().write(data)) is None:
                # A pipe that somebody else set not to block.
                select.select([], [self], [])
        except OSError as error:
            if not self.forgives and error.errno == errno.EPIPE:
                raise
            if not self.forgives:
                raise LoaderError(_cannot_be_written(error)) from error
            self.failure = self.failure or error
            return len(data)
        return written


def prepare() -> None:
    """Replace standard output and error, at the start of the program, by streams that hold.

    What their encoding does not have is escaped. Standard error forgives, for whoever loads in the
    night has its result nonetheless.
    """
    # The number of one that is closed would go to the next connection, and get what is printed.
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    sys.stdout = _stream(sys.stdout, 1)
    sys.stderr = _stream(sys.stderr, 2)
    _forgive(sys.stderr)


def forgive_output() -> None:
    """Have standard output forgive too: what a command has done counts, not what it says of it."""
    _forgive(sys.stdout)


def finish(exit_code: int) -> int:
    """Write what is left, at the end of the program, and return what to end with."""
    raw = _raw(sys.stdout)
    if raw is None:
        return exit_code
    try:
        sys.stdout.flush()
    except (BrokenPipeError, LoaderError) as error:
        # What is still in its buffer would be tried again by Python, with a traceback.
        raw.forgives = True
        sys.stdout.flush()
        if isinstance(error, BrokenPipeError) or exit_code:
            return exit_code
        echo(f"loader: {error}", err=True)
        return LoaderError.exit_code
    if raw.failure is not None and raw.failure.errno != errno.EPIPE:
        echo(f"loader: {_cannot_be_written(raw.failure)}; what was done is done", err=True)
    return exit_code


def _cannot_be_written(error: OSError) -> str:
    return f"standard output cannot be written: {error.strerror}"


def _stream(before: TextIO | None, number: int) -> TextIO:
    raw = _Output(number, "wb", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding="utf-8" if before is None else before.encoding,
        errors="backslashreplace",
        line_buffering=number == 2 or raw.isatty(),
    )


def _raw(stream: TextIO) -> _Output | None:
    found = getattr(getattr(stream, "buffer", None), "raw", None)
    return found if isinstance(found, _Output) else None


def _forgive(stream: TextIO) -> None:
    raw = _raw(stream)
    if raw is not None:
        raw.forgives = True
