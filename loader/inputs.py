"""Inputs: from what the user named to something that yields batches of events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from loader.events import EventBatch
from loader.limits import Limits
from loader.mapping import Format, Mapping

Compression = Literal["gz", "zst"]


@dataclass(frozen=True, kw_only=True)
class Input:
    """One file or stream to read.

    Attributes:
        origin: path as the user gave it, or ``-`` for standard input.
        format: format of its content.
        compression: how the content is compressed, None when it is not.
    """

    origin: str
    format: Format
    compression: Compression | None = None


class Reading:
    """An input being read; iterate once over its batches. Memory stays constant.

    Attributes:
        fingerprint: sha256 over the content (decompressed) and the mapping options that give it
            meaning; of a regular file known at once, of a stream None until it is read to its
            end.
        bytes_total: size of the file as stored, None for a stream.
        bytes_read: bytes of it read so far.
    """

    fingerprint: str | None
    bytes_total: int | None
    bytes_read: int

    def __iter__(self) -> Iterator[EventBatch]:
        """Yield the events and rejects in the order of the input."""
        raise NotImplementedError


def expand(paths: Sequence[str], mapping: Mapping) -> list[Input]:
    """Resolve files, directories, globs and ``-`` to inputs, in the order given.

    Raises:
        InputError: a path matches nothing, or its name does not tell the format.
    """
    raise NotImplementedError


@contextmanager
def open_reading(
    an_input: Input, mapping: Mapping, limits: Limits | None = None
) -> Iterator[Reading]:
    """Open an input for reading; closes it afterwards.

    Raises:
        InputError: it cannot be opened, or nothing of it is usable.
    """
    raise NotImplementedError
    yield
