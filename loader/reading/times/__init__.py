"""Times: the time column of an input, in whatever form, to microseconds in UTC."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import numpy as np

from loader.errors import UsageError
from loader.reading.times import epochs, iso
from loader.reading.times.calendar import (
    END,
    FIRST,
    FIRST_YEAR,
    LAST_YEAR,
    SECOND,
    Moments,
    TimeFault,
)
from loader.reading.times.strptime import Strptime
from loader.reading.times.zones import Zone

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from loader.reading.texts import Texts

__all__ = ["EPOCHS", "Clock", "Moments", "TimeFault"]

EPOCHS: Final = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}
_SHOWN: Final = 60


class Clock:
    """Reads times the way a mapping says.

    Args:
        time_format: ``iso``, a key of `EPOCHS` or a strptime format.
        timezone: zone of times without an offset; None faults these.

    Raises:
        UsageError: the format is not usable.
    """

    def __init__(self, time_format: str, timezone: str | None) -> None:
        self._format = time_format
        self._timezone = timezone
        self._zone = None if timezone is None else Zone(timezone)
        self.unit = EPOCHS.get(time_format)
        self._strptime: Strptime | None = None
        if self.unit is None and time_format != "iso":
            if "%" not in time_format:
                known = ", ".join(["iso", *EPOCHS])
                raise UsageError(
                    f'--time-format "{time_format}" is neither {known} nor a strptime format '
                    "such as %d.%m.%Y %H:%M:%S"
                )
            self._strptime = Strptime(time_format)

    @property
    def is_iso(self) -> bool:
        """Whether no time format was asked for."""
        return self._format == "iso"

    def read(self, texts: Texts) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Read texts to microseconds in UTC and the `TimeFault` of each."""
        if self.unit is not None:
            return self.settle(epochs.read(texts, self.unit))
        if self._strptime is not None:
            return self.settle(self._strptime.read(texts))
        return self.settle(iso.read(texts))

    def settle(self, moments: Moments) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Apply the zone to the times that have no offset, and check the range of all."""
        micros, fault = moments.micros, moments.fault
        local = ~moments.has_offset & (fault == TimeFault.NONE)
        if local.any():
            if self._zone is None:
                fault[local] = TimeFault.NO_OFFSET
            else:
                rows = np.flatnonzero(local)
                utc, skipped, twice = self._zone.to_utc(micros[rows])
                micros[rows] = utc
                fault[rows[skipped]] = TimeFault.GAP
                fault[rows[twice]] = TimeFault.TWICE
        outside = (micros < FIRST) | (micros >= END)
        fault[outside & (fault == TimeFault.NONE)] = TimeFault.RANGE
        if moments.leap.any():
            # Leap seconds were only ever put in at the end of a UTC day; there the database
            # has no place for them either, so they become the first moment of the next day.
            within = micros % (86_400 * SECOND) >= SECOND
            fault[moments.leap & within & (fault == TimeFault.NONE)] = TimeFault.LEAP
        return micros, fault

    def reason(self, fault: int, text: str) -> str:
        """Say what is wrong with a value."""
        shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
        shown = f'"{shown}"'
        explained = {
            TimeFault.EMPTY: "the time is empty",
            TimeFault.NO_SUCH: f"{shown} does not exist: no such date or time of day",
            TimeFault.NO_OFFSET: (
                f"{shown} has no offset from UTC; say with --timezone where it was taken"
            ),
            TimeFault.GAP: f"{shown} does not exist in {self._timezone}: clocks were put forward",
            TimeFault.TWICE: f"{shown} is ambiguous in {self._timezone}: clocks were put back",
            TimeFault.RANGE: f"{shown} lies outside the years {FIRST_YEAR} to {LAST_YEAR}",
            TimeFault.LEAP: f"{shown} has a second 60, but is not at the end of a UTC day",
        }
        return explained.get(TimeFault(fault)) or self._wrong_form(text, shown)

    def _wrong_form(self, text: str, shown: str) -> str:
        if self.unit is not None:
            return f"{shown} is not a number, as --time-format {self._format} wants"
        if self._strptime is not None:
            return f'{shown} does not have the form of --time-format "{self._format}"'
        hints = {
            r"[+-]?\d+(\.\d*)?": "is a number; see --time-format epoch_s, epoch_ms, epoch_us",
            r"\d{4}-\d\d-\d\d": "is a date without a time of day",
            r"[+-]?\d{5,}-\d\d-\d\d.*": f"lies outside the years {FIRST_YEAR} to {LAST_YEAR}",
        }
        for pattern, hint in hints.items():
            if re.fullmatch(pattern, text, re.DOTALL):
                return f"{shown} {hint}"
        return f"{shown} is not a time such as 2024-05-13T15:00:00Z; see --time-format"
