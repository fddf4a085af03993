"""Copies, in temporary files, of what can be read only once and is to be read more often."""

import errno
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import IO, Any, Final

from loader.errors import InputError, LoaderError
from loader.reading.arrow import ArrowError, RecordBatch, pa
from loader.reading.inputs import open_stored
from loader.reading.paths import STANDARD_INPUT, Input
from loader.reading.streams import SNIFFED, sniff

_AT_ONCE: Final = 1 << 20
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def repeatable(an_input: Input) -> Iterator[Input]:
    """Give an input so that it can be read more than once.

    Standard input and named pipes are read to their end first.
    """
    path = Path(an_input.origin)
    # What is not there any more is for its reader to say.
    if an_input.origin != STANDARD_INPUT and (path.is_file() or not path.exists()):
        yield an_input
        return
    with open_stored(an_input) as file, _temporary_file() as copy:
        with _out_of_room(an_input.label):
            _copy_all(an_input, file, copy.file)
            copy.flush()
        compression = an_input.compression
        if compression is None and an_input.format != "parquet":
            copy.seek(0)
            compression = sniff(copy.read(SNIFFED))
        yield replace(
            an_input,
            origin=copy.name,
            name=an_input.origin if an_input.name is None else an_input.name,
            compression=compression,
        )


@contextmanager
def repeatable_batches(
    batches: Iterable[RecordBatch], origin: str
) -> Iterator[Iterable[RecordBatch]]:
    """Give batches of Arrow data so that they can be iterated over more than once."""
    if isinstance(batches, Sequence):
        yield batches
        return
    all_of_them = iter(batches)
    first = next(all_of_them, None)
    if first is None:
        yield ()
        return
    with _temporary_file() as file:
        with _out_of_room(origin):
            with pa.ipc.new_stream(file, first.schema) as writer:
                for batch in chain([first], all_of_them):
                    try:
                        writer.write_batch(batch)
                    except ArrowError as error:
                        raise InputError(str(error)) from error
            file.flush()
        yield _Stored(file.name)


class _Stored:
    """Batches in a file; each iteration begins at the first one, also beside another one."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __iter__(self) -> Iterator[RecordBatch]:
        with pa.OSFile(self._path) as file, pa.ipc.open_stream(file) as reader:
            yield from reader


def _copy_all(an_input: Input, file: IO[bytes], copy: IO[bytes]) -> None:
    try:
        shutil.copyfileobj(file, copy, _AT_ONCE)
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise
        raise InputError(f"{an_input.origin}: cannot be read: {error.strerror}") from error


@contextmanager
def _temporary_file() -> Iterator[Any]:
    with tempfile.NamedTemporaryFile(prefix="loader-") as file:
        try:
            yield file
        except BaseException:
            # What it could not write it tries to once more when it is closed.
            with suppress(OSError):
                file.close()
            raise


@contextmanager
def _out_of_room(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise LoaderError(
            f"{what}: for several databases it is copied to {tempfile.gettempdir()}, which is "
            "full; set TMPDIR to a directory with more room"
        ) from error
