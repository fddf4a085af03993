"""The bounds of a load: which times it may hold, and how many names that are new.

Readers ask it, so that a row it refuses is rejected like any other, with its line and its text.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from loader.reading.arrow import Array
from loader.reading.partition_days import FIRST_DAY, PartitionDays, days_of
from loader.reading.times.calendar import micros_of


class Refusal(IntEnum):
    """Why a time is refused; 0 for one that is not."""

    NONE = 0
    OLD = 1
    NEW = 2


class NameBounds:
    """Bounds how many names a load may bring, so that a wrong column fills no dictionary.

    Names open in the order in which the input first has them, until there are too many.
    """

    def __init__(self, known: Iterable[str], room: int, why: str) -> None:
        """Open the known names, and room for others; ``why`` stands behind one that is refused."""
        self._open = set(known)
        self._room = room
        self._why = why

    def refuse(self, names: Array, good: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Tell which of the good rows of a dictionary-encoded column have a name too many."""
        values = names.dictionary.to_pylist()
        closed = np.array([name not in self._open for name in values], np.bool_)
        if not closed.any():
            return np.zeros(len(good), np.uint8)
        at = names.indices.fill_null(0).to_numpy(zero_copy_only=False)
        new, first = np.unique(at[good & closed[at]], return_index=True)
        opened = new[np.argsort(first)][: self._room]
        self._open.update(values[place] for place in opened.tolist())
        self._room -= len(opened)
        closed[opened] = False
        refused: NDArray[np.uint8] = (good & closed[at]).astype(np.uint8)
        return refused

    def reason(self, _: int, text: str) -> str:
        """Say why a name was refused."""
        return f'"{text}" {self._why}'


class Bounds:
    """Keeps out what is older than what is retained, and bounds the partitions that a load begins.

    Without that bound wrong times fill the catalog with tables.

    Days that have a partition are always open. The others open, by the month, week or day that a
    new partition is for, in the order in which the input first names them, until there are too
    many. Each load has its own, asked in the order of the input: then what is refused depends on
    nothing but the input and the partitions before it.

    Attributes:
        types: bounds the types of the load; None lets in all.
        sources: bounds its sources.
        leaves_out_old: whether what is too old is left out, and not refused.
    """

    def __init__(
        self,
        by_day: PartitionDays,
        max_new: int,
        retained_from: datetime | None = None,
        *,
        types: NameBounds | None = None,
        sources: NameBounds | None = None,
        leaves_out_old: bool = False,
    ) -> None:
        """Open the days that have a partition, and ``max_new`` partitions more.

        Times before ``retained_from`` are refused, or left out; None refuses nothing.
        """
        self.types = types
        self.sources = sources
        self.leaves_out_old = leaves_out_old
        self._retained_from = retained_from
        self._room = self._max_new = max_new
        self._by_day = by_day
        # The load creates partitions while reading, ahead of it, opens them.
        self._open = by_day.open_days()

    def refuse(self, micros: NDArray[np.int64], good: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Return the `Refusal` of each of the good times, microseconds since 1970 in UTC."""
        refusals = np.zeros(len(micros), np.uint8)
        if self._retained_from is not None:
            refusals[good & (micros < micros_of(self._retained_from))] = Refusal.OLD
        are_kept = good & (refusals == Refusal.NONE)
        kept = micros[are_kept]
        if not len(kept):
            return refusals
        first, last = days_of(np.array([kept.min(), kept.max()])) - FIRST_DAY
        if self._open[first : last + 1].all():
            return refusals
        days = days_of(kept)
        closed = days[~self._open[days - FIRST_DAY]]
        new, at = np.unique(self._by_day.slots(closed), return_index=True)
        opened = new[np.argsort(at)][: self._room]
        for day in opened.tolist():
            begin, end = self._by_day.slot(day)
            self._open[begin - FIRST_DAY : end - FIRST_DAY] = True
        self._room -= len(opened)
        refusals[are_kept] = ~self._open[days - FIRST_DAY] * np.uint8(Refusal.NEW)
        return refusals

    def reason(self, refusal: int, text: str) -> str:
        """Say why a time was refused, from what stands in its column."""
        if refusal == Refusal.OLD:
            return (
                f'"{text}" is older than {self._retained_from:%Y-%m-%dT%H:%M:%SZ}, from when on '
                "events are kept (loader maintain --retain)"
            )
        size = self._by_day.partition_by
        return (
            f'"{text}" lies in a {size} that has no events yet, and this load has begun '
            f"{self._max_new} such {size}s before; is --time-format right? If it is: "
            "--max-new-partitions"
        )
