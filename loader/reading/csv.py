"""CSV: blocks of lines, parsed by Arrow when they are clean and looked at closely when not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Final

import numpy as np

from loader.errors import InputError
from loader.reading import attributes, header
from loader.reading.arrow import Array, InvalidError, Table, arrow_csv, pa
from loader.reading.batch import EventBatch, Reject
from loader.reading.limits import too_long
from loader.reading.lines import Block, Blocks, long_lines
from loader.reading.quoting import RecordFault, Records
from loader.reading.rows import Assembler, Broken, Rows
from loader.reading.texts import Texts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from loader.reading.limits import Limits
    from loader.reading.mapping import Mapping
    from loader.reading.streams import ByteSource

_FIRST_LINES: Final = 50
_TEXT: Final = pa.binary()
_NAMES: Final = pa.dictionary(pa.int32(), pa.binary())


class CsvReader:
    """Reads CSV in constant memory; iterate once.

    Attributes:
        header: the header line as it stood in the input, None when it has none.
    """

    def __init__(self, content: ByteSource, mapping: Mapping, limits: Limits, origin: str) -> None:
        self.header: bytes | None = None
        self._blocks = Blocks(content, limits)
        self._mapping = mapping
        self._limits = limits
        self._origin = origin
        self.assembler = Assembler(mapping, limits)
        self._columns: _Columns | None = None
        self._is_started = False
        self._to_skip = mapping.skip_lines
        self._above = b""

    def __iter__(self) -> Iterator[EventBatch]:
        """Yield a batch for each block.

        Raises:
            InputError: there is no header with the needed columns, or no text at all.
        """
        self._check(self._blocks.peek())
        for block in self._blocks:
            if self._columns is None:
                rest = self._start(block)
                if rest is None:
                    continue
                yield self._batch(rest)
            else:
                yield self._batch(block)
        if self._columns is None:
            raise InputError(f"{self._origin}: is empty")

    def _check(self, start: bytes) -> None:
        header.check_text(start, self._origin)
        is_one_line = b"\n" not in start and b"\r" not in start
        if is_one_line and len(start) > self._limits.line_bytes and self._mapping.columns is None:
            # Said now, for the line may be endless.
            raise self._too_long()

    def _too_long(self) -> InputError:
        longest = f"{self._limits.line_bytes:,} bytes"
        return InputError(f"{self._origin}: the first line is longer than {longest}; is this CSV?")

    def _start(self, block: Block) -> Block | None:
        """Find the columns; return what follows, None when only blank lines came so far."""
        mapping = self._mapping
        if not self._is_started:
            self._is_started = True
            if block.data.startswith(header.BOM):
                block = replace(block, data=block.data[len(header.BOM) :])
        if self._to_skip:
            block = self._skip(block)
        if not block.data.strip() and not block.long_lines:
            return None
        lines = block.lines
        filled = (at for at in range(len(lines)) if lines.line(at).strip())
        numbers = list(islice(filled, _FIRST_LINES))
        if numbers and (found := header.separator(lines.line(numbers[0]))) is not None:
            mapping = self._mapping = replace(mapping, delimiter=found)
            self._above += lines.line(numbers.pop(0)) + b"\n"
            if not numbers:
                return None
        if mapping.columns is not None:
            self._columns = _Columns(mapping.columns, mapping, self._origin)
            return _from(block, numbers[0]) if numbers else block
        if block.long_lines:
            raise self._too_long()
        line = lines.line(numbers[0])
        self.header = self._above + line
        try:
            names = header.parse(line, mapping.separator, self._origin)
            self._columns = _Columns(names, mapping, self._origin)
        except InputError as error:
            seen = [lines.line(number) for number in numbers]
            raise InputError(
                f"{error}{header.hint(seen, block.first_line + numbers[0], mapping)}"
            ) from error
        return _from(block, numbers[0] + 1)

    def _skip(self, block: Block) -> Block:
        """Leave out the lines above the header; they stay with it."""
        count = min(self._to_skip, len(block.lines))
        self._to_skip -= count
        rest = replace(_from(block, count), long_lines=())
        self._above += block.data[: len(block.data) - len(rest.data)]
        if len(self._above) > self._limits.line_bytes:
            raise InputError(
                f"{self._origin}: the lines above the header have more than "
                f"{self._limits.line_bytes:,} bytes; is --skip-lines right?"
            )
        return rest

    def _batch(self, block: Block) -> EventBatch:
        if self._columns is None:
            raise AssertionError("the columns are not known yet")
        if self._is_clean(block):
            table = self._columns.parse(block.data)
            # Arrow makes a row of empty fields from a blank line, so look closer at such rows.
            if (
                table is not None
                and len(table) == block.line_count
                and not self._columns.has_empty_time(table)
            ):
                origins = _Lines(block)
                return self.assembler.batch(
                    self._columns.rows(table, origins), long_lines(block, self._limits)
                )
        return self._careful(block, self._columns)

    def _is_clean(self, block: Block) -> bool:
        """Whether line n is row n, if Arrow finds the right number of fields in each."""
        data = block.data
        return (
            len(data) > 0
            and b'"' not in data
            and not data.startswith((b"\n", b"\r", header.BOM))
            and block.has_plain_ends
            and not block.may_hold_longer(self._limits.line_bytes)
        )

    def _careful(self, block: Block, columns: _Columns) -> EventBatch:
        def is_row(records: Records) -> NDArray[np.bool_]:
            lines, texts = records.line_texts(columns.times)
            _, faults = self.assembler.clock.read(pa.array(texts, pa.binary()))
            found = np.zeros(len(block.lines), np.bool_)
            found[lines] = faults == 0
            return found

        records = Records(
            block,
            delimiter=ord(self._mapping.separator),
            fields=columns.count,
            longest=self._limits.line_bytes,
            is_row=is_row,
        )
        if records.given_back is not None:
            self._blocks.give_back(block, records.given_back)
        good = np.flatnonzero(records.faults == RecordFault.NONE)
        table = columns.parse(records.plain(good))
        if table is None or len(table) != len(good):
            raise AssertionError(f"{self._origin}: records and rows differ near {block.first_line}")
        broken = _broken(records, columns.count, self._limits, long_lines(block, self._limits))
        return self.assembler.batch(columns.rows(table, _Chosen(records, good)), broken)


def _from(block: Block, number: int) -> Block:
    """The block from this line on, counted from 0."""
    data = block.data[int(block.lines.starts[number]) :]
    return replace(block, data=data, first_line=block.first_line + number)


class _Columns:
    """The columns of the input that are read, and how Arrow reads them."""

    def __init__(self, found: tuple[str, ...], mapping: Mapping, origin: str) -> None:
        self._mapping = mapping
        self._at = header.positions(found, mapping, origin)
        self.count = len(found)
        self.times = [self._at[name] for name in mapping.time_columns]
        names = set(mapping.needed_columns) - set(mapping.time_columns)
        types = {
            str(at): _NAMES if name in names else _TEXT
            for name, at in sorted(self._at.items(), key=lambda item: item[0] in names)
        }
        self._parsing = arrow_csv.ParseOptions(
            delimiter=mapping.separator, newlines_in_values=True, ignore_empty_lines=False
        )
        self._types = types
        # Names may repeat among the columns that are not read; numbers do not.
        self._names = [str(number) for number in range(self.count)]
        self._converting = arrow_csv.ConvertOptions(
            column_types=types, include_columns=list(types), check_utf8=False
        )

    def parse(self, data: bytes) -> Table | None:
        """Parse rows; None when one of them does not have the right number of fields."""
        reading = arrow_csv.ReadOptions(
            use_threads=False, block_size=len(data) + 1, column_names=self._names
        )
        if not data:
            return pa.schema(self._types).empty_table()
        try:
            return arrow_csv.read_csv(
                pa.BufferReader(data),
                read_options=reading,
                parse_options=self._parsing,
                convert_options=self._converting,
            )
        except InvalidError:
            return None

    def has_empty_time(self, table: Table) -> bool:
        """Whether any row has nothing where the time should be."""
        times = table[str(self.times[0])]
        return any((Texts(chunk, trim=False).lengths == 0).any() for chunk in times.chunks)

    def rows(self, table: Table, origins: _Lines | _Chosen) -> Rows:
        """Give the columns their meaning."""
        columns = {name: _whole(table[str(at)]) for name, at in self._at.items()}
        kept = {name: attributes.member(columns[name]) for name in self._mapping.attributes}
        return Rows(columns=columns, compared=columns, members=kept, origins=origins)


def _whole(column: Array) -> Array:
    found = column.combine_chunks()
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


@dataclass(frozen=True)
class _Lines:
    """Rows that are the lines of a block."""

    block: Block

    def line_number(self, row: int) -> int:
        return self.block.first_line + row

    def raw(self, row: int) -> bytes:
        return self.block.lines.line(row)

    def reason(self, row: int, column_name: str) -> str | None:  # noqa: ARG002
        return None


@dataclass(frozen=True)
class _Chosen:
    """Rows that are some of the records of a block."""

    records: Records
    good: NDArray[np.int64]

    def line_number(self, row: int) -> int:
        return self.records.block.first_line + int(self.records.first_lines[self.good[row]])

    def raw(self, row: int) -> bytes:
        return self.records.raw(int(self.good[row]))

    def reason(self, row: int, column_name: str) -> str | None:  # noqa: ARG002
        return None


def _broken(records: Records, fields: int, limits: Limits, before: Broken | None) -> Broken:
    bad = np.flatnonzero(records.faults > RecordFault.BLANK)

    def reject(record: int) -> Reject:
        raw = records.raw(record)
        is_cut = bool(records.faults[record] == RecordFault.LONG)
        match records.faults[record]:
            case RecordFault.OPEN:
                reason = "a quote opens here and is not closed before the next row"
            case RecordFault.STRAY:
                reason = "a quote stands inside a field, not around it"
            case RecordFault.LONG:
                size, raw = len(raw), raw[: limits.raw_bytes]
                reason = too_long(size, len(raw), limits)
            case _:
                reason = f"the row has {records.field_counts[record]} fields instead of {fields}"
        number = records.block.first_line + int(records.first_lines[record])
        return Reject(line_number=number, column_name=None, reason=reason, raw=raw, is_cut=is_cut)

    def rejects(room: int) -> list[Reject]:
        first = list(before.rejects(room)) if before is not None else []
        return [*first, *(reject(record) for record in bad[:room].tolist())]

    return Broken(count=len(bad) + (before.count if before is not None else 0), rejects=rejects)
