"""Events to the bytes of a binary COPY, without a Python loop over rows.

A row is the number of its fields (int16), then for each field its length (int32, -1 for null)
and its bytes, all big-endian. With fixed widths a row is a record of a numpy array; attributes
vary in length and are scattered behind the records.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"

# PostgreSQL counts from 2000-01-01 UTC.
_POSTGRES_EPOCH_US = 946_684_800_000_000
_JSONB_VERSION = 1

_EVENT_FIELDS = (
    ("event_time", ">i8"),
    ("load_id", ">i8"),
    ("source_id", ">i4"),
    ("event_type_id", ">i2"),
)
_ROW_NUMBER_FIELD = ("row_number", ">i8")


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """Some events, their names replaced by the ids of the dictionaries.

    Attributes:
        event_time: microseconds since 1970-01-01 UTC.
        source_id: ids of ``raw.sources``.
        event_type_id: ids of ``raw.event_types``.
        attributes: a JSON object per event; None when none were asked for.
        row_number: how many events of the load came before each; None unless it is copied too.
    """

    event_time: npt.NDArray[np.int64]
    source_id: npt.NDArray[np.int32]
    event_type_id: npt.NDArray[np.int16]
    attributes: pa.StringArray | None = None
    row_number: npt.NDArray[np.int64] | None = None

    def take(self, indices: npt.NDArray[np.int64]) -> Rows:
        """Return the rows with these indices, in this order."""
        return Rows(
            event_time=self.event_time[indices],
            source_id=self.source_id[indices],
            event_type_id=self.event_type_id[indices],
            attributes=None if self.attributes is None else self.attributes.take(indices),
            row_number=None if self.row_number is None else self.row_number[indices],
        )


def copied_columns(*, has_attributes: bool, has_row_numbers: bool = False) -> tuple[str, ...]:
    """Return the columns, in order, that ``encode`` writes."""
    names = [name for name, _ in _fields(has_row_numbers)]
    return (*names, "attributes") if has_attributes else tuple(names)


def encode(rows: Rows, load_id: int) -> memoryview:
    """Return the rows as they stand between ``HEADER`` and ``TRAILER``."""
    count = len(rows.event_time)
    fields = _fields(rows.row_number is not None)
    layout: list[tuple[str, str]] = [("fields", ">i2")]
    for name, kind in fields:
        layout += [(f"{name} length", ">i4"), (name, kind)]
    if rows.attributes is not None:
        layout.append(("attributes length", ">i4"))
    records = np.empty(count, dtype=layout)
    records["fields"] = len(fields) + (rows.attributes is not None)
    for name, kind in fields:
        records[f"{name} length"] = np.dtype(kind).itemsize
    records["event_time"] = rows.event_time - _POSTGRES_EPOCH_US
    records["load_id"] = load_id
    records["source_id"] = rows.source_id
    records["event_type_id"] = rows.event_type_id
    if rows.row_number is not None:
        records["row_number"] = rows.row_number
    if rows.attributes is None:
        return records.view(np.uint8).data
    return _append_jsonb(records, rows.attributes)


def _fields(has_row_numbers: bool) -> tuple[tuple[str, str], ...]:
    return (*_EVENT_FIELDS, _ROW_NUMBER_FIELD) if has_row_numbers else _EVENT_FIELDS


def _append_jsonb(records: npt.NDArray[Any], attributes: pa.StringArray) -> memoryview:
    """Put the attributes of each row, as a jsonb field, behind its record."""
    text, starts, is_null = _text_of(attributes)
    lengths = np.diff(starts)
    records["attributes length"] = np.where(is_null, -1, lengths + 1)
    # One byte more for the version of jsonb, where there is a value at all.
    extra = np.where(is_null, 0, lengths + 1)
    width = records.dtype.itemsize
    ends = np.cumsum(width + extra)
    begins = ends - width - extra
    result = np.empty(int(ends[-1]) if len(ends) else 0, dtype=np.uint8)
    is_text = np.ones(len(result), dtype=bool)
    fixed = (begins[:, np.newaxis] + np.arange(width)).ravel()
    result[fixed] = records.view(np.uint8)
    is_text[fixed] = False
    versions = (begins + width)[~is_null]
    result[versions] = _JSONB_VERSION
    is_text[versions] = False
    # What is left is exactly as long as the text, and in the same order.
    result[is_text] = text
    return result.data


def _text_of(
    attributes: pa.StringArray,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return the UTF-8 bytes of all values, where each starts and ends, and which are null."""
    is_null = np.asarray(attributes.is_null().to_numpy(zero_copy_only=False))
    # Nulls may have bytes below them; filled, and cast to 64-bit offsets, they have none.
    values = attributes.fill_null("").cast(pa.large_string())
    if len(values) == 0:
        return np.empty(0, dtype=np.uint8), np.zeros(1, dtype=np.int64), is_null
    _, offsets, data = cast("tuple[None, memoryview, memoryview | None]", values.buffers())
    starts = np.frombuffer(offsets, dtype=np.int64)[values.offset : values.offset + len(values) + 1]
    whole = np.frombuffer(data or b"", dtype=np.uint8)
    return whole[int(starts[0]) : int(starts[-1])], starts, is_null
