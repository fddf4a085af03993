"""Texts that were cut out of content or came as messages, and should be an object each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from loader.reading import objects
from loader.reading.limits import DEEPEST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from loader.reading.lines import Block

# So few are not worth two batches.
_FEW: Final = 64


@dataclass(frozen=True)
class Pieces(Sequence[bytes]):
    """Texts that should be an object each, and where they stood.

    Attributes:
        data: all of them, with line feeds between.
        starts: of each, its first byte.
        ends: of each, the byte behind it.
        lines: of each, the line where it stood, counted from 1.
    """

    data: bytes
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    lines: NDArray[np.int64]

    @classmethod
    def of_block(cls, block: Block) -> Pieces:
        """Return the lines of a block."""
        lines = block.lines
        numbers = block.first_line + np.arange(len(lines))
        return cls(block.data, lines.starts[:-1], lines.ends, numbers)

    @classmethod
    def of_pieces(cls, pieces: Sequence[bytes], lines: Sequence[int] | NDArray[np.int64]) -> Pieces:
        """Return texts that were cut out of something."""
        sizes = np.fromiter(map(len, pieces), np.int64, len(pieces))
        ends = np.cumsum(sizes + 1) - 1
        return cls(b"\n".join(pieces), ends - sizes, ends, np.array(lines, np.int64))

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, number: Any) -> Any:
        return self.data[int(self.starts[number]) : int(self.ends[number])]

    def line_number(self, number: int) -> int:
        """Return the line where a text stood."""
        return int(self.lines[number])

    @cached_property
    def _are_like_objects(self) -> NDArray[np.bool_]:
        """Which of them begin and end like an object.

        Such an object does not go over two, for inside of one no ``{`` can follow a ``}`` directly.
        """
        found = self.ends - self.starts >= 2
        if not self.data:
            return found
        seen = np.frombuffer(self.data, np.uint8)
        begin = np.minimum(self.starts, len(seen) - 1)
        found &= (seen[begin] == ord("{")) & (seen[self.ends - 1] == ord("}"))
        return found

    def are_regular(self, longest: int) -> bool:
        """Whether each is short and flat enough, and begins and ends like an object."""
        if not len(self) or not self._are_like_objects.all():
            return False
        if (self.ends - self.starts).max() > longest:
            return False
        opening = int(np.count_nonzero(self._are_opening))
        return opening < len(self) + DEEPEST or not self.too_deep

    def apart(self) -> list[Pieces]:
        """Return those that begin and end like an object, then the others; few stay together."""
        if len(self) <= _FEW or not 0.5 < self._are_like_objects.mean() < 1:
            return [self]
        parts = [np.flatnonzero(self._are_like_objects), np.flatnonzero(~self._are_like_objects)]
        return [
            Pieces.of_pieces([self[at] for at in part.tolist()], self.lines[part]) for part in parts
        ]

    @cached_property
    def _are_opening(self) -> NDArray[np.bool_]:
        # The brackets [ and { differ in one bit.
        found: NDArray[np.bool_] = (np.frombuffer(self.data, np.uint8) | 32) == ord("{")
        return found

    @cached_property
    def too_deep(self) -> set[int]:
        """Which of them no parser may see."""
        opening = np.flatnonzero(self._are_opening)
        if len(opening) <= DEEPEST:
            return set()
        counts = np.diff(np.searchsorted(opening, np.append(self.starts, len(self.data))))
        many = np.flatnonzero(counts > DEEPEST).tolist()
        return {number for number in many if objects.is_too_deep(self[number])}
