"""Inputs: from what the user named to something that yields batches of events."""

from __future__ import annotations

import glob
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from loader.errors import InputError
from loader.events import EventBatch
from loader.limits import Limits
from loader.mapping import Format, Mapping
from loader.prefetch import Prefetch
from loader.readers.csv import CsvReader
from loader.readers.ndjson import NdjsonReader
from loader.readers.parquet import ParquetReader
from loader.streams import Compression, Content, Counted, blocks, sniff

STANDARD_INPUT: Final = "-"
_ENDINGS: Final[dict[str, Format]] = {
    ".csv": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_COMPRESSIONS: Final[dict[str, Compression]] = {".gz": "gz", ".zst": "zst"}
_SNIFFED: Final = 4
_HASHED_AT_ONCE: Final = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Input:
    """One file or stream to read.

    Attributes:
        origin: path as the user gave it, or ``-`` for standard input.
        format: format of its content.
        compression: how the content is compressed, None when it is not (of a stream, None
            means that its first bytes tell).
    """

    origin: str
    format: Format
    compression: Compression | None = None


class Reader(Protocol):
    """What each format provides."""

    header: bytes | None

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


def expand(paths: Sequence[str], mapping: Mapping) -> list[Input]:
    """Resolve files, directories, globs and ``-`` to inputs, in the order given.

    A directory stands for all files in it, at any depth, whose name ends as the formats do.

    Raises:
        InputError: a path matches nothing, or its name does not tell the format.
    """
    inputs: list[Input] = []
    for path in paths:
        if path == STANDARD_INPUT:
            inputs.append(Input(origin=path, format=mapping.format or "csv"))
        elif Path(path).is_dir():
            inputs += _directory(path, mapping)
        elif Path(path).exists():
            inputs.append(_file(path, mapping))
        else:
            # The shell expands globs mostly; not in a container's command or a crontab.
            found = sorted(glob.glob(path, recursive=True))  # noqa: PTH207
            if not found:
                raise InputError(f"{path}: no such file or directory")
            for one in found:
                if Path(one).is_dir():
                    inputs += _directory(one, mapping)
                else:
                    inputs.append(_file(one, mapping))
    return list(dict.fromkeys(inputs))


@contextmanager
def open_reading(
    an_input: Input, mapping: Mapping, limits: Limits | None = None
) -> Iterator[Reading]:
    """Open an input for reading; closes it afterwards.

    Raises:
        InputError: it cannot be opened, or nothing of it is usable.
    """
    limits = limits or Limits()
    with ExitStack() as stack:
        file = stack.enter_context(_open(an_input))
        if stat.S_ISREG(_mode(file)):
            reading = _read_file(an_input, file, mapping, limits)
        else:
            reading = _read_stream(an_input, file, mapping, limits)
        stack.callback(reading.close)
        yield reading


def _read_file(an_input: Input, file: BinaryIO, mapping: Mapping, limits: Limits) -> Reading:
    before = os.fstat(file.fileno())
    if before.st_size == 0:
        raise InputError(f"{an_input.origin}: is empty")
    start = file.read(_SNIFFED)
    _check_compression(an_input, sniff(start))
    file.seek(0)
    content = Content(Counted(file), an_input.compression, an_input.origin, hashing=True)
    for _ in blocks(content, _HASHED_AT_ONCE):
        pass
    fingerprint = content.digest(mapping.meaning(an_input.format))
    file.seek(0)
    stored = Counted(file)

    def finish() -> str:
        after = os.fstat(file.fileno())
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise InputError(
                f"{an_input.origin}: was changed while it was read; load it when it is complete"
            )
        return fingerprint

    reader, _ = _reader(
        an_input=an_input,
        compression=an_input.compression,
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
        bytes_total=before.st_size,
        finish=finish,
    )


def _read_stream(an_input: Input, file: BinaryIO, mapping: Mapping, limits: Limits) -> Reading:
    if an_input.format == "parquet":
        raise InputError(
            f"{an_input.origin}: Parquet cannot be read from a stream, its index stands at the "
            "end; save it as a file and name that"
        )
    start = b""
    while len(start) < _SNIFFED and (part := file.read(_SNIFFED - len(start))):
        start += part
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
    match an_input.format:
        case "csv":
            return CsvReader(content, mapping, limits, an_input.origin), content
        case "ndjson":
            return NdjsonReader(content, mapping, limits, an_input.origin), content
        case "parquet":
            return ParquetReader(file, stored, mapping, limits, an_input.origin), content


@contextmanager
def _open(an_input: Input) -> Iterator[BinaryIO]:
    if an_input.origin == STANDARD_INPUT:
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


def _directory(path: str, mapping: Mapping) -> list[Input]:
    inputs = []
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            found, compression = _by_name(name)
            wanted = found is not None and mapping.format in (None, found)
            if found is not None and wanted and not name.startswith("."):
                origin = str(Path(folder) / name)
                inputs.append(Input(origin=origin, format=found, compression=compression))
    if not inputs:
        endings = ", ".join(_ENDINGS)
        raise InputError(f"{path}: no file in this directory ends in {endings} (or .gz, .zst)")
    return sorted(inputs, key=lambda one: one.origin)


def _file(path: str, mapping: Mapping) -> Input:
    found, compression = _by_name(path)
    if mapping.format is not None:
        found = mapping.format
    if found is None:
        raise InputError(f"{path}: its name does not tell the format; say it with --format")
    return Input(origin=path, format=found, compression=compression)


def _by_name(path: str) -> tuple[Format | None, Compression | None]:
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    compression = _COMPRESSIONS.get(suffixes[-1]) if suffixes else None
    if compression is not None:
        suffixes.pop()
    return (_ENDINGS.get(suffixes[-1]) if suffixes else None), compression
