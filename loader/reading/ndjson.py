"""NDJSON: one JSON object per line, parsed by Arrow; what it refuses is read line by line."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from loader.errors import InputError
from loader.reading import header, objects
from loader.reading.arrow import Array, Schema, Table, pa
from loader.reading.batch import EventBatch
from loader.reading.lines import LF, Block, Blocks, long_lines
from loader.reading.ndjson_lines import Origins, read_lines
from loader.reading.ndjson_shapes import shapes_of, too_deep_lines
from loader.reading.ndjson_tables import Tables
from loader.reading.rows import Assembler, Broken

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from loader.reading.limits import Limits
    from loader.reading.mapping import Mapping
    from loader.reading.streams import ByteSource

_FEW_LINES: Final = 64
_SOME_LINES: Final = 2048
_NO_LINES: Final[NDArray[np.int64]] = np.empty(0, np.int64)


class NdjsonReader:
    """Reads NDJSON in constant memory; iterate once.

    Raises:
        InputError: on iterating, when it is something else altogether.
    """

    header: bytes | None = None

    def __init__(self, content: ByteSource, mapping: Mapping, limits: Limits, origin: str) -> None:
        self._blocks = Blocks(content, limits)
        self._mapping = mapping
        self._limits = limits
        self._origin = origin
        self.assembler = Assembler(mapping, limits)
        self._use(objects.Keys(mapping, {}))
        self._is_started = False

    def __iter__(self) -> Iterator[EventBatch]:
        """Yield batches; inside a block, those that Arrow could read come first."""
        self._check(self._blocks.peek())
        is_empty = True
        for found in self._blocks:
            block = found if self._is_started else self._start(found)
            is_empty = is_empty and not block.data.strip() and not block.long_lines
            yield from self._batches(block)
        if is_empty:
            raise InputError(f"{self._origin}: is empty")

    def read_messages(self, blocks: Iterable[Block]) -> Iterator[EventBatch]:
        """Yield batches of blocks whose lines are messages, of which each stands for itself.

        Unlike with a file, no line says how the others are written: keys match exactly, and
        there may be no object among them at all.
        """
        for block in blocks:
            yield from self._batches(block)

    def broken(self, broken: Broken) -> EventBatch:
        """Return a batch of nothing but rejects."""
        return self._by_line(Block(b"", 0), _NO_LINES, broken)

    def _use(self, keys: objects.Keys) -> None:
        self._keys = keys
        self._tables = Tables(self._mapping, keys, self.assembler.clock)

    def _check(self, start: bytes) -> None:
        """Refuse what cannot be NDJSON, without reading on: all of it may be one line."""
        header.check_text(start, self._origin)
        start = start.removeprefix(header.BOM).lstrip()
        if start.startswith(b"["):
            raise InputError(
                f"{self._origin}: is a JSON array; write one object per line (jq -c '.[]')"
            )
        if start.startswith(b"{") and start[1:].lstrip(b" \t\r").startswith(b"\n"):
            raise InputError(f"{self._origin}: goes over several lines; write one object per line")

    def _start(self, block: Block) -> Block:
        """Look at the first block, for how the keys are written."""
        self._is_started = True
        block = replace(block, data=block.data.removeprefix(header.BOM))
        lines, why = block.lines, ""
        for number in range(len(lines)):
            line = lines.line(number)
            found = objects.parse(line, ())
            if isinstance(found, dict):
                self._use(objects.Keys(self._mapping, found))
                return block
            if not why and line.strip():
                why = f"line {block.first_line + number}: {found.reason}"
                why += "" if b"{" in line else "; is it another --format?"
        if why:
            raise InputError(f"{self._origin}: no line is a JSON object; {why}")
        return block

    def _batches(self, block: Block) -> Iterator[EventBatch]:
        before = long_lines(block, self._limits)
        if self._is_regular(block) and not too_deep_lines(block).any():
            table = self._tables.parse(block.data)
            if table is not None and not isinstance(table, int) and len(table) == block.line_count:
                yield self.assembler.batch(self._tables.rows(table, Origins(block, None)), before)
                return
        yield from self._careful(block, before)

    def _is_regular(self, block: Block) -> bool:
        """Whether every line begins and ends like an object; then no object spans lines.

        For inside of an object no ``}`` can be followed directly by ``{``.
        """
        data = block.data
        if not data.startswith(b"{") or not block.has_plain_ends:
            return False
        seen = np.frombuffer(data, np.uint8)
        feeds = seen == LF
        begun = 1 + np.count_nonzero(feeds[:-1] & (seen[1:] == ord("{")))
        # Before a line feed stands the end of the object, or a carriage return and that.
        last = -2 if b"\r" in data else -1
        ended = np.count_nonzero(feeds[-last:] & (seen[:last] == ord("}")))
        ended += data.endswith(b"}")
        return begun == ended == block.line_count and not block.may_hold_longer(
            self._limits.line_bytes
        )

    def _careful(self, block: Block, before: Broken | None) -> Iterator[EventBatch]:
        lines = block.lines
        if len(lines) == 0:
            yield self._by_line(block, _NO_LINES, before)
            return
        sizes = lines.ends - lines.starts[:-1]
        whole = pa.Array.from_buffers(
            pa.binary(),
            len(lines),
            [None, pa.py_buffer(lines.starts.astype(np.int32)), pa.py_buffer(block.data)],
        )
        is_short = (sizes > 0) & (sizes <= self._limits.line_bytes)
        shapes = shapes_of(whole, self._keys.needed.values())
        are_none = shapes.are_none & is_short
        seen = np.frombuffer(block.data, np.uint8)
        inside = np.minimum(lines.starts[:-1], len(seen) - 1)
        regular = (seen[inside] == ord("{")) & (seen[lines.ends - 1] == ord("}"))
        regular &= (sizes >= 2) & is_short & ~are_none & ~too_deep_lines(block)
        # Each piece a table of Arrow's; of one block there are few different schemas.
        pieces: dict[Schema, list[tuple[Table, NDArray[np.int64]]]] = defaultdict(list)
        slow = [np.flatnonzero(~regular & ~are_none & (sizes > 0))]
        for part_of in (~shapes.are_odd, shapes.are_odd):
            for table, part in self._pieces(whole, np.flatnonzero(regular & part_of)):
                if table is None:
                    slow.append(part)
                else:
                    pieces[table.schema].append((table, part))
        for found in pieces.values():
            table = pa.concat_tables([table for table, _ in found])
            at = np.concatenate([part for _, part in found])
            yield self.assembler.batch(self._tables.rows(table, Origins(block, at)))
        none = np.flatnonzero(are_none)
        yield self._by_line(block, np.sort(np.concatenate(slow)), before, none)

    def _pieces(
        self, whole: Array, numbers: NDArray[np.int64]
    ) -> Iterator[tuple[Table | None, NDArray[np.int64]]]:
        """Cut lines so that Arrow can read most pieces; None stands for those it cannot."""
        waiting = [numbers[at : at + _SOME_LINES] for at in range(0, len(numbers), _SOME_LINES)]
        waiting.reverse()
        while waiting:
            part = waiting.pop()
            if len(part) <= _FEW_LINES:
                yield None, part
                continue
            taken = whole.take(pa.array(part))
            ends = np.frombuffer(taken.buffers()[1], np.int32)
            found = self._tables.parse(
                bytes(taken.buffers()[2][int(ends[0]) : int(ends[len(part)])])
            )
            if not isinstance(found, int):
                is_whole = found is not None and len(found) == len(part)
                yield (found if is_whole else None), part
            elif _FEW_LINES < found < len(part):
                # What stands before the line that Arrow refuses should be fine.
                waiting += [part[found + 1 :], part[:found]]
                yield None, part[found : found + 1]
            else:
                waiting.append(part[_FEW_LINES:])
                yield None, part[:_FEW_LINES]

    def _by_line(
        self,
        block: Block,
        numbers: NDArray[np.int64],
        before: Broken | None,
        none: NDArray[np.int64] = _NO_LINES,
    ) -> EventBatch:
        rows, broken = read_lines(
            block,
            numbers,
            none,
            keys=self._keys,
            mapping=self._mapping,
            limits=self._limits,
            before=before,
        )
        return self.assembler.batch(rows, broken)
