"""Events that a program has in memory: Arrow batches, or objects one by one, as batches to load."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC
from itertools import islice
from typing import TYPE_CHECKING, Final

from loader.errors import InputError
from loader.reading.arrow import ArrowError, RecordBatch, Schema, pa
from loader.reading.columns import ColumnReader
from loader.reading.limits import Limits
from loader.reading.rows import EVENT_TIME

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from loader.reading.batch import EventBatch
    from loader.reading.bounds import Gate
    from loader.reading.mapping import Mapping

_ROWS_AT_ONCE: Final = 1 << 17


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that a detector saw.

    Attributes:
        time: when, with an offset.
        type: what, such as ``pedestrian``.
        source: who saw it.

    Raises:
        ValueError: the time has no offset, so that nobody can tell when it was.
    """

    time: datetime
    type: str
    source: str

    def __post_init__(self) -> None:
        """Refuse what an ingest callable could only refuse for a whole batch."""
        if self.time.utcoffset() is None:
            raise ValueError(f"{self.time.isoformat()} has no offset; give the time a tzinfo")


class Frames:
    """The events of Arrow batches, as ``load_batches`` takes them; iterate once.

    Args:
        batches: all of one schema.
        mapping: what the columns mean.
        origin: what errors call them.
        key: two loads with the same key and mapping are the same load; None for no such promise.
    """

    header: None = None

    def __init__(
        self, batches: Iterable[RecordBatch], mapping: Mapping, *, origin: str, key: str | None
    ) -> None:
        self.fingerprint: str | None = None
        if key is not None:
            meaning = mapping.meaning("parquet")
            self.fingerprint = hashlib.sha256(meaning + b"\n" + key.encode()).hexdigest()
        self._batches = batches
        self._mapping = mapping
        self._origin = origin
        self._gate: Gate | None = None

    def guard(self, gate: Gate) -> None:
        """Reject the rows that this gate refuses; before the first batch."""
        self._gate = gate

    def __iter__(self) -> Iterator[EventBatch]:
        """Yield events and rejects.

        Raises:
            InputError: a column is missing or of an unusable type, or the schema changes.
        """
        reader: ColumnReader | None = None
        schema: Schema = None
        first_row = 1
        for whole in self._batches:
            if reader is None:
                schema = whole.schema
                reader = ColumnReader(schema, self._mapping, Limits(), self._origin, has_rows=True)
                reader.assembler.gate = self._gate
            elif not whole.schema.equals(schema):
                raise InputError(
                    f"{self._origin}: the batch of row {first_row:,} has another schema than the "
                    "first one; cast it"
                )
            for start in range(0, whole.num_rows, _ROWS_AT_ONCE):
                piece = whole.slice(start, _ROWS_AT_ONCE)
                try:
                    found = reader.batch(piece, first_row)
                except ArrowError as error:
                    raise InputError(f"{self._origin}: row {first_row:,}: {error}") from error
                yield found
                first_row += piece.num_rows


def to_arrow(events: Iterable[Event], origin: str) -> Iterator[RecordBatch]:
    """Yield the events as Arrow batches with the columns time, type and source.

    Raises:
        InputError: a type or source is not text.
    """
    rest = iter(events)
    while some := list(islice(rest, _ROWS_AT_ONCE)):
        try:
            yield pa.record_batch(
                {
                    "time": pa.array([event.time.astimezone(UTC) for event in some], EVENT_TIME),
                    "type": pa.array([event.type for event in some], pa.string()),
                    "source": pa.array([event.source for event in some], pa.string()),
                }
            )
        except (ArrowError, UnicodeEncodeError) as error:
            raise InputError(f"{origin}: {error}") from error
