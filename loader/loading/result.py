"""What a load did."""

import time
from dataclasses import dataclass, replace
from datetime import datetime

from loader.database.ledger import LedgerRow
from loader.reading.batch import Totals


@dataclass(frozen=True, kw_only=True)
class LoadResult:
    """What a load did, with the names and in the order of ``loader load --json``.

    ``destination`` is None, and left away there, where ``loader.toml`` names none. ``first_reject``
    is not there: it tells people what is wrong with the first row that was rejected.
    """

    load_id: int | None
    load_seq: int | None
    origin: str
    rows_read: int
    rows_loaded: int
    rows_rejected: int
    rows_duplicate: int
    rows_left_out: int
    already_loaded: bool
    seconds: float
    first_event_at: datetime | None
    last_event_at: datetime | None
    destination: str | None = None
    first_reject: str | None = None


def result_of(
    origin: str,
    totals: Totals,
    started: float,
    load_id: int | None = None,
    load_seq: int | None = None,
) -> LoadResult:
    """Return what a load did that began at an instant of ``time.monotonic``."""
    return LoadResult(
        load_id=load_id,
        load_seq=load_seq,
        origin=origin,
        already_loaded=False,
        seconds=round(time.monotonic() - started, 3),
        **vars(totals),
    )


def already_loaded(origin: str, visible: LedgerRow, started: float) -> LoadResult:
    """Return what is said of an input that is visible."""
    kept = vars(Totals()).keys() & vars(visible).keys()
    totals = Totals(**{name: getattr(visible, name) for name in kept})
    result = result_of(origin, totals, started, visible.load_id, visible.load_seq)
    return replace(result, already_loaded=True)
