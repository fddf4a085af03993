"""Selection: which events of an input are wanted, whatever else it holds."""

from __future__ import annotations

import re
from collections import abc
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from loader.errors import UsageError
from loader.reading.arrow import Array, RecordBatch, pa, pc
from loader.reading.texts import as_text
from loader.reading.times.calendar import micros_of
from loader.settings.checks import check_fields

_NAMES: Final = ("source", "event_type")
_COMPARISONS: Final = {
    "=": pc.equal,
    "!=": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}
_CONDITION: Final = re.compile(r"([^=!<>]+)(!=|<=|>=|=|<|>)(.*)", re.DOTALL)
_NUMBER: Final = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"


@dataclass(frozen=True)
class Condition:
    """What a column of the input must be, as ``score>=0.5`` says it.

    Two numbers are compared as numbers, and all else as texts; but no text is less or greater than
    a number.
    """

    column: str
    comparison: str
    value: str

    @classmethod
    def read(cls, text: str) -> Condition:
        """Read a condition, or raise UsageError."""
        found = _CONDITION.fullmatch(text)
        if found is None or not found[1].strip():
            signs = " ".join(_COMPARISONS)
            raise UsageError(f'--where "{text}" is not COLUMN>=VALUE; instead of >= one of {signs}')
        return cls(found[1].strip(), found[2], found[3].strip())

    def holds(self, column: Array) -> NDArray[np.bool_]:
        """Tell of each value of a column, of any type, whether it is so; null is an empty text."""
        compare = _COMPARISONS[self.comparison]
        texts = pc.ascii_trim_whitespace(as_text(column).fill_null(""))
        found = compare(texts, self.value)
        if re.search(_NUMBER, self.value):
            is_number = pc.match_substring_regex(texts, _NUMBER)
            numbers = pc.if_else(is_number, texts, "0").cast(pa.float64())
            if self.comparison not in ("=", "!="):
                found = False
            found = pc.if_else(is_number, compare(numbers, float(self.value)), found)
        held: NDArray[np.bool_] = found.to_numpy(zero_copy_only=False)
        return held


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Wanted types, sources and times; None for all. Checks itself when made.

    A row is left out when what can be read of it says so: one of another type is, even if its time
    is none. Rows that are left out are counted, and not rejected.

    Attributes:
        types: types as they are loaded, after they were renamed.
        sources: names of sources.
        since: events at this time or later.
        until: events before this time.
        where: conditions on columns of the input, such as ``score>=0.5``, of which each must hold;
            with ``=``, ``!=``, ``<``, ``<=``, ``>`` and ``>=``.
        within: another selection, which holds as well; None for none.

    Raises:
        UsageError: nothing can ever be wanted.
    """

    types: tuple[str, ...] | None = None
    sources: tuple[str, ...] | None = None
    since: datetime | None = None
    until: datetime | None = None
    where: tuple[str, ...] = ()
    within: Selection | None = None

    def __post_init__(self) -> None:
        """Refuse what would leave out everything."""
        check_fields(self)
        for what, names in (("types", self.types), ("sources", self.sources)):
            if names is not None and not names:
                raise UsageError(f"{what}: none are wanted; leave it away to want all")
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise UsageError("since is not before until: no time lies between them")
        _ = self._conditions

    @cached_property
    def _conditions(self) -> tuple[Condition, ...]:
        return tuple(map(Condition.read, self.where))

    @property
    def compared_columns(self) -> tuple[str, ...]:
        """The columns of the input that ``where`` is about, each once."""
        others = () if self.within is None else self.within.compared_columns
        return tuple(dict.fromkeys([one.column for one in self._conditions] + list(others)))

    def described(self) -> dict[str, Any]:
        """Return it as JSON can hold it; equal selections give equal values."""
        several = {"types": self.types, "sources": self.sources, "where": self.where}
        found: dict[str, Any] = {name: sorted(set(one)) for name, one in several.items() if one}
        for name, moment in (("since", self.since), ("until", self.until)):
            if moment is not None:
                found[name] = moment.astimezone(UTC).isoformat()
        if self.within is not None and (within := self.within.described()):
            found["within"] = within
        return found

    def leaves_out(
        self,
        micros: NDArray[np.int64],
        has_time: NDArray[np.bool_],
        event_types: Array,
        sources: Array,
        compared: abc.Mapping[str, Array],
    ) -> NDArray[np.bool_]:
        """Tell which rows are not wanted; a time or a name that could not be read is no reason.

        Times are microseconds since 1970 in UTC, names dictionaries with nulls where none was read.
        """
        left_out = np.zeros(len(micros), np.bool_)
        if self.types is not None:
            left_out |= _others(event_types, self.types)
        if self.sources is not None:
            left_out |= _others(sources, self.sources)
        if self.since is not None:
            left_out |= has_time & (micros < micros_of(self.since))
        if self.until is not None:
            left_out |= has_time & (micros >= micros_of(self.until))
        for condition in self._conditions:
            left_out |= ~condition.holds(compared[condition.column])
        if self.within is not None:
            left_out |= self.within.leaves_out(micros, has_time, event_types, sources, compared)
        return left_out


def without_unused_names(events: RecordBatch) -> RecordBatch:
    """Return events whose dictionaries hold no names but their own."""
    columns = {name: events.column(name) for name in events.schema.names}
    for name in _NAMES:
        columns[name] = columns[name].dictionary_decode().dictionary_encode()
    return pa.RecordBatch.from_pydict(columns)


def _others(column: Array, wanted: Sequence[str]) -> NDArray[np.bool_]:
    """Tell which rows have another name; those without one have not."""
    names = column.dictionary
    is_other = ~pc.is_in(names, pa.array(wanted, pa.string())).to_numpy(zero_copy_only=False)
    at = column.indices.fill_null(len(names)).to_numpy(zero_copy_only=False)
    found: NDArray[np.bool_] = np.append(is_other, False)[at]
    return found
