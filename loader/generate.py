"""Synthetic events: bursts of activity, rush hours and quiet nights, the same for the same seed."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from loader.reading.arrow import Array, RecordBatch, pa, pc
from loader.reading.mapping import Format
from loader.reading.parquet import pq

_FIRST_DAY: Final = datetime(2024, 5, 13, tzinfo=UTC)
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
_LATEST_MS: Final = 30 * 24 * _HOUR_MS


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
    """

    events: int = field(default=10_000, metadata={"least": 0})
    sources: int = field(default=3, metadata={"least": 1})
    days: int = field(default=1, metadata={"least": 1})
    late: float = field(default=0.0, metadata={"least": 0, "below": 1})
    duplicates: float = field(default=0.0, metadata={"least": 0, "below": 1})
    seed: int = field(default=1, metadata={"least": 0})


# An event: milliseconds since 1970, type and source by their position.
_EVENT: Final = np.dtype([("time", np.int64), ("kind", np.int32), ("source", np.int32)])


def generate(options: GenerateOptions) -> Iterator[RecordBatch]:
    """Make up events, ordered by time but for the late ones; all of them are in memory.

    Yields at least one batch: ``time`` timestamp[ms, UTC], ``type`` and ``source`` each
    dictionary<int32, string>.
    """
    width = max(2, len(str(options.sources)))
    names = [f"camera-{number + 1:0{width}d}" for number in range(options.sources)]
    types, sources = pa.array(_TYPES), pa.array(names)
    events = _rows(options)
    for first in range(0, max(len(events), 1), _ROWS_AT_ONCE):
        some = events[first : first + _ROWS_AT_ONCE]
        yield pa.RecordBatch.from_pydict(
            {
                "time": pa.array(some["time"]).cast(pa.timestamp("ms", "UTC")),
                "type": pa.DictionaryArray.from_arrays(pa.array(some["kind"]), types),
                "source": pa.DictionaryArray.from_arrays(pa.array(some["source"]), sources),
            }
        )


def write(options: GenerateOptions, output: BinaryIO, output_format: Format = "csv") -> int:
    """Write events to a binary file and return how many."""
    batches = generate(options)
    if output_format == "parquet":
        _write_parquet(batches, output)
    elif output_format == "csv":
        output.write(b"time,type,source\n")
        output.writelines(map(_csv, batches))
    else:
        output.writelines(map(_ndjson, batches))
    return options.events


def _write_parquet(batches: Iterator[RecordBatch], output: BinaryIO) -> None:
    first = next(batches)
    # A pipe gets it as a whole, for Parquet is written with positions.
    sink = None if output.seekable() else pa.BufferOutputStream()
    with pq.ParquetWriter(pa.PythonFile(output) if sink is None else sink, first.schema) as writer:
        for batch in chain([first], batches):
            writer.write_batch(batch)
    if sink is not None:
        output.write(sink.getvalue())


def _rows(options: GenerateOptions) -> NDArray[Any]:
    """Make up all events, in the order in which they stand in the file."""
    # Rounded down, so that there is something to repeat.
    repeats = int(options.events * options.duplicates)
    random = np.random.default_rng([options.seed, 0])
    counts = random.multinomial(options.events - repeats, _weights(options))
    start = int(_FIRST_DAY.timestamp() * 1000)
    # A generator for each hour: what one draws does not shift the others.
    made = [
        _episodes(
            np.random.default_rng([options.seed, 1, hour]),
            count,
            start + hour * _HOUR_MS,
            options.sources,
        )
        for hour, count in enumerate(counts.tolist())
    ]
    events = np.concatenate(made)
    # Episodes that go on past midnight of the last day end there.
    end = start + len(counts) * _HOUR_MS
    events["time"] = np.minimum(events["time"], end - 1)
    copies = events[random.integers(0, max(len(events), 1), repeats)]
    events = np.concatenate([events, copies])
    arrival = events["time"].copy()
    late = np.flatnonzero(random.random(len(arrival)) < options.late)
    arrival[late] += random.integers(0, np.minimum(end - arrival[late], _LATEST_MS))
    return events[np.lexsort((events["source"], events["kind"], arrival))]


def _episodes(random: np.random.Generator, count: int, start: int, sources: int) -> NDArray[Any]:
    """Make up this many events that begin in an hour; the last ones may go beyond its end."""
    lengths = random.geometric(1 / _EPISODE_EVENTS, count)
    lengths = lengths[: int(np.searchsorted(np.cumsum(lengths), count)) + 1]
    episode = np.repeat(np.arange(len(lengths)), lengths)[:count]
    firsts = np.searchsorted(episode, np.arange(len(lengths)))
    gaps = np.minimum(random.exponential(_GAP_MS, count), _LONGEST_GAP_MS).astype(np.int64)
    passed = np.cumsum(gaps)
    begins = start + random.integers(0, _HOUR_MS, len(lengths))
    busy = 1 / (1 + 0.3 * np.arange(sources))
    places = random.choice(sources, len(lengths), p=busy / busy.sum()).astype(np.int32)
    people = random.random(len(lengths)) < _PEOPLE_SHARE
    shares = np.where(people[:, None], np.cumsum(_PEOPLE), np.cumsum(_VEHICLES))
    kinds = (random.random(count)[:, None] >= shares[episode]).sum(axis=1)
    events = np.empty(count, _EVENT)
    events["time"] = begins[episode] + passed - passed[firsts][episode]
    events["kind"] = np.minimum(kinds, len(_TYPES) - 1)
    events["source"] = places[episode]
    return events


def _weights(options: GenerateOptions) -> NDArray[np.float64]:
    """Share of the events that each hour gets."""
    weekdays = (_FIRST_DAY.weekday() + np.arange(options.days)) % 7
    weights = np.outer(np.where(weekdays < 5, 1.0, _WEEKEND), _BUSY).ravel()
    return np.asarray(weights / weights.sum(), np.float64)


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
