"""Attributes: further columns of an input as one JSON object per row."""

import json
import math
import re
from collections import abc
from decimal import Decimal
from typing import Any, Final, TypeAlias

from loader.reading.arrow import Array, pa, pc
from loader.reading.texts import valid

# Values as JSON, null for what is left out, and which of them cannot be kept (None: all can).
Member: TypeAlias = tuple[Array, Array | None]
# Bytes that JSON wants escaped; NUL is not among them because jsonb cannot hold it at all.
_UNSTORABLE: Final = '"\\u0000"'
_UNKEPT: Final = (
    "the value is not UTF-8, or holds a NUL, which JSON in the database cannot; or, in objects and "
    "arrays, a key twice, a number of too many digits or a time that is finer than a microsecond"
)
_HUGE: Final = re.compile(r"\d{300}|[eE]\+?\d{3}", re.ASCII)
_ESCAPES: Final = {
    **{chr(code): f"\\u{code:04x}" for code in range(1, 32)},
    '"': '\\"',
}


def join(members: abc.Mapping[str, Member]) -> Array:
    """Make JSON objects of their members, as string; null where one of them cannot be kept."""
    pieces, broken = [], None
    for name, (values, faulty) in members.items():
        prefix = f", {json.dumps(name, ensure_ascii=False)}: "
        # Not null_handling="skip": Arrow forgets rows in which everything is skipped.
        pieces.append(pc.binary_join_element_wise(prefix, values, "").fill_null(""))
        if faulty is not None:
            broken = faulty if broken is None else pc.or_(broken, faulty)
    members = pc.utf8_slice_codeunits(pc.binary_join_element_wise(*pieces, ""), 2)
    objects = pc.binary_join_element_wise("{", members, "}", "")
    if broken is not None:
        objects = pc.if_else(broken, pa.scalar(None, pa.string()), objects)
    return objects


def find_fault(members: abc.Mapping[str, Member], row: int) -> tuple[str | None, str]:
    """Name the column whose value cannot be kept, and say why."""
    for name, (_, faulty) in members.items():
        if faulty is not None and faulty[row].as_py():
            return name, _UNKEPT
    return None, "the attributes cannot be kept"


def member(column: Array) -> Member:
    """Render a column as JSON; binary is text of any bytes."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return member(column.dictionary_decode())
    as_they_are = (pa.types.is_null, pa.types.is_boolean, pa.types.is_integer, pa.types.is_decimal)
    if any(is_kind(kind) for is_kind in as_they_are):
        return column.cast(pa.string()), None
    if pa.types.is_floating(kind):
        # What JSON has no number for becomes text, as PostgreSQL's own to_jsonb does.
        signed = pc.if_else(pc.greater(column, 0), '"Infinity"', '"-Infinity"')
        special = pc.if_else(pc.is_nan(column), '"NaN"', signed)
        return pc.if_else(pc.is_finite(column), column.cast(pa.string()), special), None
    if pa.types.is_nested(kind):
        return _dumped(column)
    if not pa.types.is_string(kind) and not pa.types.is_binary(kind):
        column = column.cast(pa.string())
    return _quoted(column)


def _quoted(column: Array) -> Member:
    texts, undecoded = valid(column.view(pa.binary()))
    faulty = None if undecoded is None else pa.array(undecoded)
    if _any(pc.match_substring_regex(texts, r'[\x00-\x1f"\\]')):
        nul = pc.match_substring(texts, "\0").fill_null(False)
        if _any(nul):
            faulty = nul if faulty is None else pc.or_(faulty, nul)
        texts = pc.replace_substring(texts, "\\", "\\\\")
        for character, escape in _ESCAPES.items():
            if _any(pc.match_substring(texts, character)):
                texts = pc.replace_substring(texts, character, escape)
    return pc.binary_join_element_wise('"', texts, '"', ""), faulty


def _dumped(column: Array) -> Member:
    """Nested values, one by one."""
    texts = [_dump(column[row]) for row in range(len(column))]
    faulty = [text is not None and not is_storable(text) for text in texts]
    return pa.array(texts, pa.string()), pa.array(faulty, pa.bool_()) if any(faulty) else None


def _dump(value: Any) -> str | None:
    """A nested value of Arrow as JSON; None for null."""
    try:
        found = value.as_py()
        return None if found is None else dump(found)
    except (UnicodeDecodeError, ValueError, OverflowError):
        # Bytes that are no text; times that Python cannot hold; keys that are there twice.
        return _UNSTORABLE


def dump(value: Any) -> str:
    """A value as JSON, numbers with all their digits.

    What JSON has no number for becomes text, as do times; bytes are text. ValueError: they are
    none, or a time is finer than a microsecond.
    """
    match value:
        case dict():
            members = (f"{_text(str(key))}: {dump(one)}" for key, one in value.items())
            return "{" + ", ".join(members) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(dump, value)) + "]"
        case float() if not math.isfinite(value):
            value = json.dumps(value)
        case None | bool() | int() | float():
            return json.dumps(value)
        case Decimal():
            return str(value)
        case bytes():
            value = value.decode()
    # Where pandas is installed, Arrow makes its times of nanoseconds, which else it refuses.
    if getattr(value, "nanosecond", 0) or getattr(value, "nanoseconds", 0):
        raise ValueError("a time is finer than a microsecond")
    if hasattr(value, "to_pytimedelta"):
        value = value.to_pytimedelta()
    return _text(str(value))


def kept(text: bytes) -> bytes | None:
    """Return JSON as the database takes it; None where it cannot."""
    try:
        written = text.decode()
        if _HUGE.search(written):
            # What is too large for a number becomes text.
            written = dump(json.loads(written))
    except ValueError:
        return None
    return written.encode() if is_storable(written) else None


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def is_storable(text: str) -> bool:
    r"""Whether jsonb can hold this JSON: no ``\u0000``, no half of a surrogate pair."""
    if "\\u" in text and "\\u0000" in text.replace("\\\\", ""):
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _any(mask: Array) -> bool:
    return bool(pc.any(mask).as_py())
