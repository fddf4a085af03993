"""Events and rejects: what every reader yields, whatever the format."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from loader.reading.limits import Limits
from loader.reading.times.calendar import EPOCH


@dataclass(frozen=True, kw_only=True)
class Reject:
    """One row of the input that cannot become an event.

    Attributes:
        line_number: first physical line of the row, counted from 1 (Parquet: its row number);
            None when the input has no lines.
        column_name: the input column at fault; None when the row as a whole is.
        reason: what is wrong with it, in words for a person.
        raw: the row as it stood in the input, without its line end (Parquet: as JSON).
        is_cut: whether ``raw`` is only the start of a row that is too long to be kept.
        partition_number: of a message, the partition of the topic where it stood.
        message_offset: of a message, its offset there.
    """

    line_number: int | None
    column_name: str | None
    reason: str
    raw: bytes
    is_cut: bool = False
    partition_number: int | None = None
    message_offset: int | None = None

    @classmethod
    def too_long(cls, line_number: int, start: bytes, size: int, limits: Limits) -> Reject:
        """Reject a row of so many bytes, of which the beginning is enough."""
        raw = start[: limits.raw_bytes]
        reason = (
            f"the row has {size:,} bytes, more than the {limits.line_bytes:,} allowed; "
            f"only its first {len(raw):,} are kept"
        )
        return cls(line_number=line_number, column_name=None, reason=reason, raw=raw, is_cut=True)


@dataclass(frozen=True, kw_only=True)
class EventBatch:
    """Some consecutive rows of an input: the good ones as Arrow columns, the others as rejects.

    Attributes:
        events: ``event_time`` timestamp[us, UTC], ``source`` and ``event_type`` each
            dictionary<int32, string>, and only when attributes were asked for ``attributes``,
            string, a JSON object per row. No column has nulls.
        rejects: the first rejected rows in full; how many is bounded over the whole input, so
            that a wrong file of any size does not fill the memory.
        rows_rejected: all rejected rows of this batch, kept in ``rejects`` or not.
        rows_left_out: rows that nobody wanted.
    """

    events: pa.RecordBatch
    rejects: tuple[Reject, ...]
    rows_rejected: int
    rows_left_out: int = 0

    @property
    def rows_read(self) -> int:
        """Rows of the input that this batch stands for."""
        return self.events.num_rows + self.rows_rejected + self.rows_left_out


_HANDFUL = 5


@dataclass(frozen=True, kw_only=True)
class Totals:
    """What became of the rows of an input; always read = loaded + rejected + duplicate + left out.

    ``first_reject`` says where the first rejected row stands and what is wrong with it.
    """

    rows_read: int = 0
    rows_loaded: int = 0
    rows_rejected: int = 0
    rows_duplicate: int = 0
    rows_left_out: int = 0
    first_event_at: datetime | None = None
    last_event_at: datetime | None = None
    first_reject: str | None = None


def add_batch(totals: Totals, batch: EventBatch) -> Totals:
    """Return the totals with one more batch."""
    count = batch.events.num_rows
    first, last = totals.first_event_at, totals.last_event_at
    if count:
        times: npt.NDArray[np.int64] = (
            batch.events.column("event_time").to_numpy(zero_copy_only=False).view(np.int64)
        )
        lowest, highest = _moment(times.min()), _moment(times.max())
        first = lowest if first is None else min(first, lowest)
        last = highest if last is None else max(last, highest)
    first_reject = totals.first_reject
    if first_reject is None and batch.rejects:
        first_reject = _described(batch.rejects[0])
    return replace(
        totals,
        first_reject=first_reject,
        rows_read=totals.rows_read + batch.rows_read,
        rows_loaded=totals.rows_loaded + count,
        rows_rejected=totals.rows_rejected + batch.rows_rejected,
        rows_left_out=totals.rows_left_out + batch.rows_left_out,
        first_event_at=first,
        last_event_at=last,
    )


def doubts(first: datetime | None, last: datetime | None, rows: int, now: datetime) -> list[str]:
    """Say what is odd about times that were read; a wrong unit or clock makes no row wrong."""
    if first is None or last is None:
        return []
    found = []
    if EPOCH <= first < EPOCH + timedelta(days=31):
        found.append(
            "there are times in January 1970, as there are when seconds are read as milliseconds; "
            "is --time-format right?"
        )
    if last > now + timedelta(days=1):
        found.append(f"there are times in the future, up to {last.astimezone(UTC):%Y-%m-%d}")
    if first == last and rows > _HANDFUL:
        found.append(f"all of its {rows:,} events have the same time")
    return found


def _described(reject: Reject) -> str:
    where = "" if reject.line_number is None else f"line {reject.line_number}: "
    if reject.message_offset is not None:
        where = f"partition {reject.partition_number} offset {reject.message_offset}: "
    column = "" if reject.column_name is None else f"column {reject.column_name}: "
    return f"{where}{column}{reject.reason}"


def _moment(microseconds: Any) -> datetime:
    return EPOCH + timedelta(microseconds=int(microseconds))
