"""Laws that hold for any bytes between the rows."""

from __future__ import annotations

import csv
import io
from collections import Counter
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from loader.errors import LoaderError
from loader.reading.limits import Limits
from tests.conftest import examples

if TYPE_CHECKING:
    from tests.unit.conftest import Outcome, Read

HEADER = b"time,type,source\n"
KINDS = ["car", "van", "truck"]
EXAMPLES = settings(
    max_examples=examples(150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
# Small blocks, so that they end everywhere.
limits = st.builds(
    Limits,
    block_bytes=st.sampled_from([7, 32, 100, 1 << 20]),
    line_bytes=st.sampled_from([60, 150]),
)
line_ends = st.sampled_from([b"\n", b"\r\n"])


def row(number: int) -> bytes:
    return f"2024-05-13T15:00:{number % 60:02}Z,{KINDS[number % 3]},s{number}".encode()


def accounts(found: Outcome) -> None:
    assert found.rows_read == len(found.events) + found.rows_rejected
    assert len(found.rejects) == found.rows_rejected


@EXAMPLES
@given(st.binary(max_size=400), limits, st.booleans())
def test_any_bytes_are_read_or_refused(
    read: Read, content: bytes, bounds: Limits, has_header: bool
) -> None:
    try:
        found = read(HEADER + content if has_header else content, limits=bounds)
    except LoaderError:
        assert not has_header or b"\0" in content or min(content) < 32
        return
    accounts(found)


plain_junk = st.binary(max_size=40).map(lambda junk: junk.translate(None, b'"\r\n') or b"?")
quoted_junk = st.text('",\\ ax.\0é', min_size=1, max_size=30).map(str.encode)


def is_junk(line: bytes) -> bool:
    return bool(line.strip(b" \t"))


@EXAMPLES
@given(st.lists(plain_junk.filter(is_junk) | st.integers(0, 99), max_size=12), limits, line_ends)
@example([b"\\.", 1, b"\xef\xbb\xbf", 2], Limits(block_bytes=7), b"\n")
def test_plain_junk_is_rejected_line_by_line(
    read: Read, lines: list[bytes | int], bounds: Limits, end: bytes
) -> None:
    content = [row(line) if isinstance(line, int) else line for line in lines]
    start = b"\xef\xbb\xbftime,type,source" if bounds.block_bytes > 50 else HEADER[:-1]
    try:
        found = read(end.join([start, *content]), limits=bounds)
    except LoaderError:
        assert any(min(line) < 32 for line in content)
        return
    accounts(found)
    good = [line for line in lines if isinstance(line, int)]
    assert [source for _, _, source in found.events] == [f"s{number}" for number in good]
    bad = [(number, line) for number, line in enumerate(lines, 2) if isinstance(line, bytes)]
    assert [(one.line_number, one.raw) for one in found.rejects] == bad


@EXAMPLES
@given(st.lists(quoted_junk | st.integers(0, 99), max_size=14), limits, line_ends)
@example([b'2024-05-13T15:00:00Z,car,"', 1, 2, b'"'], Limits(), b"\n")
def test_junk_with_quotes_swallows_no_good_row(
    read: Read, lines: list[bytes | int], bounds: Limits, end: bytes
) -> None:
    content = [row(line) if isinstance(line, int) else line for line in lines]
    try:
        found = read(end.join([HEADER[:-1], *content]), limits=bounds)
    except LoaderError:
        assert any(b"\0" in line for line in content)
        return
    accounts(found)
    good = [line for line in lines if isinstance(line, int)]
    assert [source for _, _, source in found.events] == [f"s{number}" for number in good]
    # Nothing is lost: the rejects and the good rows are the input, but for blank lines.
    rejected = b"\n".join(found.raws).replace(b"\r\n", b"\n").split(b"\n")
    junk = [line for line in lines if isinstance(line, bytes)]
    assert Counter(map(bytes.strip, filter(bytes.strip, rejected))) == Counter(
        map(bytes.strip, filter(bytes.strip, junk))
    )


@EXAMPLES
@given(
    st.lists(st.text('",\n\r aé', max_size=12), max_size=6),
    limits,
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_what_python_writes_is_read(
    read: Read, notes: list[str], bounds: Limits, end: str, quoting: int
) -> None:
    if quoting == csv.QUOTE_MINIMAL:
        # Python leaves a lone carriage return unquoted when lines end with a line feed.
        notes = [note.replace("\r", "") for note in notes]
    output = io.StringIO(newline="")
    writer = csv.writer(output, lineterminator=end, quoting=quoting)  # type: ignore[arg-type]
    writer.writerow(["note", "time", "type", "source"])
    for number, note in enumerate(notes):
        writer.writerow([note, "2024-05-13T15:00:00Z", "car", f"s{number}"])
    found = read(output.getvalue().encode(), limits=bounds, attributes=("note",))
    assert [source for _, _, source in found.events] == [f"s{at}" for at in range(len(notes))]
    written = [
        note.replace('"', '\\"').replace("\r", "\\u000d").replace("\n", "\\u000a") for note in notes
    ]
    assert found.attributes == [f'{{"note": "{note}"}}' for note in written]


@EXAMPLES
@given(
    st.lists(
        st.integers(0, 99).map(row)
        | quoted_junk
        | plain_junk
        | st.sampled_from(
            [b"", b" ", b'2024-05-13T15:00:00Z,"car",a', b'2024-05-13T15:00:00Z,car,"a']
        )
        | st.integers(50, 170).map(lambda size: b"x" * size),
        max_size=12,
    ),
    st.sampled_from([7, 32, 100, 2000]),
    st.lists(st.sampled_from([b"\n", b"\r\n", b"\r"]), min_size=12, max_size=12),
)
@example([row(2), b"\xef\xbb\xbf" + row(3), b"\xef\xbb\xbf"], 7, [b"\n"] * 3)
def test_where_blocks_end_makes_no_difference(
    read: Read, lines: list[bytes], size: int, ends: list[bytes]
) -> None:
    lines = [line.replace(b"\0", b"0") for line in lines]
    body = b"".join(line + end for line, end in zip(lines, ends, strict=False))
    try:
        whole, parts = (
            read(
                HEADER + body,
                limits=Limits(
                    block_bytes=block, block_lines=block_lines, line_bytes=150, raw_bytes=20
                ),
            )
            for block, block_lines in ((1 << 20, 1 << 20), (size, 2))
        )
    except LoaderError:
        assert any(min(line, default=99) < 32 for line in lines)
        return
    assert parts == whole


def test_a_million_bad_rows_are_read_in_seconds(read: Read) -> None:
    """A fifth of them, so that the suite stays quick."""
    lines = [b"x", b'2024-05-13T15:00:00Z,car,"s', b",,", b'2024-05-13T15:00:00Z,car,s"t']
    found = read(HEADER + b"\n".join(lines * 50_000) + b"\n" + row(1))
    assert (found.rows_rejected, found.events[0][2]) == (200_000, "s1")
    assert len(found.rejects) == Limits().rejects_kept
