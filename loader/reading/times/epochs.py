"""Epoch times: numbers of seconds, or of parts of them, since 1970."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from loader.reading.arrow import Array, pa, pc
from loader.reading.texts import Texts
from loader.reading.times.calendar import END, SECOND, Moments, TimeFault

# As many digits as 64 bits can hold in any case; a number of more is a time in no unit.
_DIGITS: Final = "(?:[0-9]{1,18}|[1-8][0-9]{18})"
_NUMBER: Final = rf"^(?P<sign>[+-]?)(?P<whole>{_DIGITS})(?:\.(?P<fraction>[0-9]*))?$"
_WHOLE: Final = rf"^-?{_DIGITS}$"
# How many of them a second has.
EPOCHS: Final = {"epoch_s": 1, "epoch_ms": 10**3, "epoch_us": 10**6, "epoch_ns": 10**9}


def read(texts: Texts, per_second: int) -> Moments:
    """Read decimal numbers, with or without a fraction, of which a second has so many.

    No exponents, for what has one was mangled by a spreadsheet and lost its digits.
    """
    if pc.all(pc.match_substring_regex(texts.array, _WHOLE)).as_py():
        numbers = texts.array.view(pa.string()).cast(pa.int64())
        return from_integers(numbers.to_numpy(zero_copy_only=False), per_second)
    parts = pc.extract_regex(texts.array, _NUMBER)
    good = parts.is_valid().to_numpy(zero_copy_only=False)
    whole = _integers(pc.struct_field(parts, "whole"))
    moments = from_integers(whole, per_second)
    micros = moments.micros
    if per_second <= SECOND:
        # One digit more than a microsecond has, to round by.
        digits = len(str(SECOND // per_second))
        fraction = pc.struct_field(parts, "fraction").view(pa.string()).fill_null("")
        padded = pc.utf8_slice_codeunits(pc.utf8_rpad(fraction, digits, "0"), 0, digits)
        micros = micros + (_integers(padded) + 5) // 10
    negative = pc.equal(pc.struct_field(parts, "sign").view(pa.string()).fill_null(""), "-")
    micros = np.where(negative.to_numpy(zero_copy_only=False), -micros, micros)
    moments.fault[~good] = TimeFault.FORM
    moments.fault[texts.lengths == 0] = TimeFault.EMPTY
    moments.micros = micros
    return moments


def from_timestamps(column: Array) -> Moments:
    """Take a column of timestamps, with or without a zone; nulls are empty."""
    moments = from_numbers(column.cast(pa.int64()), EPOCHS[f"epoch_{column.type.unit}"])
    moments.has_offset[:] = column.type.tz is not None
    return moments


def from_numbers(column: Array, per_second: int) -> Moments:
    """Take a column of integers or floats; nulls are empty."""
    is_whole = pa.types.is_integer(column.type)
    if pa.types.is_uint64(column.type):
        column = pc.min_element_wise(column, pa.scalar(2**63 - 1, pa.uint64()), skip_nulls=False)
    numbers = column.cast(pa.int64() if is_whole else pa.float64()).fill_null(0)
    read = from_integers if is_whole else from_floats
    moments = read(numbers.to_numpy(zero_copy_only=False), per_second)
    moments.fault[column.is_null().to_numpy(zero_copy_only=False)] = TimeFault.EMPTY
    return moments


def from_integers(numbers: NDArray[np.int64], per_second: int) -> Moments:
    """Take whole numbers; those finer than a microsecond are rounded to it, half up."""
    if per_second > SECOND:
        finer = per_second // SECOND
        return from_integers(numbers // finer + (numbers % finer >= finer // 2), SECOND)
    unit = SECOND // per_second
    far = (numbers > END // unit) | (numbers < -(END // unit))
    moments = Moments.alike(np.where(far, 0, numbers) * unit, has_offset=True)
    moments.fault[far] = TimeFault.RANGE
    return moments


def from_floats(numbers: NDArray[np.float64], per_second: int) -> Moments:
    """Take binary fractions; exact to the microsecond for seconds up to 2242."""
    if per_second > SECOND:
        return from_floats(numbers / (per_second // SECOND), SECOND)
    unit = SECOND // per_second
    good = np.isfinite(numbers)
    far = ~good | (np.abs(numbers) > END / unit)
    whole = np.floor(np.where(far, 0, numbers))
    rest = np.where(far, 0, numbers) - whole
    micros = whole.astype(np.int64) * unit + np.floor(rest * unit + 0.5).astype(np.int64)
    moments = Moments.alike(micros, has_offset=True)
    moments.fault[far] = TimeFault.RANGE
    moments.fault[~good] = TimeFault.FORM
    return moments


def _integers(digits: Array) -> NDArray[np.int64]:
    text = digits.view(pa.string()).fill_null("0")
    numbers: NDArray[np.int64] = text.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return numbers
