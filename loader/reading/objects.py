"""Objects: lines of NDJSON read one by one, for what Arrow refuses or cannot represent."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from loader.reading.attributes import dump, is_storable
from loader.reading.limits import DEEPEST
from loader.reading.mapping import folded
from loader.reading.ndjson_shapes import is_too_deep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loader.reading.mapping import Mapping

_JSON_NAMES: Final = {bool: "true or false", list: "an array", dict: "an object"}
_SHOWN_KEYS: Final = 10
_SHOWN_BYTES: Final = 60


@dataclass(frozen=True)
class NotAnObject:
    """Why a line is no object that can be read."""

    reason: str


class _Doubled(dict[str, Any]):
    """An object in which keys repeat.

    Attributes:
        twice: these keys.
    """

    twice: frozenset[str]


class Keys:
    """Wanted names -> keys as the input writes them.

    Attributes:
        needed: of time, type and source.
        attributes: of the attributes.
        compared: of what the selection looks at.
        all: the keys, each once.
    """

    def __init__(self, mapping: Mapping, first: dict[str, Any]) -> None:
        """Take the first object as the example."""

        def written(name: str) -> str:
            alike = [key for key in first if folded(key) == folded(name)]
            return alike[0] if name not in first and len(alike) == 1 else name

        self.needed = {name: written(name) for name in mapping.needed_columns}
        self.attributes = {name: written(name) for name in mapping.attributes}
        self.compared = {name: written(name) for name in mapping.compared_columns}
        self.all = tuple(dict.fromkeys(map(written, mapping.options)))


def parse(line: bytes, keys: Sequence[str]) -> dict[str, Any] | NotAnObject:
    """Read a line; none of these keys may be there twice."""
    if is_too_deep(line):
        return NotAnObject(f"the JSON is nested deeper than {DEEPEST} levels")
    try:
        # What is not UTF-8 goes through, and is found later where it matters.
        found = _DECODER.decode(line.decode(errors="surrogateescape"))
    except json.JSONDecodeError as error:
        at = f"the line is not JSON: {error.msg} at character {error.colno}"
        return NotAnObject(at + _hint(line, error))
    except ValueError as error:
        return NotAnObject(f"the line is not JSON: {error}")
    if not isinstance(found, dict):
        return NotAnObject("the line is not a JSON object")
    if isinstance(found, _Doubled):
        doubled = [key for key in keys if key in found.twice]
        if doubled:
            return NotAnObject(f'the key "{doubled[0]}" is there twice')
    return found


def text(value: object) -> bytes | None:
    """A string or number as text; None for what can be no name and no time."""
    if isinstance(value, str):
        return _encode(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float):
        return (str(int(value)) if value.is_integer() else repr(value)).encode()
    return str(value).encode()


def attributes(found: dict[str, Any], keys: Sequence[str]) -> str | None:
    """The attributes as JSON; None when the database cannot hold them."""
    kept = {key: found[key] for key in keys if found.get(key) is not None}
    rendered = dump(kept)
    return rendered if is_storable(rendered) else None


def why_none(line: bytes) -> str:
    """Say why a line that is no object is none."""
    found = parse(line, ())
    if not isinstance(found, NotAnObject):
        raise AssertionError(f"an object after all: {line!r}")
    return found.reason


def why(line: bytes, key: str) -> str | None:
    """Say why a line has no usable value for a key; None when the value itself is at fault."""
    found = parse(line, ())
    if isinstance(found, NotAnObject):
        return found.reason
    if key not in found:
        there = ", ".join(f'"{one}"' for one in list(found)[:_SHOWN_KEYS])
        return f'there is no key "{key}"' + (f", only {there}" if there else "")
    value = found[key]
    if value is None:
        return "the value is null"
    name = next((name for kind, name in _JSON_NAMES.items() if isinstance(value, kind)), None)
    return None if name is None else f"the value is {name}"


def _hint(line: bytes, error: json.JSONDecodeError) -> str:
    """Say of the forms that programs write instead of NDJSON what to do."""
    line = line.strip()
    if error.msg == "Extra data":
        rest = error.doc[error.pos :].strip()
        if rest.startswith("{"):
            return "; there are several objects on it: write each on a line of its own (jq -c .)"
        if rest == ",":
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
    doubled = _Doubled(found)
    doubled.twice = frozenset(key for key in found if keys.count(key) > 1)
    return doubled


def _encode(value: str) -> bytes:
    try:
        return value.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return value.encode(errors="surrogatepass")


# One for all lines: json.loads would make a new one for each.
_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=str)
