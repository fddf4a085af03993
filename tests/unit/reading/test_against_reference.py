"""What the readers make of damaged files, beside Python's own slow parsers.

Good lines are damaged byte by byte. Every line is then either an event, with exactly the value
that ``csv``, ``json`` and ``datetime`` give, or a reject that names the line; the good ones are
events. ``FUZZ_EXAMPLES`` makes it go on for longer.
"""

import csv
import json
import os
import re
from collections import Counter
from datetime import UTC, datetime

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loader.reading.limits import Limits
from tests.unit.conftest import Outcome, Read, shown

LONG = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "100")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)

moments = st.datetimes(datetime(1900, 1, 2), datetime(2199, 12, 30), timezones=st.just(UTC)).map(
    lambda moment: moment.isoformat()
)
names = st.sampled_from(["car", "pedestrian", "Nr. 7", "ü", "a\\b", "{}", "null", "7"])
rows = st.tuples(moments, names, names)
# What damage is likely to meet: delimiters, quotes, escapes, signs, bytes that are no UTF-8.
damage_bytes = st.sampled_from([bytes([byte]) for byte in b'",\\.:+-T Z0919{}[]nN\x00\xff\xc3\t'])
damage = st.lists(
    st.tuples(st.sampled_from(["insert", "delete", "replace"]), st.integers(0, 200), damage_bytes),
    max_size=2,
)
# A file without any good line is refused as a whole.
lines = st.builds(
    lambda first, others: [(first, []), *others],
    rows,
    st.lists(st.tuples(rows, damage), max_size=12),
)
blocks = st.sampled_from([5, 64, 4 << 20])


def damaged(line: bytes, changes: list[tuple[str, int, bytes]]) -> bytes:
    for kind, place, byte in changes:
        at = place % (len(line) + 1)
        line = line[:at] + (b"" if kind == "delete" else byte) + line[at + (kind != "insert") :]
    return line


def moment_of(text: str) -> str | None:
    """Return the moment that Python reads in a text; None for none, or without an offset."""
    try:
        # As for PostgreSQL, a blank may stand before the offset.
        moment = datetime.fromisoformat(re.sub(r"\s+(?=[-+Zz]\S*$)", "", text.strip()))
    except ValueError:
        return None
    return None if moment.tzinfo is None else shown(moment)


class Good(tuple[str, str, str]):
    """An event that no damage has touched: it must be read."""

    __slots__ = ()


def check(outcome: Outcome, contents: list[bytes], expected: list[object]) -> None:
    """Compare what was read with what each line should give.

    Args:
        outcome: what the reader made of it.
        contents: the lines.
        expected: for each line the event; "bad" when it can be none; None when only the
            accounting is to be looked at.
    """
    rejected = {reject.line_number: reject for reject in outcome.rejects}
    assert outcome.rows_read == len(outcome.events) + len(rejected)
    # Inside of a block of JSON, what is likely to be good comes first.
    events: Counter[object] = Counter(outcome.events)
    unknown = 0
    for place, content in enumerate(contents):
        number = place + 2 if outcome.header is not None else place + 1
        if number in rejected:
            assert rejected[number].raw == content
            assert not isinstance(expected[place], Good), content
            continue
        event = expected[place]
        if isinstance(event, tuple):
            assert events[event] > 0, content
            events[event] -= 1
        else:
            assert event is None, content
            unknown += 1
    assert events.total() == unknown


def expected_of(fields: list[object], *, is_touched: bool) -> object:
    """Return the event that three fields are, "bad" for none, None when Python cannot tell."""
    if any(isinstance(field, (int, float)) and not isinstance(field, bool) for field in fields):
        # NDJSON: a name may be a number, whose text is not always Python's.
        return None
    if len(fields) != 3 or not all(isinstance(field, str) for field in fields):
        return "bad"
    time, kind, source = (str(field) for field in fields)
    moment = moment_of(time)
    if re.search(r"[.,]\d{7}", time):
        # Python cuts off what is less than a microsecond, the loader rounds it.
        return None
    if moment is None:
        # The loader also reads, as PostgreSQL does, the second 60 and the hour 24.
        return None if any(part in time for part in (":60", "24:", "T24")) else "bad"
    event = (moment, kind.strip(), source.strip())
    return event if is_touched else Good(event)


@LONG
@given(lines, blocks)
def test_damaged_csv(
    read: Read, lines: list[tuple[tuple[str, str, str], list[tuple[str, int, bytes]]]], block: int
) -> None:
    contents = []
    expected: list[object] = []
    for fields, changes in lines:
        content = damaged(",".join(fields).encode(), changes)
        # Quotes may join lines: that is what test_csv_laws is about.
        content = content.replace(b'"', b"'")
        if not content.strip(b" \t"):
            content = b"x"
        contents.append(content)
        try:
            text = content.decode()
            (row,) = csv.reader([text], strict=True) if "\0" not in text else ([],)
        except UnicodeDecodeError:
            row = []
        expected.append(expected_of(list(row), is_touched=",".join(fields).encode() != content))
    content = b"time,type,source\n" + b"\n".join(contents) + b"\n"
    check(read(content, limits=Limits(block_bytes=block)), contents, expected)


def objects_of(pairs: list[tuple[str, object]]) -> object:
    """Return an object, or that it is none because a wanted key repeats."""
    keys = [key for key, _ in pairs]
    return None if len(set(keys)) != len(keys) else dict(pairs)


@LONG
@given(lines, blocks)
def test_damaged_ndjson(
    read: Read, lines: list[tuple[tuple[str, str, str], list[tuple[str, int, bytes]]]], block: int
) -> None:
    contents = []
    expected: list[object] = []
    for (time, kind, source), changes in lines:
        whole = json.dumps({"time": time, "type": kind, "source": source}).encode()
        content = damaged(whole, changes)
        contents.append(content)
        try:
            found = json.loads(content, object_pairs_hook=objects_of)
        except ValueError:
            found = None
        fields = [found.get(key) for key in ("time", "type", "source")] if found else []
        expected.append(expected_of(fields, is_touched=whole != content))
    outcome = read(b"\n".join(contents) + b"\n", "events.ndjson", limits=Limits(block_bytes=block))
    check(outcome, contents, expected)


def test_a_moment_is_what_python_says() -> None:
    assert moment_of("2024-05-13T02:00+02:00") == "2024-05-13 00:00:00"
    assert moment_of("2024-05-13T02:00") is None
