"""Chunks: events of one load, source and day as one row of arrays, as the bytes of a binary COPY.

An event of its own costs 48 bytes, 28 more in an index, and most of the server's time; in an array
it costs ten. No chunk goes over midnight in UTC: who looks for events between two instants knows
which chunks can have them, and a partition has whole chunks. See docs/decisions/0033.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from loader.database.partitions import EVENTS_PER_CHUNK
from loader.loading.encode import POSTGRES_EPOCH_US, EncodedRows, text_of
from loader.reading.partition_days import days_of

_COLUMNS: Final = (
    ("first_event_at", ">i8"),
    ("last_event_at", ">i8"),
    ("load_id", ">i8"),
    ("source_id", ">i4"),
    ("event_count", ">i4"),
)
_TIMESTAMPTZ: Final = 1184
_SMALLINT: Final = 21
_JSONB: Final = 3802
_JSONB_VERSION: Final = 1

# Number of dimensions, whether there are nulls, type, length, number of the first element.
_ARRAY: Final = [(name, ">i4") for name in ("size", "dimensions", "nulls", "oid", "count", "low")]
_ARRAY_HEAD: Final = 20

# Rows to gather before they are cut, and how many where their chunks would be short.
_GATHERED_ROWS: Final = 1 << 18
_MOST_GATHERED_ROWS: Final = 1 << 19
# Events encoded at once: few enough that they stay in the processor's cache.
_PORTION: Final = 1 << 16


class Cutter:
    """Cuts the rows of a load into chunks, which have ``columns`` in this order."""

    def __init__(self, load_id: int, *, has_attributes: bool, is_numbered: bool = False) -> None:
        """Cut for a load; a numbered chunk tells how many events of the load came before it."""
        self._load_id = load_id
        self._has_attributes = has_attributes
        self._is_numbered = is_numbered
        numbers = ("row_number",) if is_numbered else ()
        self.columns = (
            *(name for name, _ in _COLUMNS),
            *numbers,
            "event_times",
            "event_type_ids",
            *(("attributes",) if has_attributes else ()),
        )

    def gather(self, gathered: list[EncodedRows]) -> EncodedRows | None:
        """Return what was gathered, and forget it, where more rows would not make better chunks."""
        # Attributes are long, and the number of a batch is that of its first row.
        is_whole = self._has_attributes or self._is_numbered
        count = sum(len(rows.event_time) for rows in gathered)
        if not is_whole and count < _GATHERED_ROWS:
            return None
        rows = concatenated(gathered)
        gathered.clear()
        if not is_whole and count < _MOST_GATHERED_ROWS:
            rows = in_order(rows)
            if count < len(_starts(rows)) * EVENTS_PER_CHUNK // 2:
                gathered.append(rows)
                return None
        return rows

    def encode(self, rows: EncodedRows) -> Iterator[memoryview]:
        """Yield the chunks of rows as they stand between ``HEADER`` and ``TRAILER``."""
        if len(rows.event_time) == 0:
            return
        rows = in_order(rows)
        starts = _starts(rows)
        counts = np.diff(starts, append=len(rows.event_time))
        attributes = None if rows.attributes is None else _Attributes(rows.attributes)
        # Chunks of one length are records of one width: there are EVENTS_PER_CHUNK lengths at most.
        for count in np.flatnonzero(np.bincount(counts)).tolist():
            of_this_length = starts[counts == count]
            step = max(1, _PORTION // count)
            for place in range(0, len(of_this_length), step):
                begin = of_this_length[place : place + step]
                records = self._records(rows, begin, count)
                if attributes is None:
                    yield records.view(np.uint8).data
                else:
                    yield attributes.behind(records, begin, count)

    def _records(self, rows: EncodedRows, starts: NDArray[np.int64], count: int) -> NDArray[Any]:
        """Return the chunks that begin at these rows, and have so many each."""
        records = np.empty(len(starts), _layout(count, is_numbered=self._is_numbered))
        records["fields"] = len(self.columns)
        values: dict[str, Any] = {
            "first_event_at": rows.event_time[starts] - POSTGRES_EPOCH_US,
            "last_event_at": rows.event_time[starts + (count - 1)] - POSTGRES_EPOCH_US,
            "load_id": self._load_id,
            "source_id": rows.source_id[starts],
            "event_count": count,
        }
        if self._is_numbered:
            values["row_number"] = starts + (rows.row_number or 0)
        for name, value in values.items():
            records[f"{name} length"] = records.dtype[name].itemsize
            records[name] = value
        events = starts[:, np.newaxis] + np.arange(count)
        for name, oid, value in (
            ("event_times", _TIMESTAMPTZ, rows.event_time[events] - POSTGRES_EPOCH_US),
            ("event_type_ids", _SMALLINT, rows.event_type_id[events]),
        ):
            elements = records[name]["elements"]
            records[name]["head"] = _array_head(oid, count, elements[0].nbytes)
            elements["length"] = elements.dtype["value"].itemsize
            elements["value"] = value
        return records


def concatenated(gathered: list[EncodedRows]) -> EncodedRows:
    """Return batches as one."""
    if len(gathered) == 1:
        return gathered[0]
    attributes = [rows.attributes for rows in gathered if rows.attributes is not None]
    return EncodedRows(
        event_time=np.concatenate([rows.event_time for rows in gathered]),
        source_id=np.concatenate([rows.source_id for rows in gathered]),
        event_type_id=np.concatenate([rows.event_type_id for rows in gathered]),
        attributes=pa.concat_arrays(attributes) if attributes else None,
        row_number=gathered[0].row_number,
    )


def in_order(rows: EncodedRows) -> EncodedRows:
    """Return rows by source, those of a source by time and type, equal ones as they came."""
    if _are_in_order(rows):
        return rows
    ids = rows.source_id
    # NumPy has a radix sort for 16 bits.
    small = ids.astype(np.uint16) if ids.size and ids.min() >= 0 and ids.max() < 2**16 else ids
    by_source = rows.take(np.argsort(small, kind="stable"))
    # Mostly that is all: the input is in the order of time.
    if _are_in_order(by_source):
        return by_source
    return by_source.take(
        np.lexsort((by_source.event_type_id, by_source.event_time, by_source.source_id))
    )


def _are_in_order(rows: EncodedRows) -> bool:
    previous, source, time = rows.source_id[:-1], rows.source_id[1:], rows.event_time
    is_same = source == previous
    is_right = (source > previous) | is_same & (time[1:] > time[:-1])
    if is_right.all():
        return True
    equal = is_same & (time[1:] == time[:-1])
    is_right |= equal & (rows.event_type_id[1:] >= rows.event_type_id[:-1])
    return bool(is_right.all())


def _starts(rows: EncodedRows) -> NDArray[np.int64]:
    """Return where each chunk begins, of rows in order."""
    day = days_of(rows.event_time)
    is_new = np.ones(len(day), bool)
    is_new[1:] = (rows.source_id[1:] != rows.source_id[:-1]) | (day[1:] != day[:-1])
    starts = np.flatnonzero(is_new)
    counts = np.diff(starts, append=len(day))
    if counts.max(initial=0) <= EVENTS_PER_CHUNK:
        return starts
    place = np.arange(len(day)) - np.repeat(starts, counts)
    return np.flatnonzero(place % EVENTS_PER_CHUNK == 0)


@cache
def _layout(count: int, *, is_numbered: bool) -> np.dtype[Any]:
    """Return the record of a chunk of so many events, without attributes."""
    columns = (*_COLUMNS, ("row_number", ">i8")) if is_numbered else _COLUMNS
    layout: list[tuple[str, Any]] = [("fields", ">i2")]
    for name, kind in columns:
        layout += [(f"{name} length", ">i4"), (name, kind)]
    for name, kind in (("event_times", ">i8"), ("event_type_ids", ">i2")):
        element = np.dtype([("length", ">i4"), ("value", kind)])
        layout.append((name, np.dtype([("head", _ARRAY), ("elements", element, (count,))])))
    return np.dtype(layout)


def _array_head(oid: int, count: int, size: int) -> tuple[int, ...]:
    """Return the fields of ``_ARRAY``, for elements that take so many bytes."""
    return (_ARRAY_HEAD + size, 1, 0, oid, count, 1)


class _Attributes:
    """The attributes of rows in order, each as an element of an array."""

    def __init__(self, attributes: pa.StringArray) -> None:
        text, starts, is_null = text_of(attributes)
        lengths = np.diff(starts)
        sizes = np.where(is_null, 4, 5 + lengths)
        self._ends = np.concatenate([[0], np.cumsum(sizes)])
        heads = np.empty(len(lengths), [("length", ">i4"), ("version", "u1")])
        heads["length"] = np.where(is_null, -1, lengths + 1)
        heads["version"] = _JSONB_VERSION
        elements = np.empty(int(self._ends[-1]), np.uint8)
        is_text = np.ones(len(elements), bool)
        raw = heads.view(np.uint8).reshape(-1, 5)
        for byte in range(5):
            # A null has a length and nothing else.
            there = np.flatnonzero(~is_null) if byte == 4 else np.arange(len(lengths))
            places = self._ends[there] + byte
            elements[places] = raw[there, byte]
            is_text[places] = False
        # What is left is exactly as long as the text, and in the same order.
        elements[is_text] = text
        self._elements = elements.data

    def behind(self, records: NDArray[Any], starts: NDArray[np.int64], count: int) -> memoryview:
        """Return chunks, each with the attributes of its events behind it."""
        parts: list[bytes | memoryview] = []
        begins, ends = self._ends[starts].tolist(), self._ends[starts + count].tolist()
        for record, begin, end in zip(records, begins, ends, strict=True):
            head = np.array(_array_head(_JSONB, count, end - begin), ">i4")
            parts += [record.tobytes(), head.tobytes(), self._elements[begin:end]]
        return memoryview(b"".join(parts))
