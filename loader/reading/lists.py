"""Lists: values of JSON as they were read, made into columns of Arrow."""

import re
from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Any, Final

import msgspec

from loader.reading import attributes, objects
from loader.reading.arrow import Array, ArrowError, pa, pc
from loader.reading.unpack import NULL

# What the database may refuse, or what is no UTF-8.
_SPECIAL: Final = re.compile(rb"\\u|[\x80-\xff]|\d{300}|[eE]\+?\d{3}")
# Numbers are found in a tenth of the time where all digits are made the same.
_DIGITS: Final = bytes.maketrans(b"123456789E", b"000000000e")
_HUGE: Final = (b"e000", b"e+000", b"0" * 300)
# Below it, a binary fraction has every whole number.
_EXACT: Final = 1 << 53


def either(columns: list[Any]) -> Any:
    """Return one column of those that may have its values."""
    first, *others = columns
    if not others:
        return first
    if isinstance(first, pa.Array):
        if first.null_count == len(first):
            return others[0]
        if first.type == others[0].type:
            return pc.coalesce(*columns)
        columns = [one.to_pylist() for one in columns]
    none = (None, NULL)
    return [other if one in none else one for one, other in zip(*columns, strict=True)]


def times(values: Sequence[Any] | Array, *, is_number: bool) -> Array:
    """Times as texts; as numbers, where they all are and may be."""
    kinds = set() if isinstance(values, pa.Array) else set(map(type, values)) - {type(None)}
    if not is_number or not kinds or not kinds <= {int, float, Decimal}:
        return names(values)
    with suppress(ArrowError, OverflowError):
        if kinds == {int}:
            return pa.array(values, pa.int64())
        if int not in kinds or all(one is None or abs(one) < _EXACT for one in values):
            return pa.array([None if one is None else float(one) for one in values])
    return names(values)


def names(values: Sequence[Any] | Array) -> Array:
    """Values as texts; null for what can be none."""
    if isinstance(values, pa.Array):
        return values
    try:
        return pa.array(values, pa.string())
    except (ArrowError, TypeError, UnicodeEncodeError):
        return pa.array([objects.text(value) for value in values], pa.binary())


def texts(values: Sequence[Any] | Array) -> Array:
    """Values as texts to compare with; what is true or false too."""
    if isinstance(values, pa.Array):
        return values
    return names([str(one).lower() if isinstance(one, bool) else one for one in values])


def members(values: Sequence[Any]) -> attributes.Member:
    """Return values as JSON, null for those that are, and which of them cannot be kept."""
    written = [
        bytes(one)
        if type(one) is msgspec.Raw
        else attributes.dump(one).encode("utf-8", "surrogatepass")
        for one in values
    ]
    faulty: Array | None = None
    if _may_be_special(b"\n".join(written)):
        kept = [attributes.kept(one) if _SPECIAL.search(one) else one for one in written]
        faulty = pa.array([one is None for one in kept])
        written = [one or b"null" for one in kept]
    column = pa.array(written, pa.binary()).cast(pa.string())
    return pc.if_else(pc.equal(column, "null"), pa.scalar(None, pa.string()), column), faulty


def _may_be_special(data: bytes) -> bool:
    if not data.isascii() or b"\\u" in data:
        return True
    zeros = data.translate(_DIGITS)
    return any(huge in zeros for huge in _HUGE)
