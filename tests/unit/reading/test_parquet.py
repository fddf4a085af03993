from __future__ import annotations

import io
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loader.errors import InputError
from loader.reading.in_memory import EventsInMemory
from loader.reading.limits import Limits
from loader.reading.mapping import Mapping

if TYPE_CHECKING:
    from tests.unit.conftest import Read

NAME = "events.parquet"
TIME = datetime(2024, 5, 13, 15, 0, 0, 123456, tzinfo=UTC)
SECOND = TIME.replace(microsecond=0)
MICROS = (TIME - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
EVENT = ("2024-05-13 15:00:00.123456", "car", "north")
WHOLE = ("2024-05-13 15:00:00", "car", "north")


def stored(time: Any, **columns: Any) -> bytes:
    """A file of as many rows as there are times."""
    count = len(time)
    filled = {"time": time, "type": ["car"] * count, "source": ["north"] * count, **columns}
    output = io.BytesIO()
    pq.write_table(pa.table(filled), output, row_group_size=3)
    return output.getvalue()


@pytest.mark.parametrize(
    ("time", "event", "options"),
    [
        (pa.array([SECOND], pa.timestamp("s", "UTC")), WHOLE, {}),
        (pa.array([SECOND], pa.timestamp("ms", "Europe/Berlin")), WHOLE, {}),
        (pa.array([TIME], pa.timestamp("us", "UTC")), EVENT, {}),
        (pa.array([MICROS * 1000 + 499]).cast(pa.timestamp("ns", "UTC")), EVENT, {}),
        (pa.array([MICROS * 1000 - 500]).cast(pa.timestamp("ns", "UTC")), EVENT, {}),
        (pa.array([MICROS + 2 * 3600 * 10**6]).cast(pa.timestamp("us")), EVENT, "Europe/Berlin"),
        # As in texts, it is the time in UTC that must lie in the years that are taken.
        (
            pa.array([datetime(1899, 12, 31, 23, 30)], pa.timestamp("us")),
            ("1900-01-01 00:30:00", "car", "north"),
            "-01:00",
        ),
        (pa.array(["2024-05-13T15:00:00.123456Z"]), EVENT, {}),
        (pa.array(["2024-05-13T15:00:00.123456Z"], pa.large_string()), EVENT, {}),
        (pa.array([b"2024-05-13T15:00:00.123456Z"]), EVENT, {}),
        (pa.array(["2024-05-13T15:00:00.123456Z"]).dictionary_encode(), EVENT, {}),
        (pa.array(["13.5.24 15:00"]), WHOLE, {"time_format": "%d.%m.%y %H:%M", "timezone": "UTC"}),
        (pa.array([MICROS // 10**6], pa.int32()), WHOLE, {"time_format": "epoch_s"}),
        (pa.array([MICROS // 10**6], pa.uint64()), WHOLE, {"time_format": "epoch_s"}),
        (pa.array([MICROS]), EVENT, {"time_format": "epoch_us"}),
        (pa.array([MICROS / 10**6]), EVENT, {"time_format": "epoch_s"}),
        (pa.array([MICROS / 1000]), EVENT, {"time_format": "epoch_ms"}),
        (pa.array([Decimal(MICROS) / 10**6]), EVENT, {"time_format": "epoch_s"}),
        (
            pa.array([date(2024, 5, 13)]),
            ("2024-05-12 22:00:00", "car", "north"),
            {"time_format": "%Y-%m-%d", "timezone": "Europe/Berlin"},
        ),
    ],
)
def test_kinds_of_time(
    read: Read, time: pa.Array[Any], event: tuple[str, str, str], options: Any
) -> None:
    options = {"timezone": options} if isinstance(options, str) else options
    assert read(stored(time), NAME, **options).events == [event]


@pytest.mark.parametrize(
    ("time", "says", "options"),
    [
        (pa.array([None, TIME], pa.timestamp("us", "UTC")), "is null", {}),
        (pa.array([None, "2024-05-13 15:00:00.123456Z"]), "is null", {}),
        (pa.array([0, MICROS]).cast(pa.timestamp("us")), "--timezone", None),
        (
            pa.array(["2024-03-31 02:30:00", "2024-05-13 17:00:00.123456"]).cast(
                pa.timestamp("us")
            ),
            "does not exist in Europe/Berlin",
            {"timezone": "Europe/Berlin"},
        ),
        (pa.array([2**63 - 1, MICROS]).cast(pa.timestamp("us", "UTC")), "outside the years", {}),
        (pa.array(["now", "2024-05-13 15:00:00.123456Z"]), "not a time", {}),
        (pa.array([2**64 - 1, MICROS], pa.uint64()), "outside", {"time_format": "epoch_us"}),
        (pa.array([float("nan"), MICROS / 1e6]), "not a number", {"time_format": "epoch_s"}),
        (pa.array([float("inf"), MICROS / 1e6]), "not a number", {"time_format": "epoch_s"}),
    ],
)
def test_a_bad_time_is_rejected_alone(
    read: Read, time: pa.Array[Any], says: str, options: dict[str, str] | None
) -> None:
    found = read(stored(time), NAME, **(options or {}))
    assert found.events == ([] if options is None else [EVENT])
    assert (found.rejects[0].line_number, found.rejects[0].column_name) == (1, "time")
    assert says in found.reasons[0]
    assert set(json.loads(found.raws[0])) == {"time", "type", "source"}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (pa.array([82, None], pa.int64()), "82"),
        (pa.array([82, None], pa.uint8()), "82"),
        (pa.array([82.0, None]), "82"),
        (pa.array([1.5, None]), "1.5"),
        (pa.array(["82 ", None], pa.large_string()), "82"),
        (pa.array([b"82", None]), "82"),
        (pa.array(["82", None]).dictionary_encode(), "82"),
        (pa.array([82, None]).dictionary_encode(), "82"),
        (pa.array([True, None]), "true"),
        (pa.array([date(2024, 5, 13), None]), "2024-05-13"),
        (pa.array(["82", ""]), "82"),
    ],
)
def test_kinds_of_names(read: Read, names: pa.Array[Any], expected: str) -> None:
    for column in ("type", "source"):
        content = stored(pa.array([SECOND, SECOND], pa.timestamp("us", "UTC")), **{column: names})
        found = read(content, NAME)
        assert [event[1 if column == "type" else 2] for event in found.events] == [expected]
        assert (found.lines, found.rejects[0].column_name) == ([2], column)


def test_bytes_that_are_no_text_are_rejected(read: Read) -> None:
    bad = pa.array([b"\xff", b"ok"]).view(pa.string())
    time = pa.array([SECOND, SECOND], pa.timestamp("us", "UTC"))
    found = read(stored(time, type=bad), NAME)
    assert (found.lines, found.reasons) == ([1], ["the type is not UTF-8; see --encoding"])
    found = read(stored(time, note=bad), NAME, attributes=("note",))
    assert (found.lines, found.attributes) == ([1], ['{"note": "ok"}'])
    nested = pa.StructArray.from_arrays([bad], ["a"])
    found = read(stored(time, note=nested), NAME, attributes=("note",))
    assert (found.lines, found.attributes) == ([1], ['{"note": {"a": "ok"}}'])


def test_attributes_keep_their_types(read: Read) -> None:
    columns = {
        "whole": pa.array([1, None]),
        "real": pa.array([1.5, float("nan")]),
        "exact": pa.array([Decimal("1.50"), Decimal("-2.25")]),
        "yes": pa.array([True, False]),
        "text": pa.array(['a"', ""]),
        "word": pa.array(["x", None]).dictionary_encode(),
        "day": pa.array([date(2024, 5, 13), None]),
        "nested": pa.array([{"a": [1, None]}, None]),
        "nothing": pa.nulls(2),
    }
    time = pa.array([SECOND, SECOND], pa.timestamp("us", "UTC"))
    found = read(stored(time, **columns), NAME, attributes=tuple(columns))
    assert [json.loads(one) for one in found.attributes] == [
        {
            "whole": 1,
            "real": 1.5,
            "exact": 1.5,
            "yes": True,
            "text": 'a"',
            "word": "x",
            "day": "2024-05-13",
            "nested": {"a": [1, None]},
        },
        {"real": "NaN", "exact": -2.25, "yes": False, "text": ""},
    ]


def test_times_of_another_unit_say_which_they_seem_to_be(read: Read) -> None:
    """Also as fractions, which are mostly written without all of their digits."""
    found = read(stored(pa.array([1.704067200123456789e18])), NAME, time_format="epoch_s")
    (reason,) = found.reasons
    assert "if these are nanoseconds: --time-format epoch_ns" in reason


def test_row_numbers_go_on_through_row_groups(read: Read) -> None:
    times = pa.array([SECOND, None] * 10, pa.timestamp("us", "UTC"))
    found = read(stored(times), NAME, limits=Limits(rejects_kept=8))
    assert found.lines == list(range(2, 17, 2))
    assert (found.rows_rejected, found.rows_read) == (10, 20)


def test_only_the_needed_columns_must_be_there(read: Read) -> None:
    table = pa.table({"When": [TIME], "EventId": [82], "x": [{"a": 1}]})
    output = io.BytesIO()
    pq.write_table(table, output)
    options = {"time_column": "when", "type_column": "eventid", "source": "north"}
    found = read(output.getvalue(), NAME, type_map={"82": "car"}, **options)
    assert found.events == [EVENT]


def test_no_rows_are_fine(read: Read) -> None:
    found = read(stored(pa.array([], pa.timestamp("us", "UTC"))), NAME)
    assert (found.events, found.rows_read) == ([], 0)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"time,type,source\n" * 9, "is not Parquet"),
        (b"PAR1", "is not Parquet"),
        (stored(pa.array([SECOND]))[:-7], "cut short"),
        (stored(pa.array([date(2024, 5, 13)])), "dates without a time of day"),
        (stored(pa.array([1715612400])), "--time-format"),
        (stored(pa.array([1.5])), "--time-format"),
        (stored(pa.array([[1]])), "not times"),
        (stored(pa.array([True])), "not times"),
        (stored(pa.array(["a"]), type=[[1]]), '"type" holds list<'),
        (stored(pa.array(["a"])).replace(b"source", b"Xource"), "--source-column"),
    ],
)
def test_unusable_files(read: Read, content: bytes, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        read(content, NAME)
    assert "events.parquet: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damage_further_on_is_told(read: Read) -> None:
    content = bytearray(stored(pa.array([str(number) * 50 for number in range(9)])))
    content[200:260] = bytes(60)
    with pytest.raises(InputError, match="is damaged behind row"):
        read(bytes(content), NAME)


def test_columns_that_are_nested_too_deeply_are_refused(read: Read) -> None:
    deep: Any = pa.int32()
    for _ in range(150):
        deep = pa.list_(deep)
    table = pa.table({"time": [TIME], "type": ["car"], "source": ["north"], "x": pa.nulls(1, deep)})
    with pytest.raises(InputError, match="nested too deeply"):
        read(stored([None], x=pa.nulls(1, deep)), name=NAME)
    frames = EventsInMemory(
        table.to_batches(), Mapping(attributes=("x",)), origin="python", key=None
    )
    with pytest.raises(InputError, match='column "x" is nested deeper than 100 levels'):
        list(frames)
