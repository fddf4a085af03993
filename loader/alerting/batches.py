"""Batches of events as rules look at them: source by source, in the order of (time, event type)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loader.alerting.states import SourceState


class Batch:
    """Events in the order of (source, time, event type), and where each source begins and ends."""

    def __init__(
        self,
        time: NDArray[np.int64],
        source: NDArray[Any],
        event_type: NDArray[Any],
        type_names: Sequence[str],
    ) -> None:
        # Small integers are sorted by their digits, in one pass and several times as fast.
        low, high = source.min(), source.max()
        narrow = (source - low).astype(np.uint16) if high - low < 1 << 16 else source
        self._take(time, source, event_type, np.argsort(narrow, kind="stable"))
        self._type_names = type_names
        places = {name: place for place, name in enumerate(sorted(type_names, key=str.encode))}
        place_of = np.array([places[name] for name in type_names], dtype=np.int32)
        follows = ~self.is_first[1:]
        steps = np.diff(self.time)
        if (follows & (steps < 0)).any():
            self._take(self.time, self.source, self.event_type, self._order(slice(None), place_of))
            return
        # Equal times are next to each other already, and few; only their types may change places.
        ties = np.flatnonzero(follows & (steps == 0))
        some = np.union1d(ties, ties + 1)
        self.event_type[some] = self.event_type[some[self._order(some, place_of)]]

    def _order(self, some: Any, place_of: NDArray[np.int32]) -> NDArray[np.int64]:
        return np.lexsort((place_of[self.event_type[some]], self.time[some], self.source[some]))

    def _take(
        self, time: NDArray[np.int64], source: NDArray[Any], event_type: NDArray[Any], at: Any
    ) -> None:
        self.time, self.source, self.event_type = time[at], source[at], event_type[at]
        self.is_first = np.ones(len(self.time), dtype=bool)
        self.is_first[1:] = self.source[1:] != self.source[:-1]
        self.starts = np.flatnonzero(self.is_first)
        self.ends = np.append(self.starts[1:], len(self.time))
        self.keys = self.source[self.starts].tolist()

    def drop_late(self, states: dict[Any, SourceState]) -> None:
        """Leave out what comes before the last event seen; make a state where there is none."""
        late: list[slice] = []
        for key, start, end in zip(
            self.keys, self.starts.tolist(), self.ends.tolist(), strict=True
        ):
            seen = states.setdefault(key, SourceState()).seen
            if seen is None or self.time[start] > seen[0]:
                continue
            first = start + int(np.searchsorted(self.time[start:end], seen[0]))
            while first < end and self.time[first] == seen[0] and self._type(first) < seen[1]:
                first += 1
            late.append(slice(start, first))
        if any(span.stop > span.start for span in late):
            is_kept = np.ones(len(self.time), dtype=bool)
            for span in late:
                is_kept[span] = False
            self._take(self.time, self.source, self.event_type, is_kept)

    def _type(self, at: int) -> str:
        return self._type_names[int(self.event_type[at])]
