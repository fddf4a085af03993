"""Documents: JSON that has not one object on each line, cut into the objects that it holds.

Only brackets and quotes are looked at, all those of a block at once. An array at the beginning is
cut into its items. Objects one behind the other are taken whole; one that is larger than a line may
be is cut too, into the items of the array that the columns lie in, each with what stands above it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from loader.errors import InputError
from loader.reading import objects
from loader.reading.fields import ITEMS, Node, Path
from loader.reading.header import BOM
from loader.reading.lines import LF, LongLine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from loader.reading.limits import Limits
    from loader.reading.streams import ByteSource

_BETWEEN: Final = b" \t\r\n,"
_PIECE: Final = re.compile(rb'(?:"(?:[^"\\]++|\\.)*+"?|[^",\s]\s*+)++', re.DOTALL)
_TOKEN: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"(?:\s*(?P<colon>:))?|[\[\]{}]', re.DOTALL)
# Of a document that is gone into: so much may stand before the array.
_LARGEST_HEAD: Final = 64 << 20
_HERE: Final = "\0here"
_HERE_WRITTEN: Final = b'"\\u0000here"'


def looks_like_json(start: bytes) -> bool:
    """Tell from its first bytes whether content is rather JSON than anything else."""
    return start.removeprefix(BOM).lstrip().startswith((b"{", b"["))


def is_document(start: bytes, longest: int) -> bool:
    """Tell whether content has something else than objects on its lines.

    Args:
        start: how the content begins, at least two lines of it or all.
        longest: bytes that a line may have.
    """
    lines = start.lstrip().split(b"\n", 2)
    if lines[0].startswith(b"["):
        return True
    if not lines[0].startswith(b"{"):
        return False
    if len(lines[0]) > longest:
        return True
    # An object that the line does not end, and the next one goes on with.
    return len(lines) > 1 and _is_begun(lines[0]) and _is_begun(b"\n".join(lines[:2]), whole=True)


def _is_begun(text: bytes, *, whole: bool = False) -> bool:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError) as error:
        return "truncated" in str(error)
    return whole


@dataclass(kw_only=True)
class Cut:
    """Some objects of a document.

    Attributes:
        pieces: the text of each.
        lines: the line where each begins, counted from 1.
        long: objects among these that are too long to be read.
    """

    pieces: list[bytes] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    long: list[LongLine] = field(default_factory=list)


class Documents:
    """Cuts content; iterate once. Memory stays constant.

    Args:
        content: what to cut.
        start: how it begins; was read already.
        limits: how large an object may be.
        origin: what errors call the content.

    Attributes:
        way: the way into the array that the columns lie in; empty for none.
        wanted: what is wanted of an object.
    """

    def __init__(self, content: ByteSource, start: bytes, limits: Limits, origin: str) -> None:
        self._content = content
        self._limits = limits
        self._origin = origin
        self._data = start
        self._is_ended = len(start) < limits.block_bytes
        self._line = 1
        self._depth = 0
        # How deep the objects are that are cut out, and what stands above each.
        self._level = 0
        self._around = (b"", b"")
        self._cut = Cut()
        self.way: Path = ()
        self.wanted = Node()

    def __iter__(self) -> Iterator[Cut]:
        """Yield the objects of a block.

        Raises:
            InputError: the brackets or quotes do not pair.
        """
        while True:
            while self._step():
                pass
            if self._cut.pieces or self._cut.long:
                yield self._cut
                self._cut = Cut()
            if self._is_ended:
                break
            self._read()
        if self._data or self._depth:
            raise self._damaged("what begins here does not end")

    def _step(self) -> bool:
        """Cut what is whole; tell whether to look again before more is read."""
        data = self._data
        at, steps, _ = _brackets(data)
        after = self._depth + np.cumsum(steps)
        before = after - steps
        near = np.minimum(before, after) <= max(self._level, 1)
        begin, start = 0, -1
        spans: list[tuple[int, int]] = []
        for place, was, now in zip(
            at[near].tolist(), before[near].tolist(), after[near].tolist(), strict=True
        ):
            if now > was:
                if was == 0:
                    self._level = int(data[place] == ord("["))
                if was in {0, self._level}:
                    spans += _between(data, begin, place)
                    begin = place + 1
                if was == self._level:
                    start = place
            elif now == self._level and start >= 0:
                if place - start >= self._limits.line_bytes:
                    break
                spans.append((start, place + 1))
                begin, start = place + 1, -1
            elif now <= self._level:
                # The end of what was cut, or of a document behind that.
                spans += _between(data, begin, place) if now < self._level else []
                self._take(spans)
                self._level, self._around, spans = 0, (b"", b""), []
                begin = place + (now >= 0)
                if now < 0:
                    break
        return self._pass(spans, begin, start, int(after[-1]) if len(at) else self._depth, at)

    def _pass(
        self,
        spans: list[tuple[int, int]],
        begin: int,
        start: int,
        depth: int,
        brackets: NDArray[np.int64],
    ) -> bool:
        """Keep what was cut and be done with it; tell whether to look at the rest again."""
        data = self._data
        if start >= 0:
            self._take(spans)
            self._drop(start)
            self._depth = self._level
            is_long = len(self._data) > self._limits.line_bytes
            if is_long:
                self._too_long()
            return is_long
        if data[begin : begin + 1] in (b"]", b"}"):
            self._drop(begin)
            raise self._damaged("a bracket is closed that was not opened")
        self._depth = depth
        if self._is_ended:
            spans += _between(data, begin, len(data))
            begin = len(data)
        elif depth > self._level and len(brackets):
            # Behind an array that was cut, in what is only passed over.
            begin = int(brackets[-1]) + 1
        self._take(spans)
        self._drop(begin)
        if len(self._data) > self._limits.line_bytes:
            raise self._damaged("there are no objects, or a text is too long")
        return False

    def _take(self, spans: list[tuple[int, int]]) -> None:
        """Keep what stands at these places."""
        feeds = np.flatnonzero(np.frombuffer(self._data, np.uint8) == LF)
        before = np.searchsorted(feeds, [start for start, _ in spans])
        self._cut.lines += (self._line + before).tolist()
        prefix, suffix = self._around
        self._cut.pieces += [prefix + self._data[start:end] + suffix for start, end in spans]

    def _too_long(self) -> None:
        """Go into a document that is too long to be taken whole, or pass over it."""
        if self._level == 0 and self.way and self._enter():
            return
        start, line, size = self._data[: self._limits.raw_bytes], self._line, 0
        depth, is_inside = self._depth, False
        while True:
            at, steps, was_inside = _brackets(self._data, is_inside=is_inside)
            after = depth + np.cumsum(steps)
            ends = np.flatnonzero(after == self._depth)
            if len(ends):
                end = int(at[ends[0]]) + 1
                self._drop(end)
                self._cut.long.append(LongLine(line_number=line, start=start, size=size + end))
                return
            # Half of an escape is looked at together with the other.
            end = len(self._data.rstrip(b"\\"))
            depth, is_inside = int(after[-1]) if len(after) else depth, was_inside
            size += end
            self._drop(end)
            if self._is_ended:
                self._line = line
                raise self._damaged("what begins here does not end")
            self._read()

    def _enter(self) -> bool:
        """Go into the array of a document where the columns lie, if it is there."""
        keys = [step for step in self.way[: self.way.index(ITEMS)] if step is not ITEMS]
        while (found := _find(self._data, keys)) is None:
            if self._is_ended or len(self._data) > _LARGEST_HEAD:
                return False
            self._read()
        end, closing = found
        head = objects.parse_one(self._data[:end] + closing)
        if isinstance(head, objects.NotAnObject):
            raise self._damaged(head.reason)
        above = objects.clean(_pruned(head, self.wanted, [*keys, _HERE]))
        prefix, suffix = above.split(_HERE_WRITTEN)
        self._around = prefix + b"[", b"]" + suffix
        self._drop(end)
        self._depth = self._level = len(closing)
        return True

    def _read(self) -> None:
        more = self._content.read(self._limits.block_bytes)
        self._is_ended = len(more) < self._limits.block_bytes
        self._data += more

    def _drop(self, end: int) -> None:
        """Be done with so many bytes."""
        self._line += self._data.count(b"\n", 0, end)
        self._data = self._data[end:]

    def _damaged(self, why: str) -> InputError:
        return InputError(f"{self._origin}: is cut short or damaged: line {self._line:,}: {why}")


def _brackets(
    data: bytes, *, is_inside: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int64], bool]:
    """Find the brackets that are not inside of a text.

    Returns:
        Where they are, 1 or -1 for each as it opens or closes, and whether the data end inside of
        a text.
    """
    seen = np.frombuffer(data, np.uint8)
    quotes = np.flatnonzero(seen == ord('"'))
    after_escape = quotes[(quotes > 0) & (seen[np.maximum(quotes - 1, 0)] == ord("\\"))]
    if len(after_escape):
        # After an odd number of them, that is.
        is_odd = [_run(data, at) % 2 == 1 for at in after_escape.tolist()]
        quotes = np.setdiff1d(quotes, after_escape[is_odd], assume_unique=True)
    # Both opening brackets, and both closing ones, differ in one bit.
    kinds = seen | 32
    at = np.flatnonzero((kinds == ord("{")) | (kinds == ord("}")))
    at = at[(np.searchsorted(quotes, at) + is_inside) % 2 == 0]
    steps = np.where(kinds[at] == ord("{"), 1, -1)
    return at, steps, bool((len(quotes) + is_inside) % 2)


def _run(data: bytes, end: int) -> int:
    """Count the backslashes before a place."""
    begin = end
    while begin and data[begin - 1] == ord("\\"):
        begin -= 1
    return end - begin


def _between(data: bytes, begin: int, end: int) -> list[tuple[int, int]]:
    """Find what stands between objects and is no comma."""
    if not data[begin:end].strip(_BETWEEN):
        return []
    pieces = (found.span() for found in _PIECE.finditer(data, begin, end))
    stripped = ((start, start + len(data[start:stop].rstrip())) for start, stop in pieces)
    return [(start, stop) for start, stop in stripped if stop > start]


def _find(data: bytes, keys: list[str]) -> tuple[int, bytes] | None:
    """Find the array of an object to which keys lead.

    Returns:
        The place behind its bracket, and what closes everything that is open there.
    """
    inside: list[str | None] = []
    closing = b""
    key: str | None = None
    for token in _TOKEN.finditer(data):
        text = token[0]
        if text in (b"{", b"["):
            inside.append(key)
            key = None
            closing = (b"}" if text == b"{" else b"]") + closing
            if text == b"[" and inside[1:] == keys:
                return token.end(), closing
        elif text in (b"}", b"]"):
            if not inside:
                return None
            key = None
            inside.pop()
            closing = closing[1:]
        elif token["colon"]:
            key = text[: text.rindex(b'"') + 1].decode(errors="replace")
            key = json.loads(key, strict=False) if "\\" in key else key[1:-1]
    return None


def _pruned(value: Any, node: Node, keys: list[str]) -> Any:
    """Return what is wanted of an object, with a mark in the place to which keys lead."""
    if keys == [_HERE]:
        return _HERE
    if (node.names and keys[0] not in node.keys) or not isinstance(value, dict):
        return value
    return {
        key: _pruned(one, node.keys[key], keys[1:] if key == keys[0] else [""])
        for key, one in value.items()
        if key in node.keys
    }
