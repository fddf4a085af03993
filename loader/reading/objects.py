"""Objects: JSON as Python's own parser reads it, one text at a time.

This is the specification. What is quick is in `json`, and comes here with what it refuses, for what
it cannot tell, and for the words of a reject.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from loader.reading.attributes import dump
from loader.reading.fields import ITEMS, Node, Path, Step, alike, arrays, parse, place
from loader.reading.limits import DEEPEST

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_JSON_NAMES: Final = {
    bool: "true or false", list: "an array", dict: "an object", str: "a text",
    int: "a number", float: "a number",
}  # fmt: skip
_SHOWN_KEYS: Final = 10
_SHOWN_BYTES: Final = 60
# Whole or not closed; never gives back what it took, so that it takes no more than one pass.
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_SPACE: Final = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True)
class NotAnObject:
    """Why a text is no object that can be read."""

    reason: str


class _Doubled(dict[str, Any]):
    """An object in which keys repeat.

    Attributes:
        twice: these keys.
    """

    twice: frozenset[str]


def read(text: bytes) -> list[tuple[bytes, dict[str, Any]]] | NotAnObject:
    """Read the objects of a text, one behind the other, each with the text of itself."""
    if is_too_deep(text):
        return NotAnObject(f"the JSON is nested deeper than {DEEPEST} levels")
    # What is not UTF-8 goes through, and is found later where it matters.
    whole = text.decode(errors="surrogateescape").rstrip(" \t\r\n")
    found: list[tuple[bytes, dict[str, Any]]] = []
    at = 0
    try:
        while at < len(whole):
            begin = _SPACE.match(whole, at).end()  # type: ignore[union-attr]
            if found and whole[begin] != "{":
                raise json.JSONDecodeError("Extra data", whole, begin)
            value, at = _DECODER.raw_decode(whole, begin)
            if not isinstance(value, dict):
                return NotAnObject("the line is not a JSON object")
            found.append((whole[begin:at].encode(errors="surrogateescape"), value))
    except json.JSONDecodeError as error:
        at_character = f"the line is not JSON: {error.msg} at character {error.colno}"
        return NotAnObject(at_character + _hint(text, error))
    except ValueError as error:
        return NotAnObject(f"the line is not JSON: {error}")
    if not found:
        return NotAnObject("the line is empty")
    return found


def parse_one(text: bytes) -> dict[str, Any] | NotAnObject:
    """Read a text that is one object."""
    found = read(text)
    if isinstance(found, NotAnObject):
        return found
    return found[0][1] if len(found) == 1 else NotAnObject("the line holds several JSON objects")


def clean(document: dict[str, Any]) -> bytes:
    """Write an object again, so that every parser takes it.

    What JSON has no number for becomes text. A text that is no UTF-8 becomes one that nothing can
    be: neither a name nor a time, and the database does not keep it.
    """
    return _cleaned(document).encode()


def _cleaned(value: Any) -> str:
    match value:
        case dict():
            members = (f"{_cleaned(key)}:{_cleaned(one)}" for key, one in value.items())
            return "{" + ",".join(members) + "}"
        case list():
            return "[" + ",".join(map(_cleaned, value)) + "]"
        case str() if not _is_utf8(value):
            return '"\\u0000"'
    return dump(value)


def text(value: object) -> bytes | None:
    """A string or number as text; None for what can be no name and no time."""
    if isinstance(value, str):
        return value.encode(errors="surrogateescape")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float):
        return (str(int(value)) if value.is_integer() else repr(value)).encode()
    return str(value).encode()


def doubled(document: Any, node: Node) -> str | None:
    """Return a wanted key that an object has twice."""
    if isinstance(document, _Doubled):
        for key in node.keys:
            if key in document.twice:
                return key
    if isinstance(document, dict):
        inner: Iterable[tuple[Any, Node]] = (
            (document[one], child) for one, child in node.keys.items() if one in document
        )
    elif isinstance(document, list) and node.items is not None:
        inner = ((one, node.items) for one in document)
    else:
        return None
    found = (doubled(one, child) for one, child in inner)
    return next((one for one in found if one is not None), None)


def as_written(name: str, example: Mapping[str, Any]) -> Path:
    """Return the path of a column, its keys as an example has them."""
    path = parse(name)
    if name in example and arrays(path):
        return (name,)
    steps: list[Step] = []
    value: Any = example
    for step in path:
        if step is ITEMS:
            value = value[0] if isinstance(value, list) and value else None
            steps.append(step)
            continue
        keys = alike(step, value) if isinstance(value, dict) else []
        steps.append(keys[0] if len(keys) == 1 else step)
        value = value.get(steps[-1]) if isinstance(value, dict) else None
    return tuple(steps)


def why_none(text: bytes) -> str:
    """Say why a text that is no object is none."""
    found = read(text)
    if not isinstance(found, NotAnObject):
        raise AssertionError(f"an object after all: {text!r}")
    return found.reason


def why(document: Any, path: Path, places: Sequence[int]) -> str | None:
    """Say why there is no usable value; None when the value itself is at fault.

    Args:
        document: where it should be.
        path: the way to it.
        places: which item to take of each array on the way, as far as there are any.
    """
    value, numbers = document, list(places)
    for at, step in enumerate(path):
        where = place(path[:at], places)
        if step is ITEMS:
            if not isinstance(value, list):
                return f"{where} is {_kind(value)}, not an array"
            value = value[numbers.pop(0)] if numbers else None
        elif not isinstance(value, dict):
            return f"{where} is {_kind(value)}, not an object"
        elif step not in value:
            there = ", ".join(f'"{one}"' for one in list(value)[:_SHOWN_KEYS])
            within = f" in {where}" if where else ""
            return f'there is no key "{step}"{within}' + (f", only {there}" if there else "")
        else:
            value = value[step]
    named = f"the value of {place(path, places)}" if len(path) > 1 else "the value"
    if value is None or isinstance(value, bool | list | dict):
        return f"{named} is {_kind(value)}"
    if isinstance(value, str) and not _is_utf8(value):
        return f"{named} is not UTF-8"
    return None


def _is_utf8(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _kind(value: Any) -> str:
    kinds = (name for kind, name in _JSON_NAMES.items() if isinstance(value, kind))
    return next(kinds, "null")


def is_too_deep(text: bytes) -> bool:
    """Whether arrays and objects are nested so deeply that no parser may see the text."""
    if text.count(b"[") + text.count(b"{") <= DEEPEST:
        return False
    seen = np.frombuffer(_STRING.sub(b"", text), np.uint8)
    steps = ((seen == ord("[")) | (seen == ord("{"))).astype(np.int8)
    steps -= (seen == ord("]")) | (seen == ord("}"))
    return bool(np.cumsum(steps, dtype=np.int32).max(initial=0) > DEEPEST)


def _hint(line: bytes, error: json.JSONDecodeError) -> str:
    """Say of the forms that programs write instead of JSON what to do."""
    line = line.strip()
    if error.msg == "Extra data" and error.doc[error.pos :].strip() == ",":
        return "; a comma follows the object: take it away (sed 's/,$//')"
    if error.pos >= len(error.doc.rstrip()):
        return "; it ends too early: write each object on one line (jq -c .)"
    if error.pos == 0 and line.endswith(b"}"):
        if line.startswith(b"\x1e"):
            return "; a record separator stands before the object: take it away (tr -d '\\036')"
        before, brace, _ = line.partition(b"{")
        if brace and b'"' not in before:
            shown = ascii(before.strip().decode(errors="replace"))[1:-1][:_SHOWN_BYTES]
            return f"; \"{shown}\" stands before the object: take it away (sed 's/^[^{{]*//')"
    return ""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    keys = [key for key, _ in pairs]
    repeated = _Doubled(found)
    repeated.twice = frozenset(key for key in found if keys.count(key) > 1)
    return repeated


# One for all: json.loads would make a new one for each.
_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=str)
