"""CSV: blocks of lines, parsed by Arrow when they are clean and looked at closely when not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from loader.errors import InputError
from loader.reading import attributes, header
from loader.reading.arrow import Array, InvalidError, Table, arrow_csv, pa
from loader.reading.batch import EventBatch
from loader.reading.limits import Limits
from loader.reading.lines import Block, Blocks
from loader.reading.mapping import Mapping
from loader.reading.quoting import Dialect, Records
from loader.reading.rows import Assembler, Broken, Origins, Rows
from loader.reading.streams import ByteSource
from loader.reading.texts import Texts, is_utf8, joined
from loader.reading.times import Clock

_FIRST_LINES: Final = 50
_TEXT: Final = pa.binary()
_NAMES: Final = pa.dictionary(pa.int32(), pa.binary())


class CsvReader:
    """Reads CSV, which may have a ``header`` line, in constant memory; iterate once."""

    def __init__(self, content: ByteSource, mapping: Mapping, limits: Limits) -> None:
        self.header: bytes | None = None
        self._blocks = Blocks(content, limits)
        self._mapping = mapping
        self._limits = limits
        self.assembler = Assembler(mapping, limits)
        self._to_skip = mapping.skip_lines
        self._above = b""

    def __iter__(self) -> Iterator[EventBatch]:
        """Yield a batch for each block; InputError where the needed columns are not there."""
        self._check(self._blocks.peek())
        columns: _Columns | None = None
        for block in self._blocks:
            columns, rest = (columns, block) if columns else self._start(block)
            if columns is not None:
                yield self._batch(rest, columns)
        if columns is None:
            raise InputError("is empty")

    def _check(self, start: bytes) -> None:
        header.check_text(start)
        is_one_line = b"\n" not in start and b"\r" not in start
        if is_one_line and len(start) > self._limits.line_bytes and self._mapping.columns is None:
            # Said now, for the line may be endless.
            raise self._too_long()

    def _too_long(self) -> InputError:
        longest = f"{self._limits.line_bytes:,} bytes"
        return InputError(f"the first line is longer than {longest}; is this CSV?")

    def _start(self, block: Block) -> tuple[_Columns | None, Block]:
        """Find the columns, and what follows them; None when only blank lines came so far."""
        mapping = self._mapping
        if self._to_skip:
            block = self._skip(block)
        if not block.data.strip() and not block.long_lines:
            return None, block
        filled = (at for at in range(block.line_count) if block.raw(at).strip())
        numbers = list(islice(filled, _FIRST_LINES))
        if numbers and (found := header.separator(block.raw(numbers[0]))) is not None:
            mapping = self._mapping = replace(mapping, delimiter=found)
            self._above += block.raw(numbers.pop(0)) + b"\n"
            if not numbers:
                return None, block
        clock = self.assembler.clock
        if mapping.columns is not None:
            rest = _from(block, numbers[0]) if numbers else block
            return _Columns(mapping.columns, mapping, clock), rest
        if block.long_lines:
            raise self._too_long()
        line = block.raw(numbers[0])
        self.header = self._above + line
        try:
            columns = _Columns(header.parse(line, mapping.separator), mapping, clock)
        except InputError as error:
            seen = [block.raw(number) for number in numbers]
            raise InputError(
                f"{error}{header.hint(seen, block.first_line + numbers[0], mapping)}"
            ) from error
        return columns, _from(block, numbers[0] + 1)

    def _skip(self, block: Block) -> Block:
        """Leave out the lines above the header; they stay with it."""
        count = min(self._to_skip, block.line_count)
        self._to_skip -= count
        rest = replace(_from(block, count), long_lines=())
        self._above += block.data[: len(block.data) - len(rest.data)]
        if len(self._above) > self._limits.line_bytes:
            raise InputError(
                "the lines above the header have more than "
                f"{self._limits.line_bytes:,} bytes; is --skip-lines right?"
            )
        return rest

    def _batch(self, block: Block, columns: _Columns) -> EventBatch:
        before = Broken(len(block.long_lines), block.long_lines)
        records = Records(block, columns.dialect, self._limits, columns.are_rows)
        table = self._lines(block, columns, records) if self._is_clean(block) else None
        if table is None:
            records.examine()
            if records.rest < block.line_count:
                self._blocks.give_back(block, records.rest)
            table = columns.parse(records.good())
        if table is None:
            records.find_ragged()
            table = columns.parse(records.good())
        if table is None:
            raise AssertionError(f"records and rows differ near {block.first_line}")
        return self.assembler.batch(columns.rows(table, records), before + records.broken())

    def _lines(self, block: Block, columns: _Columns, records: Records) -> Table | None:
        """Parse a clean block, if all its lines are rows or have another number of fields."""
        ragged: list[int] = []

        def leave_out(row: Any) -> str:
            ragged.append(row.number - 1)
            # A line of blanks is no row at all, and not a wrong one.
            return "skip" if row.text.strip() else "error"

        table = columns.parse(block.data)
        # Arrow can tell us of such lines only where all are UTF-8.
        if table is None and is_utf8(block.data):
            table = columns.parse(block.data, leave_out)
        # Arrow makes a row of empty fields from a blank line, so look closer at such rows.
        if table is None or len(table) + len(ragged) != block.line_count:
            return None
        if columns.has_empty_time(table):
            return None
        records.leave_out(ragged)
        return table

    def _is_clean(self, block: Block) -> bool:
        """Whether line n is row n, if Arrow finds the right number of fields in each."""
        return (
            len(block.data) > 0
            and b'"' not in block.data
            and block.has_plain_ends
            and not block.may_hold_longer(self._limits.line_bytes)
        )


def _from(block: Block, number: int) -> Block:
    """The block from this line on, counted from 0."""
    data = block.data[int(block.starts[number]) :]
    return replace(block, data=data, first_line=block.first_line + number)


class _Columns:
    """The columns of the input that are read, and how Arrow reads them."""

    def __init__(self, found: tuple[str, ...], mapping: Mapping, clock: Clock) -> None:
        self._mapping = mapping
        self._clock = clock
        self._at = {name: header.position(found, name, mapping) for name in mapping.options}
        self.dialect = Dialect(mapping.separator, len(found))
        names = set(mapping.needed_columns) - set(mapping.time_columns)
        self._types = {
            str(at): _NAMES if name in names else _TEXT
            for name, at in sorted(self._at.items(), key=lambda item: item[0] in names)
        }
        self._parsing = partial(
            arrow_csv.ParseOptions,
            delimiter=mapping.separator,
            newlines_in_values=True,
            ignore_empty_lines=False,
        )
        # Names may repeat among the columns that are not read; numbers do not.
        self._names = [str(number) for number in range(len(found))]
        self._converting = arrow_csv.ConvertOptions(
            column_types=self._types, include_columns=list(self._types), check_utf8=False
        )

    def parse(self, data: bytes, ragged: Callable[[Any], str] | None = None) -> Table | None:
        """Parse rows; None when one has another number of fields, unless ``ragged`` skips it."""
        if not data:
            return pa.schema(self._types).empty_table()
        if data.startswith(header.BOM):
            # Arrow takes one away, wherever in the input a block begins.
            data = header.BOM + data
        reading = arrow_csv.ReadOptions(
            use_threads=False, block_size=len(data) + 1, column_names=self._names
        )
        try:
            return arrow_csv.read_csv(
                pa.BufferReader(data),
                read_options=reading,
                parse_options=self._parsing(invalid_row_handler=ragged),
                convert_options=self._converting,
            )
        except InvalidError:
            return None

    def has_empty_time(self, table: Table) -> bool:
        """Whether any row has nothing where the time should be."""
        times = self.column(table, self._mapping.time_columns[0])
        return bool((Texts(times, trim=False).lengths == 0).any())

    def are_rows(self, data: bytes) -> NDArray[np.bool_]:
        """Tell of rows which have a time."""
        table = self.parse(data)
        if table is None:
            raise AssertionError("these have the right number of fields")
        times = [self.column(table, name) for name in self._mapping.time_columns]
        found: NDArray[np.bool_] = self._clock.read(joined(times))[1] == 0
        return found

    def column(self, table: Table, name: str) -> Array:
        """Return a column."""
        found = table[str(self._at[name])].combine_chunks()
        return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found

    def rows(self, table: Table, origins: Origins) -> Rows:
        """Give the columns their meaning."""
        columns = {name: self.column(table, name) for name in self._at}
        kept = {name: attributes.member(columns[name]) for name in self._mapping.attributes}
        return Rows(columns=columns, compared=columns, members=kept, origins=origins)
