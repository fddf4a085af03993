"""Rejected rows: kept with the load, shown, and written back to a file to be mended."""

import codecs
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from psycopg import Connection
from psycopg.rows import class_row

from loader.database.queries import query, select, value
from loader.errors import UsageError
from loader.reading.batch import Reject

_COPY: Final = (
    "copy raw.rejected_events (load_id, line_number, column_name, reason, raw_text, raw_bytes,"
    " is_cut, partition_number, message_offset) from stdin"
)


@dataclass(frozen=True, kw_only=True)
class RejectedRow:
    """A rejected row of a published load; ``raw_bytes`` only when the text is not faithful."""

    load_id: int
    origin: str
    line_number: int | None
    column_name: str | None
    reason: str
    raw_text: str
    raw_bytes: bytes | None
    is_cut: bool
    partition_number: int | None
    message_offset: int | None

    @property
    def raw(self) -> bytes:
        """The row exactly as it stood in the input."""
        return self.raw_text.encode() if self.raw_bytes is None else self.raw_bytes


def store_rejects(conn: Connection, load_id: int, rejects: Iterable[Reject]) -> None:
    """Append rejected rows to ``raw.rejected_events``."""
    with conn.cursor() as cursor, cursor.copy(_COPY) as copy:
        for reject in rejects:
            text = readable(reject.raw)
            exact = None if text.encode() == reject.raw else reject.raw
            copy.write_row(
                (
                    load_id,
                    reject.line_number,
                    storable(reject.column_name),
                    storable(reject.reason),
                    text,
                    exact,
                    reject.is_cut,
                    reject.partition_number,
                    reject.message_offset,
                )
            )


def readable(raw: bytes) -> str:
    r"""Return bytes as text that PostgreSQL can hold: ``\xff`` for what is not UTF-8 or NUL."""
    return raw.decode("utf-8", "backslashreplace").replace("\0", "\\x00")


def storable(text: str | None) -> str | None:
    """Return a text without what PostgreSQL cannot hold: NUL and lone surrogates."""
    if text is None:
        return None
    return readable(text.encode("utf-8", "backslashreplace"))


def read_rejects(
    conn: Connection, load_id: int | None = None, limit: int | None = None
) -> Iterator[RejectedRow]:
    """Yield the rejected rows of one load, or of all, newest load first, in input order.

    They are streamed: there may be more of them than fit into memory.
    """
    with (
        conn.transaction(),
        conn.cursor(name="rejects", row_factory=class_row(RejectedRow)) as cursor,
    ):
        cursor.itersize = 5000
        cursor.execute(select(RejectedRow, "list_rejects"), {"load_id": load_id, "limit": limit})
        yield from cursor


def count_unkept(conn: Connection, load_id: int | None = None) -> int:
    """Return how many rejected rows of published loads were only counted."""
    return int(value(conn, query("count_unkept_rejects"), {"load_id": load_id}))


def read_options(conn: Connection, load_id: int) -> tuple[dict[str, Any], str]:
    """Return how a load was read, and where it came from."""
    found = conn.execute("select options, origin from raw.loads where load_id = %s", [load_id])
    return found.fetchone() or ({}, "")


def export_rejects(
    conn: Connection,
    load_id: int,
    options: Mapping[str, Any],
    file: Path,
    limit: int | None = None,
) -> tuple[int, int]:
    """Write the rejected rows of a load, below its header, to a new file.

    Rows of which only the start was kept are left out: what is left of one may well look whole.
    Returned are how many were written, and how many left out.
    """
    header, encoding = options.get("header"), options.get("encoding")
    encoder = None if encoding is None else codecs.getincrementalencoder(encoding)("replace")

    def encoded(line: bytes) -> bytes:
        # In the encoding of the input, so that it is loaded with the same options.
        line += b"\n"
        return line if encoder is None else encoder.encode(line.decode(errors="replace"))

    count = left_out = 0
    try:
        with file.open("xb") as output:
            if header is not None:
                output.write(encoded(header.encode()))
            for row in read_rejects(conn, load_id, limit):
                if row.is_cut:
                    left_out += 1
                    continue
                raw = row.raw
                if row.message_offset is not None or raw.startswith(b"{"):
                    # An object may go over several lines; among others it needs one of its own.
                    raw = raw.replace(b"\r", b" ").replace(b"\n", b" ")
                output.write(encoded(raw))
                count += 1
    except OSError as error:
        raise UsageError(f"--export {file}: {error.strerror}") from None
    return count, left_out
