"""Extraction: the columns of many JSON objects, by a decoder that looks for nothing else.

msgspec decodes into a class made for the purpose, and passes over what is not wanted. It goes down
one object or array at a time, over all rows at once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import msgspec
import numpy as np

from loader.reading.fields import ITEMS, Found, Level, joined

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from loader.reading.fields import Node, Path

Raw: TypeAlias = Any
"""A value as it stands in the input."""
ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_NULL: Final = msgspec.Raw(b"null")
_EMPTY: Final = msgspec.Raw(b"{}")
_ANY: Final = msgspec.json.Decoder()
_ARRAYS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_MEMBERS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ODD_KEY: Final = re.compile(r'["\\\x00-\x1f]')
# A key with an escape in it may be one that is looked for.
_ESCAPED_KEY: Final = re.compile(rb'\\(?:u[0-9a-fA-F]{4}|.)[^"\\]*"[ \t\r\n]*:', re.DOTALL)


class Extractor:
    """Finds what is wanted of an object.

    Args:
        node: what that is.
        raw: columns of which the text is wanted, and not the value.

    Attributes:
        decoder: decodes objects for `columns`, or raises one of `ERRORS`.
    """

    def __init__(self, node: Node, raw: frozenset[str]) -> None:
        self._node = node
        self._raw = raw
        self._objects = _Objects(node, raw)
        self._inner = {id(one): _Objects(one, raw) for one in _nodes(node) if one.keys}
        self.decoder = self._objects.decoder

    def columns(self, rows: list[Any], texts: Sequence[bytes], data: bytes) -> Found:
        """Return the columns of rows that were decoded.

        Args:
            rows: what the decoder made of them.
            texts: what each was.
            data: all of the texts.
        """
        level = Level(len(rows))
        self._look_into(self._objects, rows, texts, data, level)
        levels = [level]
        while level.array is not None:
            node, arrays = level.array
            items, counts = _items(level, arrays)
            level = Level(counts=counts)
            self._value(node, items, level)
            levels.append(level)
        return joined(levels, _take)

    def _look_into(
        self,
        objects: _Objects,
        rows: list[Any],
        texts: Sequence[bytes],
        data: bytes,
        level: Level,
    ) -> None:
        for key in objects.keys:
            values = list(map(key.get, rows))
            if data.count(key.written) != len(values) - values.count(key.missing):
                twice = (at for at, text in enumerate(texts) if _may_be_twice(text, key.written))
                level.doubtful.update(twice)
            if key.is_raw:
                self._value(key.node, values, level)
            else:
                level.columns |= dict.fromkeys(key.node.names, values)
        if b"\\" in data and _ESCAPED_KEY.search(data):
            escaped = (at for at, text in enumerate(texts) if _ESCAPED_KEY.search(bytes(text)))
            level.doubtful.update(escaped)

    def _value(self, node: Node, values: list[Raw], level: Level) -> None:
        """Look into values of which the text is known."""
        for name in node.names:
            level.columns[name] = (
                values if name in self._raw else _decoded(level, _ANY, values, None)
            )
        if node.keys:
            objects = self._inner[id(node)]
            rows = _decoded(level, objects.decoder, values, objects.decoder.decode(b"{}"))
            self._look_into(objects, rows, values, b"\n".join(values), level)
        if node.items is not None:
            level.array = (node.items, values)


class _Objects:
    """A class for the wanted keys of an object."""

    def __init__(self, node: Node, raw: frozenset[str]) -> None:
        self.keys: list[_Key] = []
        self.decoder: Any = _MEMBERS
        # Such a key cannot be a field of a class.
        is_odd = any(_ODD_KEY.search(name) for name in node.keys)
        fields: list[tuple[str, Any, Any]] = []
        names = {f"a{number}": name for number, name in enumerate(node.keys)}
        for attribute, (name, child) in zip(names, node.keys.items(), strict=True):
            is_raw = bool(is_odd or child.keys or child.items or raw.intersection(child.names))
            missing = None if not is_raw else _NULL if child.names or child.items else _EMPTY
            written = json.dumps(name, ensure_ascii=False).encode(errors="replace")
            get = partial(_get, name, missing) if is_odd else attrgetter(attribute)
            self.keys.append(_Key(child, get, written, is_raw, missing))
            fields.append((attribute, msgspec.Raw if is_raw else Any, missing))
        if not is_odd:
            row = msgspec.defstruct("Row", fields, rename=names, gc=False)
            self.decoder = msgspec.json.Decoder(row)


def _get(name: str, missing: Any, row: dict[str, Any]) -> Any:
    return row.get(name, missing)


class _Key(NamedTuple):
    node: Node
    get: Callable[[Any], Any]
    written: bytes
    is_raw: bool
    missing: Any


def _may_be_twice(text: Raw, key: bytes) -> bool:
    """Whether an object may have a key twice, not counting what its values have inside of them."""
    count = bytes(text).count(key)
    if count < 2:
        return False
    try:
        return bool(count - b" ".join(_MEMBERS.decode(text).values()).count(key) > 1)
    except ERRORS:
        return True


def _decoded(level: Level, decoder: Any, values: list[Raw], otherwise: Any) -> list[Any]:
    """Decode values; what is of another kind, or cannot be read, gives something else."""
    try:
        found: list[Any] = decoder.decode_lines(b"\n".join(values))
    except ERRORS:
        found = []
        for row, value in enumerate(values):
            try:
                found.append(decoder.decode(value))
            except ERRORS as error:
                found.append(otherwise)
                # Not UTF-8, or a number out of range.
                if not str(error).startswith("Expected"):
                    level.doubtful.add(row)
    return found


def _items(level: Level, arrays: list[Raw]) -> tuple[list[Raw], NDArray[np.int64]]:
    """Return the items of arrays, and how many each has; one that is null for what is no array."""
    found = _decoded(level, _ARRAYS, arrays, [_NULL])
    items = [item for one in found for item in one]
    return items, np.fromiter(map(len, found), np.int64, len(found))


def _take(values: Sequence[Any], at: NDArray[np.int64]) -> list[Any]:
    return [values[one] for one in at.tolist()]


def _nodes(node: Node) -> list[Node]:
    inner = [*node.keys.values(), *([node.items] if node.items is not None else [])]
    return [node, *(found for one in inner for found in _nodes(one))]


def cut(text: bytes, way: Path, places: Sequence[int]) -> bytes:
    """Return a text that has of each array on the way only one item, counted from 0."""
    if not places:
        return text
    step, rest = way[0], way[1:]
    try:
        if step is ITEMS:
            items = _ARRAYS.decode(text)
            return b"[" + cut(bytes(items[places[0]]), rest, places[1:]) + b"]"
        members = _MEMBERS.decode(text)
        members[step] = msgspec.Raw(cut(bytes(members[step]), rest, places))
        return msgspec.json.encode(members)
    except (*ERRORS, KeyError, IndexError):
        # The array is none, or the text is one that only Python reads.
        return text


def offset(text: bytes, way: Path, places: Sequence[int]) -> int:
    """Return about where in a text an item begins; of equal ones it may be the first."""
    numbers = list(places)
    found, part = 0, text
    try:
        for step in way:
            if step is ITEMS:
                inner = _ARRAYS.decode(part)[numbers.pop(0)]
            else:
                inner = _MEMBERS.decode(part)[step]
            found += part.find(inner)
            part = bytes(inner)
    except (*ERRORS, KeyError, IndexError):
        pass
    return found
