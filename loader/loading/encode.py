"""Batches to rows of ids, and the parts of a binary COPY, without a loop over rows.

A row of a COPY is the number of its fields (int16), then for each field its length (int32, -1 for
null) and its bytes, all big-endian. With fixed widths it is a record of a numpy array.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from psycopg import Connection

from loader.database.names_to_ids import NamesToIds

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"

# PostgreSQL counts from 2000-01-01 UTC.
POSTGRES_EPOCH_US = 946_684_800_000_000


@dataclass(frozen=True, kw_only=True, eq=False)
class EncodedRows:
    """Some events, their names replaced by the ids of the dictionaries.

    Attributes:
        event_time: microseconds since 1970-01-01 UTC.
        source_id: ids of ``raw.sources``.
        event_type_id: ids of ``raw.event_types``.
        attributes: a JSON object per event; None when none were asked for.
        row_number: how many events of the load came before these; None where nobody asks.
    """

    event_time: npt.NDArray[np.int64]
    source_id: npt.NDArray[np.int32]
    event_type_id: npt.NDArray[np.int16]
    attributes: pa.StringArray | None = None
    row_number: int | None = None

    def take(self, indices: npt.NDArray[np.int64]) -> EncodedRows:
        """Return the rows with these indices, in this order."""
        return EncodedRows(
            event_time=self.event_time[indices],
            source_id=self.source_id[indices],
            event_type_id=self.event_type_id[indices],
            attributes=None if self.attributes is None else self.attributes.take(indices),
            row_number=self.row_number,
        )


class Encoder:
    """Gives the events of an input ids instead of names."""

    def __init__(self, conn: Connection) -> None:
        """Use a connection in autocommit mode."""
        self._sources = NamesToIds(conn, "sources")
        self._event_types = NamesToIds(conn, "event_types")

    @property
    def have_new_names(self) -> bool:
        """Whether names were added since this was made."""
        return self._sources.has_new_names or self._event_types.has_new_names

    def rows_of(self, events: pa.RecordBatch, row_number: int | None = None) -> EncodedRows:
        """Return the events of a batch with ids instead of names."""
        attributes = None
        if "attributes" in events.schema.names:
            attributes = cast("pa.StringArray", events.column("attributes"))
        times = events.column("event_time").cast(pa.int64())
        return EncodedRows(
            event_time=times.to_numpy(zero_copy_only=False),
            source_id=self._sources.ids_of(events.column("source")).astype(np.int32),
            event_type_id=self._event_types.ids_of(events.column("event_type")).astype(np.int16),
            attributes=attributes,
            row_number=row_number,
        )


def text_of(
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
