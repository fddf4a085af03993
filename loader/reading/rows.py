"""Rows: columns as a reader found them, made into a batch of events and rejects."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from loader.errors import UsageError
from loader.reading import names
from loader.reading.arrow import Array, pa, pc
from loader.reading.batch import EventBatch, Reject
from loader.reading.bounds import Gate, Refusal
from loader.reading.selection import without_unused_names
from loader.reading.texts import Texts, as_text, value_at
from loader.reading.times import Clock, Moments

if TYPE_CHECKING:
    from collections import abc
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from loader.reading.limits import Limits
    from loader.reading.mapping import Mapping

EVENT_TIME: Final = pa.timestamp("us", "UTC")
_UNKEPT: Final = "the attributes cannot be kept"


class Origins(Protocol):
    """Tells where rows stood in the input; asked only for rows that are rejected."""

    def line_number(self, row: int) -> int:
        """Line of this row of the columns, counted from 1."""
        ...

    def raw(self, row: int) -> bytes:
        """Bytes of this row as it stood in the input."""
        ...

    def reason(self, row: int, column_name: str) -> str | None:
        """What the format itself knows to be wrong with a value, such as a missing key."""
        ...


@dataclass(frozen=True, kw_only=True)
class Broken:
    """Rows that did not even become columns.

    Attributes:
        count: how many.
        rejects: gives the first ones in full, at most so many.
    """

    count: int = 0
    rejects: Callable[[int], Sequence[Reject]] = field(default=lambda _: ())


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows as columns of equal length.

    Attributes:
        time: text of any bytes; anything when ``moments`` are given.
        moments: the times already read, where they were no text.
        event_type: text of any bytes, integers, or a dictionary of these; None when the mapping
            gives one type for all.
        source: the same.
        attributes: JSON objects as string, null where they cannot be loaded; None when not
            asked for.
        attribute_reason: says of a row with null attributes which column is at fault and why.
        compared: columns that the selection looks at, by their name in it; of any type.
        origins: where they stood.
    """

    time: Array
    moments: Moments | None = None
    event_type: Array | None
    source: Array | None
    attributes: Array | None = None
    attribute_reason: Callable[[int], tuple[str | None, str]] = lambda _: (None, _UNKEPT)
    compared: abc.Mapping[str, Array] = field(default_factory=dict)
    origins: Origins


def put_together(times: Sequence[Array]) -> Array:
    """Make one column of those that the time is put together of, such as a date and a time."""
    if len(times) == 1:
        return times[0]
    return pc.binary_join_element_wise(*[as_text(one).fill_null("") for one in times], " ")


