from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loader.loading import copy
from loader.loading.copy import split
from loader.loading.encode import EncodedRows
from loader.loading.options import ShardBy

# Ids around what 16 bits hold, too.
SOURCES = st.integers(1, 9) | st.integers(2**16 - 2, 2**16 + 2)
EVENTS = st.lists(st.tuples(SOURCES, st.integers(1, 5)), max_size=50)


def rows(events: list[tuple[int, int]]) -> EncodedRows:
    """Rows whose time tells which one they are."""
    return EncodedRows(
        event_time=np.arange(len(events), dtype=np.int64),
        source_id=np.array([source for source, _ in events], dtype=np.int32),
        event_type_id=np.array([kind for _, kind in events], dtype=np.int16),
        attributes=pa.array([str(number) for number in range(len(events))], pa.string()),
        row_number=100,
    )


@pytest.fixture(autouse=True, scope="module")
def _any_batch_is_large_enough() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copy, "_FEWEST_ROWS", 0)
        yield


@given(events=EVENTS, workers=st.integers(1, 4), by=st.sampled_from(get_args(ShardBy)))
def test_every_row_goes_to_one_worker_with_all_that_belongs_to_it(
    events: list[tuple[int, int]], workers: int, by: ShardBy
) -> None:
    seen: list[int] = []
    for worker, part in split(rows(events), 0, workers, by):
        assert 0 <= worker < workers
        places = part.event_time.tolist()
        assert places == sorted(places)
        seen += places
        assert list(zip(part.source_id, part.event_type_id, strict=True)) == [
            events[place] for place in places
        ]
        assert part.attributes is not None
        assert part.attributes.to_pylist() == [str(place) for place in places]
        assert part.row_number == 100
    assert sorted(seen) == list(range(len(events)))


@given(batches=st.lists(EVENTS, max_size=4), workers=st.integers(1, 4))
@pytest.mark.parametrize("by", ["source", "type"])
def test_what_is_alike_goes_over_one_connection(
    batches: list[list[tuple[int, int]]], workers: int, by: ShardBy
) -> None:
    workers_of: dict[int, set[int]] = {}
    for number, events in enumerate(batches):
        for worker, part in split(rows(events), number, workers, by):
            for key in (part.source_id if by == "source" else part.event_type_id).tolist():
                workers_of.setdefault(key, set()).add(worker)
    assert all(len(those) == 1 for those in workers_of.values())


def test_without_a_key_the_batches_take_turns() -> None:
    turns = [next(iter(split(rows([(1, 1)]), number, 3, "none")))[0] for number in range(5)]
    assert turns == [0, 1, 2, 0, 1]
