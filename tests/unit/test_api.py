"""What programs hand over: taken where the meaning is clear, and refused by name if not."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import fields
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import loader
from loader import Event, InputError, LoaderError, LoadOptions, Mapping, UsageError
from loader import api as api_module
from loader.delivery.destinations import Destination
from loader.loading.result import LoadResult
from loader.reading.in_memory import EventsInMemory

TIME = datetime(2024, 5, 13, 15, tzinfo=UTC)
# What is handed over here is wrong on purpose; a type checker would not let it.
api: Any = loader
TABLE = pa.table({"time": [TIME], "type": ["car"], "source": ["gate"]})
NOWHERE = "host=/nowhere connect_timeout=1"


class NotATime(datetime):
    """Calls itself a datetime, as the NaT of pandas does."""

    def utcoffset(self) -> timedelta | None:
        raise ValueError("NaTType does not support utcoffset")


class Frame:
    """What a frame of pandas, polars or DuckDB is to others."""

    def __init__(self, table: Any) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


class Broken:
    """A frame whose library cannot give it."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        raise RuntimeError("no such type")


@pytest.fixture(autouse=True, scope="module")
def _no_database() -> Iterator[None]:
    """Have everything read, and nothing loaded."""

    def read(_: object, batches: EventsInMemory, *, origin: str, **_given: Any) -> LoadResult:
        found = list(batches)
        return LoadResult(
            load_id=None,
            load_seq=None,
            origin=origin,
            rows_read=sum(batch.rows_read for batch in found),
            rows_loaded=sum(batch.events.num_rows for batch in found),
            rows_rejected=sum(batch.rows_rejected for batch in found),
            rows_duplicate=0,
            rows_left_out=0,
            already_loaded=False,
            seconds=0.0,
            first_event_at=None,
            last_event_at=None,
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Destination, "prepare", lambda _: "")
        patch.setattr(api_module, "load_batches", read)
        yield


