"""Which days have a partition of ``raw.event_chunks``, and what a new one would hold.

All bounds are midnights in UTC, so that days, counted from 1970, are enough. The size of new
partitions may have been changed once or more, so those that exist may be of any size. A new one
takes the month, week or day that it is for, less what others have of it.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from loader.reading.times.calendar import DAY, FIRST_YEAR, LAST_YEAR
from loader.settings import PartitionBy

# A month more at both ends: the first and the last week belong to two years.
FIRST_DAY: Final = int(np.datetime64(f"{FIRST_YEAR - 1}-12-01", "D").astype(np.int64))
END_DAY: Final = int(np.datetime64(f"{LAST_YEAR + 1}-02-01", "D").astype(np.int64))

# 1970-01-01 was a Thursday; weeks begin on Mondays, as they do for date_trunc.
_THURSDAY: Final = 3
_NOBODY: Final = -1
# So many days after its first one, the next month, week or day has begun, and no other.
_LONGEST: Final[dict[PartitionBy, int]] = {"month": 31, "week": 7, "day": 1}


def days_of(micros: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the days of times, which are microseconds since 1970 in UTC."""
    return micros // DAY


class PartitionDays:
    """The partitions there are, by day.

    Attributes:
        partition_by: how long new ones are.
        names: their names, in no order.
    """

    def __init__(
        self,
        partition_by: PartitionBy = "month",
        existing: Iterable[tuple[str, int | None, int | None]] = (),
    ) -> None:
        """Take name, first day and the day after the last one of each; None has no bound."""
        self.partition_by = partition_by
        self.names: list[str] = []
        self._owners = np.full(END_DAY - FIRST_DAY, _NOBODY, np.int32)
        for name, first, end in existing:
            self.add(name, first, end)

    def add(self, name: str, first: int | None, end: int | None) -> None:
        """Note a partition."""
        begins = 0 if first is None else max(first - FIRST_DAY, 0)
        ends = len(self._owners) if end is None else max(end - FIRST_DAY, 0)
        self._owners[begins:ends] = len(self.names)
        self.names.append(name)

    def owners(self, days: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the place in ``names`` of the partition of each day, negative without one."""
        found: NDArray[np.int32] = self._owners[days - FIRST_DAY]
        return found

    def has(self, day: int) -> bool:
        """Tell whether a day has a partition."""
        return bool(self._owners[day - FIRST_DAY] != _NOBODY)

    def open_days(self) -> NDArray[np.bool_]:
        """Tell which of all days, from `FIRST_DAY` on, have a partition now."""
        found: NDArray[np.bool_] = self._owners != _NOBODY
        return found

    def slots(self, days: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the first day of the month or week that each day is in, or the day itself."""
        match self.partition_by:
            case "month":
                months = days.astype("datetime64[D]").astype("datetime64[M]")
                firsts: NDArray[np.int64] = months.astype("datetime64[D]").astype(np.int64)
                return firsts
            case "week":
                return days - (days + _THURSDAY) % 7
            case "day":
                return days

    def slot(self, day: int) -> tuple[int, int]:
        """Return the first day of the month or week that a day is in, and that of the next."""
        first = int(self.slots(np.array([day]))[0])
        return first, int(self.slots(np.array([first + _LONGEST[self.partition_by]]))[0])

    def free(self, day: int) -> tuple[int, int]:
        """Return what a new partition for a day, which has none, can hold of its slot."""
        first, end = self.slot(day)
        taken = np.flatnonzero(self.owners(np.arange(first, end)) != _NOBODY) + first
        before, after = taken[taken < day] + 1, taken[taken > day]
        return max([first, *before.tolist()]), min([end, *after.tolist()])


def partition_name(first: int, end: int) -> str:
    """Return the name of a partition: that of its month, ``event_chunks_2024_05``, or first day."""
    day = np.datetime64(first, "D")
    month = day.astype("datetime64[M]")
    following = (month + np.timedelta64(1, "M")).astype("datetime64[D]")
    is_month = month.astype("datetime64[D]") == day and following == np.datetime64(end, "D")
    return f"event_chunks_{month if is_month else day}".replace("-", "_")


def bound(day: int) -> str:
    """Return the beginning of a day as PostgreSQL reads it."""
    return f"{np.datetime64(day, 'D')} 00:00:00+00"
