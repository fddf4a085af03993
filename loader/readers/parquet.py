"""Parquet: batches of the needed columns, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Final

from loader.arrow import ArrowError, pq
from loader.errors import InputError
from loader.readers.columns import ColumnReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loader.events import EventBatch
    from loader.limits import Limits
    from loader.mapping import Mapping
    from loader.streams import Counted

_ROWS_AT_ONCE: Final = 1 << 17


class ParquetReader:
    """Reads Parquet in constant memory; iterate once.

    Args:
        file: seekable.
        stored: told how many bytes the row groups took that were read.
        mapping: what the columns mean.
        limits: bounds.
        origin: what errors call the file.

    Raises:
        InputError: it is no Parquet file, or lacks a column, or one is of an unusable type.
    """

    header: bytes | None = None

    def __init__(
        self, file: BinaryIO, stored: Counted, mapping: Mapping, limits: Limits, origin: str
    ) -> None:
        self._stored = stored
        self._origin = origin
        try:
            self._file = pq.ParquetFile(file)
            schema = self._file.schema_arrow
        except (ArrowError, OSError) as error:
            raise InputError(
                f"{origin}: is not Parquet, or is cut short: {_first(error)}"
            ) from error
        has_rows = self._file.metadata.num_rows > 0
        self._columns = ColumnReader(schema, mapping, limits, origin, has_rows=has_rows)
        self.assembler = self._columns.assembler

    def __iter__(self) -> Iterator[EventBatch]:
        """Yield a batch for every so many rows.

        Raises:
            InputError: the file is damaged further on.
        """
        first_row = 1
        rows, size = self._file.metadata.num_rows, self._stored_bytes()
        try:
            for batch in self._file.iter_batches(_ROWS_AT_ONCE, columns=self._columns.columns):
                yield self._columns.batch(batch, first_row)
                first_row += batch.num_rows
                self._stored.count = size * (first_row - 1) // rows
        except (ArrowError, OSError) as error:
            raise InputError(
                f"{self._origin}: is damaged behind row {first_row - 1:,}: {_first(error)}"
            ) from error

    def _stored_bytes(self) -> int:
        """What all columns take, the ones that are not read too: progress is of the file."""
        groups = [self._file.metadata.row_group(at) for at in range(self._file.num_row_groups)]
        return sum(
            group.column(at).total_compressed_size
            for group in groups
            for at in range(group.num_columns)
        )


def _first(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
