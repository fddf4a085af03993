"""ISO 8601 times: a pattern says what they are; what Arrow surely agrees on, its own cast reads."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from loader.reading.arrow import InvalidError, pa, pc
from loader.reading.texts import Texts
from loader.reading.times.calendar import Moments, TimeFault
from loader.reading.times.patterns import Pattern

# YYYY-MM-DD[T ]hh:mm[:ss[.f]][ ][Z|UTC|+hh|+hhmm|+hh:mm]; without dashes also without colons.
_REST: Final = (
    "(?:[.,](?P<fraction>[0-9]{0,9}))?)?(?: ?(?P<offset>[Zz]|UTC|[+-][0-9]{2}(?::?[0-9]{2})?))?"
)
_TWO: Final = "[0-9]{2}"
_PATTERNS: Final = [
    Pattern(
        f"(?P<year>[0-9]{{4}}){dash}(?P<month>{_TWO}){dash}(?P<day>{_TWO})[Tt ]"
        f"(?P<hour>{_TWO}){colon}(?P<minute>{_TWO})(?:{colon}(?P<second>{_TWO}){_REST}"
    )
    for dash, colon in (("-", ":"), ("", ":?"))
]
# What Arrow reads likewise, with an offset and without; but for the 29th of a short February.
_PLAIN: Final = (
    r"^\d{4}-(?:0[13578]-(?:0[1-9]|[12]\d|3[01])|1[02]-(?:0[1-9]|[12]\d|3[01])"
    r"|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)|02-(?:0[1-9]|[12]\d))"
    r"[T ](?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,9})?)?"
)
_CAST: Final = {"UTC": _PLAIN + r"(?:Z|[+-](?:0\d|1[0-5]):?[0-5]\d)$", None: _PLAIN + "$"}
_SHORTEST: Final = len("2024-05-13T15:00")
_LONGEST_US: Final = len("2024-05-13T15:00:00.123456")
_SAMPLE: Final = 16


def read(texts: Texts) -> Moments:
    """Read times; a fraction finer than a microsecond is rounded to the nearest one, half up."""
    if len(texts) == 0:
        return Moments.unread(0)
    if (texts.lengths > 3).all() and (texts.bytes_at(-1) == ord("C")).all():
        texts = Texts(pc.replace_substring(texts.array, b" UTC", b"Z"), trim=False)
    zone = _common_zone(texts)
    # What it refuses costs Arrow a message for each row: so a few are tried first.
    sample = texts.take(np.linspace(0, len(texts) - 1, _SAMPLE).astype(np.int64))
    if zone != "" and _cast(sample, zone) is not None:
        found = _cast(texts, zone)
        if found is not None:
            return found
    return _read_apart(texts)


def _common_zone(texts: Texts) -> str | None:
    """Tell at a glance how to cast all of them; "" where that is not certain."""
    # Arrow takes an hour without minutes, and offsets of up to a day.
    if texts.lengths.min() < _SHORTEST or (texts.bytes_at(13) != ord(":")).any():
        return ""
    last = texts.bytes_at(-1)
    if (last == ord("Z")).all():
        return "UTC"
    signs = [texts.bytes_at(-place) for place in (3, 5, 6)]
    has_offset = np.isin(signs, (ord("+"), ord("-"))).any(axis=0) & (texts.lengths > _SHORTEST)
    if not has_offset.any() and not (last == ord("Z")).any():
        return None
    is_near = (signs[2] == ord("+")) | (signs[2] == ord("-"))
    is_near &= (signs[1] == ord("0")) | (signs[1] == ord("1")) & (texts.bytes_at(-4) < ord("6"))
    return "UTC" if is_near.all() else ""


def _read_apart(texts: Texts) -> Moments:
    """Read those together that Arrow will take, and the others by the pattern."""
    moments = Moments.unread(len(texts))
    rows, rest = np.arange(len(texts)), texts
    for zone, expression in _CAST.items():
        likely = pc.match_substring_regex(rest.array, expression).to_numpy(zero_copy_only=False)
        if likely.any() and (found := _cast(rest.take(np.flatnonzero(likely)), zone)) is not None:
            moments.put(rows[likely], found)
            rows, rest = rows[~likely], rest.take(np.flatnonzero(~likely))
    moments.put(rows, read_plainly(rest))
    return moments


def read_plainly(texts: Texts) -> Moments:
    """Read times by the patterns: what all other ways here must agree with."""
    moments = Moments.unread(len(texts))
    for pattern in _PATTERNS:
        rows = np.flatnonzero(moments.fault == TimeFault.FORM)
        if len(rows):
            moments.put(rows, pattern.read(texts.take(rows)))
    return moments


def _cast(texts: Texts, zone: str | None) -> Moments | None:
    is_fine = texts.lengths.max() > _LONGEST_US
    kind = pa.timestamp("ns" if is_fine else "us", zone)
    try:
        ticks = texts.array.view(pa.string()).cast(kind).cast(pa.int64()).to_numpy()
    except InvalidError:
        return None
    micros: NDArray[np.int64] = (ticks + 500) // 1000 if is_fine else ticks.copy()
    return Moments.alike(micros, has_offset=zone is not None)