class Assembler:
    """Makes batches; knows how many rejects of the input were kept already.

    Attributes:
        clock: reads times.
        gate: refuses times and names that the load may not hold; None refuses none.

    Args:
        mapping: what the columns mean.
        limits: bounds of names and of kept rejects.

    Raises:
        UsageError: the source was to be found in a path that there is not.
    """

    def __init__(self, mapping: Mapping, limits: Limits) -> None:
        if mapping.source_from_path is not None:
            raise UsageError("source_from_path is for files only: here is no path to take it from")
        self._mapping = mapping
        self._limits = limits
        self._room = limits.rejects_kept
        self.clock = Clock(mapping.time_format, mapping.timezone, mapping.repeated_hour)
        self._type_pattern = _compiled(mapping.type_pattern)
        self._source_pattern = _compiled(mapping.source_pattern)
        self.gate: Gate | None = None

    def batch(self, rows: Rows, broken: Broken | None = None) -> EventBatch:
        """Check rows and split them into events and rejects; leave out what is not wanted."""
        broken = broken or Broken()
        if rows.moments is not None:
            micros, time_faults = self.clock.settle(rows.moments)
        else:
            micros, time_faults = self.clock.read(Texts(rows.time))
        mapping, longest = self._mapping, self._limits.name_bytes
        type_pattern = self._type_pattern if rows.event_type is not None else None
        source_pattern = self._source_pattern if rows.source is not None else None
        event_type = _or_all(rows.event_type, mapping.type, len(micros))
        source = _or_all(rows.source, mapping.source, len(micros))
        rows = replace(rows, event_type=event_type, source=source)
        types, type_faults = names.read(event_type, mapping.type_map, longest, type_pattern)
        sources, source_faults = names.read(source, {}, longest, source_pattern)
        columns: dict[str, Array] = {
            "event_time": pa.array(micros).cast(EVENT_TIME),
            "source": sources,
            "event_type": types,
        }
        faulty = (time_faults | type_faults | source_faults) != 0
        if rows.attributes is not None:
            columns["attributes"] = rows.attributes
            if rows.attributes.null_count:
                faulty |= rows.attributes.is_null().to_numpy(zero_copy_only=False)
        events = pa.RecordBatch.from_pydict(columns)
        if mapping.selection is None:
            left_out = np.zeros(len(micros), np.bool_)
        else:
            left_out = mapping.selection.leaves_out(
                micros, time_faults == 0, types, sources, rows.compared
            )
        refusals = self._refuse(micros, faulty | left_out)
        if self.gate is not None and self.gate.leaves_out_old:
            left_out |= refusals == Refusal.OLD
        faulty |= refusals != 0
        if self.gate is not None:
            refusals |= self.gate.refuse_names(types, sources, ~(faulty | left_out))
            faulty |= refusals != 0
        bad = np.flatnonzero(faulty & ~left_out)
        if left_out.any():
            events = without_unused_names(events.filter(pa.array(~(faulty | left_out))))
        elif len(bad):
            events = events.filter(pa.array(~faulty))
        faults = _Faults(time_faults, type_faults, source_faults, refusals)
        return EventBatch(
            events=events,
            rejects=self._keep(rows, faults, bad, broken),
            rows_rejected=len(bad) + broken.count,
            rows_left_out=int(np.count_nonzero(left_out)),
        )

    def _refuse(self, micros: NDArray[np.int64], faulty: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Ask the gate about the rows that are good so far."""
        refusals = np.zeros(len(micros), np.uint8)
        if self.gate is not None:
            good = ~faulty
            refusals[good] = self.gate.refuse(micros[good])
        return refusals

    def _keep(
        self, rows: Rows, faults: _Faults, bad: NDArray[np.int64], broken: Broken
    ) -> tuple[Reject, ...]:
        """Build the first rejects, in the order of the input, as far as there is room."""
        if self._room <= 0:
            return ()
        rejects = list(broken.rejects(self._room))
        for row in bad[: self._room].tolist():
            column, reason = self._reason(rows, faults, row)
            rejects.append(
                Reject(
                    line_number=rows.origins.line_number(row),
                    column_name=column,
                    reason=reason,
                    raw=rows.origins.raw(row),
                )
            )
        rejects.sort(key=lambda reject: reject.line_number or 0)
        del rejects[self._room :]
        self._room -= len(rejects)
        return tuple(rejects)

    def _reason(self, rows: Rows, faults: _Faults, row: int) -> tuple[str | None, str]:
        """Name the first column at fault and what is wrong with it."""
        mapping, longest = self._mapping, self._limits.name_bytes
        type_column = None if mapping.type is not None else mapping.type_column
        source_column = None if mapping.source is not None else mapping.source_column
        column: str | None
        if faults.time[row]:
            column = mapping.time_column
            reason = self.clock.reason(int(faults.time[row]), _text(rows.time, row))
            told = (rows.origins.reason(row, name) for name in mapping.time_columns)
            return column, next(filter(None, told), reason)
        if faults.event_type[row]:
            column, text = type_column, _text(rows.event_type, row)
            reason = names.reason(int(faults.event_type[row]), text, "type", longest)
        elif faults.source[row]:
            column, text = source_column, _text(rows.source, row)
            reason = names.reason(int(faults.source[row]), text, "source", longest)
        elif self.gate is not None and faults.refusal[row]:
            refusal = Refusal(faults.refusal[row])
            column, values = {
                Refusal.TYPE: (type_column, rows.event_type),
                Refusal.SOURCE: (source_column, rows.source),
            }.get(refusal, (mapping.time_column, rows.time))
            return column, self.gate.reason(refusal, _text(values, row))
        else:
            return rows.attribute_reason(row)
        return column, (column and rows.origins.reason(row, column)) or reason


@dataclass(frozen=True)
class _Faults:
    time: NDArray[np.uint8]
    event_type: NDArray[np.uint8]
    source: NDArray[np.uint8]
    refusal: NDArray[np.uint8]


def _compiled(pattern: str | None) -> re.Pattern[str] | None:
    return None if pattern is None else re.compile(pattern)


def _or_all(column: Array | None, name: str | None, count: int) -> Array:
    """Return a column, or the one name that all rows have where there is none."""
    if column is not None:
        return column
    only = pa.array([name or ""], pa.string())
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), only)


def _text(column: Array | None, row: int) -> str:
    """A value as a person reads it."""
    value = None if column is None else value_at(column, row)
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    return "" if value is None else str(value).strip()
