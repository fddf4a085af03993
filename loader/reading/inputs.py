"""Inputs: files and streams, opened and read as batches of events."""

from __future__ import annotations

import os
import stat
import sys
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Final, Protocol, cast

from loader.errors import InputError
from loader.reading.batch import EventBatch
from loader.reading.bounds import Gate
from loader.reading.csv import CsvReader
from loader.reading.documents import looks_like_json
from loader.reading.json import JsonReader
from loader.reading.limits import Limits
from loader.reading.mapping import Mapping
from loader.reading.parquet import ParquetReader
from loader.reading.paths import STANDARD_INPUT, Input, expand
from loader.reading.prefetch import Prefetch
from loader.reading.rows import Assembler
from loader.reading.streams import (
    BAD_ARCHIVE,
    SNIFFED,
    Compression,
    Content,
    Counted,
    Decoded,
    blocks,
    sniff,
)

__all__ = ["Input", "Reading", "expand", "open_reading"]

_HASHED_AT_ONCE: Final = 1 << 20


class Reader(Protocol):
    """What each format provides."""

    header: bytes | None
    assembler: Assembler

    def __iter__(self) -> Iterator[EventBatch]:
        """Yield the rows of the input in its order."""
        ...


class Reading:
    """An input being read; iterate once over its batches. Memory stays constant.

    Attributes:
        fingerprint: sha256 over the content (decompressed) and the mapping options that give it
            meaning; of a regular file known at once, of a stream None until it is read to its
            end.
        bytes_total: size of the file as stored, None for a stream.
    """

    def __init__(
        self,
        reader: Reader,
        stored: Counted,
        *,
        fingerprint: str | None,
        bytes_total: int | None,
        finish: _Finish,
    ) -> None:
        self.fingerprint = fingerprint
        self.bytes_total = bytes_total
        self._reader = reader
        self._stored = stored
        self._finish = finish
        self._batches = Prefetch(reader)

    @property
    def bytes_read(self) -> int:
        """Bytes of the file, as stored, that were read so far."""
        return self._stored.count

    @property
    def header(self) -> bytes | None:
        """Header line of CSV as it stood there; known from the first batch on."""
        return self._reader.header

    def guard(self, gate: Gate) -> None:
        """Reject the rows that this gate refuses; before the first batch."""
        self._reader.assembler.gate = gate

    def __iter__(self) -> Iterator[EventBatch]:
        """Yield the events and rejects in the order of the input.

        Raises:
            InputError: the rest of the input is not usable, or changed while it was read.
        """
        yield from self._batches
        self.fingerprint = self._finish()

    def close(self) -> None:
        """Stop reading."""
        self._batches.close()


class _Finish(Protocol):
    def __call__(self) -> str:
        """Check what can be checked only at the end, and return the fingerprint."""
        ...


@contextmanager
def open_reading(
    an_input: Input, mapping: Mapping, limits: Limits | None = None
) -> Iterator[Reading]:
    """Open an input for reading; closes it afterwards.

    Raises:
        InputError: it cannot be opened, or nothing of it is usable.
    """
    limits = limits or Limits()
    mapping = mapping.of_file(an_input.path)
    with ExitStack() as stack:
        file = stack.enter_context(open_stored(an_input))
        if stat.S_ISREG(_mode(file)):
            whole = file
            if an_input.member is not None:
                file = stack.enter_context(_open_member(whole, an_input))
            reading = _read_file(an_input, whole, file, mapping, limits)
        else:
            reading = _read_stream(an_input, file, mapping, limits)
        stack.callback(reading.close)
        yield reading


def _read_file(
    an_input: Input, whole: BinaryIO, file: BinaryIO, mapping: Mapping, limits: Limits
) -> Reading:
    """Read a regular file, or what an archive, the whole, has in it."""
    before = os.fstat(whole.fileno())
    if before.st_size == 0:
        raise InputError(f"{an_input.origin}: is empty")
    # Whoever hands us an open file may have read a part of it, which is not ours.
    begin = file.tell()
    start = Content(Counted(file), None, an_input.origin, hashing=False).read(SNIFFED)
    an_input = _by_looking(an_input, mapping, start)
    compression = an_input.compression
    if an_input.origin == STANDARD_INPUT and an_input.format != "parquet":
        compression = sniff(start)
    else:
        _check_compression(an_input, sniff(start))
    file.seek(begin)
    content = Content(Counted(file), compression, an_input.origin, hashing=True)
    for _ in blocks(content, _HASHED_AT_ONCE):
        pass
    fingerprint = content.digest(mapping.meaning(an_input.format))
    file.seek(begin)
    stored = Counted(file)

    def finish() -> str:
        after = os.fstat(whole.fileno())
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise InputError(
                f"{an_input.origin}: was changed while it was read; load it when it is complete"
            )
        return fingerprint

    reader, _ = _reader(
        an_input=an_input,
        compression=compression,
        file=file,
        stored=stored,
        mapping=mapping,
        limits=limits,
        hashing=False,
    )
    return Reading(
        reader,
        stored,
        fingerprint=fingerprint,
        bytes_total=before.st_size if file is whole else None,
        finish=finish,
    )


