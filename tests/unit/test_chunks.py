from __future__ import annotations

import struct
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loader.loading import chunks
from loader.loading.chunks import Cutter, concatenated, in_order
from loader.loading.encode import EncodedRows

HOUR = 3_600_000_000
# 2000-01-01, from which PostgreSQL counts.
EPOCH = 946_684_800_000_000
EVENT = st.tuples(st.integers(0, 100), st.sampled_from([1, 2, 2**16]), st.integers(1, 2))


def rows(
    events: list[tuple[int, int, int]], attributes: Any = None, number: int = 0
) -> EncodedRows:
    """Events by hour, source and type."""
    return EncodedRows(
        event_time=np.array([EPOCH + hour * HOUR for hour, _, _ in events], dtype=np.int64),
        source_id=np.array([source for _, source, _ in events], dtype=np.int32),
        event_type_id=np.array([kind for _, _, kind in events], dtype=np.int16),
        attributes=None if attributes is None else pa.array(attributes, pa.string()),
        row_number=number,
    )


def encoded(some: EncodedRows, *, is_numbered: bool = False) -> bytes:
    cutter = Cutter(42, has_attributes=some.attributes is not None, is_numbered=is_numbered)
    return b"".join(bytes(part) for part in cutter.encode(some))


def array(oid: int, *elements: bytes | None) -> bytes:
    """Return an array as the documentation of COPY and the source of array_recv have it."""
    parts = [b"\xff" * 4 if one is None else struct.pack(">i", len(one)) + one for one in elements]
    head = struct.pack(">iiiii", 1, 0, oid, len(elements), 1)
    return struct.pack(">i", len(head) + sum(map(len, parts))) + head + b"".join(parts)


def chunk(
    source: int, events: list[tuple[int, int]], number: int | None = None, attributes: Any = None
) -> bytes:
    """Return what one chunk is to be encoded as."""
    first, last = events[0][0] * HOUR, events[-1][0] * HOUR
    fields = 7 + (number is not None) + (attributes is not None)
    return (
        struct.pack(">hiqiqiqiiii", fields, 8, first, 8, last, 8, 42, 4, source, 4, len(events))
        + (b"" if number is None else struct.pack(">iq", 8, number))
        + array(1184, *(struct.pack(">q", hour * HOUR) for hour, _ in events))
        + array(21, *(struct.pack(">h", kind) for _, kind in events))
        + (b"" if attributes is None else array(3802, *attributes))
    )


def test_a_chunk_is_what_the_documentation_of_copy_says() -> None:
    some = rows([(1, 7, 3), (5, 7, 3), (0, 7, 4)])
    assert encoded(some) == chunk(7, [(0, 4), (1, 3), (5, 3)])


def test_attributes_stand_in_the_order_of_their_events() -> None:
    some = rows([(2, 7, 1), (1, 7, 1), (0, 7, 1), (30, 7, 1)], ['{"a": "ü"}', None, "{}", ""])
    assert encoded(some) == (
        chunk(7, [(30, 1)], attributes=[b"\x01"])
        + chunk(
            7, [(0, 1), (1, 1), (2, 1)], attributes=[b"\x01{}", None, '\x01{"a": "ü"}'.encode()]
        )
    )


def test_a_slice_of_attributes_is_not_the_whole() -> None:
    events = [(0, 7, 1), (1, 7, 1)]
    whole = rows(events, ["{}", None])
    part = EncodedRows(
        **whole.__dict__ | {"attributes": pa.array(["first", "{}", None, "x"]).slice(1, 2)}
    )
    assert encoded(part) == encoded(whole)


def test_a_numbered_chunk_comes_after_what_was_before_it() -> None:
    some = rows([(0, 7, 3), (0, 8, 3)], number=10)
    assert encoded(some, is_numbered=True) == chunk(7, [(0, 3)], 10) + chunk(8, [(0, 3)], 11)


def test_no_rows_are_no_bytes() -> None:
    assert encoded(rows([])) == encoded(rows([], [])) == b""


@given(events=st.lists(EVENT, max_size=60), most=st.integers(1, 9))
def test_a_chunk_is_of_one_source_and_day_in_order_and_as_long_as_it_may_be(
    events: list[tuple[int, int, int]], most: int
) -> None:
    ordered = in_order(rows(events))
    columns = (ordered.source_id, (ordered.event_time - EPOCH) // HOUR, ordered.event_type_id)
    found: list[tuple[int, int, int]] = list(zip(*(c.tolist() for c in columns), strict=True))
    assert found == sorted((source, hour, kind) for hour, source, kind in events)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("loader.loading.chunks.EVENTS_PER_CHUNK", most)
        starts = chunks._starts(ordered).tolist()
    parts = [found[begin:end] for begin, end in pairwise([*starts, len(found)])]
    keys = [{(source, hour // 24) for source, hour, _ in part} for part in parts]
    assert [one for part in parts for one in part] == found
    assert all(len(key) == 1 for key in keys)
    assert all(1 <= len(part) <= most for part in parts)
    # A next one of the same day begins only where one is full.
    assert all(
        len(part) == most or key != following
        for part, (key, following) in zip(parts, pairwise([*keys, {None}]), strict=True)
    )


def test_short_chunks_wait_for_more_rows(monkeypatch: Any) -> None:
    monkeypatch.setattr(chunks, "_GATHERED_ROWS", 100)
    monkeypatch.setattr(chunks, "_MOST_GATHERED_ROWS", 300)
    cutter = Cutter(1, has_attributes=False)
    scattered = rows([(24 * day, 7, 1) for day in range(100)])
    gathered = [rows([(0, 7, 1)] * 100)]
    assert cutter.gather(gathered) is not None
    assert gathered == []
    for _ in range(2):
        gathered.append(scattered)
        assert cutter.gather(gathered) is None
    gathered.append(scattered)
    found = cutter.gather(gathered)
    assert found is not None
    assert len(found.event_time) == 300
    # Attributes are long, and the numbers of batches would be lost.
    for is_whole in ({"has_attributes": True}, {"has_attributes": False, "is_numbered": True}):
        assert Cutter(1, **is_whole).gather([scattered]) is not None


def test_batches_follow_each_other() -> None:
    both = concatenated([rows([(1, 1, 1)], ["{}"], 3), rows([(0, 2, 2)], [None], 4)])
    assert both.event_time.tolist() == [EPOCH + HOUR, EPOCH]
    assert both.attributes is not None
    assert both.attributes.to_pylist() == ["{}", None]
    assert both.row_number == 3
