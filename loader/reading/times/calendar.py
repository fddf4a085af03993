"""Calendar: date and time fields to microseconds, whole columns at once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

SECOND: Final = 1_000_000
# Detectors did not exist before, and a later time is a broken clock or a wrong unit. Every
# event outside would also cost a partition of its own.
FIRST_YEAR: Final = 1900
LAST_YEAR: Final = 2199
FIRST: Final = (date(FIRST_YEAR, 1, 1) - date(1970, 1, 1)).days * 86_400 * SECOND
END: Final = (date(LAST_YEAR + 1, 1, 1) - date(1970, 1, 1)).days * 86_400 * SECOND

# A year more at both ends: an offset may move a time across New Year.
_BASE: Final = FIRST_YEAR - 1
_YEARS: Final = LAST_YEAR + 1 - _BASE + 1
_MONTH_STARTS: Final = np.array(
    [
        (date(_BASE + month // 12, month % 12 + 1, 1) - date(1970, 1, 1)).days
        for month in range(_YEARS * 12 + 1)
    ],
    np.int32,
)
_MONTH_DAYS: Final = np.diff(_MONTH_STARTS)


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
    def unread(cls, count: int) -> Moments:
        """All of them at fault, until a reader knows better."""
        return cls(
            micros=np.zeros(count, np.int64),
            fault=np.full(count, TimeFault.FORM, np.uint8),
            has_offset=np.zeros(count, np.bool_),
            leap=np.zeros(count, np.bool_),
        )


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
    far = (year < _BASE) | (year >= _BASE + _YEARS)
    right_month = (month >= 1) & (month <= 12)
    months = np.where(right_month & ~far, (year - _BASE) * 12 + month - 1, 0)
    real = right_month & (day >= 1) & (far | (day <= _MONTH_DAYS[months]))
    real &= (minute < 60) & (second <= 60)
    at_end = hour >= 24
    if at_end.any():
        real &= ~at_end | ((hour == 24) & (minute == 0) & (second == 0) & (micro == 0))
    micros = (_MONTH_STARTS[months] + (day - 1)).astype(np.int64) * 86_400
    micros += (hour * 60 + minute) * 60 + second
    micros *= SECOND
    micros += micro
    fault = np.where(real, np.where(far, TimeFault.RANGE, TimeFault.NONE), TimeFault.NO_SUCH)
    return micros, fault.astype(np.uint8)
