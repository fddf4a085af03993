"""Documents: JSON that has not one object on each line, cut into the objects that it holds.

Only brackets and quotes are looked at, all those of a block at once. Objects are taken whole, from
arrays too, and from arrays in these. One that is larger than a row may be is cut itself, into the
items of the array that the columns lie in, each with what stands around it.
"""

import re
import tempfile
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from loader.errors import InputError
from loader.reading import attributes, brackets, objects
from loader.reading.batch import Reject
from loader.reading.fields import ITEMS, Node, Path
from loader.reading.limits import Limits
from loader.reading.lines import LF
from loader.reading.pieces import Around, Pieces, between, blanked
from loader.reading.rows import Broken
from loader.reading.streams import ByteSource

_PIECE: Final = re.compile(rb'(?:"(?:[^"\\]++|\\.)*+"?|[^",\s\[\]]\s*+)++', re.DOTALL)
# Of a document that is cut itself: so much may stand before the array, and behind it.
_LARGEST_HEAD: Final = 64 << 20
_ADVICE: Final = "; has it events in an array? see: loader inspect"
_HERE: Final = "\0here"
_HERE_WRITTEN: Final = b'"\\u0000here"'
# What may stand between objects.
_IS_BETWEEN: Final = np.zeros(256, np.bool_)
_IS_BETWEEN[list(b" \t\r\n,[]")] = True


