"""Inputs: files and streams, opened and read as batches of events."""

import os
import stat
import sys
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, TypeAlias, cast

from loader.errors import InputError, about
from loader.reading.batch import EventBatch
from loader.reading.bounds import Bounds
from loader.reading.csv import CsvReader
from loader.reading.limits import Limits
from loader.reading.mapping import Mapping
from loader.reading.paths import STANDARD_INPUT, Input, expand
from loader.reading.prefetch import Prefetch
from loader.reading.streams import (
    BAD_ARCHIVE,
    SNIFFED,
    Content,
    Counted,
    Decoded,
    looks_like_json,
    sniff,
)

if TYPE_CHECKING:
    from loader.reading.json import JsonReader
    from loader.reading.parquet import ParquetReader

__all__ = ["Input", "Reading", "expand", "open_reading"]

_HASHED_AT_ONCE: Final = 1 << 20
Reader: TypeAlias = "CsvReader | JsonReader | ParquetReader"


class Reading:
    """An input being read; iterate once over its batches. Memory stays constant.

    Attributes:
        fingerprint: sha256 over the content (decompressed) and the mapping options that give it
            meaning; of a regular file known at once, of a stream None until it is read to its
            end.
        bytes_total: size of the file as stored, None for a stream.
        bounds: refuses rows; asked from the first batch on.
    """

    def __init__(
        self,
        an_input: Input,
        whole: BinaryIO,
        file: BinaryIO,
        mapping: Mapping,
        limits: Limits,
        *,
        hashing: bool,
    ) -> None:
        """Look at what was opened: a file, and what an archive, which that is, has in it."""
        self._whole = whole
        self._before = before = _regular(whole)
        if before is not None and before.st_size == 0:
            raise InputError("is empty")
        # Whoever hands us an open file may have read a part of it, which is not ours.
        begin = 0 if before is None else file.tell()
        start = Content(Counted(file), None, hashing=False).read(SNIFFED)
        an_input = _by_looking(an_input, mapping, start, is_file=before is not None)
        self._origin = an_input.origin
        self._meaning = mapping.meaning(an_input.format)
        self._stored = Counted(file, start=start)
        self.fingerprint: str | None = None
        self.bytes_total = before.st_size if before is not None and file is whole else None
        if before is not None:
            if hashing:
                content = Content(self._stored, an_input.compression, hashing=True)
                while content.read(_HASHED_AT_ONCE):
                    pass
                self.fingerprint = content.digest(self._meaning)
            file.seek(begin)
            self._stored = Counted(file)
        self._content = Content(self._stored, an_input.compression, hashing=before is None)
        text = Decoded(self._content, mapping.encoding)
        self._reader: Reader
        match an_input.format:
            case "csv":
                self._reader = CsvReader(text, mapping, limits)
            # What CSV does not need takes a twentieth of a second to import.
            case "ndjson":
                from loader.reading.json import JsonReader  # noqa: PLC0415

                self._reader = JsonReader(text, mapping, limits)
            case "parquet":
                from loader.reading.parquet import ParquetReader  # noqa: PLC0415

                self._reader = ParquetReader(file, self._stored, mapping, limits)
        self._batches = Prefetch(self._reader)
        self.bounds: Bounds | None = None

    @property
    def bytes_read(self) -> int:
        """Bytes of the file, as stored, that were read so far."""
        return self._stored.count

    @property
    def header(self) -> bytes | None:
        """Header line of CSV as it stood there; known from the first batch on."""
        return self._reader.header if isinstance(self._reader, CsvReader) else None

    def __iter__(self) -> Iterator[EventBatch]:
        """Yield the events and rejects in the order of the input.

        InputError: the rest of it is not usable, or it changed while it was read.
        """
        self._reader.assembler.bounds = self.bounds
        with about(self._origin):
            yield from self._batches
            if self._before is None:
                self.fingerprint = self._content.digest(self._meaning)
            elif _version(self._before) != _version(os.fstat(self._whole.fileno())):
                raise InputError("was changed while it was read; load it when it is complete")

    def first(self) -> tuple[EventBatch, ...]:
        """Return the first batches, and read no more: what JSON has of a block may come in two."""
        with about(self._origin):
            return tuple(islice(self._reader, 2))

    def close(self) -> None:
        """Stop reading."""
        self._batches.close()