def _read_stream(an_input: Input, file: BinaryIO, mapping: Mapping, limits: Limits) -> Reading:
    if an_input.format == "parquet":
        raise InputError(
            f"{an_input.origin}: Parquet cannot be read from a stream, its index stands at the "
            "end; save it as a file and name that"
        )
    start = b""
    while len(start) < SNIFFED and (part := file.read(SNIFFED - len(start))):
        start += part
    an_input = _by_looking(an_input, mapping, start)
    stored = Counted(file, start=start)
    compression = an_input.compression or sniff(start)
    reader, content = _reader(
        an_input=an_input,
        compression=compression,
        file=file,
        stored=stored,
        mapping=mapping,
        limits=limits,
        hashing=True,
    )
    return Reading(
        reader,
        stored,
        fingerprint=None,
        bytes_total=None,
        finish=lambda: content.digest(mapping.meaning(an_input.format)),
    )


def _by_looking(an_input: Input, mapping: Mapping, start: bytes) -> Input:
    """Tell JSON on standard input, which has no name, from CSV."""
    is_unnamed = STANDARD_INPUT in {an_input.origin, an_input.name} and mapping.format is None
    return replace(an_input, format="ndjson") if is_unnamed and looks_like_json(start) else an_input


def _reader(
    *,
    an_input: Input,
    compression: Compression | None,
    file: BinaryIO,
    stored: Counted,
    mapping: Mapping,
    limits: Limits,
    hashing: bool,
) -> tuple[Reader, Content]:
    content = Content(stored, compression, an_input.origin, hashing=hashing)
    text = Decoded(content, mapping.encoding)
    match an_input.format:
        case "csv":
            return CsvReader(text, mapping, limits, an_input.origin), content
        case "ndjson":
            return JsonReader(text, mapping, limits, an_input.origin), content
        case "parquet":
            return ParquetReader(file, stored, mapping, limits, an_input.origin), content


def first_batch(an_input: Input, mapping: Mapping) -> EventBatch | None:
    """Read the first batch of a file and no more; None when it has none.

    Raises:
        InputError: it cannot be read so.
    """
    with open_content(an_input) as file:
        reader, _ = _reader(
            an_input=an_input,
            compression=an_input.compression,
            file=file,
            stored=Counted(file),
            mapping=mapping.of_file(an_input.path),
            limits=Limits(),
            hashing=False,
        )
        return next(iter(reader), None)


def beginning(an_input: Input, size: int) -> bytes:
    """Return the first bytes of the content of a file, as UTF-8 if it has a mark.

    Raises:
        InputError: it cannot be read.
    """
    with open_content(an_input) as file:
        content = Content(Counted(file), an_input.compression, an_input.origin, hashing=False)
        return Decoded(content, None).read(size)


@contextmanager
def open_content(an_input: Input) -> Iterator[BinaryIO]:
    """Open a file, or what an archive has in it.

    Raises:
        InputError: it cannot be opened.
    """
    with ExitStack() as stack:
        file = stack.enter_context(open_stored(an_input))
        if an_input.member is not None:
            file = stack.enter_context(_open_member(file, an_input))
        yield file


@contextmanager
def _open_member(whole: BinaryIO, an_input: Input) -> Iterator[BinaryIO]:
    with ExitStack() as stack:
        try:
            archive = stack.enter_context(zipfile.ZipFile(whole))
            file = stack.enter_context(archive.open(an_input.member or ""))
        except (OSError, *BAD_ARCHIVE) as error:
            raise InputError(
                f"{an_input.origin}: is damaged or cut short; copy it again"
            ) from error
        yield cast("BinaryIO", file)


@contextmanager
def open_stored(an_input: Input) -> Iterator[BinaryIO]:
    """Open the bytes of an input as they are stored, where they stand.

    Raises:
        InputError: it cannot be opened.
    """
    if an_input.origin == STANDARD_INPUT:
        # So it is when whoever started this process has closed it.
        if sys.stdin is None:
            raise InputError(f"{STANDARD_INPUT}: standard input is closed")
        try:
            # Not the buffered file: its lock, held by a waiting thread, would break the exit.
            with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as file:
                yield file
        except (OSError, ValueError):
            yield sys.stdin.buffer
        return
    with ExitStack() as stack:
        try:
            file = stack.enter_context(Path(an_input.origin).open("rb", buffering=0))
        except OSError as error:
            raise InputError(f"{an_input.origin}: {error.strerror}") from error
        yield file


def _mode(file: BinaryIO) -> int:
    try:
        return os.fstat(file.fileno()).st_mode
    except OSError:
        return 0


def _check_compression(an_input: Input, found: Compression | None) -> None:
    if an_input.format == "parquet" and an_input.compression is not None:
        raise InputError(
            f"{an_input.origin}: Parquet is compressed inside; unpack the "
            f".{an_input.compression} around it"
        )
    if an_input.compression == found:
        return
    if an_input.compression is not None:
        raise InputError(
            f"{an_input.origin}: is not compressed with .{an_input.compression}; "
            "rename it, or compress it"
        )
    raise InputError(f"{an_input.origin}: is compressed; name it so that it ends in .{found}")
