"""Records: the rows of a block of CSV in which quotes, ragged or blank lines may stand.

A quoted field may go over several lines, so that one forgotten quote could swallow any number
of good rows. Here a quote that opens on a line counts as closed on a later one only when
everything between follows the rules of quoting, stays below the longest line, and none of the
lines in between would be a good row by itself. Otherwise its line alone is broken.
"""

from __future__ import annotations

import itertools
from enum import IntEnum
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from loader.reading.lines import Block

_QUOTE: Final = ord('"')


class RecordFault(IntEnum):
    """Why a record is not a row; 0 is a good one."""

    NONE = 0
    BLANK = 1
    OPEN = 2
    STRAY = 3
    LONG = 4
    FIELDS = 5


class Records:
    """Where the records of a block stand and what is wrong with them.

    Args:
        block: the lines.
        delimiter: byte between fields.
        fields: how many a row has.
        longest: bytes that a record may have.
        is_row: tells of each line whether it could be a row by itself, were it not for quotes.

    Attributes:
        first_lines: number of the first line of each record, counted from 0 in the block.
        starts: first byte of each record, and then the end of the last.
        ends: the byte behind each record, its line end not counted.
        faults: `RecordFault` of each.
        field_counts: fields of each, where quoting is in order.
        given_back: first line that must be read again with the next block, or None.
    """

    def __init__(
        self,
        block: Block,
        *,
        delimiter: int,
        fields: int,
        longest: int,
        is_row: Callable[[Records], NDArray[np.bool_]],
    ) -> None:
        self.block = block
        self._fields = fields
        self._longest = longest
        self._is_row = is_row
        self._seen = np.frombuffer(block.data, np.uint8)
        self.delimiters = np.flatnonzero(self._seen == delimiter)
        self._delimiter = delimiter
        self._lines = block.lines
        self._quotes = np.flatnonzero(self._seen == _QUOTE)
        self.given_back: int | None = None
        self._broken: dict[int, RecordFault] = {}
        continued = np.zeros(len(self._lines), np.bool_)
        count = len(self._lines)
        if len(self._quotes):
            for first, last in self._pairs():
                continued[first + 1 : last + 1] = True
            count = len(self._lines) if self.given_back is None else self.given_back
        self.first_lines = np.flatnonzero(~continued[:count])
        last_lines = np.append(self.first_lines[1:], count) - 1
        self.starts = self._lines.starts[np.append(self.first_lines, count)]
        self.ends = self._lines.ends[last_lines] if count else self._lines.ends[:0]
        self.field_counts = self._count_fields()
        self.faults = self._find_faults()

    def __len__(self) -> int:
        return len(self.first_lines)

    def raw(self, record: int) -> bytes:
        """Bytes of a record, without its line end."""
        return self.block.data[int(self.starts[record]) : int(self.ends[record])]

    def plain(self, records: NDArray[np.int64]) -> bytes:
        """Bytes of these records, line ends included, without blanks around quotes."""
        if len(records) == 0:
            return b""
        kept = np.zeros(len(self), np.bool_)
        kept[records] = True
        kept = np.repeat(kept, np.diff(self.starts))
        if len(self._quotes):
            before, after = self._neighbours
            at_start = np.searchsorted(self._quotes, self.starts)
            of = np.searchsorted(self.starts, self._quotes, side="right") - 1
            opens = (np.arange(len(self._quotes)) - at_start[np.minimum(of, len(self))]) % 2 == 0
            first = np.where(opens, before + 1, self._quotes + 1)
            end = np.where(opens, self._quotes, after)
            if (end > first).any():
                size = len(self._seen) + 1
                change = np.bincount(first, minlength=size) - np.bincount(end, minlength=size)
                kept &= np.cumsum(change)[: len(kept)] == 0
        return self._seen[: len(kept)][kept].tobytes()

    @cached_property
    def _quote_lines(self) -> NDArray[np.int64]:
        """Line of each quote."""
        return np.searchsorted(self._lines.starts, self._quotes, side="right") - 1

    @cached_property
    def _neighbours(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of each quote the bytes before and after that are no blanks; -1 and the end for none."""
        quotes, seen = self._quotes, self._seen
        before, after = quotes - 1, quotes + 1
        blank, other = (sign if sign != self._delimiter else _QUOTE for sign in b" \t")
        beside = seen[np.concatenate([np.maximum(before, 0), np.minimum(after, len(seen) - 1)])]
        if ((beside == blank) | (beside == other)).any():
            marks = np.flatnonzero((seen != blank) & (seen != other) | (seen == _QUOTE))
            at = np.searchsorted(marks, quotes)
            before = np.append(marks, -1)[at - 1]
            after = np.append(marks, len(seen))[at + 1]
        return before, after

    @cached_property
    def _disorder(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Quotes out of place per line: when it starts outside of quotes, and inside."""
        quotes, lines = self._quotes, self._quote_lines
        before, after = self._neighbours
        neighbours = np.diff(quotes) == 1
        opens = (before < self._lines.starts[lines]) | (self._seen[before] == self._delimiter)
        opens |= np.append(False, neighbours)
        last = np.minimum(after, len(self._seen) - 1)
        closes = (after >= self._lines.ends[lines]) | (self._seen[last] == self._delimiter)
        closes |= np.append(neighbours, False)
        per_line = np.bincount(lines, minlength=len(self._lines))
        firsts = np.cumsum(per_line) - per_line
        is_odd = (np.arange(len(quotes)) - firsts[lines]) % 2 == 1
        outside = np.where(is_odd, closes, opens)
        inside = np.where(is_odd, opens, closes)
        return (
            np.bincount(lines[~outside], minlength=len(self._lines)),
            np.bincount(lines[~inside], minlength=len(self._lines)),
        )

    def _pairs(self) -> list[tuple[int, int]]:
        """First and last line of each record of several lines; finds the broken lines too."""
        outside, inside = self._disorder
        per_line = np.bincount(self._quote_lines, minlength=len(self._lines))
        for line in np.flatnonzero((outside > 0) & (per_line % 2 == 0)).tolist():
            self._broken[line] = RecordFault.STRAY
        inside_before = np.append(0, np.cumsum(inside))
        rows_before: NDArray[np.int64] | None = None
        odd = np.flatnonzero(per_line % 2).tolist()
        pairs = []
        skip = False
        for line, following in itertools.zip_longest(odd, odd[1:]):
            if skip:
                skip = False
                continue
            if outside[line]:
                self._broken[line] = RecordFault.STRAY
                continue
            last = len(self._lines) - 1 if following is None else following
            size = self._lines.ends[last] - self._lines.starts[line]
            is_sound = inside_before[last + 1] == inside_before[line + 1]
            if is_sound and size <= self._longest and last > line:
                if rows_before is None:
                    alone = self._is_row(self) & (per_line % 2 == 0) & (outside == 0)
                    rows_before = np.append(0, np.cumsum(alone))
                is_sound = rows_before[last + 1] == rows_before[line + 1]
            if not is_sound or size > self._longest or (following is None and self.block.is_last):
                self._broken[line] = RecordFault.OPEN
            elif following is None:
                self.given_back = line
            else:
                pairs.append((line, following))
                # A broken line inside is no line of its own any more.
                for between in range(line + 1, following + 1):
                    self._broken.pop(between, None)
                skip = True
        return pairs

    def _count_fields(self) -> NDArray[np.int64]:
        at = (
            self.delimiters[self.delimiters < self.starts[-1]] if len(self) else self.delimiters[:0]
        )
        records = np.searchsorted(self.starts, at, side="right") - 1
        if len(self._quotes):
            quotes_before = np.searchsorted(self._quotes, at)
            at_start = np.searchsorted(self._quotes, self.starts)[records]
            records = records[(quotes_before - at_start) % 2 == 0]
        return np.bincount(records, minlength=len(self)) + 1

    def _find_faults(self) -> NDArray[np.uint8]:
        faults = np.where(self.field_counts == self._fields, RecordFault.NONE, RecordFault.FIELDS)
        faults = faults.astype(np.uint8)
        if (self.field_counts == 1).any():
            marks = (self._seen != 32) & (self._seen != 9) & (self._seen != 10) & (self._seen != 13)
            marks_before = np.append(0, np.cumsum(marks))
            filled = marks_before[self.ends] > marks_before[self.starts[:-1]]
            faults[(self.field_counts == 1) & ~filled] = RecordFault.BLANK
        if self._broken:
            broken = np.zeros(len(self._lines), np.uint8)
            broken[list(self._broken)] = list(self._broken.values())
            broken = broken[self.first_lines]
            faults = np.where(broken > 0, broken, faults)
        faults[(self.ends - self.starts[:-1] > self._longest)] = RecordFault.LONG
        return faults

    def line_texts(self, columns: Sequence[int]) -> tuple[NDArray[np.int64], list[bytes]]:
        """Fields of each line that has enough of them, cut at every delimiter.

        Returns:
            The lines, counted from 0, and the bytes of the fields with a blank between them,
            quotes around each removed.
        """
        per_line = np.searchsorted(self.delimiters, self._lines.starts)
        counts = np.diff(per_line)
        lines = np.flatnonzero(counts >= self._fields - 1)
        bounds = np.concatenate([self.delimiters, [0]])
        data = self.block.data

        def field(column: int) -> Iterator[bytes]:
            firsts = per_line[:-1][lines] + column
            starts = self._lines.starts[lines] if column == 0 else bounds[firsts - 1] + 1
            ends = np.where(column == counts[lines], self._lines.ends[lines], bounds[firsts])
            for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
                yield data[start:end].strip(b' "')

        return lines, [b" ".join(texts) for texts in zip(*map(field, columns), strict=True)]
