"""ISO 8601 times: columns of text read byte column by byte column, without a loop over rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from loader.reading.times.calendar import SECOND, Moments, TimeFault, local_micros

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from loader.reading.texts import Texts

_MINUTES: Final = 16  # length of 2024-05-13T15:00
_SECONDS: Final = 19  # length of 2024-05-13T15:00:00
_LONGEST: Final = _SECONDS + 1 + 9 + 1 + 6
_ZERO: Final = ord("0")
_FAR_OFFSET: Final = 16  # hours; real ones lie between -12 and +14

# The ways to write an offset, by the number of bytes they take.
_NONE, _Z, _HOURS, _UTC, _BASIC, _EXTENDED = 0, 1, 3, 4, 5, 6
_BYTES: Final = {_NONE: 0, _Z: 1, _HOURS: 3, _UTC: 3, _BASIC: 5, _EXTENDED: 6}
_BLANK: Final = 8  # added to a kind that a blank precedes


def read(texts: Texts) -> Moments:
    """Read ``YYYY-MM-DD[T ]hh:mm[:ss[.f{0,9}]][ ][Z|UTC|+hh|+hhmm|+hh:mm]``.

    A fraction finer than a microsecond is rounded to the nearest one, half up.
    """
    moments = Moments.unread(len(texts))
    for rows, columns in _by_length(texts):
        for kind, chosen in _kinds(columns):
            part = columns if chosen is None else columns[:, chosen]
            at: slice | NDArray[np.int64] = slice(None) if rows is None else rows
            if chosen is not None:
                at = chosen if rows is None else rows[chosen]
            _read_kind(part, kind, moments, at)
    moments.fault[texts.lengths == 0] = TimeFault.EMPTY
    return moments


def _by_length(texts: Texts) -> Iterator[tuple[NDArray[np.int64] | None, NDArray[np.uint8]]]:
    """Yield the rows of each length (None: all of them) and their bytes, transposed."""
    lengths = texts.lengths
    counts = np.bincount(np.minimum(lengths, _LONGEST + 1), minlength=_LONGEST + 2)
    for length in np.flatnonzero(counts[: _LONGEST + 1]).tolist():
        if length < _MINUTES:
            continue
        rows = None if counts[length] == len(lengths) else np.flatnonzero(lengths == length)
        part = texts if rows is None else texts.take(rows)
        yield rows, np.ascontiguousarray(part.matrix(length).T)


def _kinds(columns: NDArray[np.uint8]) -> Iterator[tuple[int, NDArray[np.int64] | None]]:
    """Yield the ways in which offsets are written, each with the rows that do (None: all)."""
    length, count = columns.shape
    kinds = np.zeros(count, np.uint8)

    def mark(kind: int, where: NDArray[np.bool_]) -> None:
        if where.any():
            before = length - _BYTES[kind] - 1
            kinds[where] = kind
            if before >= _MINUTES:
                kinds[where & (columns[before] == ord(" "))] = kind + _BLANK

    def signed(size: int) -> NDArray[np.bool_]:
        sign = columns[length - size]
        found: NDArray[np.bool_] = (sign == ord("+")) | (sign == ord("-"))
        return found

    for kind in (_HOURS, _BASIC, _EXTENDED):
        size = _BYTES[kind]
        if length - size >= _MINUTES:
            where = signed(size)
            if kind == _EXTENDED:
                where &= columns[length - 3] == ord(":")
            mark(kind, where)
    last = columns[-1] | 0x20
    if length - 1 >= _MINUTES:
        mark(_Z, last == ord("z"))
    if length - 3 >= _MINUTES:
        mark(_UTC, (columns[-3] == ord("U")) & (columns[-2] == ord("T")) & (last == ord("c")))
    present = np.flatnonzero(np.bincount(kinds, minlength=1)).tolist()
    for kind in present:
        yield kind, None if len(present) == 1 else np.flatnonzero(kinds == kind)


def _read_kind(
    columns: NDArray[np.uint8], kind: int, moments: Moments, at: slice | NDArray[np.int64]
) -> None:
    """Read rows of one length with offsets of one form, and store them at their place."""
    blank, kind = divmod(kind, _BLANK)
    body = len(columns) - _BYTES[kind] - blank
    if body != _MINUTES and body < _SECONDS:
        return
    bad = (columns[4] != ord("-")) | (columns[7] != ord("-")) | (columns[13] != ord(":"))
    between = columns[10]
    bad |= (between != ord("T")) & (between != ord(" ")) & (between != ord("t"))

    def number(first: int, size: int) -> NDArray[np.int32]:
        value = np.zeros(columns.shape[1], np.int32)
        for position in range(first, first + size):
            digit = columns[position] - _ZERO
            np.logical_or(bad, digit > 9, out=bad)
            value *= 10
            value += digit
        return value

    def two_digits(first: int) -> NDArray[np.int32]:
        tens, ones = columns[first] - _ZERO, columns[first + 1] - _ZERO
        np.logical_or(bad, tens > 9, out=bad)
        np.logical_or(bad, ones > 9, out=bad)
        both: NDArray[np.int32] = (tens * 10 + ones).astype(np.int32)
        return both

    zero = np.zeros(columns.shape[1], np.int32)
    second, micro = zero, zero
    if body >= _SECONDS:
        bad |= columns[16] != ord(":")
        second = two_digits(17)
    if body > _SECONDS:
        bad |= (columns[19] != ord(".")) & (columns[19] != ord(","))
        digits = body - _SECONDS - 1
        if digits > 9:
            return
        micro = number(20, digits)
        if digits <= 6:
            micro *= 10 ** (6 - digits)
        else:
            finer = 10 ** (digits - 6)
            micro = (micro + finer // 2) // finer
    micros, fault = local_micros(
        year=number(0, 4),
        month=two_digits(5),
        day=two_digits(8),
        hour=two_digits(11),
        minute=two_digits(14),
        second=second,
        micro=micro,
    )
    if kind in (_HOURS, _BASIC, _EXTENDED):
        size = _BYTES[kind]
        sign = len(columns) - size
        hours = two_digits(sign + 1)
        minutes = zero if kind == _HOURS else two_digits(len(columns) - 2)
        bad |= (hours >= _FAR_OFFSET) | (minutes > 59)
        offset = (hours * 60 + minutes).astype(np.int64) * (60 * SECOND)
        micros -= np.where(columns[sign] == ord("-"), -offset, offset)
    fault[bad] = TimeFault.FORM
    moments.micros[at] = micros
    moments.fault[at] = fault
    moments.leap[at] = second == 60
    moments.has_offset[at] = kind != _NONE
