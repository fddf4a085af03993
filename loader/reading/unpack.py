"""Unpacking: what paths lead to in many JSON objects, all of a block at once.

msgspec decodes into a class that has nothing but the wanted keys, and passes over the rest; it goes
down one object or array at a time, over all rows. What it refuses, and where a key may be there
twice, is left to `objects`, which says the same of what both take.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, compress
from operator import attrgetter
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from loader.reading.extract import Events
from loader.reading.fields import Node
from loader.reading.objects import ERRORS, ITEMS_OF, MEMBERS
from loader.reading.pieces import Around, Pieces

UNSET: Final = msgspec.UNSET
NULL: Final = msgspec.Raw(b"null")
_ANY: Final = msgspec.json.Decoder()
# Such a key cannot be a field of a class.
_ODD_KEY: Final = re.compile(r'["\\\x00-\x1f]')
# A key with an escape in it may be one that is looked for.
_ESCAPED_KEY: Final = re.compile(rb'\\(?:u[0-9a-fA-F]{4}|.)[^"\\]*"[ \t\r\n]*:', re.DOTALL)


class Unpacker:
    """Finds what is wanted of objects.

    Args:
        node: what that is.
        is_kept: tells of which columns the text is wanted, and not the value; there the last of
            equal keys counts.

    Raises:
        ValueError: there is a key that no class can have.
    """

    def __init__(self, node: Node, is_kept: Callable[[str], bool]) -> None:
        self._is_kept = is_kept
        self._node = node
        self._classes: dict[int, _Class] = {}
        self._add(node)

    def read(self, texts: Pieces) -> tuple[Mapping[str, list[Any]], Events, NDArray[np.bool_]]:
        """Read objects, each of which begins and ends like one.

        Returns:
            Their columns, empty for one that is nowhere; which events they are, and which of the
            texts.
        """
        # The items alone, without what stands around each.
        texts = replace(texts, around=Around())
        found = _Unpacked(self._classes, self._is_kept, len(texts))
        found.add_objects(self._node, texts, texts.data[int(texts.starts[0]) : int(texts.ends[-1])])
        while found.arrays is not None:
            (node, arrays), found.arrays = found.arrays, None
            lists, _ = found.decoded(ITEMS_OF, arrays, b"\n".join(arrays), [NULL])
            found.events.enter(np.fromiter(map(len, lists), np.int64, len(lists)))
            found.add(node, [item for one in lists for item in one])
        events, are_read = found.events, found.are_read
        columns = {
            name: values and events.spread(values, level)
            for name, (values, level) in found.columns.items()
        }
        are_good = are_read[events.levels[0]]
        if not are_good.all():
            columns = {name: list(compress(one, are_good)) for name, one in columns.items()}
            events.keep(are_good)
        return columns, events, are_read

    def _add(self, node: Node) -> None:
        self._classes[id(node)] = _Class(node, self._is_kept)
        for child in node.inner:
            self._add(child)


@dataclass(frozen=True)
class _Key:
    node: Node
    attribute: str
    written: bytes
    is_raw: bool
    is_checked: bool
    missing: Any


class _Class:
    """A class for the wanted keys of an object."""

    def __init__(self, node: Node, is_kept: Callable[[str], bool]) -> None:
        self.keys: list[_Key] = []
        fields: list[tuple[str, Any, Any]] = []
        names: Any = {}
        for name, child in node.keys.items():
            if not isinstance(name, str):
                continue
            if _ODD_KEY.search(name):
                raise ValueError(name)
            attribute = f"a{len(fields)}"
            is_raw = bool(child.keys or child.items or any(map(is_kept, child.names)))
            missing: Any = UNSET
            if is_raw:
                missing = msgspec.Raw(b"{}") if child.keys and not child.names else NULL
            written = json.dumps(name, ensure_ascii=False).encode(errors="replace")
            is_checked = not all(map(is_kept, _names_below(child)))
            self.keys.append(_Key(child, attribute, written, is_raw, is_checked, missing))
            fields.append((attribute, msgspec.Raw if is_raw else Any, missing))
            names[attribute] = name
        row: Any = msgspec.defstruct("Row", fields, rename=names, gc=False)
        self.node = node
        self.empty = row()
        self.decoder = msgspec.json.Decoder(row)


class _Unpacked:
    """What was found so far; see `Unpacker.read`."""

    def __init__(
        self, classes: Mapping[int, _Class], is_kept: Callable[[str], bool], count: int
    ) -> None:
        self.events = Events(count)
        self.are_read = np.ones(count, np.bool_)
        self.columns: dict[str, tuple[list[Any], int]] = {}
        self.arrays: tuple[Node, list[Any]] | None = None
        self._classes = classes
        self._is_kept = is_kept

    def add(self, node: Node, values: list[Any]) -> None:
        """Add the columns that values are, or have inside of them."""
        level = len(self.events.places)
        is_read = not all(map(self._is_kept, node.names))
        data = b"\n".join(values) if is_read or node.keys else b""
        for name in node.names:
            is_kept = self._is_kept(name)
            found = values if is_kept else self.decoded(_ANY, values, data, None)[0]
            self.columns[name] = found, level
        self.add_objects(node, values, data)
        numbers = {key: child for key, child in node.keys.items() if isinstance(key, int)}
        if numbers:
            lists, _ = self.decoded(ITEMS_OF, values, data, [])
            for key, child in numbers.items():
                self.add(child, [one[key] if key < len(one) else NULL for one in lists])
        if node.items is not None:
            self.arrays = node.items, values

    def add_objects(self, node: Node, texts: Sequence[Any], data: bytes) -> None:
        """Add the columns that objects have inside of them."""
        inner = self._classes[id(node)]
        if not inner.keys:
            return
        level = len(self.events.places)
        rows, refused = self.decoded(inner.decoder, texts, data, inner.empty)
        is_checked = any(key.is_checked for key in inner.keys)
        is_escaped = is_checked and b"\\" in data and bool(_ESCAPED_KEY.search(data))
        inside: bytes | None = None
        for key in inner.keys:
            values = list(map(attrgetter(key.attribute), rows))
            missing = values.count(key.missing)
            if missing == len(values) and not key.node.inner:
                # What is nowhere is nowhere twice.
                self.columns |= dict.fromkeys(key.node.names, ([], level))
                continue
            if key.is_checked:
                # Where a key is as often as its values, none has it twice.
                present = len(values) - missing
                count = data.count(key.written) - refused.count(key.written)
                if count != present and not refused:
                    inside = _inside(data) if inside is None else inside
                    count -= inside.count(key.written)
                if count != present or is_escaped:
                    self._doubt(texts, partial(_may_be_twice, key.written))
            if key.is_raw:
                self.add(key.node, values)
                continue
            if missing:
                values = [None if one is UNSET else one for one in values]
            self.columns |= dict.fromkeys(key.node.names, (values, level))
        if is_escaped:
            self._doubt(texts, _ESCAPED_KEY.search)

    def decoded(
        self, decoder: Any, values: Sequence[Any], data: bytes, otherwise: Any
    ) -> tuple[list[Any], bytes]:
        """Decode values; what is refused gives something else, and is returned as well."""
        with suppress(*ERRORS):
            found: list[Any] = decoder.decode_lines(data)
            if len(found) == len(values):
                return found, b""
        found, refused = [], []
        for at, value in enumerate(values):
            try:
                found.append(decoder.decode(value))
            except ERRORS as error:
                found.append(otherwise)
                refused.append(value)
                # It is of another kind, or else not UTF-8, a number out of range, or no JSON.
                if not str(error).startswith("Expected"):
                    self.are_read[self.events.levels[0][at]] = False
        return found, b"\n".join(refused)

    def _doubt(self, texts: Sequence[Any], is_doubtful: Callable[[bytes], Any]) -> None:
        """Leave those in which these objects are doubtful."""
        for at, text in enumerate(texts):
            if is_doubtful(bytes(text)):
                self.are_read[self.events.levels[0][at]] = False


def _names_below(node: Node) -> list[str]:
    return [*node.names, *(name for child in node.inner for name in _names_below(child))]


def _inside(objects: bytes) -> bytes:
    """Return the values of the members of objects, one on each line; of equal keys, of the last."""
    with suppress(*ERRORS):
        return b"\n".join(chain.from_iterable(map(dict.values, MEMBERS.decode_lines(objects))))
    return b""


def _may_be_twice(key: bytes, text: bytes) -> bool:
    """Whether an object may have a key twice, not counting what its values have inside of them."""
    count = text.count(key)
    if count < 2:
        return False
    try:
        return bool(count - b" ".join(MEMBERS.decode(text).values()).count(key) > 1)
    except ERRORS:
        return True