def event(**changed: Any) -> Event:
    return Event(**{"time": TIME, "type": "car", "source": "gate", **changed})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"time": "2024-05-13T17:00:00+02:00"}, event()),
        ({"time": " 2024-05-13 15:00:00Z "}, event()),
        ({"type": 82}, event(type="82")),
        ({"type": 82.0}, event(type="82")),
        ({"type": np.int64(82), "source": np.float64(1.5)}, event(type="82", source="1.5")),
        ({"type": np.str_("car")}, event()),
    ],
)
def test_an_event_takes_what_is_clear(given: dict[str, Any], expected: Event) -> None:
    found = event(**given)
    assert found == expected
    assert api.load_events([found]).rows_loaded == 1


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"time": datetime(2024, 5, 13, 15)}, "time: 2024-05-13T15:00:00 has no offset"),
        ({"time": "2024-05-13 15:00:00"}, "time: '2024-05-13 15:00:00' has no offset"),
        ({"time": "noon"}, "time: 'noon' is not a time such as 2024-05-13T15:00:00Z"),
        ({"time": date(2024, 5, 13)}, "is a date without a time of day"),
        ({"time": np.datetime64("2024-05-13")}, "has no offset; make it a datetime"),
        ({"time": NotATime(2024, 5, 13)}, "is not a time"),
        ({"time": 1715612400}, "time: 1715612400 is not a time"),
        ({"time": None}, "time: None is not a time"),
        ({"type": None}, "type: None is not a text"),
        ({"type": True}, "type: True is not a text"),
        ({"source": np.bool_(1)}, "source: .*True.* is not a text"),
        ({"source": b"gate"}, "source: b'gate' is not a text"),
    ],
)
def test_an_event_refuses_the_rest(given: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        event(**given)
    row = {"time": TIME, "type": "car", "source": "gate", **given}
    with pytest.raises(InputError, match=f"python: event 2: .*{says}"):
        api.load_events([event(), row])


@pytest.mark.parametrize(
    "events",
    [
        [event()],
        (event() for _ in range(1)),
        [{"time": TIME, "type": "car", "source": "gate"}],
        [SimpleNamespace(time=TIME, type="car", source="gate", Index=0)],
    ],
)
def test_what_says_the_same_is_an_event(events: Any) -> None:
    assert api.load_events(events).rows_loaded == 1


@pytest.mark.parametrize(
    ("events", "says"),
    [
        (None, "python: None is not a list or generator of events"),
        (event(), "python: Event.* is not a list"),
        ({"time": TIME}, "is not a list"),
        ("events.csv", "python: 'events.csv' is not a list"),
        ([(TIME, "car", "gate")], "event 1: .* write Event"),
        ([{"time": TIME, "type": "car"}], "event 1: has the keys 'time', 'type'; an event has"),
        ([TABLE], "event 1: "),
        ([event(time=datetime.max.replace(tzinfo=UTC))], None),
        ([event(source="\ud800")], "python: "),
        (Frame(TABLE), "python: .*"),
    ],
)
def test_what_is_no_events_is_refused(events: Any, says: str | None) -> None:
    if says is None:
        assert api.load_events(events).rows_rejected == 1
        return
    with pytest.raises(InputError, match=says):
        api.load_events(events)


def test_a_frame_is_loaded_with_load_arrow() -> None:
    class Rows(Frame, list[str]):
        """Iterates over the names of its columns, as pandas does."""

    with pytest.raises(InputError, match="a Rows is loaded with load_arrow"):
        api.load_events(Rows(TABLE))


@pytest.mark.parametrize(
    ("frames", "rows"),
    [
        (TABLE, 1),
        (TABLE.to_batches()[0], 1),
        (TABLE.to_reader(), 1),
        (TABLE.to_batches() * 2, 2),
        ((TABLE for _ in range(3)), 3),
        (Frame(TABLE), 1),
        ([Frame(TABLE), Frame(TABLE)], 2),
        (TABLE.to_struct_array().combine_chunks(), 1),
        ([], 0),
        (TABLE.slice(0, 0), 0),
    ],
)
def test_whatever_gives_arrow_data_is_taken(frames: Any, rows: int) -> None:
    assert api.load_arrow(frames).rows_loaded == rows


@pytest.mark.parametrize(
    ("frames", "says"),
    [
        (None, "None is no Arrow data"),
        ("events.csv", "is no Arrow data"),
        ({"time": [TIME]}, "is no Arrow data"),
        ([{"time": TIME}], "from_pylist"),
        (SimpleNamespace(collect=None), "collect"),
        (Broken(), "cannot be read as Arrow: no such type"),
        (pa.array([1, 2]), "cannot be read as Arrow"),
        (TABLE.select(["time"]), 'no column "type"'),
        (TABLE.append_column("time", [[TIME]]), "is there 2 times"),
        ([TABLE, TABLE.append_column("x", [[1]])], "another schema"),
    ],
)
def test_what_gives_no_arrow_data_is_refused(frames: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        api.load_arrow(frames)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: api.Selection(types="car"), r"types: 'car' is one text .*; write \['car'\]"),
        (lambda: api.Selection(sources=[1]), "sources: .* has 1, which is not a text"),
        (
            lambda: api.Selection(since=datetime(2024, 1, 1)),
            "since: 2024-01-01T00:00:00 has no offset",
        ),
        (lambda: api.Selection(until="tomorrow"), "until: 'tomorrow' is not a time"),
        (lambda: api.Mapping(attributes="conf"), "attributes: 'conf' is one text"),
        (lambda: api.Mapping(columns="time,type,source"), "columns: .* is one text"),
        (lambda: api.Mapping(columns=3), "columns: 3 is not several, of which each is a text"),
        (lambda: api.Mapping(time_column=None), "time_column: None is not a text"),
        (lambda: api.Mapping(type_map=["a=b"]), "type_map: .* is not a dict of texts"),
        (lambda: api.Mapping(type_map={1: "b"}), "type_map"),
        (lambda: api.Mapping(format="xml"), "format: 'xml' is not one of csv, ndjson, parquet"),
        (lambda: api.Mapping(selection=("car",)), "selection: .* is not a Selection"),
        (lambda: api.Mapping(timezone=2), "timezone: 2 is not a text"),
        (lambda: api.LoadOptions(workers=0), "workers: 0 is less than 1"),
        (lambda: api.LoadOptions(workers=-1), "workers: -1 is less than 1"),
        (lambda: api.LoadOptions(workers=True), "workers: True is not a whole number"),
        (lambda: api.LoadOptions(workers=1.5), "workers: 1.5 is not a whole number"),
        (lambda: api.LoadOptions(max_rejects=-1), "max_rejects: -1 is less than 0"),
        (lambda: api.LoadOptions(max_sources=0), "max_sources: 0 is less than 1"),
        (lambda: api.LoadOptions(dedupe="exact"), "dedupe: 'exact' is not True or False"),
        (lambda: api.LoadOptions(shard_by="x"), "shard_by: 'x' is not one of source, type, none"),
        (lambda: api.load_files(None), "paths: None is not a text or a path or several"),
        (lambda: api.load_files([3]), "paths: "),
        (lambda: api.load_files(b"a.csv"), "paths: "),
        (lambda: api.load_files("a.csv", mapping={"format": "csv"}), "mapping: .* a Mapping"),
        (lambda: api.load_files("a.csv", dsn=b"password=secret"), "dsn: bytes is not a text"),
        (lambda: api.load_arrow(TABLE, key=7), "key: 7 is not a text"),
        (lambda: api.load_arrow(TABLE, origin=None), "origin: None is not a text"),
        (lambda: api.load_arrow(TABLE, to=7), "to: 7 is not"),
        (lambda: api.load_events([], options=Mapping()), "options: .* is not a LoadOptions"),
        (lambda: api.periods(since=datetime(2024, 3, 1)), "since: .* has no offset"),
        (lambda: api.periods(since=date(2024, 3, 1)), "since: .* without a time of day"),
        (lambda: api.alerts(until=5), "until: 5 is not a time"),
        (lambda: api.alerts(schema=5), "schema: 5 is not a text"),
        (lambda: api.alert_on_consecutive(threshold="5"), "threshold: '5' is not a whole number"),
        (lambda: api.alert_on_consecutive(threshold=0), "threshold: 0 is less than 1"),
        (
            lambda: api.alert_on_consecutive(on_alert="print"),
            "on_alert: 'print' is not to be",
        ),
        (lambda: api.alert_on_presence(min_duration=600), "min_duration: 600 is not a timedelta"),
        (
            lambda: api.alert_on_presence(categories=["car"]),
            "categories: .* a dict of",
        ),
    ],
)
def test_arguments_are_refused_by_name_and_value(make: Callable[[], object], says: str) -> None:
    with pytest.raises(UsageError, match=says) as refused:
        make()
    assert "secret" not in str(refused.value)


