"""Durations as people write them."""

import re
from datetime import timedelta

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_PART = re.compile(
    r"\s*(\d+(?:\.\d+)?)\s*(s|secs?|seconds?|m|mins?|minutes?|h|hours?|d|days?)(?![a-z])\s*"
)
_FEWEST_DAYS = 7
_AGE = re.compile(r"\s*(\d{1,4})\s*(d|days?|w|weeks?|months?|y|years?)\s*")
_CLOCK = re.compile(r"(\d+):(\d\d)(?::(\d\d(?:\.\d+)?))?")


def read_duration(text: str) -> timedelta:
    """Read ``10 minutes``, ``1 hour 30 minutes``, ``5m`` or ``00:10:00``, or raise ValueError."""
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


def read_age(text: str) -> str:
    """Read ``13months``, ``90d``, ``8 weeks`` or ``2years`` as an interval for PostgreSQL.

    ValueError says that it is none of these, or less than a week.
    """
    found = _AGE.fullmatch(text.lower())
    if found is None:
        raise ValueError(f'"{text}" is not an age such as 13months, 90d or 2years')
    count, unit = int(found[1]), {"d": "days", "w": "weeks", "m": "months", "y": "years"}
    if count == 0 or (found[2][0] == "d" and count < _FEWEST_DAYS):
        raise ValueError(f"{text} is less than {_FEWEST_DAYS} days: late events would be rejected")
    return f"{count} {unit[found[2][0]]}"