class Documents:
    """Cuts content; iterate once. Memory stays constant.

    Args:
        content: what to cut.
        start: how it begins; was read already.
        limits: how large an object may be.
        paths: of each column, those that may lead to it.
        wanted: all of these.
        way: the way into the array that the columns lie in; empty for none.
    """

    def __init__(
        self,
        content: ByteSource,
        start: bytes,
        limits: Limits,
        *,
        paths: Collection[Collection[Path]],
        wanted: Node,
        way: Path,
    ) -> None:
        self._content = content
        self._limits = limits
        self._data = start
        self._is_ended = len(start) < limits.block_bytes
        self._line = 1
        # Open arrays; inside of a document, those from the one on whose items are cut out.
        self._arrays = 0
        self._around: Around | None = None
        self._outer, self._closing, self._items = 0, 0, 0
        # What is kept to be read again, the next of it last.
        self._copies: list[BinaryIO] = []
        self._copy: BinaryIO | None = None
        self._kept = ExitStack()
        self._paths = paths
        self._wanted = wanted
        self._way = way

    def __iter__(self) -> Iterator[tuple[Pieces, Broken]]:
        """Yield the objects of a block, and those before them that were too long.

        Raises:
            InputError: the brackets or quotes do not pair.
        """
        long: list[Reject] = []
        with self._kept:
            while True:
                found, end = self._cut()
                self._drop(end)
                if len(found) or long:
                    yield found, Broken(len(long), long)
                    long = []
                if self._around is not None and not self._arrays:
                    self._skip(self._closing)
                    self._arrays, self._around = self._outer, None
                elif self._data[:1] == b"{" and len(self._data) > self._limits.line_bytes:
                    if self._around is not None or not self._way or not self._enter():
                        start, line = self._data[: self._limits.raw_bytes], self._line
                        one = Reject.too_long(line, start, self._skip(0), self._limits)
                        if not self._way:
                            one = replace(one, reason=one.reason + _ADVICE)
                        long.append(one)
                elif len(self._data) > self._limits.line_bytes:
                    raise self._damaged("there are no objects, or a text is too long")
                elif not self._is_ended:
                    self._read()
                elif self._data.strip() or self._arrays:
                    raise self._damaged("what begins here does not end")
                else:
                    return

    def _cut(self) -> tuple[Pieces, int]:
        """Find the objects that are whole; and where to go on."""
        at, steps, are_braces = brackets.find_all(self._data)[:3]
        braces = np.where(are_braces, steps, 0)
        depth = np.cumsum(braces)
        arrays = self._arrays + np.cumsum(np.where(are_braces | (depth > 0), 0, steps))
        is_inside = self._around is not None
        stops = np.flatnonzero((depth < 0) | (arrays < is_inside))
        stop = int(stops[0]) if len(stops) else len(at)
        opening = np.flatnonzero((braces == 1) & (depth == 1))
        ending = np.flatnonzero((braces == -1) & (depth == 0))
        opening, ending = opening[opening < stop], ending[ending < stop]
        starts, ends = at[opening[: len(ending)]], at[ending] + 1
        long = np.flatnonzero(ends - starts > self._limits.line_bytes)
        if len(long):
            # As if there were no more of it yet.
            stop = len(at)
            opening, starts, ends = opening[: long[0] + 1], starts[: long[0]], ends[: long[0]]
        if stop < len(at):
            end = int(at[stop])
            if depth[stop] < 0 or not is_inside:
                self._drop(end)
                raise self._damaged("a bracket is closed that was not opened")
        else:
            whole = len(self._data.rstrip() if self._is_ended else self._data)
            end = int(at[opening[-1]]) if len(opening) > len(ends) else whole
        starts, ends, end = self._with_others(starts, ends, end)
        if self._around is not None:
            levels = len(self._around.way) - self._around.way.index(ITEMS)
            if (arrays[opening] != levels).any():
                raise self._damaged("arrays lie in each other otherwise than the paths say")
        passed = int(np.searchsorted(at, end))
        self._arrays = 0 if stop < len(at) else int(arrays[passed - 1]) if passed else self._arrays
        seen = np.frombuffer(self._data, np.uint8)[:end]
        lines = self._line + np.searchsorted(np.flatnonzero(seen == LF), starts)
        # With line feeds instead of what stands between.
        data = blanked(self._data, starts, ends, end)
        numbers = self._items + np.arange(len(starts))
        self._items += len(starts)
        return Pieces(data, starts, ends, lines, self._around or Around(), numbers), end

    def _with_others(
        self, starts: NDArray[np.int64], ends: NDArray[np.int64], end: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
        """Add what stands between objects and is none; and leave what may go on."""
        data = self._data
        seen = np.frombuffer(data, np.uint8)[:end]
        others = between(starts, ends, end)
        others = others[~_IS_BETWEEN[seen[others]]]
        if not len(others):
            return starts, ends, end
        bounds = np.stack([np.append(0, ends), np.append(starts, end)], axis=1)
        gaps = bounds[np.unique(np.searchsorted(bounds[:, 1], others, side="right"))]
        found = [one for gap in gaps.tolist() for one in _PIECE.finditer(data, *gap)]
        if found[-1].end() == len(data) and not self._is_ended:
            end = found.pop().start()
        spans = [(one.start(), one.start() + len(one[0].rstrip())) for one in found]
        more = np.array(spans, np.int64).reshape(-1, 2)
        return np.sort(np.append(starts, more[:, 0])), np.sort(np.append(ends, more[:, 1])), end

    def _enter(self) -> bool:
        """Go into the array of a document where the columns lie, if it is there."""
        keys = self._way[: self._way.index(ITEMS)]
        while (found := brackets.find_array(self._data, keys)) is None:
            if self._is_ended or len(self._data) > _LARGEST_HEAD:
                return False
            self._read()
        end, closing = found
        if not end:
            return False
        start = self._data[:end]
        self._drop(end)
        way = (*keys, ITEMS)
        while self._way[len(way) : len(way) + 1] == (ITEMS,):
            way = (*way, ITEMS)
        document = self._document(start + closing)
        above = [paths for paths in self._paths if not any(one[: len(way)] == way for one in paths)]
        if any(
            all(objects.value_of(document, one, ()) is None for one in paths) for paths in above
        ):
            document = self._document(start + self._behind(closing))
        if key := objects.doubled(document, self._wanted):
            raise self._damaged(f'the key "{key}" is there twice')
        text = attributes.dump(_pruned(document, self._wanted, [*keys, _HERE]))
        before, after = text.encode("utf-8", "surrogatepass").split(_HERE_WRITTEN)
        levels = len(way) - len(keys)
        self._around = Around(before=before + b"[" * levels, after=b"]" * levels + after, way=way)
        self._outer, self._arrays, self._closing = self._arrays, 1, len(closing)
        self._items = 0
        return True

    def _document(self, text: bytes) -> dict[str, Any]:
        try:
            return objects.read_slowly(text)[0][1]
        except objects.NotAnObjectError as error:
            raise self._damaged(str(error)) from error

    def _behind(self, closing: bytes) -> bytes:
        """Return what stands behind an array, up to the end of its document; then go back.

        What lies between is kept in a file, for a stream cannot be read again.
        """
        line = self._line
        try:
            copy = self._kept.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
            copy.write(self._data)
            self._copy = copy
            self._skip(1)
            depth = len(closing) - 1
            while not (ends := brackets.ends(self._data, depth)):
                if self._is_ended or len(self._data) > _LARGEST_HEAD:
                    raise self._damaged("what stands behind its array does not end, or is too long")
                self._read()
            copy.seek(0)
        except OSError as error:
            raise InputError(
                "columns stand behind its array, and to look there first it has "
                f"to be kept in {tempfile.gettempdir()}: {error.strerror}"
            ) from error
        found = closing[:1] + self._data[:ends]
        self._copies.append(copy)
        self._copy = None
        self._data, self._line, self._is_ended = b"", line, False
        return found

    def _skip(self, depth: int) -> int:
        """Be done with all up to the bracket that closes so many; return how many bytes it was."""
        line, size, is_inside = self._line, 0, False
        while True:
            at, steps, _, is_inside = brackets.find_all(self._data, is_inside=is_inside)
            after = depth + np.cumsum(steps)
            ends = np.flatnonzero(after == 0)
            # The first half of an escape is looked at together with the other.
            end = len(self._data) - brackets.run(self._data, len(self._data)) % 2
            end = int(at[ends[0]]) + 1 if len(ends) else end
            size += end
            self._drop(end)
            if len(ends):
                return size
            if self._is_ended:
                self._line = line
                raise self._damaged("what begins here does not end")
            depth = int(after[-1]) if len(after) else depth
            self._read()

    def _read(self) -> None:
        more, size = b"", self._limits.block_bytes
        while self._copies and len(more) < size:
            more += self._copies[-1].read(size - len(more))
            if len(more) < size:
                self._copies.pop().close()
        more += self._content.read(size - len(more))
        self._is_ended = len(more) < size
        self._data += more
        if self._copy is not None:
            self._copy.write(more)

    def _drop(self, end: int) -> None:
        """Be done with so many bytes."""
        self._line += self._data.count(b"\n", 0, end)
        self._data = self._data[end:]

    def _damaged(self, why: str) -> InputError:
        return InputError(f"is cut short or damaged: line {self._line:,}: {why}")


def _pruned(value: Any, node: Node, keys: list[Any]) -> Any:
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
