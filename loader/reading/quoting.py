"""Records: the rows of a block of CSV in which quotes, ragged or blank lines may stand.

A quoted field may go over several lines, so that one forgotten quote could swallow any number
of good rows. Here a quote that opens on a line counts as closed on a later one only when
everything between follows the rules of quoting, stays below the longest line, and none of the
lines in between would be a good row by itself. Otherwise its line alone is broken.
"""

import re
from collections.abc import Callable
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from loader.reading.arrow import Array, pa, pc
from loader.reading.batch import Reject
from loader.reading.limits import Limits
from loader.reading.lines import Block
from loader.reading.rows import Broken, Origins


class RecordFault(IntEnum):
    """Why a record is not a row; 0 is a good one."""

    NONE = 0
    BLANK = 1
    OPEN = 2
    STRAY = 3
    LONG = 4
    FIELDS = 5


_REASONS: Final[dict[int, str]] = {
    RecordFault.OPEN: "a quote opens here and is not closed before the next row",
    RecordFault.STRAY: "a quote stands inside a field, not around it",
}
_QUOTED: Final = '"[^"]*"'


class Dialect:
    """Regular expressions of a record, for Arrow as for Python, and how many fields it has.

    Blanks may stand around the quotes. A quote inside of quotes is doubled.
    """

    def __init__(self, delimiter: str, fields: int) -> None:
        sign = f"\\x{ord(delimiter):02x}"
        blank = " \t".replace(delimiter, "")
        begun = f'[{blank}]*"[^"]*(?:""[^"]*)*'
        field = f'(?:[^"{sign}\\r\\n]*|{begun}"[{blank}]*)'
        self.fields = fields
        self.whole = f"{field}(?:{sign}{field})*(?:\\r\\n|\\n|\\r)?"
        self.begun = f"(?:{field}{sign})*{begun}"
        self.blank = f"[{blank}\\r\\n]*"
        self.delimiter = delimiter.encode()
        self.beside = f'(?s:.*)(?:[{blank}]"|"[{blank}])(?s:.*)'
        self.padded = f'[{blank}]*("[^"]*(?:""[^"]*)*")[{blank}]*'


