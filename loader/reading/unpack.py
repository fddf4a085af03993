"""Unpacking: what paths lead to in many JSON objects, all of a block at once.

msgspec takes objects and arrays apart, one deeper at a time, over all rows, and leaves what is in
them as it is written; at last it reads the values. What it refuses, and where a key may be there
twice, is left to `objects`, which says the same of what both take.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from itertools import chain
from operator import attrgetter
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from loader.reading.extract import Events
from loader.reading.fields import Node
from loader.reading.objects import ANY, ERRORS, ITEMS_OF, MEMBERS
from loader.reading.pieces import Pieces

# Behind the name of a column whose text is wanted, and not the value; there the last of equal keys
# counts.
KEPT: Final = "\0\0"
NULL: Final = msgspec.Raw(b"null")
# Such a key cannot be a field of a class.
_ODD_KEY: Final = re.compile(r'["\\\x00-\x1f]')
# A key with an escape in it may be one that is looked for.
_ESCAPED_KEY: Final = re.compile(rb'\\(?:u[0-9a-fA-F]{4}|.)[^"\\]*"[ \t\r\n]*:', re.DOTALL)


def unpack(node: Node, texts: Pieces) -> tuple[Mapping[str, list[Any]], Events, NDArray[np.bool_]]:
    """Find what is wanted of objects, each of which begins and ends like one.

    Returns:
        The columns, empty for one that is nowhere; which events they are, and which of the texts.
    """
    found = _Unpacked(len(texts))
    data = texts.data[int(texts.starts[0]) : int(texts.ends[-1])]
    found.is_escaped = b"\\" in data and bool(_ESCAPED_KEY.search(data))
    if found.is_escaped:
        found.leave(texts, _ESCAPED_KEY.search)
    found.add(node, texts, data)
    while found.arrays is not None:
        (node, arrays), found.arrays = found.arrays, None
        items = found.decoded(ITEMS_OF, arrays)[0]
        lists = [[NULL] if one is None else one for one in items]
        found.events.enter(np.fromiter(map(len, lists), np.int64, len(lists)))
        found.add(node, list(chain.from_iterable(lists)))
    events, are_read = found.events, found.are_read
    columns = {
        name: values and events.spread(values, level)
        for name, (values, level) in found.columns.items()
    }
    return events.keep(are_read[events.levels[0]], columns), events, are_read


class _Unpacked:
    """What was found so far; see `unpack`."""

    def __init__(self, count: int) -> None:
        self.events = Events(count)
        self.are_read = np.ones(count, np.bool_)
        self.columns: dict[str, tuple[list[Any], int]] = {}
        self.arrays: tuple[Node, Sequence[Any]] | None = None
        self.is_escaped = False

    def add(self, node: Node, values: Sequence[Any], data: bytes | None = None) -> None:
        """Add the columns that values are, or have inside of them."""
        level = len(self.events.places)
        for name in node.names:
            found = values if _is_kept(name) else self.decoded(ANY, values)[0]
            self.columns[name] = list(found), level
        if any(isinstance(key, str) for key in node.keys):
            self._add_members(node, values, data)
        if any(isinstance(key, int) for key in node.keys):
            lists = self.decoded(ITEMS_OF, values)[0]
            for key, child in node.keys.items():
                if isinstance(key, int):
                    self.add(child, [one[key] if key < len(one or ()) else NULL for one in lists])
        if node.items is not None:
            self.arrays = node.items, values

    def _add_members(self, node: Node, values: Sequence[Any], data: bytes | None) -> None:
        keys = {key: child for key, child in node.keys.items() if isinstance(key, str)}
        if any(map(_ODD_KEY.search, keys)):
            self.are_read[:] = False
            return
        raw = {key for key, one in keys.items() if one.inner or any(map(_is_kept, one.names))}
        decoder, empty = _decoder_of(tuple((key, key in raw) for key in keys))
        rows, data, refused = self.decoded(decoder, values, data)
        rows = [empty if one is None else one for one in rows]
        inside: bytes | None = None
        for at, (key, child) in enumerate(keys.items()):
            found = list(map(attrgetter(f"a{at}"), rows))
            absent = getattr(empty, f"a{at}")
            missing = found.count(absent)
            if missing == len(found) and not child.inner:
                # What is nowhere is nowhere twice.
                self.columns |= dict.fromkeys(child.names, ([], len(self.events.places)))
                continue
            if not all(map(_is_kept, _names_below(child))):
                # Where a key is as often as its values, none has it twice.
                written = json.dumps(key, ensure_ascii=False).encode(errors="replace")
                count = data.count(written) - refused.count(written) + missing
                if count != len(found):
                    inside = _inside(data) if inside is None else inside
                    count -= inside.count(written)
                if count != len(found) or self.is_escaped:
                    self.leave(values, partial(_may_be_twice, written))
            otherwise = NULL if key in raw else None
            if missing:
                found = [otherwise if one is absent else one for one in found]
            if key in raw:
                self.add(child, found)
            else:
                self.columns |= dict.fromkeys(child.names, (found, len(self.events.places)))

    def decoded(
        self, decoder: Any, values: Sequence[Any], data: bytes | None = None
    ) -> tuple[list[Any], bytes, bytes]:
        """Decode values, None for one that is refused; and return all, and these, line by line."""
        data = b"\n".join(values) if data is None else data
        with suppress(*ERRORS):
            found: list[Any] = decoder.decode_lines(data)
            if len(found) == len(values):
                return found, data, b""
        found, refused = [], []
        for at, value in enumerate(values):
            try:
                found.append(decoder.decode(value))
            except ERRORS as error:
                found.append(None)
                refused.append(value)
                # It is of another kind, or else not UTF-8, a number out of range, or no JSON.
                if not str(error).startswith("Expected"):
                    self.are_read[self.events.levels[0][at]] = False
        return found, data, b"\n".join(refused)

    def leave(self, values: Sequence[Any], is_doubtful: Callable[[bytes], Any]) -> None:
        """Leave to others the rows of which a value is doubtful."""
        for at, value in enumerate(values):
            if is_doubtful(bytes(value)):
                self.are_read[self.events.levels[0][at]] = False


@cache
def _decoder_of(keys: tuple[tuple[str, bool], ...]) -> tuple[Any, Any]:
    """Return what reads these keys of an object, some as they are written; and one without any."""
    fields: list[tuple[str, Any, Any]] = [
        (f"a{at}", *((msgspec.Raw, msgspec.Raw()) if is_raw else (Any, msgspec.UNSET)))
        for at, (_, is_raw) in enumerate(keys)
    ]
    names: Any = {f"a{at}": key for at, (key, _) in enumerate(keys)}
    row: Any = msgspec.defstruct("Row", fields, rename=names, gc=False)
    return msgspec.json.Decoder(row | None), row()


def _is_kept(name: str) -> bool:
    return name.endswith(KEPT)


def _inside(objects: bytes) -> bytes:
    """Return the values of the members of objects, one on each line; of equal keys, of the last."""
    with suppress(*ERRORS):
        return b"\n".join(
            chain.from_iterable((one or {}).values() for one in MEMBERS.decode_lines(objects))
        )
    return b""


def _names_below(node: Node) -> list[str]:
    return [*node.names, *(name for child in node.inner for name in _names_below(child))]


def _may_be_twice(key: bytes, text: bytes) -> bool:
    """Whether an object may have a key twice, not counting what its values have inside of them."""
    count = text.count(key)
    return count > 1 and count - _inside(text).count(key) > 1
