"""Events that a program has in memory: Arrow batches, or objects one by one, as batches to load."""

import hashlib
from collections import abc
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from numbers import Integral, Real
from typing import Any, Final

from loader.errors import InputError, about
from loader.reading.arrow import ArrowError, RecordBatch, Schema, pa
from loader.reading.batch import EventBatch
from loader.reading.bounds import Bounds
from loader.reading.columns import ColumnReader
from loader.reading.limits import Limits
from loader.reading.mapping import Mapping
from loader.reading.rows import EVENT_TIME
from loader.settings.checks import fitted, shown

_ROWS_AT_ONCE: Final = 1 << 17
_NO_FRAME: Final = (
    "is no Arrow data; give a table or batches of pyarrow, or a frame of pandas or polars "
    "(.collect() a lazy one); for rows: pyarrow.Table.from_pylist(rows), or load_events"
)


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that a detector saw.

    Attributes:
        time: when, with an offset; a text in ISO 8601 becomes a time.
        type: what, such as ``pedestrian``; a number becomes a text, as in files.
        source: who saw it; likewise.

    Raises:
        InputError: one of them is nothing of the kind, or the time has no offset, so that nobody
            can tell when it was.
    """

    time: datetime
    type: str
    source: str

    def __post_init__(self) -> None:
        """Refuse what an ingest callable could only refuse for a whole batch."""
        time: object = fitted("time", self.time, datetime, InputError)
        object.__setattr__(self, "time", time)
        for name in ("type", "source"):
            value: object = getattr(self, name)
            if type(value) is not str:
                object.__setattr__(self, name, _name(name, value))


class EventsInMemory:
    """The events of Arrow batches of one schema, as ``load_batches`` takes them; iterate once.

    Two loads with the same key and mapping are the same load; without a key there is no such
    promise.
    """

    header: None = None

    def __init__(
        self, batches: Iterable[RecordBatch], mapping: Mapping, *, origin: str, key: str | None
    ) -> None:
        self.fingerprint: str | None = None
        if key is not None:
            meaning = mapping.meaning("parquet")
            self.fingerprint = hashlib.sha256(
                meaning + b"\n" + key.encode(errors="surrogatepass")
            ).hexdigest()
        self._batches = batches
        self._mapping = mapping
        self._origin = origin
        self.bounds: Bounds | None = None

    def _reader(self, schema: Schema) -> ColumnReader:
        try:
            reader = ColumnReader(schema, self._mapping, Limits(), has_rows=True)
        except (ArrowError, UnicodeDecodeError) as error:
            raise InputError(str(error)) from error
        reader.assembler.bounds = self.bounds
        return reader

    def __iter__(self) -> Iterator[EventBatch]:
        """Yield events and rejects; InputError for unusable columns, or a schema that changes."""
        with about(self._origin):
            yield from self._read()

    def _read(self) -> Iterator[EventBatch]:
        reader: ColumnReader | None = None
        schema: Schema = None
        first_row = 1
        for whole in self._batches:
            if reader is None:
                schema = whole.schema
                reader = self._reader(schema)
            elif not whole.schema.equals(schema):
                raise InputError(
                    f"the batch of row {first_row:,} has another schema than the first one; cast it"
                )
            for start in range(0, whole.num_rows, _ROWS_AT_ONCE):
                piece = whole.slice(start, _ROWS_AT_ONCE)
                try:
                    found = reader.batch(piece, first_row)
                except ArrowError as error:
                    raise InputError(f"row {first_row:,}: {error}") from error
                yield found
                first_row += piece.num_rows


def as_events(events: object) -> Iterator[Event]:
    """Yield events, and what says the same: dicts and objects with a time, a type and a source.

    InputError says which is none, counted from 1.
    """
    if isinstance(events, Event | str | bytes | abc.Mapping) or not isinstance(
        events, abc.Iterable
    ):
        raise InputError(f"{shown(events)} is not a list or generator of events")
    if hasattr(events, "__arrow_c_stream__"):
        raise InputError(f"a {type(events).__name__} is loaded with load_arrow")
    for number, event in enumerate(events, 1):
        try:
            yield event if isinstance(event, Event) else _event(event)
        except InputError as error:
            raise InputError(f"event {number:,}: {error}") from None


def _event(given: Any) -> Event:
    if isinstance(given, abc.Mapping):
        if set(given) == {"time", "type", "source"}:
            return Event(**given)
        keys = ", ".join(map(shown, given))
        raise InputError(f"has the keys {keys}; an event has time, type and source")
    if hasattr(given, "time") and hasattr(given, "type") and hasattr(given, "source"):
        return Event(time=given.time, type=given.type, source=given.source)
    raise InputError(f"{shown(given)} is none; write Event(time=..., type=..., source=...)")


def _name(field: str, value: object) -> str:
    """A type or a source as files write them: 82 and 82.0 are the text 82."""
    if isinstance(value, Real) and not isinstance(value, bool):
        number = float(value)
        is_whole = isinstance(value, Integral) or number.is_integer()
        return str(int(value)) if is_whole else repr(number)  # type: ignore[call-overload]
    name: str = fitted(field, value, str, InputError)
    return name


def to_arrow(events: Iterable[Event]) -> Iterator[RecordBatch]:
    """Yield the events as batches with the columns time, type and source, or raise InputError."""
    rest = as_events(events)
    while some := list(islice(rest, _ROWS_AT_ONCE)):
        try:
            yield pa.record_batch(
                {
                    "time": pa.array([event.time.astimezone(UTC) for event in some], EVENT_TIME),
                    "type": pa.array([event.type for event in some], pa.string()),
                    "source": pa.array([event.source for event in some], pa.string()),
                }
            )
        except (ArrowError, UnicodeEncodeError, OverflowError) as error:
            raise InputError(str(error)) from error


def to_batches(given: Any) -> Iterator[RecordBatch]:
    """Yield the batches of whatever holds Arrow data, or can give it, or of several of these.

    InputError: it is nothing of the kind.
    """
    is_stream = hasattr(given, "__arrow_c_stream__")
    if is_stream or hasattr(given, "__arrow_c_array__"):
        try:
            if is_stream:
                yield from pa.RecordBatchReader.from_stream(given)
            else:
                yield pa.record_batch(given)
        except Exception as error:
            # Whatever the libraries of others raise.
            raise InputError(f"cannot be read as Arrow: {error}") from error
        return
    if isinstance(given, str | bytes | abc.Mapping) or not isinstance(given, abc.Iterable):
        raise InputError(f"{shown(given)} {_NO_FRAME}")
    for one in given:
        if not (hasattr(one, "__arrow_c_stream__") or hasattr(one, "__arrow_c_array__")):
            raise InputError(f"{shown(one)} {_NO_FRAME}")
        yield from to_batches(one)
