"""Lines: content cut into blocks of whole lines, and where in a block they stand."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from loader.reading.batch import Reject
from loader.reading.limits import Limits
from loader.reading.streams import ByteSource

LF: Final = 10
CR: Final = 13
_AT_ONCE: Final = 1 << 17


def places(data: bytes, are_wanted: Callable[[NDArray[np.uint8]], Any]) -> NDArray[np.int64]:
    """Return where the wanted bytes of data are.

    A part after the other: arrays as large as the data would be new memory each time, which the
    system has to clear first, and that takes longer than to look.
    """
    seen = np.frombuffer(data, np.uint8)
    parts = range(0, len(seen), _AT_ONCE) or [0]
    return np.concatenate([at + are_wanted(seen[at : at + _AT_ONCE]).nonzero()[0] for at in parts])


@dataclass(frozen=True)
class Block:
    """Some whole lines of an input.

    Attributes:
        data: their bytes; only the last line of an input may lack its line end.
        first_line: number of the first of them, counted from 1.
        is_last: whether the input ends here.
        long_lines: lines just before these that were too long to be read.
    """

    data: bytes
    first_line: int
    is_last: bool = False
    long_lines: tuple[Reject, ...] = ()

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """First byte of each line, and then the end of the data.

        A line ends with LF, CR LF or a lone CR.
        """
        data = self.data
        breaks = places(data, lambda part: part == LF)
        if b"\r" in data:
            seen = np.frombuffer(data, np.uint8)
            following = np.append(seen[1:], 0)
            breaks = np.flatnonzero((seen == LF) | ((seen == CR) & (following != LF)))
        starts = np.concatenate([[0], breaks + 1])
        return np.append(starts, len(data)) if starts[-1] != len(data) else starts

    @cached_property
    def ends(self) -> NDArray[np.int64]:
        """The byte behind each line, its line end not counted."""
        seen, ends = np.frombuffer(self.data, np.uint8), self.starts[1:].copy()
        for sign in (LF, CR) if b"\r" in self.data else (LF,):
            ends -= (ends > self.starts[:-1]) & (seen[ends - 1] == sign)
        return ends

    def raw(self, row: int) -> bytes:
        """Bytes of a line, without its line end."""
        return self.data[int(self.starts[row]) : int(self.ends[row])]

    @cached_property
    def has_plain_ends(self) -> bool:
        """Whether every carriage return belongs to a line end with a line feed."""
        data = self.data
        return b"\r" not in data or data.count(b"\r") == data.count(b"\r\n")

    @cached_property
    def line_count(self) -> int:
        """How many lines they are."""
        if not self.has_plain_ends or "ends" in vars(self):
            return len(self.ends)
        # Several times faster than bytes.count, which stops at every one of them.
        feeds = int(np.count_nonzero(np.frombuffer(self.data, np.uint8) == LF))
        return feeds + (self.data[-1:] not in (b"\n", b""))

    def may_hold_longer(self, size: int) -> bool:
        """Whether a line may be longer than this; False is certain."""
        half = max(size // 2, 1)
        return (
            any(
                self.data.find(b"\n", at, at + half) < 0
                for at in range(0, len(self.data) - half, half)
            )
            or len(self.data) - self.data.rfind(b"\n") - 1 > half
        )


class Blocks:
    """Reads content and cuts it behind line ends.

    Iterate once. While holding a block, `give_back` puts lines of it in front of the next.
    """

    def __init__(self, content: ByteSource, limits: Limits) -> None:
        self._content = content
        self._limits = limits
        self._peeked: bytes | None = None
        self._rest = b""
        self._line = 1
        self._back = 0

    def peek(self) -> bytes:
        """Return how the content begins, before the first iteration.

        For what is no text may have no line ends either, and be endless.
        """
        if self._peeked is None:
            self._peeked = self._content.read(self._limits.block_bytes)
        return self._peeked

    def __iter__(self) -> Iterator[Block]:
        """Yield the content, block by block."""
        long_lines: list[Reject] = []
        is_ended = is_last = is_stuck = False
        most = self._limits.block_bytes
        while not is_last:
            # Lines that were given back come again with more behind them, or nothing would end.
            if is_stuck or self._back or len(self._rest) < most:
                more, self._peeked = self.peek(), None
                is_ended = len(more) < most
                self._rest += more
            data = self._rest
            cut = _cut(data, self._limits.block_lines + 2 * self._back, is_ended=is_ended)
            is_stuck = cut == 0 and not is_ended
            if is_stuck:
                if len(data) - data.endswith(b"\r") > self._limits.line_bytes:
                    long_lines.append(self._skip_line())
                continue
            self._rest = data[cut:]
            is_last = is_ended and not self._rest
            block = Block(data[:cut], self._line, is_last, tuple(long_lines))
            long_lines, self._back = [], 0
            yield block
            if not is_last:
                self._line += block.line_count - self._back

    def give_back(self, block: Block, line: int) -> None:
        """Put the lines of a block from this one on (counted from 0) before the next block."""
        self._rest = block.data[int(block.starts[line]) :] + self._rest
        self._back = block.line_count - line

    def _skip_line(self) -> Reject:
        """Read to the end of a line that is too long.

        Its line end is left, and counts as the line: what follows keeps its number.
        """
        data, self._rest = self._rest, b""
        start, size = data, len(data)
        if data.endswith(b"\r"):
            self._rest = b"\r"
            return Reject.too_long(self._line, start, size - 1, self._limits)
        while not self._rest and (data := self._content.read(self._limits.block_bytes)):
            ends = [at for at in (data.find(b"\n"), data.find(b"\r")) if at >= 0]
            end = min(ends, default=len(data))
            self._rest = data[end:]
            size += end
        return Reject.too_long(self._line, start, size, self._limits)


def _cut(data: bytes, most: int, *, is_ended: bool) -> int:
    """Position behind so many line ends, or else behind the last certain one; 0 without any."""
    seen, has_returns = np.frombuffer(data, np.uint8), b"\r" in data
    count = 0
    for at in range(0, len(seen), _AT_ONCE):
        part = seen[at : at + _AT_ONCE]
        are_ends = (part == LF) | (part == CR) if has_returns else part == LF
        before, count = count, count + int(np.count_nonzero(are_ends))
        if count >= most:
            cut = at + int(are_ends.nonzero()[0][most - before - 1]) + 1
            if cut == len(data):
                break
            # A CR LF is not to be cut in two.
            return cut + (data[cut - 1 : cut + 1] == b"\r\n")
    if is_ended:
        return len(data)
    # Where there are only carriage returns, one at the very end may be half of a CR LF.
    return data.rfind(b"\n") + 1 or data.rfind(b"\r", 0, -1) + 1
