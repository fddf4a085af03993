"""Times: the time column of an input, in whatever form, to microseconds in UTC."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from loader.errors import UsageError
from loader.reading.arrow import Array, pa, pc
from loader.reading.texts import Texts
from loader.reading.times import epochs, iso
from loader.reading.times.calendar import (
    DAY,
    END,
    FIRST,
    FIRST_YEAR,
    LAST_YEAR,
    SECOND,
    Moments,
    TimeFault,
)
from loader.reading.times.epochs import EPOCHS
from loader.reading.times.patterns import Pattern, strptime
from loader.reading.times.zones import Zone

__all__ = ["EPOCHS", "Clock", "Moments", "RepeatedHour", "TimeFault"]

RepeatedHour = Literal["reject", "first", "second"]

# A number that lies between, with one of these, is most likely of that unit: no two overlap.
_LIKELY: Final = [datetime(year, 1, 1, tzinfo=UTC).timestamp() for year in (1990, 2100)]
# What look like a blank, and are written between a time of day and PM, among others.
_BLANKS: Final = [blank.encode() for blank in "\u00a0\u2007\u2009\u202f"]
_NUMBER: Final = re.compile(r"[+-]?\d+(\.\d*)?", re.ASCII)
_UNITS: Final = dict(
    zip(EPOCHS, ["seconds", "milliseconds", "microseconds", "nanoseconds"], strict=True)
)
_SHOWN: Final = 60


class Clock:
    """Reads times the way a mapping says.

    The time format is ``iso``, a key of `EPOCHS` or a strptime format. Without a zone, times
    without an offset are faults. UsageError: the format or the zone is not usable.
    """

    def __init__(
        self, time_format: str, timezone: str | None, repeated_hour: RepeatedHour = "reject"
    ) -> None:
        self._format = time_format
        self._timezone = timezone
        self._repeated_hour = repeated_hour
        self._zone = None if timezone is None else Zone(timezone)
        self.per_second = EPOCHS.get(time_format)
        self.pattern: Pattern | None = None
        self._parse: Callable[[Texts], Moments] = iso.read
        if self.per_second is not None:
            self._parse = partial(epochs.read, per_second=self.per_second)
        elif time_format != "iso":
            if "%" not in time_format:
                known = ", ".join(["iso", *EPOCHS])
                raise UsageError(
                    f'--time-format "{time_format}" is neither {known} nor a strptime format '
                    "such as %d.%m.%Y %H:%M:%S"
                )
            self.pattern = strptime(time_format)
            self._parse = self.pattern.read

    def read(self, column: Array) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Read a column of any type to microseconds in UTC and the `TimeFault` of each."""
        if pa.types.is_date(column.type):
            # Only with a strptime format, which says that midnight is meant.
            column = column.cast(pa.timestamp("s"))
        if pa.types.is_timestamp(column.type):
            return self.settle(epochs.from_timestamps(column))
        if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
            if self.per_second is None:
                raise AssertionError("numbers need an epoch")
            return self.settle(epochs.from_numbers(column, self.per_second))
        texts = Texts(column)
        moments = self._parse(texts)
        rows = np.flatnonzero(moments.fault == TimeFault.FORM)
        if len(rows):
            found = wanted = texts.array.take(pa.array(rows))
            for blank in _BLANKS:
                found = pc.replace_substring(found, blank, b" ")
            if not found.equals(wanted):
                moments.put(rows, self._parse(Texts(found)))
        return self.settle(moments)

    def settle(self, moments: Moments) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Apply the zone to the times that have no offset, and check the range of all."""
        micros, fault = moments.micros, moments.fault
        if not moments.has_offset.all():
            self._apply_zone(moments)
        if len(micros) and not (micros.min() >= FIRST and micros.max() < END):
            outside = (micros < FIRST) | (micros >= END)
            fault[outside & (fault == TimeFault.NONE)] = TimeFault.RANGE
        if moments.leap.any():
            # Leap seconds were only ever put in at the end of a UTC day; there the database
            # has no place for them either, so they become the first moment of the next day.
            within = micros % DAY >= SECOND
            fault[moments.leap & within & (fault == TimeFault.NONE)] = TimeFault.LEAP
        return micros, fault

    def _apply_zone(self, moments: Moments) -> None:
        micros, fault = moments.micros, moments.fault
        local = ~moments.has_offset & (fault == TimeFault.NONE)
        if local.any():
            # No zone tells of years that are far away.
            is_far = (micros < FIRST - DAY) | (micros >= END + DAY)
            fault[local & is_far] = TimeFault.RANGE
            local &= ~is_far
            if self._zone is None:
                fault[local] = TimeFault.NO_OFFSET
            else:
                rows = np.flatnonzero(local)
                second = self._repeated_hour == "second"
                utc, skipped, twice = self._zone.to_utc(micros[rows], second=second)
                micros[rows] = utc
                fault[rows[skipped]] = TimeFault.GAP
                if self._repeated_hour == "reject":
                    fault[rows[twice]] = TimeFault.TWICE

    def reason(self, fault: int, text: str) -> str:
        """Say what is wrong with a value."""
        shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
        shown = f'"{shown}"'
        outside = f"{shown} lies outside the years {FIRST_YEAR} to {LAST_YEAR}{_likely(text)}"
        explained = {
            TimeFault.EMPTY: "the time is empty",
            TimeFault.NO_SUCH: f"{shown} does not exist: no such date or time of day",
            TimeFault.NO_OFFSET: (
                f"{shown} has no offset from UTC; say with --timezone where it was taken"
                + self._hint_at_z()
            ),
            TimeFault.GAP: f"{shown} does not exist in {self._timezone}: clocks were put forward",
            TimeFault.TWICE: (
                f"{shown} is ambiguous in {self._timezone}: clocks were put back; "
                "see --repeated-hour"
            ),
            TimeFault.RANGE: outside,
            TimeFault.LEAP: f"{shown} has a second 60, but is not at the end of a UTC day",
        }
        return explained.get(TimeFault(fault)) or self._wrong_form(text, shown, outside)

    def _wrong_form(self, text: str, shown: str, outside: str) -> str:
        if self.per_second is not None:
            not_one = f"{shown} is not a number, as --time-format {self._format} wants"
            return outside if _NUMBER.fullmatch(text) else not_one
        if self.pattern is not None:
            return f'{shown} does not have the form of --time-format "{self._format}"'
        if _NUMBER.fullmatch(text):
            known = ", ".join(EPOCHS)
            return f"{shown} is a number{_likely(text) or f'; see --time-format {known}'}"
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            return f"{shown} is a date without a time of day"
        if re.fullmatch(r"[+-]?\d{5,}-\d\d-\d\d.*", text, re.DOTALL):
            return outside
        return f"{shown} is not a time such as 2024-05-13T15:00:00Z; see --time-format"

    def _hint_at_z(self) -> str:
        if self.pattern is None or not re.search("(?<!%)Z", self._format):
            return ""
        return "; the Z of --time-format is a mere letter, %z reads it as UTC"


def _likely(text: str) -> str:
    """Say of which unit a number seems to be; nothing of what is none."""
    if _NUMBER.fullmatch(text):
        for name, per_second in EPOCHS.items():
            seconds = float(text) / per_second
            if _LIKELY[0] <= seconds < _LIKELY[1]:
                what = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
                return f"; it is {what} if these are {_UNITS[name]}: --time-format {name}"
    return ""
