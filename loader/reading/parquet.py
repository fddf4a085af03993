"""Parquet: batches of the needed columns, one after the other."""

import io
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

import pyarrow.parquet

from loader.errors import InputError
from loader.reading.arrow import ArrowError
from loader.reading.batch import EventBatch
from loader.reading.columns import ColumnReader
from loader.reading.limits import Limits
from loader.reading.mapping import Mapping
from loader.reading.streams import Counted

# Without types, as all of Arrow is here.
pq: Any = pyarrow.parquet
_ROWS_AT_ONCE: Final = 1 << 17


class ParquetReader:
    """Reads Parquet, from a seekable file, in constant memory; iterate once.

    ``stored`` is told how many bytes were read, as if every row took as many.

    Raises:
        InputError: it is no Parquet file, or lacks a column, or one is of an unusable type.
    """

    def __init__(self, file: BinaryIO, stored: Counted, mapping: Mapping, limits: Limits) -> None:
        self._stored = stored
        self._size = file.seek(0, io.SEEK_END)
        try:
            # An old time of 96 bits may lie further away than nanoseconds reach, which would wrap.
            # Nor is more read ahead than is needed now, for memory.
            self._file = pq.ParquetFile(
                file,
                coerce_int96_timestamp_unit="us",
                page_checksum_verification=True,
                pre_buffer=False,
            )
            schema = self._file.schema_arrow
            len(schema.names)
        except (ArrowError, OSError, UnicodeDecodeError) as error:
            raise InputError(f"{_why('is not Parquet, or is cut short', error)}") from error
        has_rows = self._file.metadata.num_rows > 0
        self._columns = ColumnReader(schema, mapping, limits, has_rows=has_rows)
        self.assembler = self._columns.assembler

    def __iter__(self) -> Iterator[EventBatch]:
        """Yield a batch for every so many rows; InputError where the file is damaged further on."""
        first_row = 1
        # The sizes of columns are not asked for: where they are damaged, Arrow aborts the process.
        rows = self._file.metadata.num_rows
        try:
            # Without threads of Arrow, each of which keeps memory: this is read in one of our own.
            for batch in self._file.iter_batches(
                _ROWS_AT_ONCE, columns=self._columns.columns, use_threads=False
            ):
                yield self._columns.batch(batch, first_row)
                first_row += batch.num_rows
                self._stored.count = self._size * (first_row - 1) // max(rows, 1)
        except (ArrowError, OSError) as error:
            where = f"is damaged behind row {first_row - 1:,}"
            raise InputError(f"{_why(where, error)}") from error
        if first_row - 1 != rows:
            told = f"it should have {rows:,} rows, and has {first_row - 1:,}"
            raise InputError(f"is damaged: {told}")


def _why(what: str, error: Exception) -> str:
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    if "crypt" in first:
        return "is encrypted; write it without that"
    if "too deeply nested" in first:
        return "has columns that are nested too deeply; write it without them"
    return f"{what}: {first}"
