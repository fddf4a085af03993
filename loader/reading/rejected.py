"""Rejected objects: what is wrong with one, where it stands, and what is kept of it."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np

from loader.reading.extract import Events
from loader.reading.fields import ITEMS, Path, place
from loader.reading.objects import ERRORS, ITEMS_OF, MEMBERS, hidden, kind, read_slowly, value_of
from loader.reading.pieces import Pieces
from loader.reading.rows import Origins

_SHOWN_KEYS: Final = 10
# What no UTF-8 has: half of a pair, or a byte that Python could not read.
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_BYTES: Final = re.compile("[\udc80-\udcff]")


@dataclass(frozen=True)
class Stood(Origins):
    """Rows that are objects, or items of arrays in them."""

    paths: Mapping[str, Mapping[str, Path]]
    way: Path
    pieces: Pieces
    texts: Sequence[bytes]
    events: Events

    def line_number(self, row: int) -> int:
        """Return the line of a row, counted from 1 in the input."""
        mine, places = self.events.stood(row)
        text = self.texts[mine]
        within = text.count(b"\n", 0, offset(text, self.way, places))
        return int(self.pieces.lines[mine]) + within

    def raw(self, row: int) -> bytes:
        """Return the object as it was read; of arrays with several items only this one."""
        mine, places = self.events.stood(row)
        text = self.texts[mine]
        return text if self.events.is_alone(row) else cut(text, self.way, places)

    def reason(self, row: int, column_name: str) -> str | None:
        """Return what is wrong with a value that its column does not tell."""
        mine, places = self.events.stood(row)
        document = read_slowly(self.texts[mine])[0][1]
        *others, path = self.paths[column_name].values()
        if others and value_of(document, others[0], ()) is not None:
            path = others[0]
        numbers, is_one = self.pieces.numbers, self.pieces.around.way.count(ITEMS) == 1
        first = int(numbers[mine]) if numbers is not None and is_one else 0
        return why(document, path, places, first)


def why(  # noqa: PLR0911
    document: Any, path: Path, places: Sequence[int], first: int = 0
) -> str | None:
    """Say why a path leads to no usable value; None when the value itself is at fault.

    ``places`` say which item to take of each array on the way; of the outermost, the document has
    only those from the ``first`` on.
    """
    named = [number + (0 if at else first) for at, number in enumerate(places)]
    for at, step in enumerate(path):
        where = place(path[:at], named)
        value = value_of(document, path[:at], places)
        if not isinstance(step, str):
            if not isinstance(value, list):
                return f"{where} is {kind(value)}, not an array"
            if step is not ITEMS and step >= len(value):
                return f"there is no {place(path[: at + 1], named)}: {where} has {len(value)} items"
        elif not isinstance(value, dict):
            return f"{where} is {kind(value)}, not an object" + hidden(value, path[:at])
        elif step not in value:
            there = ", ".join(f'"{one}"' for one in list(value)[:_SHOWN_KEYS])
            within = f" in {where}" if where else ""
            texts = (hidden(one, (*path[:at], key)) for key, one in value.items())
            there = f", only {there}" if there else ""
            return f'there is no key "{step}"{within}{there}' + next(filter(None, texts), "")
    value = value_of(document, path, places)
    where = f"the value of {place(path, named)}" if len(path) > 1 else "the value"
    if value is None or isinstance(value, bool | list | dict):
        return f"{where} is {kind(value)}"
    if isinstance(value, str) and _SURROGATE.search(value):
        # Bytes, and not half of a pair that stands there in the letters of JSON.
        return f"{where} is not UTF-8" + ("; see --encoding" if _BYTES.search(value) else "")
    return None


def cut(text: bytes, way: Path, places: Sequence[int]) -> bytes:
    """Return a text that has of each array on the way only one item, counted from 0."""
    if not places:
        return text
    step, rest = way[0], way[1:]
    try:
        if isinstance(step, str):
            members = MEMBERS.decode(text)
            members[step] = msgspec.Raw(cut(bytes(members[step]), rest, places))
            return msgspec.json.encode(members)
        items = ITEMS_OF.decode(text)
        if step is ITEMS:
            return b"[" + cut(bytes(items[places[0]]), rest, places[1:]) + b"]"
        items[step] = msgspec.Raw(cut(bytes(items[step]), rest, places))
        return msgspec.json.encode(items)
    except (*ERRORS, KeyError, IndexError, TypeError):
        # The array is none, or the text is one that only Python reads.
        return text


def offset(text: bytes, way: Path, places: Sequence[int]) -> int:
    """Return where in a text an item begins."""
    if not places:
        return 0
    numbers = iter(places)
    part: Any = text
    with suppress(*ERRORS, KeyError, IndexError, TypeError, StopIteration):
        for step in way:
            if isinstance(step, str):
                part = MEMBERS.decode(part)[step]
            else:
                part = ITEMS_OF.decode(part)[next(numbers) if step is ITEMS else step]
    # What was decoded lies in the text itself.
    begin, end = (np.frombuffer(one, np.uint8).ctypes.data for one in (text, part))
    return int(end - begin)
