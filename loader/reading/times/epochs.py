"""Epoch times: numbers of seconds, milliseconds or microseconds since 1970."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from loader.reading.arrow import Array, pa, pc
from loader.reading.times.calendar import END, FIRST, Moments, TimeFault

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from loader.reading.texts import Texts

_NUMBER: Final = r"^(?P<sign>[+-]?)(?P<whole>[0-9]{1,18})(?:\.(?P<fraction>[0-9]*))?$"
_WHOLE: Final = r"^-?[0-9]{1,18}$"


def read(texts: Texts, unit: int) -> Moments:
    """Read decimal numbers, with or without a fraction.

    Args:
        texts: numbers such as ``1715612400.25``; no exponents, for what has one was mangled by
            a spreadsheet and lost its digits.
        unit: microseconds that one stands for.
    """
    if pc.all(pc.match_substring_regex(texts.array, _WHOLE)).as_py():
        numbers = texts.array.view(pa.string()).cast(pa.int64())
        return from_integers(numbers.to_numpy(zero_copy_only=False), unit)
    parts = pc.extract_regex(texts.array, _NUMBER)
    good = parts.is_valid().to_numpy(zero_copy_only=False)
    whole = _integers(pc.struct_field(parts, "whole"))
    # One digit more than a microsecond has, to round by.
    digits = len(str(unit))
    fraction = pc.struct_field(parts, "fraction").view(pa.string()).fill_null("")
    padded = pc.utf8_slice_codeunits(pc.utf8_rpad(fraction, digits, "0"), 0, digits)
    moments = from_integers(whole, unit)
    micros = moments.micros + (_integers(padded) + 5) // 10
    negative = pc.equal(pc.struct_field(parts, "sign").view(pa.string()).fill_null(""), "-")
    micros = np.where(negative.to_numpy(zero_copy_only=False), -micros, micros)
    moments.fault = np.where(moments.fault == 0, _range(micros), moments.fault)
    moments.fault[~good] = TimeFault.FORM
    moments.fault[texts.lengths == 0] = TimeFault.EMPTY
    moments.micros = micros
    return moments


def from_integers(numbers: NDArray[np.int64], unit: int) -> Moments:
    """Take whole numbers of this many microseconds."""
    far = (numbers > END // unit) | (numbers < -(END // unit))
    micros = np.where(far, 0, numbers) * unit
    moments = _moments(micros)
    moments.fault[far] = TimeFault.RANGE
    return moments


def from_floats(numbers: NDArray[np.float64], unit: int) -> Moments:
    """Take binary fractions; exact to the microsecond for seconds up to 2242."""
    good = np.isfinite(numbers)
    far = ~good | (np.abs(numbers) > END / unit)
    whole = np.floor(np.where(far, 0, numbers))
    rest = np.where(far, 0, numbers) - whole
    micros = whole.astype(np.int64) * unit + np.floor(rest * unit + 0.5).astype(np.int64)
    moments = _moments(micros)
    moments.fault[far] = TimeFault.RANGE
    moments.fault[~good] = TimeFault.FORM
    return moments


def _integers(digits: Array) -> NDArray[np.int64]:
    text = digits.view(pa.string()).fill_null("0")
    numbers: NDArray[np.int64] = text.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return numbers


def _moments(micros: NDArray[np.int64]) -> Moments:
    return Moments(
        micros=micros,
        fault=_range(micros),
        has_offset=np.ones(len(micros), np.bool_),
        leap=np.zeros(len(micros), np.bool_),
    )


def _range(micros: NDArray[np.int64]) -> NDArray[np.uint8]:
    outside = (micros < FIRST) | (micros >= END)
    return np.where(outside, TimeFault.RANGE, TimeFault.NONE).astype(np.uint8)
