"""Tables: lines of NDJSON parsed by Arrow, as far as it can tell exactly what they say."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from loader.reading import attributes
from loader.reading.arrow import Array, ArrowError, DataType, Schema, Table, arrow_json, pa, pc
from loader.reading.ndjson_shapes import key_count
from loader.reading.rows import Rows, put_together
from loader.reading.times import Clock, TimeFault, epochs

if TYPE_CHECKING:
    from loader.reading.mapping import Mapping
    from loader.reading.ndjson_lines import Origins
    from loader.reading.objects import Keys
    from loader.reading.times import Moments

# Larger whole numbers have lost digits when they come as floating point.
_EXACT: Final = 2.0**53
# Arrow makes a column of as many rows as there are lines for every key that it sees anywhere.
_MOST_KEYS: Final = 1_000
_MOST_CELLS: Final = 1 << 22


class Tables:
    """Parses lines, each of which begins and ends like an object.

    Args:
        mapping: what the keys mean.
        keys: how they are written.
        clock: reads times.
    """

    def __init__(self, mapping: Mapping, keys: Keys, clock: Clock) -> None:
        self._mapping = mapping
        self._keys = keys
        self._clock = clock
        self._schema: Schema | None = None
        if not keys.attributes and not keys.compared:
            self._schema = pa.schema([(name, pa.string()) for name in keys.needed.values()])

    def parse(self, data: bytes) -> Table | int | None:
        """Let Arrow parse lines.

        Returns:
            The columns; or the line, counted from 0, that Arrow refuses; or None when the
            lines hold what cannot be told from the columns.
        """
        if self._schema is not None:
            table = _arrow(data, self._schema, "ignore")
            if not isinstance(table, int) and self._is_exact(table):
                return table
        keys = key_count(data)
        if keys > _MOST_KEYS or keys * data.count(b"\n") > _MOST_CELLS:
            return None
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

    def rows(self, table: Table, origins: Origins) -> Rows:
        """Return the rows of a table, which stood there."""
        mapping, keys = self._mapping, self._keys

        def column(name: str) -> Array:
            if name not in table.column_names:
                return pa.nulls(len(table), pa.string())
            found = table[name].combine_chunks()
            return found.cast(pa.string()) if pa.types.is_null(found.type) else found

        def needed(name: str) -> Array:
            found = column(keys.needed[name])
            # Neither a name nor a time; `origins` say what it is.
            is_neither = pa.types.is_boolean(found.type) or pa.types.is_nested(found.type)
            return pa.nulls(len(table), pa.string()) if is_neither else found

        time = put_together([needed(name) for name in mapping.time_columns])
        moments: Moments | None = None
        if pa.types.is_integer(time.type) or pa.types.is_floating(time.type):
            moments, time = _from_numbers(time, self._clock.per_second)
        kept = {key: column(name) for key, name in keys.attributes.items()}
        return Rows(
            time=time,
            moments=moments,
            event_type=None if mapping.type is not None else needed(mapping.type_column),
            source=None if mapping.source is not None else needed(mapping.source_column),
            attributes=attributes.render(kept) if kept else None,
            attribute_reason=lambda row: attributes.find_fault(kept, row),
            compared={
                key: pa.nulls(len(table), pa.string()) if pa.types.is_nested(found.type) else found
                for key, found in ((key, column(name)) for key, name in keys.compared.items())
            },
            origins=replace(origins, keys=keys.needed),
        )

    def _is_exact(self, table: Table) -> bool:
        """Whether the columns say the same as the lines do."""
        for field in table.schema:
            kind = field.type
            if field.name in self._keys.needed.values():
                is_time = field.name == self._keys.needed.get(self._mapping.time_column)
                if pa.types.is_floating(kind) and not (is_time and self._clock.per_second):
                    return False
            if pa.types.is_nested(kind) and field.name in self._keys.attributes.values():
                return False
            if pa.types.is_floating(kind):
                column = table[field.name]
                if not pc.all(pc.less(pc.abs(column), _EXACT)).as_py():
                    return False
        return True


def _arrow(data: bytes, schema: Schema, unexpected: str) -> Table | int:
    """Parse lines; or tell the first, counted from 0, that cannot be parsed."""
    try:
        table = arrow_json.read_json(
            pa.BufferReader(data),
            read_options=arrow_json.ReadOptions(use_threads=False, block_size=len(data) + 1),
            parse_options=arrow_json.ParseOptions(
                explicit_schema=schema, unexpected_field_behavior=unexpected
            ),
        )
        # Keys that are not UTF-8 are told only now.
        len(table.column_names)
    except (ArrowError, UnicodeDecodeError, OSError) as error:
        told = re.search(r"in row (\d+)$", str(error))
        return int(told[1]) if told else 0
    return table


def _from_numbers(time: Array, per_second: int | None) -> tuple[Moments | None, Array]:
    if per_second is None:
        return None, time.cast(pa.string())
    if pa.types.is_integer(time.type):
        numbers = time.fill_null(0).to_numpy(zero_copy_only=False)
        moments = epochs.from_integers(numbers, per_second)
    else:
        moments = epochs.from_floats(time.fill_null(0).to_numpy(zero_copy_only=False), per_second)
    moments.fault[time.is_null().to_numpy(zero_copy_only=False)] = TimeFault.EMPTY
    return moments, time