@contextmanager
def open_reading(
    an_input: Input, mapping: Mapping, limits: Limits | None = None, *, hashing: bool = True
) -> Iterator[Reading]:
    """Open an input for reading; closes it afterwards.

    With ``hashing``, all of a file is read once before, for its fingerprint. InputError: it cannot
    be opened, or nothing of it is usable.
    """
    mapping = mapping.of_file(an_input.path)
    with ExitStack() as stack:
        whole, file = stack.enter_context(opened(an_input))
        with about(an_input.origin):
            reading = Reading(an_input, whole, file, mapping, limits or Limits(), hashing=hashing)
        stack.callback(reading.close)
        yield reading


def _by_looking(an_input: Input, mapping: Mapping, start: bytes, *, is_file: bool) -> Input:
    """Tell from its first bytes what an input is, as far as its name does not."""
    origin, compression, found = an_input.origin, an_input.compression, sniff(start)
    is_unnamed = STANDARD_INPUT in {origin, an_input.name} and mapping.format is None
    if is_unnamed and looks_like_json(start):
        return replace(an_input, format="ndjson")
    if an_input.format == "parquet":
        if not is_file:
            raise InputError(
                "Parquet cannot be read from a stream, its index stands at the end; "
                "save it as a file and name that"
            )
        if compression is not None:
            raise InputError(f"Parquet is compressed inside; unpack the .{compression} around it")
    elif origin == STANDARD_INPUT or not is_file:
        return replace(an_input, compression=compression or found)
    if compression not in (None, found):
        raise InputError(f"is not compressed with .{compression}; rename it, or compress it")
    if compression != found:
        raise InputError(f"is compressed; name it so that it ends in .{found}")
    return an_input


def beginning(an_input: Input, size: int) -> bytes:
    """Return the first bytes of the content of a file, as UTF-8 if it has a mark."""
    with opened(an_input) as (_, file), about(an_input.origin):
        start = file.read(SNIFFED)
        found = _by_looking(an_input, Mapping(), start, is_file=True).compression
        content = Content(Counted(file, start=start), found, hashing=False)
        return Decoded(content, None).read(size)


@contextmanager
def opened(an_input: Input) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """Open a file, and what an archive, which that is, has in it; InputError if it cannot be."""
    with ExitStack() as stack:
        whole = file = stack.enter_context(open_stored(an_input))
        if an_input.member is not None and _regular(whole) is not None:
            try:
                archive = stack.enter_context(zipfile.ZipFile(whole))
                member = stack.enter_context(archive.open(an_input.member))
            except (OSError, *BAD_ARCHIVE) as error:
                why = "is damaged or cut short; copy it again"
                raise InputError(f"{an_input.origin}: {why}") from error
            file = cast("BinaryIO", member)
        yield whole, file


@contextmanager
def open_stored(an_input: Input) -> Iterator[BinaryIO]:
    """Open the bytes of an input as they are stored; InputError if that cannot be done."""
    if an_input.origin == STANDARD_INPUT:
        # So it is when whoever started this process has closed it.
        if sys.stdin is None:
            raise InputError(f"{STANDARD_INPUT}: standard input is closed")
        try:
            # Not the buffered file: its lock, held by a waiting thread, would break the exit.
            stdin = open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)  # noqa: SIM115
        except (OSError, ValueError):
            yield sys.stdin.buffer
            return
        with stdin:
            yield stdin
        return
    try:
        file = Path(an_input.origin).open("rb", buffering=0)  # noqa: SIM115
    except OSError as error:
        raise InputError(f"{an_input.origin}: {error.strerror}") from error
    with file:
        yield file


def _regular(file: BinaryIO) -> os.stat_result | None:
    """Return the state of a regular file; None for what is none."""
    try:
        found = os.fstat(file.fileno())
    except OSError:
        return None
    return found if stat.S_ISREG(found.st_mode) else None


def _version(of: os.stat_result) -> tuple[int, int]:
    return of.st_size, of.st_mtime_ns
