"""Synthetic events: bursts of activity, rush hours and quiet nights, the same for the same seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, BinaryIO, Final

import numpy as np

from loader.errors import UsageError
from loader.reading.arrow import Array, RecordBatch, pa, pc, pq
from loader.reading.mapping import FORMATS, Format

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_HOUR_MS: Final = 3_600_000
_ROWS_AT_ONCE: Final = 200_000
# How busy each hour of a working day is, from midnight on; two rush hours, a quiet night.
_BUSY: Final = (
    *(1.0, 0.5, 0.3, 0.2, 0.4, 1.5, 4.0, 8.0, 10.0, 7.0, 5.0, 5.0),
    *(6.0, 6.0, 5.0, 6.0, 8.0, 10.0, 9.0, 6.0, 4.0, 3.0, 2.0, 1.5),
)
_WEEKEND: Final = 0.6
_TYPES: Final = ("pedestrian", "bicycle", "car", "truck", "van")
# An episode is about people or about vehicles, and the types differ within it.
_PEOPLE_SHARE: Final = 0.3
_PEOPLE: Final = (0.7, 0.3, 0.0, 0.0, 0.0)
_VEHICLES: Final = (0.0, 0.0, 0.78, 0.12, 0.1)
_EPISODE_EVENTS: Final = 8
_GAP_MS: Final = 5_000
_LONGEST_GAP_MS: Final = 45_000
_LATEST_HOURS: Final = 30 * 24


@dataclass(frozen=True, kw_only=True)
class GenerateOptions:
    """What to make up.

    Attributes:
        events: rows in all, repeated ones included.
        sources: how many sources, named ``camera-01`` and so on.
        days: over how many days.
        late: share of the events that stand later in the file than their time, by up to a
            month.
        duplicates: share of the rows that repeat another one exactly.
        seed: the same seed and options give the same bytes.
        start: first day.

    Raises:
        UsageError: one of them is out of range.
    """

    events: int = 10_000
    sources: int = 3
    days: int = 1
    late: float = 0.0
    duplicates: float = 0.0
    seed: int = 1
    start: date = field(default=date(2024, 5, 13))

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if self.events < 0 or self.sources < 1 or self.days < 1 or self.seed < 0:
            raise UsageError("--events and --seed start at 0, --sources and --days at 1")
        for option, share in (("--late", self.late), ("--duplicates", self.duplicates)):
            if not 0 <= share < 1:
                raise UsageError(f"{option} is a share: 0 or more and less than 1")


@dataclass(frozen=True, kw_only=True)
class _Events:
    """Events as numbers: milliseconds since 1970, type and source by their position."""

    time: NDArray[np.int64]
    kind: NDArray[np.int32]
    source: NDArray[np.int32]

    def take(self, at: NDArray[np.int64] | NDArray[np.bool_]) -> _Events:
        return _Events(time=self.time[at], kind=self.kind[at], source=self.source[at])

    def until(self, end: int) -> _Events:
        """The same, with no time after the last millisecond before ``end``."""
        return _Events(time=np.minimum(self.time, end - 1), kind=self.kind, source=self.source)

    @staticmethod
    def join(parts: list[_Events]) -> _Events:
        return _Events(
            time=np.concatenate([part.time for part in parts]),
            kind=np.concatenate([part.kind for part in parts]),
            source=np.concatenate([part.source for part in parts]),
        )


def generate(options: GenerateOptions) -> Iterator[RecordBatch]:
    """Make up events, ordered by time but for the late ones.

    Yields:
        ``time`` timestamp[ms, UTC], ``type`` and ``source`` each dictionary<int32, string>.
    """
    width = max(2, len(str(options.sources)))
    names = [f"camera-{number + 1:0{width}d}" for number in range(options.sources)]
    types, sources = pa.array(_TYPES), pa.array(names)
    for events in _slots(options):
        for first in range(0, len(events.time), _ROWS_AT_ONCE):
            part = events.take(np.arange(first, min(first + _ROWS_AT_ONCE, len(events.time))))
            yield pa.RecordBatch.from_pydict(
                {
                    "time": pa.array(part.time).cast(pa.timestamp("ms", "UTC")),
                    "type": pa.DictionaryArray.from_arrays(pa.array(part.kind), types),
                    "source": pa.DictionaryArray.from_arrays(pa.array(part.source), sources),
                }
            )


def write(options: GenerateOptions, output: BinaryIO, output_format: Format = "csv") -> int:
    """Write events to a binary file and return how many.

    Raises:
        UsageError: there is no such format.
    """
    if output_format not in FORMATS:
        raise UsageError(f'--format "{output_format}" is not one of {", ".join(FORMATS)}')
    if output_format == "parquet":
        return _write_parquet(options, output)
    count = 0
    if output_format == "csv":
        output.write(b"time,type,source\n")
    for batch in generate(options):
        count += batch.num_rows
        output.write(_csv(batch) if output_format == "csv" else _ndjson(batch))
    return count


def _write_parquet(options: GenerateOptions, output: BinaryIO) -> int:
    schema = next(generate(GenerateOptions(events=1))).schema
    # A pipe gets it as a whole, for Parquet is written with positions.
    sink = None if output.seekable() else pa.BufferOutputStream()
    waiting: list[RecordBatch] = []
    count = 0
    with pq.ParquetWriter(pa.PythonFile(output) if sink is None else sink, schema) as writer:
        for batch in generate(options):
            count += batch.num_rows
            waiting.append(batch)
            # Row groups of many rows, however little happens in an hour.
            if sum(one.num_rows for one in waiting) >= _ROWS_AT_ONCE:
                writer.write_table(pa.Table.from_batches(waiting, schema))
                waiting.clear()
        writer.write_table(pa.Table.from_batches(waiting, schema))
    if sink is not None:
        output.write(sink.getvalue())
    return count


def _slots(options: GenerateOptions) -> Iterator[_Events]:
    """Yield the rows of the file, some for each slot of time; a slot is an hour at most."""
    # Rounded down, so that there is something to repeat.
    repeats = int(options.events * options.duplicates)
    per_hour = max(1, -(-options.events // (_ROWS_AT_ONCE * 24 * options.days)))
    slots = options.days * 24 * per_hour
    length = _HOUR_MS // per_hour
    random = np.random.default_rng([options.seed, 0])
    counts = random.multinomial(options.events - repeats, _weights(options, per_hour))
    made_before = np.cumsum(counts)
    lates = np.diff(np.floor(made_before * options.late).astype(np.int64), prepend=0)
    repeated = np.diff(made_before * repeats // max(int(made_before[-1]), 1), prepend=0)
    waiting: dict[int, list[_Events]] = {}
    carried = _empty()
    for slot in range(slots):
        # A generator for each slot: what one draws does not shift the others.
        random = np.random.default_rng([options.seed, 1, slot])
        start = _milliseconds(options.start) + slot * length
        end = start + length
        made = _episodes(random, int(counts[slot]), start, length, options.sources)
        if slot == slots - 1:
            # Episodes that go on past midnight of the last day end there.
            made, carried = made.until(end), carried.until(end)
        copies = made.take(random.integers(0, max(len(made.time), 1), int(repeated[slot])))
        is_late = np.zeros(len(made.time), np.bool_)
        is_late[random.permutation(len(made.time))[: int(lates[slot])]] = True
        for target, events in _delayed(random, made.take(is_late), slot, slots, per_hour):
            waiting.setdefault(target, []).append(events)
        now = _Events.join([carried, made.take(~is_late), copies])
        now = now.take(np.lexsort((now.source, now.kind, now.time)))
        split = int(np.searchsorted(now.time, end))
        carried, now = now.take(np.arange(split, len(now.time))), now.take(np.arange(split))
        yield _mix(random, now, waiting.pop(slot, []), at_end=slot == slots - 1)


def _mix(
    random: np.random.Generator, now: _Events, arrived: list[_Events], *, at_end: bool
) -> _Events:
    """Put late events between the others, anywhere, or behind them."""
    if not arrived:
        return now
    late = _Events.join(arrived)
    count = len(now.time)
    places = np.full(len(late.time), float(count))
    if not at_end:
        places *= random.random(len(places))
    order = np.argsort(np.concatenate([np.arange(count), places]), kind="stable")
    return _Events.join([now, late]).take(order)


def _delayed(
    random: np.random.Generator, events: _Events, slot: int, slots: int, per_hour: int
) -> Iterator[tuple[int, _Events]]:
    """Spread late events over the slots to come, up to a month, or to the end of the file."""
    if len(events.time) == 0:
        return
    furthest = min(slots - 1 - slot, _LATEST_HOURS * per_hour)
    targets = slot + (random.integers(1, furthest + 1, len(events.time)) if furthest else 0)
    targets = np.broadcast_to(targets, len(events.time))
    for target in np.unique(targets).tolist():
        yield target, events.take(targets == target)


def _episodes(
    random: np.random.Generator, count: int, start: int, length: int, sources: int
) -> _Events:
    """Make up this many events that begin in a slot; the last ones may go beyond its end."""
    if count == 0:
        return _empty()
    lengths = random.geometric(1 / _EPISODE_EVENTS, count)
    lengths = lengths[: int(np.searchsorted(np.cumsum(lengths), count)) + 1]
    episode = np.repeat(np.arange(len(lengths)), lengths)[:count]
    firsts = np.searchsorted(episode, np.arange(len(lengths)))
    gaps = np.minimum(random.exponential(_GAP_MS, count), _LONGEST_GAP_MS).astype(np.int64)
    passed = np.cumsum(gaps)
    begins = start + random.integers(0, length, len(lengths))
    busy = 1 / (1 + 0.3 * np.arange(sources))
    places = random.choice(sources, len(lengths), p=busy / busy.sum()).astype(np.int32)
    people = random.random(len(lengths)) < _PEOPLE_SHARE
    shares = np.where(people[:, None], np.cumsum(_PEOPLE), np.cumsum(_VEHICLES))
    kinds = (random.random(count)[:, None] >= shares[episode]).sum(axis=1)
    return _Events(
        time=begins[episode] + passed - passed[firsts][episode],
        kind=np.minimum(kinds, len(_TYPES) - 1).astype(np.int32),
        source=places[episode],
    )


def _weights(options: GenerateOptions, per_hour: int) -> NDArray[np.float64]:
    """Share of the events that each slot gets."""
    weekdays = (options.start.weekday() + np.arange(options.days)) % 7
    busy = np.where(weekdays < 5, 1.0, _WEEKEND)[:, None] * np.array(_BUSY)[None, :]
    weights = np.repeat(busy.ravel(), per_hour)
    return np.asarray(weights / weights.sum(), np.float64)


def _milliseconds(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)


def _empty() -> _Events:
    none = np.empty(0, np.int32)
    return _Events(time=np.empty(0, np.int64), kind=none, source=none)


def _texts(batch: RecordBatch) -> tuple[Array, Array, Array]:
    """Times without their Z, types and sources as texts."""
    # Cast without its zone: to format times with one takes three times as long.
    times = batch["time"].cast(pa.timestamp("ms")).cast(pa.string())
    kinds, sources = (batch[name].cast(pa.string()) for name in ("type", "source"))
    return pc.replace_substring(times, " ", "T"), kinds, sources


def _csv(batch: RecordBatch) -> bytes:
    time, kind, source = _texts(batch)
    return _bytes(pc.binary_join_element_wise(time, "Z,", kind, ",", source, "\n", ""))


def _ndjson(batch: RecordBatch) -> bytes:
    time, kind, source = _texts(batch)
    return _bytes(
        pc.binary_join_element_wise(
            '{"time": "', time, 'Z", "type": "', kind, '", "source": "', source, '"}\n', ""
        )
    )


def _bytes(lines: Array) -> bytes:
    """All texts of a column, one behind the other."""
    end = np.frombuffer(lines.buffers()[1], np.int32)[len(lines)]
    return bytes(lines.buffers()[2][: int(end)])
