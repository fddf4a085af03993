"""Calendar: date and time fields to microseconds, whole columns at once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

SECOND: Final = 1_000_000
DAY: Final = 86_400 * SECOND
# Detectors did not exist before, and a later time is a broken clock or a wrong unit. Every
# event outside would also cost a partition of its own.
FIRST_YEAR: Final = 1900
LAST_YEAR: Final = 2199
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def micros_of(moment: datetime) -> int:
    """Return a time as microseconds since 1970."""
    return (moment - EPOCH) // timedelta(microseconds=1)


FIRST: Final = micros_of(datetime(FIRST_YEAR, 1, 1, tzinfo=UTC))
END: Final = micros_of(datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC))


class TimeFault(IntEnum):
    """Why a value is not a time; 0 is a good one."""

    NONE = 0
    EMPTY = 1
    FORM = 2
    NO_SUCH = 3
    NO_OFFSET = 4
    GAP = 5
    TWICE = 6
    RANGE = 7
    LEAP = 8


@dataclass(kw_only=True)
class Moments:
    """Times as read, before the zone of those without an offset is applied.

    Attributes:
        micros: microseconds since 1970-01-01 00:00, in UTC where ``has_offset``.
        fault: `TimeFault` of each.
        has_offset: whether the value itself said how far from UTC it is.
        leap: whether its second was 60.
    """

    micros: NDArray[np.int64]
    fault: NDArray[np.uint8]
    has_offset: NDArray[np.bool_]
    leap: NDArray[np.bool_]

    def put(self, rows: NDArray[np.int64], others: Moments) -> None:
        """Replace some of them."""
        for name, values in vars(others).items():
            getattr(self, name)[rows] = values

    @classmethod
    def alike(
        cls, micros: NDArray[np.int64], fault: TimeFault = TimeFault.NONE, *, has_offset: bool
    ) -> Moments:
        """Times that are alike but for their microseconds."""
        return cls(
            micros=micros,
            fault=np.full(len(micros), fault, np.uint8),
            has_offset=np.full(len(micros), has_offset),
            leap=np.zeros(len(micros), np.bool_),
        )

    @classmethod
    def unread(cls, count: int) -> Moments:
        """All of them at fault, until a reader knows better."""
        return cls.alike(np.zeros(count, np.int64), TimeFault.FORM, has_offset=False)


def local_micros(
    *,
    year: NDArray[np.int32],
    month: NDArray[np.int32],
    day: NDArray[np.int32],
    hour: NDArray[np.int32],
    minute: NDArray[np.int32],
    second: NDArray[np.int32],
    micro: NDArray[np.int32],
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Put fields together: microseconds since 1970-01-01 00:00 on the same clock, or a `TimeFault`.

    ``24:00:00`` is the end of its day, as in ISO 8601. A second of 60 is taken here and counts as
    the first of the next minute; the caller decides whether it was a leap second. ``micro`` may be
    1,000,000, when a fraction was rounded up.
    """
    right_month = (month >= 1) & (month <= 12)
    months = (year - 1970) * 12 + np.where(right_month, month - 1, 0)
    first, following = (
        at.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
        for at in (months, months + 1)
    )
    real = right_month & (day >= 1) & (day <= following - first)
    real &= (minute < 60) & (second <= 60)
    at_end = hour >= 24
    if at_end.any():
        real &= ~at_end | ((hour == 24) & (minute == 0) & (second == 0) & (micro == 0))
    micros = (first + (day - 1)) * 86_400
    micros += (hour * 60 + minute) * 60 + second
    micros *= SECOND
    micros += micro
    return micros, np.where(real, TimeFault.NONE, TimeFault.NO_SUCH).astype(np.uint8)
