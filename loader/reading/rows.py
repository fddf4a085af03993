"""Rows: columns as a reader found them, made into a batch of events and rejects."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import abc
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

from loader.errors import UsageError
from loader.reading import attributes
from loader.reading.arrow import Array, pa
from loader.reading.batch import EventBatch, Reject
from loader.reading.bounds import Bounds, Refusal
from loader.reading.limits import Limits
from loader.reading.mapping import Mapping
from loader.reading.names import Names
from loader.reading.selection import without_unused_names
from loader.reading.texts import joined, value_at
from loader.reading.times import Clock

EVENT_TIME: Final = pa.timestamp("us", "UTC")


class Origins(ABC):
    """Tells where rows stood in the input; asked only for rows that are rejected."""

    @abstractmethod
    def line_number(self, row: int) -> int:
        """Line of this row of the columns, counted from 1."""

    @abstractmethod
    def raw(self, row: int) -> bytes:
        """Bytes of this row as it stood in the input."""

    def reason(self, row: int, column_name: str) -> str | None:  # noqa: ARG002
        """What the format itself knows to be wrong with a value, such as a missing key."""
        return None


@dataclass(frozen=True)
class Broken:
    """Rows that did not even become columns: how many, and rejects, made only as far as needed."""

    count: int = 0
    rejects: Iterable[Reject] = ()

    def __add__(self, others: Broken) -> Broken:
        """Put others behind these."""
        return Broken(self.count + others.count, chain(self.rejects, others.rejects))


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows as columns of equal length, of any type that `ColumnReader` lets pass.

    Attributes:
        columns: those with the time, the type and the source, by name.
        compared: those that the selection looks at, by name.
        members: the attributes as JSON, by name.
        origins: where the rows stood.
    """

    columns: abc.Mapping[str, Array]
    compared: abc.Mapping[str, Array]
    members: abc.Mapping[str, attributes.Member]
    origins: Origins


class Assembler:
    """Makes batches; knows how many rejects of the input were kept already.

    Attributes:
        clock: reads times.
        bounds: refuses times and names that the load may not hold; None refuses none.
    """

    def __init__(self, mapping: Mapping, limits: Limits) -> None:
        if mapping.source_from_path is not None:
            raise UsageError("source_from_path is for files only: here is no path to take it from")
        self._mapping = mapping
        self._room = limits.rejects_kept
        self.clock = Clock(mapping.time_format, mapping.timezone, mapping.repeated_hour)
        self._types = Names("type", mapping, limits.name_bytes)
        self._sources = Names("source", mapping, limits.name_bytes)
        self.bounds: Bounds | None = None

    def batch(self, rows: Rows, broken: Broken | None = None) -> EventBatch:
        """Check rows and split them into events and rejects; leave out what is not wanted."""
        mapping = self._mapping
        time = joined([rows.columns[name] for name in mapping.time_columns])
        micros, time_faults = self.clock.read(time)
        types, type_faults = self._types.read(rows.columns, len(micros))
        sources, source_faults = self._sources.read(rows.columns, len(micros))
        columns = {
            "event_time": pa.array(micros).cast(EVENT_TIME),
            "source": sources,
            "event_type": types,
        }
        checks = [
            _Check(mapping.time_column, time, time_faults, self.clock.reason),
            *(
                _Check(names.column, rows.columns.get(names.column or ""), faults, names.reason)
                for names, faults in ((self._types, type_faults), (self._sources, source_faults))
            ),
        ]
        faulty = (time_faults | type_faults | source_faults) != 0
        if rows.members:
            columns["attributes"] = kept = attributes.join(rows.members)
            if kept.null_count:
                faulty |= kept.is_null().to_numpy(zero_copy_only=False)
        left_out = np.zeros(len(micros), np.bool_)
        if mapping.selection is not None:
            left_out = mapping.selection.leaves_out(
                micros, time_faults == 0, types, sources, rows.compared
            )
        if self.bounds is not None:
            good = ~(faulty | left_out)
            all_bounds = self.bounds, self.bounds.types, self.bounds.sources
            bounded = zip(all_bounds, (micros, types, sources), checks.copy(), strict=True)
            for bounds, values, check in bounded:
                if bounds is None:
                    continue
                refused = bounds.refuse(values, good)
                good &= refused == 0
                checks.append(replace(check, faults=refused, explain=bounds.reason))
                if isinstance(bounds, Bounds) and bounds.leaves_out_old:
                    left_out |= refused == Refusal.OLD
            faulty |= ~(good | left_out)
        bad = np.flatnonzero(faulty & ~left_out)
        events = pa.RecordBatch.from_pydict(columns)
        if left_out.any():
            events = without_unused_names(events.filter(pa.array(~(faulty | left_out))))
        elif len(bad):
            events = events.filter(pa.array(~faulty))
        broken = broken or Broken()
        return EventBatch(
            events=events,
            rejects=self._keep(rows, checks, bad, broken),
            rows_rejected=len(bad) + broken.count,
            rows_left_out=int(np.count_nonzero(left_out)),
        )

    def _keep(
        self,
        rows: Rows,
        checks: Sequence[_Check],
        bad: NDArray[np.int64],
        broken: Broken,
    ) -> tuple[Reject, ...]:
        """Build the first rejects, in the order of the input, as far as there is room."""
        if self._room <= 0:
            return ()
        rejects = list(islice(broken.rejects, self._room))
        for row in bad[: self._room].tolist():
            column, reason = self._reason(rows, checks, row)
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

    def _reason(self, rows: Rows, checks: Sequence[_Check], row: int) -> tuple[str | None, str]:
        """Name the first column at fault and what is wrong with it."""
        for check in checks:
            if fault := int(check.faults[row]):
                is_time = check.column == self._mapping.time_column
                names = self._mapping.time_columns if is_time else filter(None, [check.column])
                told = filter(None, (rows.origins.reason(row, name) for name in names))
                return check.column, next(told, "") or check.explain(fault, check.text(row))
        return attributes.find_fault(rows.members, row)


@dataclass(frozen=True)
class _Check:
    """What was found in a column, the fault of each row, and what explains it."""

    column: str | None
    values: Array | None
    faults: NDArray[np.uint8]
    explain: Callable[[int, str], str]

    def text(self, row: int) -> str:
        """A value as a person reads it."""
        value = None if self.values is None else value_at(self.values, row)
        if isinstance(value, bytes):
            value = value.decode(errors="replace")
        if isinstance(value, float) and value.is_integer():
            # With its digits, which tell the unit of a time.
            value = int(value)
        return "" if value is None else str(value).strip()
