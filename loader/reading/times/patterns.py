"""Times by a pattern: a regular expression with a group for each field, over whole columns."""

import re
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from loader.errors import UsageError
from loader.reading.arrow import Array, pa, pc
from loader.reading.texts import Texts
from loader.reading.times.calendar import DAY, SECOND, Moments, TimeFault, local_micros

_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_TWO: Final = "[0-9]{1,2}"


def _any(names: Iterable[str]) -> str:
    return "(?i:" + "|".join(names) + ")"


# Directive -> (field, expression). English names only: a locale would make results differ
# between machines. Fields of which one is enough for the date share a name.
_DIRECTIVES: Final = {
    "Y": ("year", "[0-9]{4}"),
    "y": ("short_year", "[0-9]{2}"),
    "m": ("month", _TWO),
    "b": ("month_name", _any([name[:3] for name in _MONTHS])),
    "B": ("month_name", _any(_MONTHS)),
    "d": ("day", _TWO),
    "e": ("day", " ?" + _TWO),
    "j": ("day_of_year", "[0-9]{1,3}"),
    "H": ("hour", _TWO),
    "I": ("hour12", _TWO),
    "p": ("half", _any(["am", "pm"])),
    "M": ("minute", _TWO),
    "S": ("second", _TWO),
    "f": ("fraction", "[0-9]{1,9}"),
    "z": ("offset", "(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)"),
    "Z": ("zone", "(?:UTC|GMT|Z)"),
    "a": ("weekday", _any([name[:3] for name in _DAYS])),
    "A": ("weekday", _any(_DAYS)),
}
_SHORTHANDS: Final = {"T": "%H:%M:%S", "D": "%m/%d/%y", "F": "%Y-%m-%d", "R": "%H:%M"}


