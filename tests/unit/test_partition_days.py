import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loader.reading.partition_days import PartitionDays, bound, days_of, partition_name
from loader.settings import PARTITION_SIZES, PartitionBy


def day(text: str) -> int:
    return int(np.datetime64(text, "D").astype(np.int64))


@pytest.mark.parametrize(
    ("size", "first", "end", "name"),
    [
        ("month", "2024-02-01", "2024-03-01", "event_chunks_2024_02"),
        ("week", "2024-02-26", "2024-03-04", "event_chunks_2024_02_26"),
        ("day", "2024-02-29", "2024-03-01", "event_chunks_2024_02_29"),
    ],
)
def test_a_day_is_in_a_month_or_week(size: PartitionBy, first: str, end: str, name: str) -> None:
    found = PartitionDays(size).free(day("2024-02-29"))
    assert found == (day(first), day(end))
    assert partition_name(*found) == name
    assert bound(found[0]) == f"{first} 00:00:00+00"


def test_times_belong_to_days_before_1970_too() -> None:
    times = np.array(["1969-12-31T23:59:59.999999", "1970-01-01"], "datetime64[us]")
    assert days_of(times.astype(np.int64)).tolist() == [-1, 0]


def test_a_new_partition_takes_what_others_leave_of_its_slot() -> None:
    by_day = PartitionDays("month", [("week", day("2024-05-06"), day("2024-05-13"))])
    assert by_day.free(day("2024-05-05")) == (day("2024-05-01"), day("2024-05-06"))
    assert by_day.free(day("2024-05-13")) == (day("2024-05-13"), day("2024-06-01"))
    assert by_day.free(day("2024-06-01")) == (day("2024-06-01"), day("2024-07-01"))


def test_a_partition_may_have_no_bounds() -> None:
    by_day = PartitionDays(
        "month", [("old", None, day("2000-01-15")), ("late", day("2190-01-01"), None)]
    )
    assert by_day.owners(np.array([day("1900-01-01"), day("2199-12-31")])).tolist() == [0, 1]
    assert by_day.free(day("2000-01-20")) == (day("2000-01-15"), day("2000-02-01"))


@given(
    st.lists(st.tuples(st.sampled_from(PARTITION_SIZES), st.integers(0, 120)), max_size=60),
    st.sampled_from([day("1899-12-31") + 1, day("2024-01-20"), day("2199-12-31") - 120]),
)
def test_partitions_never_overlap_whatever_the_sizes(
    wanted: list[tuple[PartitionBy, int]], start: int
) -> None:
    """However often the size changes: each day has one partition, and every name is used once."""
    spans: list[tuple[str, int, int]] = []
    for size, place in wanted:
        by_day = PartitionDays(size, spans)
        if by_day.owners(np.array([start + place]))[0] < 0:
            first, end = by_day.free(start + place)
            assert by_day.slot(start + place)[0] <= first <= start + place < end
            assert end <= by_day.slot(start + place)[1]
            spans.append((partition_name(first, end), first, end))
    taken = [one for _, first, end in spans for one in range(first, end)]
    assert len(taken) == len(set(taken))
    assert {start + place for _, place in wanted} <= set(taken)
    assert len({name for name, _, _ in spans}) == len(spans)
