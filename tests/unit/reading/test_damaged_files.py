"""Files damaged byte by byte: never a traceback, a hang, a lost row, or an altered one.

What a checksum protects (.gz, pages of Parquet) is read as it was, or refused. Of the rest the
accounts must be right; ``test_against_reference`` looks at the lines themselves. ``FUZZ_EXAMPLES``
makes it go on for longer, with other damage every time.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import zipfile
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loader.errors import InputError
from loader.reading.limits import Limits

if TYPE_CHECKING:
    from tests.unit.conftest import Outcome, Read

LONG = int(os.environ.get("FUZZ_EXAMPLES", "0"))
EXAMPLES = settings(
    max_examples=max(20, LONG // 4),
    derandomize=not LONG,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
BEGINNING = datetime(2024, 5, 13, 15, tzinfo=UTC)
ROWS = [
    (
        BEGINNING + timedelta(seconds=at),
        ("car", "pedestrian", "ü")[at % 3],
        ("gate", 'the "left" one', "a,b")[at % 3],
        at,
    )
    for at in range(60)
]
NAMES = ("time", "type", "source", "note")


def as_csv(end: str, quoting: Any = csv.QUOTE_MINIMAL, start: str = "") -> bytes:
    output = io.StringIO(newline="")
    writer = csv.writer(output, lineterminator=end, quoting=quoting)
    writer.writerow(NAMES)
    writer.writerows((time.isoformat(), *others) for time, *others in ROWS)
    return (start + output.getvalue()).encode()


def as_ndjson() -> bytes:
    lines = [
        {"time": time.isoformat(), "type": kind, "source": source, "note": {"a": [note]}}
        for time, kind, source, note in ROWS
    ]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def nested(start: int, end: int) -> dict[str, Any]:
    items = [
        {"after": {"time": time.isoformat(), "type": kind}, "note": {"a": [note]}}
        for time, kind, _, note in ROWS[start:end]
    ]
    return {"by": {"source": "gate"}, "before": {"time": "x"}, "items": items}


def as_nested(**options: Any) -> bytes:
    documents = [nested(at, at + 20) for at in range(0, len(ROWS), 20)]
    if options:
        return json.dumps(documents, **options).encode()
    return b"".join(json.dumps(one).encode() + b"\n" for one in documents)


def as_parquet(table: Any = None, **options: Any) -> bytes:
    columns = dict(zip(NAMES, map(list, zip(*ROWS, strict=True)), strict=True))
    output = io.BytesIO()
    table = pa.table(columns) if table is None else table
    pq.write_table(table, output, row_group_size=25, write_page_checksum=True, **options)
    return output.getvalue()


def gz(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def zst(content: bytes) -> bytes:
    compressed: bytes = pa.compress(content, codec="zstd", asbytes=True)
    return compressed


def zipped(content: bytes) -> bytes:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", content)
    return output.getvalue()


CSV, NDJSON = as_csv("\n"), as_ndjson()
# Name and content; and whether a checksum protects every value.
FILES = {
    "csv": ("a.csv", CSV, False),
    "csv with CR LF": ("a.csv", as_csv("\r\n", csv.QUOTE_ALL), False),
    "csv with BOM": ("a.csv", as_csv("\n", start="\ufeff"), False),
    "csv.gz": ("a.csv.gz", gz(CSV), True),
    "csv.zst": ("a.csv.zst", zst(CSV), False),
    "csv.bz2": ("a.csv.bz2", bz2.compress(CSV), True),
    "csv.xz": ("a.csv.xz", lzma.compress(CSV), True),
    "zip": ("a.zip", zipped(CSV), True),
    "csv in UTF-16": ("a.csv", CSV.decode().encode("utf-16"), False),
    "ndjson": ("a.ndjson", NDJSON, False),
    "ndjson.gz": ("a.ndjson.gz", gz(NDJSON), True),
    "ndjson.zst": ("a.ndjson.zst", zst(NDJSON), False),
    "parquet": ("a.parquet", as_parquet(), True),
    "parquet with zstd": ("a.parquet", as_parquet(compression="zstd"), True),
    "parquet in the open": (
        "a.parquet",
        as_parquet(compression="none", use_dictionary=False),
        True,
    ),
}
NESTED = {
    "nested json": ("a.json", as_nested(), False),
    "nested json in an array": ("a.json", as_nested(separators=(",", ":")), False),
    "nested json over several lines": ("a.json", as_nested(indent=1), False),
    "nested json as one document": ("a.json", json.dumps(nested(0, 60), indent=1).encode(), False),
    "nested parquet": (
        "a.parquet",
        as_parquet(pa.Table.from_pylist([nested(at, at + 20) for at in range(0, 60, 20)])),
        True,
    ),
}
FILES |= NESTED
PATHS = {
    "time_column": "items[].after.time",
    "type_column": "items[].after.type",
    "source_column": "by.source",
    "attributes": ("items[].note",),
}
damage = st.lists(
    st.tuples(
        st.sampled_from(["flip", "insert", "delete", "cut"]),
        st.integers(0, 10**6),
        st.binary(min_size=1, max_size=2),
    ),
    min_size=1,
    max_size=4,
)


def damaged(content: bytes, changes: list[tuple[str, int, bytes]]) -> bytes:
    for kind, place, piece in changes:
        at = place % (len(content) + 1)
        if kind == "flip":
            content = (
                content[:at] + bytes(one ^ piece[0] for one in content[at:][:1]) + content[at + 1 :]
            )
        elif kind == "insert":
            content = content[:at] + piece + content[at:]
        else:
            content = content[:at] + (content[at + 1 :] if kind == "delete" else b"")
    return content


def attempt(
    read: Read, name: str, content: bytes, block: int = 4 << 20, *, is_nested: bool = False
) -> Outcome | None:
    """Read a file; None when it is refused, in one line that names it."""
    options = PATHS if is_nested else {"attributes": ("note",)}
    # Small blocks with small rows: then a document is read item by item.
    limits = Limits(block_bytes=block, line_bytes=min(block, 1 << 20))
    try:
        return read(content, name, limits=limits, **options)
    except InputError as error:
        told = str(error)
    assert name in told
    assert "\n" not in told
    return None


@pytest.mark.parametrize("kind", FILES)
@EXAMPLES
@given(changes=damage, block=st.sampled_from([300, 4 << 20]))
def test_any_damage(
    read: Read, kind: str, changes: list[tuple[str, int, bytes]], block: int
) -> None:
    name, content, is_protected = FILES[kind]
    is_nested = kind in NESTED
    whole = attempt(read, name, content, is_nested=is_nested)
    assert whole is not None
    assert len(whole.events) == len(ROWS)
    found = attempt(read, name, damaged(content, changes), block, is_nested=is_nested)
    if found is None:
        return
    assert found.rows_read == len(found.events) + found.rows_rejected
    assert found.rows_rejected == len(found.rejects)
    if is_protected:
        assert (found.events, found.attributes) == (whole.events, whole.attributes)


@pytest.mark.parametrize("kind", [kind for kind in FILES if "." in kind or "parquet" in kind])
def test_a_file_that_is_cut_is_refused_wherever_that_is(read: Read, kind: str) -> None:
    name, content, _ = FILES[kind]
    size = len(content)
    for end in (*range(0, size - 12, size // 25), *range(size - 12, size)):
        assert attempt(read, name, content[:end], is_nested=kind in NESTED) is None, end
