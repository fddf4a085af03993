"""Objects: JSON as it is read one text at a time, and what paths lead to in it.

This is the specification. What is quick is in `json`, and comes here with what it refuses, and for
the words of a reject.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec
import numpy as np

from loader.reading.extract import Events
from loader.reading.fields import ITEMS, Node, Path, Step, alike, arrays, parse, shown
from loader.reading.limits import DEEPEST

TWICE: Final = 'the key "{}" is there twice'
ANY: Final = msgspec.json.Decoder()
ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
# Take one object or array apart, and leave what is in it as it is written.
MEMBERS: Final[Any] = msgspec.json.Decoder(dict[str, msgspec.Raw] | None)
ITEMS_OF: Final[Any] = msgspec.json.Decoder(list[msgspec.Raw] | None)
# What Python reads and msgspec does not.
_BEYOND: Final = re.compile(rb"NaN|Infinity|\\u[dD][89a-fA-F]|[\x80-\xff]|\d{300}|[eE]\+?\d{3}")
_KINDS: Final = {
    bool: "true or false", list: "an array", dict: "an object", str: "a text",
    int: "a number", float: "a number", Decimal: "a number",
}  # fmt: skip
_HIDDEN: Final = re.compile(r'\s*\[?\{\s*"')
_SHOWN_BYTES: Final = 60
# Whole or not closed; never gives back what it took, so that it takes no more than one pass.
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_SPACE: Final = re.compile(r"[ \t\r\n]*")


class NotAnObjectError(Exception):
    """A text is no object that can be read; it says why, where that was looked into."""


class _Doubled(dict[str, Any]):
    """An object in which keys repeat.

    Attributes:
        twice: these keys.
    """

    twice: frozenset[str]


def read(text: bytes) -> list[tuple[bytes, dict[str, Any]]]:
    """Read the objects of a text, one behind the other, each with the text of itself.

    NotAnObjectError: there is none; `read_slowly` says why of what is certainly none.
    """
    if not is_too_deep(text):
        try:
            ANY.decode(text)
        except ERRORS as error:
            if "trailing characters" not in str(error) and not _BEYOND.search(text):
                raise NotAnObjectError from error
    found = read_slowly(text)
    # One alone has the blanks around it.
    return found if len(found) > 1 else [(text, found[0][1])]


def read_slowly(text: bytes) -> list[tuple[bytes, dict[str, Any]]]:
    """Read them as Python does."""
    if is_too_deep(text):
        raise NotAnObjectError(f"the JSON is nested deeper than {DEEPEST} levels")
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
                why = f"the line is not a JSON object but {kind(value)}"
                raise NotAnObjectError(why + (_before(text) or hidden(value, ())))
            found.append((whole[begin:at].encode(errors="surrogateescape"), value))
    except json.JSONDecodeError as error:
        at_character = f"the line is not JSON: {error.msg} at character {error.colno}"
        raise NotAnObjectError(at_character + _hint(text, error)) from error
    except ValueError as error:
        raise NotAnObjectError(f"the line is not JSON: {error}") from error
    if not found:
        raise NotAnObjectError("the line is empty")
    return found


def value_of(document: Any, path: Path, places: Sequence[int]) -> Any:
    """Return what a path leads to; None where it leads nowhere.

    ``places`` say which item to take of each array on the way.
    """
    numbers = iter(places)
    steps = tuple(next(numbers) if step is ITEMS else step for step in path)
    return values_of([document], steps)[0]


def values_of(documents: list[Any], path: Path) -> list[Any]:
    """Return what a path leads to in each object, or in each item of the arrays on the way.

    What should be an array and is none counts as an array of one item that is not there.
    """
    values = documents
    for step in path:
        if step is ITEMS:
            values = [
                item for one in values for item in (one if isinstance(one, list) else (None,))
            ]
        elif isinstance(step, str):
            values = [one.get(step) if isinstance(one, dict) else None for one in values]
        else:
            values = [
                one[step] if isinstance(one, list) and step < len(one) else None for one in values
            ]
    return values


def events_in(documents: list[Any], way: Path) -> Events:
    """Return the events in objects: items of the innermost array on a way."""
    events = Events(len(documents))
    for at, step in enumerate(way):
        if step is ITEMS:
            arrays = values_of(documents, way[:at])
            lengths = [len(one) if isinstance(one, list) else 1 for one in arrays]
            events.enter(np.array(lengths, np.int64))
    return events


def text(value: object) -> bytes | None:
    """A string or number as text; None for what can be no name and no time."""
    if isinstance(value, str):
        return value.encode(errors="surrogatepass")
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    if isinstance(value, float | Decimal):
        number = float(value)
        value = int(Decimal(str(number))) if number.is_integer() else number
    return str(value).encode()


def doubled(document: Any, node: Node) -> str | None:
    """Return a wanted key that an object has twice; items of arrays are not looked into."""
    if isinstance(document, _Doubled) and (twice := document.twice.intersection(node.keys)):
        return min(twice)
    inner = ((values_of([document], (step,))[0], child) for step, child in node.keys.items())
    return next(filter(None, (doubled(one, child) for one, child in inner)), None)


def doubled_in_item(document: Any, wanted: Node, way: Path, places: Sequence[int]) -> str | None:
    """Return a wanted key that an item of an array has twice, or an item that this lies in."""
    node = wanted
    for at, step in enumerate(way, 1):
        inner = node.items if step is ITEMS else node.keys.get(step)
        if inner is None:
            return None
        node = inner
        if step is ITEMS and (key := doubled(value_of(document, way[:at], places), node)):
            return key
    return None


def as_written(name: str, example: Mapping[str, Any]) -> Path:
    """Return the path of a column, its keys as an example has them."""
    path = parse(name)
    if name in example and arrays(path):
        return (name,)
    steps: list[Step] = []
    for step in path:
        value = value_of(example, tuple(steps), [0] * len(path))
        keys = alike(step, value) if isinstance(step, str) and isinstance(value, dict) else []
        steps.append(keys[0] if len(keys) == 1 else step)
    return tuple(steps)


def why_none(text: bytes) -> str:
    """Say why a text that is no object is none."""
    try:
        read_slowly(text)
    except NotAnObjectError as error:
        return str(error)
    raise AssertionError(f"an object after all: {text!r}")


def kind(value: Any) -> str:
    """Return what a value is."""
    return next((name for one, name in _KINDS.items() if isinstance(value, one)), "null")


def hidden(value: Any, path: Path) -> str:
    """Say what to do about a text that has JSON in it; nothing of what is none."""
    if not isinstance(value, str) or not _HIDDEN.match(value):
        return ""
    keys = "".join(f'."{step}"' for step in path if isinstance(step, str))
    what, within = f'"{shown(path)}"' if path else "it", f"{keys} | " if path else ""
    return f"; {what} is a text that has JSON in it: take it out (jq -c '{within}fromjson')"


def is_too_deep(text: bytes) -> bool:
    """Whether arrays and objects are nested so deeply that no parser may see the text."""
    if len(text) <= DEEPEST or text.count(b"[") + text.count(b"{") <= DEEPEST:
        return False
    seen = np.frombuffer(_STRING.sub(b"", text), np.uint8)
    steps = ((seen == ord("[")) | (seen == ord("{"))).astype(np.int8)
    steps -= (seen == ord("]")) | (seen == ord("}"))
    return bool(np.cumsum(steps, dtype=np.int32).max(initial=0) > DEEPEST)


def _hint(line: bytes, error: json.JSONDecodeError) -> str:
    """Say of the forms that programs write instead of JSON what to do."""
    if error.msg == "Extra data" and error.doc[error.pos :].strip() == ",":
        return "; a comma follows the object: take it away (sed 's/,$//')"
    if error.pos >= len(error.doc.rstrip()):
        return "; it ends too early: write each object on one line (jq -c .)"
    return _before(line)


def _before(line: bytes) -> str:
    """Say what stands on a line before its object."""
    line = line.strip()
    if line.startswith(b"\x1e"):
        return "; a record separator stands before the object: take it away (tr -d '\\036')"
    before, brace, rest = line.partition(b"{")
    if before and brace and rest.endswith(b"}") and b'"' not in before and before[:1] != b"[":
        what = ascii(before.strip().decode(errors="replace"))[1:-1][:_SHOWN_BYTES]
        return f"; \"{what}\" stands before the object: take it away (sed 's/^[^{{]*//')"
    return ""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    keys = [key for key, _ in pairs]
    repeated = _Doubled(found)
    repeated.twice = frozenset(key for key in found if keys.count(key) > 1)
    return repeated


def _number(text: str) -> Decimal | str:
    """Keep what was written; what is too large for a number becomes text."""
    number = float(text)
    return Decimal(text) if math.isfinite(number) else json.dumps(number)


# One for all: json.loads would make a new one for each.
_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=str, parse_float=_number
)