class Pattern:
    """Reads times that an expression matches as a whole.

    It is one for RE2; the names of its groups are those of `_DIRECTIVES`.
    """

    def __init__(self, expression: str) -> None:
        self._pattern = f"^{expression}$"
        self._fields = set(re.findall(r"\(\?P<(\w+)>", expression))

    def read(self, texts: Texts) -> Moments:
        """Read a column of texts; a fraction is rounded to the nearest microsecond."""
        parts = pc.extract_regex(texts.array, self._pattern)
        good = parts.is_valid().to_numpy(zero_copy_only=False)
        zero = np.zeros(len(texts), np.int32)

        def number(field: str, default: int = 0) -> NDArray[np.int32]:
            if field not in self._fields:
                return zero + np.int32(default)
            text = _text(parts, field, str(default))
            if field == "day":
                text = pc.ascii_ltrim_whitespace(text)
            elif field == "second":
                # Nothing, where the group did not take part, is 0.
                text = pc.utf8_lpad(text, 1, "0")
            values: NDArray[np.int32] = text.cast(pa.int32()).to_numpy(zero_copy_only=False)
            return values

        year = number("year", 1970)
        if "short_year" in self._fields:
            # POSIX: 69-99 are of the 20th century, 00-68 of the 21st.
            short = number("short_year")
            year = short + np.where(short < 69, 2000, 1900).astype(np.int32)
        month, day = number("month", 1), number("day", 1)
        if "month_name" in self._fields:
            names = pc.utf8_lower(pc.utf8_slice_codeunits(_text(parts, "month_name", "jan"), 0, 3))
            known = pa.array([name[:3].lower() for name in _MONTHS])
            month = pc.index_in(names, known).to_numpy(zero_copy_only=False).astype(np.int32) + 1
        hour, wrong = number("hour"), zero > 0
        if "hour12" in self._fields:
            hour12 = number("hour12", 12)
            wrong = (hour12 < 1) | (hour12 > 12)
            halves = pc.utf8_lower(_text(parts, "half", "am"))
            afternoon = pc.equal(halves, "pm").to_numpy(zero_copy_only=False)
            hour = hour12 % 12 + 12 * afternoon.astype(np.int32)
        second = number("second")
        micros, fault = local_micros(
            year=year,
            month=month,
            day=day,
            hour=hour,
            minute=number("minute"),
            second=second,
            micro=self._micro(parts, zero),
        )
        if "day_of_year" in self._fields:
            ordinal = number("day_of_year", 1)
            leap_year = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
            wrong |= (ordinal < 1) | (ordinal > 365 + leap_year)
            micros += (ordinal - 1).astype(np.int64) * DAY
        fault[wrong & (fault == 0)] = TimeFault.NO_SUCH
        has_offset = np.full(len(texts), "zone" in self._fields)
        if "offset" in self._fields:
            offsets = _text(parts, "offset", "Z")
            shift, far = _offsets(offsets)
            has_offset = pc.not_equal(offsets, "").to_numpy(zero_copy_only=False)
            micros -= shift
            good &= ~far
        fault[~good] = TimeFault.FORM
        fault[texts.lengths == 0] = TimeFault.EMPTY
        return Moments(micros=micros, fault=fault, has_offset=has_offset, leap=second == 60)

    def _micro(self, parts: Array, zero: NDArray[np.int32]) -> NDArray[np.int32]:
        if "fraction" not in self._fields:
            return zero
        padded = pc.utf8_rpad(_text(parts, "fraction", "0"), 9, "0").cast(pa.int64())
        nanos: NDArray[np.int64] = padded.to_numpy(zero_copy_only=False)
        return ((nanos + 500) // 1000).astype(np.int32)


def strptime(time_format: str) -> Pattern:
    """Compile a strptime format.

    UsageError: it has a directive that is not supported, or does not tell the date.
    """
    fields: set[str] = set()

    def refuse(why: str) -> UsageError:
        return UsageError(f'--time-format "{time_format}" {why}')

    def piece(found: re.Match[str]) -> str:
        if found[2] is not None:
            return re.sub(r"\s+", lambda _: r"\s+", re.escape(found[2]).replace("\\ ", " "))
        if found[1] == "%":
            return "%"
        if found[1] not in _DIRECTIVES:
            supported = " ".join("%" + name for name in sorted(_DIRECTIVES))
            raise refuse(f"has %{found[1]}, which is not supported; supported are {supported}")
        field, expression = _DIRECTIVES[found[1]]
        if field in fields:
            raise refuse(f"has the {field} twice")
        fields.add(field)
        return f"(?P<{field}>{expression})"

    expanded = re.sub(r"%([%a-zA-Z])", lambda one: _SHORTHANDS.get(one[1], one[0]), time_format)
    pattern = Pattern(re.sub(r"%(.?)|([^%]+)", piece, expanded, flags=re.DOTALL))
    has_day = "day_of_year" in fields or ("day" in fields and fields & {"month", "month_name"})
    if not fields & {"year", "short_year"} or not has_day:
        raise refuse("does not tell the date: give a year, a month and a day, or epoch_s, ...")
    if ("hour12" in fields) != ("half" in fields):
        raise refuse("needs %I and %p together")
    for one, other in (("year", "short_year"), ("hour", "hour12")):
        if {one, other} <= fields:
            raise refuse(f"has the {one} twice")
    return pattern


def _text(parts: Array, field: str, default: str) -> Array:
    return pc.struct_field(parts, field).view(pa.string()).fill_null(default)


def _offsets(text: Array) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Microseconds east of UTC, and which of them are too far to be true."""
    found = text.dictionary_encode()
    digits = pc.replace_substring_regex(found.dictionary, "[^0-9]", "")
    padded = pc.utf8_rpad(digits, 4, "0").cast(pa.int64()).to_numpy(zero_copy_only=False)
    hours, minutes = padded // 100, padded % 100
    shift = (hours * 60 + minutes) * (60 * SECOND)
    west = pc.starts_with(found.dictionary, "-").to_numpy(zero_copy_only=False)
    is_far = (hours >= 16) | (minutes > 59)
    at = found.indices.to_numpy()
    return np.where(west, -shift, shift)[at], is_far[at]
