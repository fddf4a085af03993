"""What a program can do: ``from loader import ...``."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from itertools import groupby
from pathlib import Path

import pyarrow as pa
import pytest
from psycopg import Connection

import loader
from loader import Event, InputError, LoadOptions, Mapping
from tests.conftest import Outcome

from .test_commands import LIVE_VIEW

Write = Callable[..., Path]
Scalar = Callable[[str], object]
NOON = datetime(2024, 5, 13, 12, tzinfo=UTC)

pytestmark = pytest.mark.usefixtures("database_of_the_environment")


@pytest.fixture
def database_of_the_environment(run_loader: Callable[..., Outcome]) -> None:
    """``run_loader`` makes the new database the one that the environment names."""


def events(count: int, source: str = "gate") -> Iterator[Event]:
    for second in range(count):
        yield Event(time=NOON + timedelta(seconds=second), type="car", source=source)


def test_events_are_loaded_and_a_key_makes_it_once(
    scalar: Scalar, nothing_left: Callable[[], None]
) -> None:
    first = loader.load_events(events(5), origin="camera", key="today")
    again = loader.load_events(events(5), origin="camera", key="today")
    assert (first.rows_loaded, first.already_loaded, first.first_event_at) == (5, False, NOON)
    assert (again.load_id, again.already_loaded) == (first.load_id, True)
    assert loader.load_events(events(5), key="tomorrow").rows_loaded == 5
    assert loader.load_events(events(5)).rows_loaded == loader.load_events(events(5)).rows_read
    assert scalar("select count(*) from raw.events") == 20
    assert scalar("select origin from raw.loads where load_id = 1") == "camera"
    nothing_left()


def test_times_of_any_offset_are_told_and_others_refused(scalar: Scalar) -> None:
    away = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    loader.load_events([Event(time=away, type="car", source="gate")])
    assert scalar("select event_time from raw.events") == NOON
    with pytest.raises(InputError, match="2024-05-13T12:00:00 has no offset"):
        Event(time=NOON.replace(tzinfo=None), type="car", source="gate")


def test_arrow_is_mapped_and_its_bad_rows_are_kept(
    run_loader: Callable[..., Outcome], conn: Connection
) -> None:
    table = pa.table(
        {
            "ts": pa.array([1715601600000, None, 1715601601000]),
            "class": pa.array(["Pkw", "Pkw", "Rad"]).dictionary_encode(),
            "score": [0.5, 0.25, None],
        }
    )
    mapping = Mapping(
        time_column="ts", type_column="class", source="gate", time_format="epoch_ms",
        type_map={"Pkw": "car"}, attributes=("score",),
    )  # fmt: skip
    for batches in (table, table.to_batches()[0], table.to_reader(1)):
        result = loader.load_arrow(batches, mapping=mapping)
        assert (result.rows_read, result.rows_loaded, result.rows_rejected) == (3, 2, 1)
    assert "python line 2: column ts: the value is null" in run_loader("rejects").stdout
    found = conn.execute("select attributes from raw.events where load_id = 1 order by event_time")
    assert found.fetchall() == [({"score": 0.5},), ({},)]


def test_what_fails_leaves_nothing(
    scalar: Scalar, nothing_left: Callable[[], None], write_events: Write
) -> None:
    good = pa.table({"time": [NOON], "type": ["car"], "source": ["gate"]}).to_batches()[0]
    other = pa.table({"time": ["12:00"], "type": ["car"], "source": ["gate"]}).to_batches()[0]
    with pytest.raises(InputError, match="the batch of row 2 has another schema"):
        loader.load_arrow([good, other])
    with pytest.raises(InputError, match='no column "source"'):
        loader.load_arrow(good.select(["time", "type"]))
    with pytest.raises(InputError, match="python: "):
        loader.load_events([Event(time=NOON, type="\ud800", source="gate")])
    with pytest.raises(loader.UsageError):
        loader.load_arrow(good, options=LoadOptions(dry_run=True))

    def broken() -> Iterator[Event]:
        yield from events(3)
        raise RuntimeError("the camera is gone")

    with pytest.raises(RuntimeError):
        loader.load_events(broken())
    with pytest.raises(loader.DatabaseError, match="cannot connect"):
        loader.load_files([write_events()], dsn="host=/nowhere connect_timeout=1")
    assert scalar("select count(*) from raw.events") == 0
    nothing_left()


def test_files_are_loaded_once(write_events: Write, scalar: Scalar) -> None:
    paths = [write_events("1.csv", count=3, bad=1), write_events("2.csv", count=4)]
    assert loader.load_files(paths, options=LoadOptions(dry_run=True))[1].load_id is None
    first, second = loader.load_files(paths)
    assert (first.rows_loaded, first.rows_rejected, second.rows_loaded) == (3, 1, 4)
    assert all(one.already_loaded for one in loader.load_files(paths))
    assert scalar("select count(*) from raw.events") == 7


def test_periods_come_in_the_order_that_groupby_needs(conn: Connection) -> None:
    with pytest.raises(loader.UsageError, match="dbt build"):
        loader.periods()
    for schema in ("\ud800", 'a"b'):
        with pytest.raises(loader.UsageError, match="dbt build"):
            loader.periods(schema=schema)
    conn.execute(LIVE_VIEW)
    grouped = [
        (category, [period.event_count for period in found])
        for category, found in groupby(loader.periods(), key=lambda period: period.category)
    ]
    assert grouped == [("other", [1]), ("vehicles", [3, 2])]
    assert len(loader.periods(since=datetime(2024, 5, 13, 18, 32, tzinfo=UTC))) == 1


def test_alerts_are_read(conn: Connection) -> None:
    conn.execute(
        "create schema analytics; create view analytics.alerts_live as"
        " select 'rule' as rule_name, 'gate' as source_name, 'people' as category,"
        " 5::bigint as event_count, timestamptz '2024-05-13 12:00Z' as started_at,"
        " timestamptz '2024-05-13 12:00Z' as triggered_at"
    )
    assert [(alert.rule_name, alert.triggered_at) for alert in loader.alerts()] == [("rule", NOON)]
    assert loader.alerts(until=NOON) == []
