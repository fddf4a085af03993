from __future__ import annotations

import struct

import numpy as np
import pyarrow as pa

from loader.loading.encode import Rows, copied_columns, encode


def rows(attributes: pa.StringArray | None = None, count: int = 1) -> Rows:
    return Rows(
        event_time=np.full(count, 946_684_800_000_001, dtype=np.int64),
        source_id=np.full(count, 7, dtype=np.int32),
        event_type_id=np.full(count, 3, dtype=np.int16),
        attributes=attributes,
    )


FIXED = struct.pack(">iqiqiiih", 8, 1, 8, 42, 4, 7, 2, 3)


def test_a_row_is_what_the_documentation_of_copy_says() -> None:
    assert bytes(encode(rows(), 42)) == struct.pack(">h", 4) + FIXED


def test_attributes_follow_their_row() -> None:
    attributes = pa.array(["{}", None, '{"a": "ü"}', ""])
    expected = b"".join(
        struct.pack(">h", 5)
        + FIXED
        + (b"\xff" * 4 if text is None else struct.pack(">ib", len(text) + 1, 1) + text)
        for text in (b"{}", None, '{"a": "ü"}'.encode(), b"")
    )
    assert bytes(encode(rows(attributes, 4), 42)) == expected


def test_a_slice_of_attributes_is_not_the_whole() -> None:
    attributes = pa.array(["first", "{}", None, "[]", "last"]).slice(1, 3)
    whole = pa.array(["{}", None, "[]"])
    assert bytes(encode(rows(attributes, 3), 1)) == bytes(encode(rows(whole, 3), 1))


def test_row_numbers_go_on_where_the_last_batch_ended() -> None:
    numbered = Rows(**{**rows(count=2).__dict__, "row_number": np.array([10, 11])})
    encoded = bytes(encode(numbered, 42))
    assert encoded == b"".join(
        struct.pack(">h", 5) + FIXED + struct.pack(">iq", 8, number) for number in (10, 11)
    )
    assert copied_columns(has_attributes=True, has_row_numbers=True)[-2:] == (
        "row_number",
        "attributes",
    )


def test_no_rows_are_no_bytes() -> None:
    assert bytes(encode(rows(count=0), 1)) == b""
    assert bytes(encode(rows(pa.array([], pa.string()), 0), 1)) == b""
