"""Durations as people write them."""

import re
from datetime import timedelta

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_PART = re.compile(
    r"\s*(\d+(?:\.\d+)?)\s*(s|secs?|seconds?|m|mins?|minutes?|h|hours?|d|days?)(?![a-z])\s*"
)
_CLOCK = re.compile(r"(\d+):(\d\d)(?::(\d\d(?:\.\d+)?))?")


def read_duration(text: str) -> timedelta:
    """Read ``10 minutes``, ``1 hour 30 minutes``, ``5m`` or ``00:10:00``.

    Raises:
        ValueError: it is none of these.
    """
    clock = _CLOCK.fullmatch(text.strip())
    if clock:
        hours, minutes, seconds = clock.groups()
        return timedelta(hours=int(hours), minutes=int(minutes), seconds=float(seconds or 0))
    at, total = 0, 0.0
    while at < len(text):
        part = _PART.match(text.lower(), at)
        if part is None:
            break
        total += float(part[1]) * _UNITS[part[2][0]]
        at = part.end()
    if not text.strip() or at < len(text):
        raise ValueError(f'"{text}" is not a duration such as 10 minutes')
    return timedelta(seconds=total)
