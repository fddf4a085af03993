"""Selection: which events of an input are wanted, whatever else it holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from loader.checks import check_fields
from loader.errors import UsageError
from loader.reading.arrow import Array, RecordBatch, pa, pc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NAMES: Final = ("source", "event_type")


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Wanted types, sources and times; None for all. Checks itself when made.

    A row is left out when what can be read of it says so: one of another type is, even if its time
    is none. Rows that are left out are not counted, neither as read nor as rejected.

    Attributes:
        types: types as they are loaded, after they were renamed.
        sources: names of sources.
        since: events at this time or later.
        until: events before this time.

    Raises:
        UsageError: nothing can ever be wanted.
    """

    types: tuple[str, ...] | None = None
    sources: tuple[str, ...] | None = None
    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        """Refuse what would leave out everything."""
        check_fields(self)
        for what, names in (("types", self.types), ("sources", self.sources)):
            if names is not None and not names:
                raise UsageError(f"{what}: none are wanted; leave it away to want all")
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise UsageError("since is not before until: no time lies between them")

    def described(self) -> dict[str, Any]:
        """Return it as JSON can hold it; equal selections give equal values."""
        found: dict[str, Any] = {}
        for name, wanted in (("types", self.types), ("sources", self.sources)):
            if wanted is not None:
                found[name] = sorted(set(wanted))
        for name, moment in (("since", self.since), ("until", self.until)):
            if moment is not None:
                found[name] = moment.astimezone(UTC).isoformat()
        return found

    def leaves_out(
        self,
        micros: NDArray[np.int64],
        has_time: NDArray[np.bool_],
        event_types: Array,
        sources: Array,
    ) -> NDArray[np.bool_]:
        """Tell which rows are not wanted.

        Args:
            micros: times, in microseconds since 1970 in UTC.
            has_time: which of them were read.
            event_types: dictionary of names, with nulls where none was read.
            sources: the same.
        """
        left_out = np.zeros(len(micros), np.bool_)
        if self.types is not None:
            left_out |= _others(event_types, self.types)
        if self.sources is not None:
            left_out |= _others(sources, self.sources)
        if self.since is not None:
            left_out |= has_time & (micros < _micros(self.since))
        if self.until is not None:
            left_out |= has_time & (micros >= _micros(self.until))
        return left_out


def without_unused_names(events: RecordBatch) -> RecordBatch:
    """Return events whose dictionaries hold no names but their own."""
    columns = {name: events.column(name) for name in events.schema.names}
    return pa.RecordBatch.from_pydict(columns | {name: _used(columns[name]) for name in _NAMES})


def _others(column: Array, wanted: Sequence[str]) -> NDArray[np.bool_]:
    """Tell which rows have another name; those without one have not."""
    names = column.dictionary
    is_other = ~pc.is_in(names, pa.array(wanted, pa.string())).to_numpy(zero_copy_only=False)
    at = column.indices.fill_null(len(names)).to_numpy(zero_copy_only=False)
    found: NDArray[np.bool_] = np.append(is_other, False)[at]
    return found


def _used(column: Array) -> Array:
    names = column.dictionary
    indices = column.indices.to_numpy(zero_copy_only=False)
    used = np.flatnonzero(np.bincount(indices, minlength=len(names)))
    if len(used) == len(names):
        return column
    place = np.zeros(len(names), np.int32)
    place[used] = np.arange(len(used))
    return pa.DictionaryArray.from_arrays(pa.array(place[indices]), names.take(pa.array(used)))


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)
