"""What regular expressions tell of lines is what Python's parser says of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from loader.reading import objects
from loader.reading.limits import Limits
from loader.reading.ndjson_shapes import shapes_of

if TYPE_CHECKING:
    from tests.unit.conftest import Read

KEYS = ("time", "type", "a.b")
GOOD = b'{"time": "2024-05-13T15:00:00Z", "type": "car", "source": "north"}'
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=4,
)
texts = st.text('{}[]",:\\/u0aeE+-.1NI\t\n\r \x1f\x7fé', max_size=12).map(str.encode)
spaced = st.tuples(st.sampled_from([b"", b" ", b"\t", b"\n"]), texts | st.binary(max_size=8))
wrapped = st.tuples(values, texts, st.integers(0, 40)).map(
    lambda found: damaged(json.dumps({"a": found[0]}).encode(), found[1], found[2])
)


def damaged(line: bytes, piece: bytes, at: int) -> bytes:
    return line[:at] + piece + line[at + 1 :]


@settings(max_examples=1500, deadline=None)
@given(spaced.map(b"".join) | wrapped | values.map(json.dumps).map(str.encode))
@example(b'{"a": -Infinity, "b": NaN}\r\n')
@example(b'{"a": "\\u00e"}')
@example(b'{"a": 01}')
@example(b'{"a": "\xff", "\x7f": -0.0e-1}')
@example(b"{}{}")
@example(b"null")
def test_what_is_called_no_object_is_none(line: bytes) -> None:
    is_none = bool(shapes_of(pa.array([line], pa.binary()), KEYS).are_none[0])
    is_object = isinstance(objects.parse(line, ()), dict)
    if is_none:
        assert not is_object
        assert line.strip(b" \t\r\n")
    elif line.count(b"{") == 1 and b"[" not in line:
        assert is_object


@pytest.mark.parametrize(
    ("line", "is_odd"),
    [
        (b'{"time": "x", "type": "car"}', False),
        (b'{"time": "x", "other": 1, "x": {"y": [1]}}', False),
        (b'{"aXb": 1}', False),
        (b'{"time": "x", "type" : 82}', True),
        (b'{"a.b":null}', True),
        (b'{"time": "x", "type": "a", "time": "y"}', True),
    ],
)
def test_what_may_stop_arrow_is_odd(line: bytes, is_odd: bool) -> None:
    assert shapes_of(pa.array([line], pa.binary()), KEYS).are_odd.tolist() == [is_odd]


@pytest.mark.parametrize(
    "bad",
    [
        b"x",
        GOOD[:40],
        GOOD.replace(b'"car"', b'"car'),
        GOOD.replace(b'"car"', b"true"),
        GOOD.replace(b'"car"', b'{"a": [1]}'),
        GOOD.replace(b'"car"', b"null"),
    ],
)
@pytest.mark.parametrize("step", [1, 10])
def test_python_looks_only_at_bad_lines_that_are_kept(
    read: Read, monkeypatch: pytest.MonkeyPatch, bad: bytes, step: int
) -> None:
    """A million bad lines are read in seconds; here fewer, so that the suite stays quick."""
    looked_at = 0
    parse = objects.parse

    def counted(*arguments: object) -> object:
        nonlocal looked_at
        looked_at += 1
        return parse(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(objects, "parse", counted)
    lines = ([GOOD] * (step - 1) + [bad]) * (20_000 // step)
    content = b"\n".join([GOOD, *lines]) + b"\n"
    found = read(content, "events.ndjson", limits=Limits(rejects_kept=100))
    assert (found.rows_rejected, len(found.events)) == (20_000 // step, 20_001 - 20_000 // step)
    assert [reject.raw for reject in found.rejects] == [bad] * 100
    assert found.lines == [2 + step * (number + 1) - 1 for number in range(100)]
    assert looked_at < 300
