from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from loader.reading.bounds import Bounds, NameBounds, Refusal
from loader.reading.partition_days import PartitionDays
from loader.settings import PartitionBy


def times(*values: str) -> Any:
    return np.array(values, dtype="datetime64[us]").astype(np.int64)


def days(*values: str) -> list[int]:
    return [int(np.datetime64(value, "D").astype(np.int64)) for value in values]


def by_day(*months: str, partition_by: PartitionBy = "month") -> PartitionDays:
    """Partitions of these months."""
    found = PartitionDays(partition_by)
    for month in months:
        following = str(np.datetime64(month, "M") + np.timedelta64(1, "M"))
        found.add(month, *days(month, following))
    return found


def all_of(count: int) -> Any:
    return np.ones(count, np.bool_)


def refused(bounds: Bounds, *values: str) -> list[bool]:
    return [bool(refusal) for refusal in bounds.refuse(times(*values), all_of(len(values)))]


def test_months_open_in_the_order_of_the_input() -> None:
    bounds = Bounds(by_day("2024-05"), max_new=2)
    assert refused(bounds, "2024-05-13", "2030-01-01", "1950-06-01") == [False] * 3
    # Full, whatever comes first in the order of time.
    assert refused(bounds, "1900-01-01", "1950-06-30T23:59:59.999999", "1950-07-01") == [
        True,
        False,
        True,
    ]
    assert refused(bounds, "2024-05-31", "2030-01-02") == [False, False]


def test_the_bound_may_be_reached_within_a_batch() -> None:
    bounds = Bounds(by_day(), max_new=1)
    assert refused(bounds, "2199-12-31", "1900-01-01", "2199-12-01") == [False, True, False]


def test_no_new_month_at_all() -> None:
    bounds = Bounds(by_day("2024-05", "1850-01"), max_new=0)
    assert refused(bounds, "2024-05-13", "2024-06-01") == [False, True]
    assert refused(bounds) == []


@given(
    st.lists(st.integers(0, 12), max_size=40),
    st.sets(st.integers(0, 12)),
    st.integers(0, 6),
    st.integers(1, 8),
)
def test_what_is_refused_does_not_depend_on_the_batches(
    months: list[int], existing: set[int], max_new: int, size: int
) -> None:
    first = np.datetime64("1969-08", "M")
    open_months, expected, room = set(existing), [], max_new
    for month in months:
        if month not in open_months and room:
            open_months.add(month)
            room -= 1
        expected.append(month not in open_months)
    bounds = Bounds(
        by_day(*(str(first + np.timedelta64(month, "M")) for month in existing)), max_new
    )
    micros = times(*(str(first + np.timedelta64(month, "M")) for month in months))
    parts = [micros[at : at + size] for at in range(0, len(micros), size)]
    found = [bounds.refuse(part, all_of(len(part))) for part in parts]
    assert [bool(one) for batch in found for one in batch] == expected


def test_the_reason_names_the_time_and_the_way_out() -> None:
    reason = Bounds(by_day(), max_new=7).reason(Refusal.NEW, "2030-01-01")
    assert "2030-01-01" in reason
    assert "7 such months" in reason
    assert "--max-new-partitions" in reason


def test_nothing_older_than_what_is_retained() -> None:
    bounds = Bounds(by_day(), max_new=1, retained_from=datetime(2024, 5, 2, tzinfo=UTC))
    # What is too old opens no month.
    assert refused(
        bounds, "2024-03-01", "2024-05-01T23:59:59.999999", "2024-05-02", "2024-06-01"
    ) == [
        True,
        True,
        False,
        True,
    ]
    assert "2024-05-02T00:00:00Z" in bounds.reason(Refusal.OLD, "2024-03-01")


def test_a_name_that_only_bad_rows_have_does_not_count() -> None:
    bounds = NameBounds(["car"], 1, "is one too many")
    names = pa.array(["bus", "car", None, "van", "bus"]).dictionary_encode()
    good = np.array([False, True, False, True, True])
    assert bounds.refuse(names, good).tolist() == [False, False, False, False, True]
    assert bounds.reason(1, "bus") == '"bus" is one too many'


@given(
    st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=40),
    st.sets(st.integers(0, 9)),
    st.integers(0, 6),
    st.integers(1, 8),
)
def test_which_names_are_refused_does_not_depend_on_the_batches(
    rows: list[tuple[int, bool]], known: set[int], room: int, size: int
) -> None:
    open_names, expected, left = set(known), [], room
    for name, is_good in rows:
        if is_good and name not in open_names and left:
            open_names.add(name)
            left -= 1
        expected.append(is_good and name not in open_names)
    bounds = NameBounds(map(str, known), room, "")
    found: list[bool] = []
    for at in range(0, len(rows), size):
        part = rows[at : at + size]
        names = pa.array([str(name) for name, _ in part]).dictionary_encode()
        found += bounds.refuse(names, np.array([is_good for _, is_good in part])).tolist()
    assert found == expected


def test_weeks_and_days_open_whole() -> None:
    # A Monday; the month before has a partition, which the week before begins in.
    bounds = Bounds(by_day("2024-04", partition_by="week"), max_new=1)
    assert refused(bounds, "2024-04-29", "2024-05-01", "2024-05-05T23:59:59", "2024-05-06") == [
        False, False, False, True,
    ]  # fmt: skip
    assert "lies in a week that has no events yet" in bounds.reason(Refusal.NEW, "x")
    bounds = Bounds(by_day(partition_by="day"), max_new=2)
    assert refused(bounds, "1900-01-01", "2199-12-31T23:59:59.999999", "2024-05-06") == [
        False, False, True,
    ]  # fmt: skip
