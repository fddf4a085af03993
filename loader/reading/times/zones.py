"""Zones: local times without an offset to UTC, with gaps and repeated hours found out."""

import re
import zoneinfo
from bisect import bisect_left
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final

import numpy as np
from numpy.typing import NDArray

from loader.errors import UsageError
from loader.reading.times.calendar import EPOCH, SECOND, micros_of

_DAY: Final = 86_400
_NEVER: Final = 1 << 40
# Real ones lie between -12 and +14 hours.
_OFFSET: Final = re.compile(r"([+-])(0\d|1[0-5])(?::?([0-5]\d))?", re.ASCII)


class Zone:
    """A time zone, by its IANA name or an offset: when its offset changes, and to what.

    Arrow could convert too, but it reads only the explicit part of the system's zone files and is
    wrong after 2037 with the slim ones that many systems ship, and fails without any.
    """

    def __init__(self, name: str) -> None:
        self._zone = _find(name)
        # None yet.
        self._years = (9999, 0)
        self._starts = np.empty(0, np.int64)
        self._bounds = np.empty(0, np.int64)
        self._offsets = np.empty(0, np.int64)

    def to_utc(
        self, local: NDArray[np.int64], *, second: bool = False
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
        """Convert local times to UTC: microseconds since 1970 on the wall clock, years 1-9998.

        Returns:
            Microseconds in UTC, the ``second`` where the wall clock showed a time twice; whether it
            skipped this time, so that the first is meaningless; whether it showed it twice.
        """
        if len(local) == 0:
            empty = np.zeros(0, np.bool_)
            return local, empty, empty
        self._cover(int(local.min()), int(local.max()))
        at = np.searchsorted(self._bounds, local, side="right")
        before, after = self._offsets[at], self._offsets[at + 1]
        doubtful = local >= self._starts[at]
        twice = doubtful & (after <= before)
        utc = local - (np.where(twice, after, before) if second else before)
        return utc, doubtful & (after > before), twice

    def _cover(self, first: int, last: int) -> None:
        """Know the changes of the years of these local times, and of their neighbours."""
        years = (_year(first) - 1, _year(last) + 2)
        if self._years[0] <= years[0] and years[1] <= self._years[1]:
            return
        self._years = years = min(years[0], self._years[0]), max(years[1], self._years[1])
        lo, hi = (micros_of(datetime(max(year, 1), 1, 2, tzinfo=UTC)) // SECOND for year in years)
        changes, offsets = [], [self._offset(lo)]
        for day in range(lo, hi, _DAY):
            if (following := self._offset(day + _DAY)) != offsets[-1]:
                changes.append(self._change(day, day + _DAY))
                offsets.append(following)
        # The last change never comes, so that one is always ahead.
        self._offsets = np.array([*offsets, offsets[-1]], np.int64) * SECOND
        at = np.array([*changes, _NEVER], np.int64) * SECOND
        before, after = self._offsets[:-1], self._offsets[1:]
        # Between start and bound the wall clock shows times twice, or jumps over them.
        self._starts = at + np.minimum(before, after)
        self._bounds = at + np.maximum(before, after)

    def _offset(self, second: int) -> int:
        """Seconds east of UTC at this moment."""
        moment = (EPOCH + timedelta(seconds=second)).astimezone(self._zone)
        offset = moment.utcoffset()
        return 0 if offset is None else int(offset.total_seconds())

    def _change(self, lo: int, hi: int) -> int:
        """First second in (lo, hi] with the offset that holds at hi."""
        wanted, seconds = self._offset(hi), range(lo + 1, hi + 1)
        return seconds[bisect_left(seconds, True, key=lambda one: self._offset(one) == wanted)]


def _find(name: str) -> tzinfo:
    offset = _OFFSET.fullmatch(name.strip())
    if offset is not None:
        minutes = int(offset[2]) * 60 + int(offset[3] or 0)
        return timezone(timedelta(minutes=-minutes if offset[1] == "-" else minutes))
    try:
        return zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError) as error:
        raise UsageError(
            f'--timezone "{name}" is not a known zone; use a name such as Europe/Berlin, or an '
            "offset such as +02:00"
        ) from error


def _year(micros: int) -> int:
    return (EPOCH + timedelta(microseconds=micros)).year
