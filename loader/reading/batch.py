"""Events and rejects: what every reader yields, whatever the format."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from loader.reading.limits import Limits, too_long


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
        reason = too_long(size, len(raw), limits)
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