def test_arguments_with_one_meaning_are_taken(tmp_path: Path) -> None:
    assert api.Selection(types=["car"], since="2024-05-13T15:00:00Z") == api.Selection(
        types=("car",), since=TIME
    )
    assert api.Mapping(attributes=(name for name in "ab")).attributes == ("a", "b")
    assert api.LoadOptions(workers=np.int64(3)) == LoadOptions(workers=3)
    path = tmp_path / "events.csv"
    path.write_text("time,type,source\n2024-05-13T15:00:00Z,car,gate\n")
    options = LoadOptions(dry_run=True)
    for paths in (path, str(path), [path], (str(path),)):
        assert [one.rows_loaded for one in api.load_files(paths, options=options)] == [1]


def test_a_decorated_callable_refuses_what_is_no_event_before_it_is_ingested() -> None:
    ingested: list[object] = []
    ingest = api.alert_on_consecutive(categories={"car": "vehicles"})(ingested.append)
    with pytest.raises(InputError, match="event 1: 'x'"):
        ingest(["x"])
    assert ingested == []
    ingest([{"time": TIME, "type": "car", "source": "gate"}])
    assert len(ingested) == 1


odd: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5),
    st.binary(max_size=3),
    st.datetimes(), st.datetimes(timezones=st.just(UTC)), st.dates(), st.timedeltas(),
    st.just(np.datetime64("nat", "us")), st.just(NotATime(2024, 1, 1)), st.just(pa.scalar(1)),
    st.just(object()), st.just(Frame(TABLE)), st.just(Broken()), st.just(event()), st.just(TABLE),
    st.complex_numbers(), st.decimals(),
)  # fmt: skip
odder = st.one_of(
    odd,
    st.lists(odd, max_size=3),
    st.tuples(odd, odd, odd),
    st.dictionaries(st.sampled_from(["time", "type", "source"]), odd),
    st.lists(st.fixed_dictionaries({"time": odd, "type": odd, "source": odd}), max_size=2),
)


@given(odder, st.sampled_from([api.load_events, api.load_arrow]))
def test_whatever_is_loaded_is_taken_or_refused(value: Any, load: Callable[..., Any]) -> None:
    with suppress(LoaderError):
        load(value)


@given(st.data(), st.sampled_from([Mapping, api.Selection, LoadOptions]))
def test_whatever_is_set_is_taken_or_refused(data: st.DataObject, kind: type[Any]) -> None:
    name = data.draw(st.sampled_from([field.name for field in fields(kind)]))
    with suppress(LoaderError):
        made = kind(**{name: data.draw(odder)})
        hash(made.described() == made.described() if kind is not LoadOptions else made)
        if kind is Mapping:
            made.meaning("csv")
            api.load_arrow(TABLE, mapping=made, key="\ud800", origin="\0")


@given(odder, st.sampled_from(["dsn", "to", "origin", "key", "mapping", "options"]))
def test_whatever_is_named_is_taken_or_refused(value: Any, name: str) -> None:
    with suppress(LoaderError):
        api.load_arrow(TABLE, **{name: value})


@given(odder, st.sampled_from(["since", "until", "schema", "to"]))
def test_whatever_is_asked_is_answered_or_refused(value: Any, name: str) -> None:
    for function in (api.periods, api.alerts):
        with pytest.raises(LoaderError):
            function(**{"dsn": NOWHERE, name: value})
