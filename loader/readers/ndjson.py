"""NDJSON: one JSON object per line, parsed by Arrow; what it refuses is read line by line."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from loader import attributes
from loader.arrow import Array, ArrowError, DataType, Schema, Table, arrow_json, pa, pc
from loader.errors import InputError
from loader.events import EventBatch
from loader.readers import header, objects
from loader.readers.lines import LF, Block, Blocks, long_lines
from loader.readers.ndjson_lines import Origins, read_lines
from loader.rows import Assembler, Broken, Rows
from loader.times import TimeFault, epochs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from loader.limits import Limits
    from loader.mapping import Mapping
    from loader.streams import ByteSource
    from loader.times import Moments

_FEW_LINES: Final = 64
_SOME_LINES: Final = 2048
# Larger whole numbers have lost digits when they come as floating point.
_EXACT: Final = 2.0**53


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
        self._keys = objects.Keys(mapping, {})
        self._schema: Schema | None = None
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
        if not self._keys.attributes:
            self._schema = self._texts_only()
        for block in blocks:
            yield from self._batches(block)

    def broken(self, broken: Broken) -> EventBatch:
        """Return a batch of nothing but rejects."""
        return self._by_line(Block(b"", 0), np.empty(0, np.int64), broken)

    def _texts_only(self) -> Schema:
        return pa.schema([(name, pa.string()) for name in self._keys.needed.values()])

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
        lines = block.lines
        for number in range(len(lines)):
            found = objects.parse(lines.line(number), ())
            if isinstance(found, dict):
                self._keys = objects.Keys(self._mapping, found)
                if not self._keys.attributes:
                    self._schema = self._texts_only()
                return block
        if block.data.strip():
            raise InputError(f"{self._origin}: no line is a JSON object; see --format")
        return block

    def _batches(self, block: Block) -> Iterator[EventBatch]:
        before = long_lines(block, self._limits)
        if self._is_regular(block):
            table = self._parse(block.data)
            if table is not None and not isinstance(table, int) and len(table) == block.line_count:
                yield self.assembler.batch(self._rows(table, Origins(block, None)), before)
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
            yield self._by_line(block, np.empty(0, np.int64), before)
            return
        seen = np.frombuffer(block.data, np.uint8)
        sizes = lines.ends - lines.starts[:-1]
        inside = np.minimum(lines.starts[:-1], len(seen) - 1)
        regular = (seen[inside] == ord("{")) & (seen[lines.ends - 1] == ord("}"))
        regular &= (sizes >= 2) & (sizes <= self._limits.line_bytes)
        numbers = np.flatnonzero(regular)
        offsets = pa.py_buffer(lines.starts.astype(np.int32))
        whole = pa.Array.from_buffers(
            pa.binary(), len(lines), [None, offsets, pa.py_buffer(block.data)]
        )
        # Each piece a table of Arrow's; of one block there are few different schemas.
        pieces: dict[Schema, list[tuple[Table, NDArray[np.int64]]]] = defaultdict(list)
        slow = [np.flatnonzero(~regular & (sizes > 0))]
        for table, part in self._pieces(whole, numbers):
            if table is None:
                slow.append(part)
            else:
                pieces[table.schema].append((table, part))
        for found in pieces.values():
            table = pa.concat_tables([table for table, _ in found])
            at = np.concatenate([part for _, part in found])
            yield self.assembler.batch(self._rows(table, Origins(block, at)))
        yield self._by_line(block, np.sort(np.concatenate(slow)), before)

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
            found = self._parse(bytes(taken.buffers()[2][int(ends[0]) : int(ends[len(part)])]))
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

    def _parse(self, data: bytes) -> Table | int | None:
        """Let Arrow parse lines.

        Returns:
            The columns; or the line, counted from 0, that Arrow refuses; or None when the
            lines hold what cannot be told from the columns.
        """
        if self._schema is not None:
            table = _arrow(data, self._schema, "ignore")
            if not isinstance(table, int) and self._is_exact(table):
                return table
        strings: dict[str, DataType] = {}
        while True:
            table = _arrow(data, pa.schema(list(strings.items())), "infer")
            if isinstance(table, int):
                return table
            # Arrow takes texts for times where it can, and forgets how they were written.
            dates = {
                field.name: pa.string()
                for field in table.schema
                if pa.types.is_temporal(field.type) and field.name in self._keys.all
            }
            if not dates:
                break
            strings |= dates
        if len(set(table.column_names)) < len(table.column_names):
            return None
        table = table.select([name for name in self._keys.all if name in table.column_names])
        if not self._is_exact(table):
            return None
        # With every key, for what is not in the schema will be ignored.
        kinds = {
            field.name: field.type for field in table.schema if not pa.types.is_null(field.type)
        }
        self._schema = pa.schema([(name, kinds.get(name, pa.string())) for name in self._keys.all])
        return table

    def _is_exact(self, table: Table) -> bool:
        """Whether the columns say the same as the lines do."""
        for field in table.schema:
            kind = field.type
            if field.name in self._keys.needed.values():
                is_time = field.name == self._keys.needed[self._mapping.time_column]
                if pa.types.is_floating(kind) and not (is_time and self.assembler.clock.unit):
                    return False
                if pa.types.is_boolean(kind):
                    return False
            if pa.types.is_nested(kind):
                return False
            if pa.types.is_floating(kind):
                column = table[field.name]
                if not pc.all(pc.less(pc.abs(column), _EXACT)).as_py():
                    return False
        return True

    def _rows(self, table: Table, origins: Origins) -> Rows:
        mapping, keys = self._mapping, self._keys

        def column(name: str) -> Array:
            if name not in table.column_names:
                return pa.nulls(len(table), pa.string())
            found = table[name].combine_chunks()
            return found.cast(pa.string()) if pa.types.is_null(found.type) else found

        time = column(keys.needed[mapping.time_column])
        moments: Moments | None = None
        if pa.types.is_integer(time.type) or pa.types.is_floating(time.type):
            moments, time = _from_numbers(time, self.assembler.clock.unit)
        kept = {key: column(name) for key, name in keys.attributes.items()}
        return Rows(
            time=time,
            moments=moments,
            event_type=column(keys.needed[mapping.type_column]),
            source=(
                None if mapping.source is not None else column(keys.needed[mapping.source_column])
            ),
            attributes=attributes.render(kept) if kept else None,
            attribute_reason=lambda row: attributes.find_fault(kept, row),
            origins=replace(origins, keys=keys.needed),
        )

    def _by_line(
        self, block: Block, numbers: NDArray[np.int64], before: Broken | None
    ) -> EventBatch:
        rows, broken = read_lines(
            block,
            numbers,
            keys=self._keys,
            mapping=self._mapping,
            limits=self._limits,
            before=before,
        )
        return self.assembler.batch(rows, broken)


def _arrow(data: bytes, schema: Schema, unexpected: str) -> Table | int:
    """Parse lines; or tell the first, counted from 0, that cannot be parsed."""
    try:
        return arrow_json.read_json(
            pa.BufferReader(data),
            read_options=arrow_json.ReadOptions(use_threads=False, block_size=len(data) + 1),
            parse_options=arrow_json.ParseOptions(
                explicit_schema=schema, unexpected_field_behavior=unexpected
            ),
        )
    except (ArrowError, UnicodeDecodeError, OSError) as error:
        told = re.search(r"in row (\d+)$", str(error))
        return int(told[1]) if told else 0


def _from_numbers(time: Array, unit: int | None) -> tuple[Moments | None, Array]:
    if unit is None:
        return None, time.cast(pa.string())
    if pa.types.is_integer(time.type):
        numbers = time.fill_null(0).to_numpy(zero_copy_only=False)
        moments = epochs.from_integers(numbers, unit)
    else:
        moments = epochs.from_floats(time.fill_null(0).to_numpy(zero_copy_only=False), unit)
    moments.fault[time.is_null().to_numpy(zero_copy_only=False)] = TimeFault.EMPTY
    return moments, time