class Records(Origins):
    """Where the records of a block stand and what is wrong with them.

    ``are_rows`` tells of rows that have the right number of fields whether they are good.

    Attributes:
        rest: first line that must be read again with the next block, or behind the last one.
        faults: `RecordFault` of each record.
    """

    def __init__(
        self,
        block: Block,
        dialect: Dialect,
        limits: Limits,
        are_rows: Callable[[bytes], NDArray[np.bool_]],
    ) -> None:
        self._block = block
        self._dialect = dialect
        self._limits = limits
        self._are_rows = are_rows
        self.rest = block.line_count
        self._firsts = self._lasts = np.arange(self.rest)
        self.faults = np.full(self.rest, RecordFault.NONE, np.uint8)

    def leave_out(self, ragged: list[int]) -> None:
        """Take it that all lines are rows but these, which have another number of fields."""
        self.faults[ragged] = RecordFault.FIELDS
        self._rows = np.flatnonzero(self.faults == RecordFault.NONE)

    def examine(self) -> None:
        """Find out which lines belong together, and what is wrong with them."""
        block, dialect = self._block, self._dialect
        self._has_quotes = b'"' in block.data
        self._use(self._firsts)
        if self._has_quotes:
            odd = np.flatnonzero(~_match(self._texts, dialect.whole))
            is_open = _match(self._texts.take(pa.array(odd)), dialect.begun)
            self.faults[odd] = np.where(is_open, RecordFault.OPEN, RecordFault.STRAY)
            if is_open.any():
                self._join(odd[is_open])
        sizes = block.ends[self._lasts] - block.starts[self._firsts]
        self.faults[_match(self._texts, dialect.blank)] = RecordFault.BLANK
        self.faults[sizes > self._limits.line_bytes] = RecordFault.LONG

    def _use(self, firsts: NDArray[np.int64]) -> None:
        """Take it that records begin on these lines."""
        self._firsts = firsts
        self._lasts = np.append(firsts, self.rest)[1:] - 1
        offsets = pa.array(self._block.starts[np.append(firsts, self.rest)], pa.int32())
        buffers = [None, offsets.buffers()[1], pa.py_buffer(self._block.data)]
        self._texts = pa.Array.from_buffers(pa.binary(), len(firsts), buffers)

    def _join(self, opens: NDArray[np.int64]) -> None:
        """Find what goes on on other lines, of those on which a quote opens and does not close."""
        block, dialect = self._block, self._dialect
        whole, begun = (re.compile(one.encode()) for one in (dialect.whole, dialect.begun))
        odd = np.flatnonzero(pc.count_substring(self._texts, b'"').to_numpy() % 2)
        at = np.searchsorted(odd, opens, side="right")
        lasts = np.append(odd, block.line_count - 1)[at]
        starts, ends = block.starts[opens], block.ends[lasts]
        may_be = ends - starts <= self._limits.line_bytes
        rows = self._rows_between(opens[may_be], lasts[may_be])
        may_be &= np.searchsorted(rows, opens) == np.searchsorted(rows, lasts, side="right")
        continued = np.zeros(block.line_count, np.bool_)
        for place in np.flatnonzero(may_be).tolist():
            line, last, is_closed = int(opens[place]), int(lasts[place]), at[place] < len(odd)
            rule = whole if is_closed else begun
            if continued[line] or not rule.fullmatch(
                block.data, int(starts[place]), int(ends[place])
            ):
                continue
            if is_closed:
                continued[line + 1 : last + 1] = True
                self.faults[line] = RecordFault.NONE
            elif not block.is_last:
                self.rest = line
        self._use(np.flatnonzero(~continued[: self.rest]))
        self.faults = self.faults[self._firsts]

    def _rows_between(
        self, opens: NDArray[np.int64], lasts: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Find the lines that are good rows by themselves, behind those up to these."""
        count = len(self.faults) + 1
        inside = np.bincount(opens + 1, minlength=count) - np.bincount(lasts + 1, minlength=count)
        rows = np.flatnonzero((np.cumsum(inside)[:-1] > 0) & (self.faults == RecordFault.NONE))
        rows = rows[self._field_counts(rows) == self._dialect.fields]
        found: NDArray[np.int64] = rows[self._are_rows(self._content(rows))]
        return found

    def _field_counts(self, records: NDArray[np.int64]) -> NDArray[np.int64]:
        """Count the fields of records in which quoting is in order."""
        texts = self._texts.take(pa.array(records))
        if self._has_quotes:
            texts = pc.replace_substring_regex(texts, _QUOTED, b"")
        found = pc.count_substring(texts, self._dialect.delimiter)
        counts: NDArray[np.int64] = found.to_numpy() + np.int64(1)
        return counts

    def find_ragged(self) -> None:
        """Have a fault in those that have another number of fields."""
        rows = np.flatnonzero(self.faults == RecordFault.NONE)
        is_ragged = self._field_counts(rows) != self._dialect.fields
        self.faults[rows[is_ragged]] = RecordFault.FIELDS

    def good(self) -> bytes:
        """Return the rows, for Arrow to read."""
        self._rows = np.flatnonzero(self.faults == RecordFault.NONE)
        return self._content(self._rows)

    def _content(self, records: NDArray[np.int64]) -> bytes:
        texts, dialect = self._texts.take(pa.array(records)), self._dialect
        # Arrow would take a blank before a quote for text.
        if self._has_quotes and _match(texts, dialect.beside).any():
            texts = pc.replace_substring_regex(texts, dialect.padded, rb"\1")
        return texts.buffers()[2].to_pybytes() if len(texts) else b""

    def line_number(self, row: int) -> int:
        """Line of a row, counted from 1."""
        return self._block.first_line + int(self._firsts[self._rows[row]])

    def raw(self, row: int) -> bytes:
        """Bytes of a row as it stood in the input."""
        return self._raw(self._rows[row])

    def _raw(self, record: int) -> bytes:
        block = self._block
        begin, end = block.starts[self._firsts[record]], block.ends[self._lasts[record]]
        return block.data[int(begin) : int(end)]

    def broken(self) -> Broken:
        """Return the records that are no rows."""
        bad = np.flatnonzero(self.faults > RecordFault.BLANK).tolist()
        return Broken(len(bad), map(self._reject, bad))

    def _reject(self, record: int) -> Reject:
        raw, line = self._raw(record), self._block.first_line + int(self._firsts[record])
        fault = int(self.faults[record])
        if fault == RecordFault.LONG:
            return Reject.too_long(line, raw, len(raw), self._limits)
        if (reason := _REASONS.get(fault)) is None:
            count = re.sub(_QUOTED.encode(), b"", raw).count(self._dialect.delimiter) + 1
            reason = f"the row has {count} fields instead of {self._dialect.fields}"
        return Reject(line_number=line, column_name=None, reason=reason, raw=raw)


def _match(texts: Array, expression: str) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = pc.match_substring_regex(texts, f"^{expression}$").to_numpy(
        zero_copy_only=False
    )
    return found
