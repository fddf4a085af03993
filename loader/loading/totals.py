"""Counting what became of the rows of an input."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from loader.reading.batch import EventBatch

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Totals:
    """What became of the rows of an input; always read = loaded + rejected + duplicate."""

    rows_read: int = 0
    rows_loaded: int = 0
    rows_rejected: int = 0
    rows_duplicate: int = 0
    first_event_at: datetime | None = None
    last_event_at: datetime | None = None


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
    return replace(
        totals,
        rows_read=totals.rows_read + batch.rows_read,
        rows_loaded=totals.rows_loaded + count,
        rows_rejected=totals.rows_rejected + batch.rows_rejected,
        first_event_at=first,
        last_event_at=last,
    )


def _moment(microseconds: Any) -> datetime:
    return _EPOCH + timedelta(microseconds=int(microseconds))
