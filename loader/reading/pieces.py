"""Texts that were cut out of content or came as messages, and should be an object each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loader.reading.fields import Path
from loader.reading.limits import DEEPEST
from loader.reading.lines import LF, Block, places
from loader.reading.objects import is_too_deep


def between(starts: NDArray[np.int64], ends: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Return the places of the bytes that lie in none of these spans."""
    begins, stops = np.append(0, ends), np.append(starts, size)
    counts = stops - begins
    return np.repeat(stops - np.cumsum(counts), counts) + np.arange(counts.sum())


def blanked(data: bytes, starts: NDArray[np.int64], ends: NDArray[np.int64], size: int) -> bytes:
    """Return the beginning of content with line feeds between these spans."""
    seen = np.frombuffer(data, np.uint8)[:size].copy()
    seen[between(starts, ends, size)] = LF
    return seen.tobytes()


@dataclass(frozen=True, kw_only=True)
class Around:
    """What stands around the items of an array of a document.

    Attributes:
        before: what is wanted of the document, up to the item.
        after: from there on.
        way: the way to the items.
    """

    before: bytes = b""
    after: bytes = b""
    way: Path = ()


@dataclass(frozen=True)
class Pieces(Sequence[bytes]):
    """Texts that should be an object each, and where they stood.

    Attributes:
        data: content that has them.
        starts: of each, its first byte.
        ends: of each, the byte behind it.
        lines: of each, the line where it stood, counted from 1.
        around: what belongs to each.
        numbers: of each, which item of the array of its document it is; None for no such.
    """

    data: bytes
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    lines: NDArray[np.int64]
    around: Around = Around()
    numbers: NDArray[np.int64] | None = None

    @classmethod
    def of_block(cls, block: Block) -> Pieces:
        """Return the lines of a block."""
        ends = block.ends
        return cls(block.data, block.starts[:-1], ends, block.first_line + np.arange(len(ends)))

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, number: Any) -> Any:
        """Return a text, or some of them as pieces."""
        if isinstance(number, slice | np.ndarray):
            return replace(
                self,
                starts=self.starts[number],
                ends=self.ends[number],
                lines=self.lines[number],
                numbers=None if self.numbers is None else self.numbers[number],
            )
        return self._text(int(self.starts[number]), int(self.ends[number]))

    def __iter__(self) -> Iterator[bytes]:
        """Yield the texts."""
        return map(self._text, self.starts.tolist(), self.ends.tolist())

    def _text(self, start: int, end: int) -> bytes:
        text = self.data[start:end]
        return self.around.before + text + self.around.after if self.around.way else text

    def alone(self, are_wanted: NDArray[np.bool_]) -> Pieces:
        """Return some of them, with nothing but line feeds between."""
        if are_wanted.all():
            return self
        some: Pieces = self[are_wanted]
        return replace(some, data=blanked(self.data, some.starts, some.ends, len(self.data)))

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Bytes of each, without what stands around it."""
        return self.ends - self.starts

    def are_regular(self, longest: int) -> NDArray[np.bool_]:
        """Tell which are short and flat enough, and begin and end like an object.

        No object goes over two of these, for inside of one no ``{`` can follow a ``}`` directly.
        """
        found = (self.sizes >= 2) & (self.sizes <= longest)
        if found.any():
            seen = np.frombuffer(self.data, np.uint8)
            found &= seen[np.minimum(self.starts, len(seen) - 1)] == ord("{")
            found &= seen[self.ends - 1] == ord("}")
            # What is shorter cannot be that deep.
            if self.sizes.max() > DEEPEST:
                found = self._flat(found)
        return found

    def _flat(self, found: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Tell which of these are not nested too deeply."""
        # The brackets [ and { differ in one bit.
        opened = places(self.data, lambda part: (part | 32) == ord("{"))
        many = opened[DEEPEST:] - opened[:-DEEPEST]
        if len(many) and many.min() < self.sizes.max():
            counts = np.searchsorted(opened, self.ends) - np.searchsorted(opened, self.starts)
            for number in (found & (counts > DEEPEST)).nonzero()[0].tolist():
                found[number] = not is_too_deep(self[number])
        return found
