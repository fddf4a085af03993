"""Arrow columns of any usable type: batches of one schema, made into events and rejects."""

import json
import math
from collections import abc
from dataclasses import dataclass

from loader.errors import InputError
from loader.reading import attributes, header, rejected
from loader.reading.arrow import Array, DataType, RecordBatch, Schema, pa
from loader.reading.batch import EventBatch
from loader.reading.extract import Events, extract, plain, plain_type
from loader.reading.fields import Path, Step, alike, chain, parse, shown, tree
from loader.reading.limits import DEEPEST, Limits
from loader.reading.mapping import Mapping
from loader.reading.rows import Assembler, Origins, Rows
from loader.reading.texts import is_text, value_at
from loader.reading.times import EPOCHS


class ColumnReader:
    """Reads batches that have the columns of a schema, of which a batch must have ``columns``.

    Without any row, the types of names do not matter.

    Raises:
        InputError: a column is missing, or of an unusable type.
    """

    def __init__(self, schema: Schema, mapping: Mapping, limits: Limits, *, has_rows: bool) -> None:
        self._mapping = mapping
        self.assembler = Assembler(mapping, limits)
        for field in schema:
            if _is_deeper(field.type, DEEPEST):
                raise InputError(f'column "{field.name}" is nested deeper than {DEEPEST} levels')
        found = {name: self._find(schema, name) for name in mapping.options}
        self._paths = {name: path for name, (path, _) in found.items()}
        self._tree = tree(self._paths)
        self._way = chain(self._paths.values())
        self.columns = list(self._tree.keys)
        self._check_types({name: kind for name, (_, kind) in found.items()}, has_rows=has_rows)

    def _find(self, schema: Schema, name: str) -> tuple[Path, DataType]:
        """Find a column by its name, or by the path that this is; and of which type it is."""
        path: Path = (name,) if alike(name, schema.names) else parse(name)
        key = str(path[0]) if alike(str(path[0]), schema.names) else None
        place = header.position(schema.names, name, self._mapping, key)
        kind = plain_type(schema.field(place).type)
        steps: list[Step] = [schema.names[place]]
        for step in path[1:]:
            inner, written = _inside(kind, step)
            if inner is None:
                where = f'no column "{name}": "{shown(steps)}" holds {kind}'
                raise InputError(f"{where}; say with {self._mapping.options[name]} which one it is")
            kind = plain_type(inner)
            steps.append(written)
        return tuple(steps), kind

    def batch(self, batch: RecordBatch, first_row: int) -> EventBatch:
        """Return the events of a batch, whose first row has this number, counted from 1."""
        mapping = self._mapping
        columns, events = extract(self._tree, batch)
        return self.assembler.batch(
            Rows(
                columns=columns,
                compared=columns,
                members={name: attributes.member(columns[name]) for name in mapping.attributes},
                origins=_Rows(batch, columns, events, first_row, self._way, self._paths),
            )
        )

    def _check_types(self, types: dict[str, DataType], *, has_rows: bool) -> None:
        mapping = self._mapping
        if len(mapping.time_columns) == 1:
            self._check_time(_plain(types[mapping.time_columns[0]]))
        if not has_rows:
            return
        for name in mapping.needed_columns[len(mapping.time_columns) :]:
            kind = _plain(types[name])
            if pa.types.is_nested(kind) or pa.types.is_null(kind):
                raise InputError(f'column "{name}" holds {kind}, not names')

    def _check_time(self, kind: DataType) -> None:
        where = f'column "{self._mapping.time_column}"'
        clock = self.assembler.clock
        if pa.types.is_date(kind) and clock.pattern is None:
            raise InputError(f"{where} holds dates without a time of day")
        is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
        is_number = is_number or pa.types.is_decimal(kind)
        if is_number and clock.per_second is None:
            raise InputError(
                f"{where} holds numbers ({kind}); say with --time-format which of "
                f"{', '.join(EPOCHS)} they are"
            )
        usable = is_number or pa.types.is_timestamp(kind) or pa.types.is_date(kind)
        if not usable and not is_text(kind):
            raise InputError(f"{where} holds {kind}, not times")


def _plain(kind: DataType) -> DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_deeper(kind: DataType, levels: int) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        return _is_deeper(kind.storage_type, levels)
    kind = _plain(kind)
    if not pa.types.is_nested(kind):
        return False
    return levels == 0 or any(
        _is_deeper(kind.field(at).type, levels - 1) for at in range(kind.num_fields)
    )


@dataclass(frozen=True)
class _Rows(Origins):
    """Rows of a batch, or items of lists in them."""

    batch: RecordBatch
    columns: abc.Mapping[str, Array]
    events: Events
    first_row: int
    way: Path
    paths: abc.Mapping[str, Path]

    def line_number(self, row: int) -> int:
        return self.first_row + self.events.stood(row)[0]

    def raw(self, row: int) -> bytes:
        mine, places = self.events.stood(row)
        raw = json.dumps(self._document(mine), ensure_ascii=False)
        text = raw.encode("utf-8", "backslashreplace")
        return text if self.events.is_alone(row) else rejected.cut(text, self.way, places)

    def reason(self, row: int, column_name: str) -> str | None:
        if self.columns[column_name][row].is_valid:
            return None
        mine, places = self.events.stood(row)
        return rejected.why(self._document(mine), self.paths[column_name], places)

    def _document(self, row: int) -> dict[str, object]:
        values = self.batch.slice(row, 1)
        return {name: _shown(plain(values.column(name))) for name in self.batch.schema.names}


def _inside(kind: DataType, step: Step) -> tuple[DataType | None, Step]:
    """Return the type of what a step leads to, and the step as the schema has it."""
    if not isinstance(step, str):
        return (kind.value_type if _is_list(kind) else None), step
    fields = [kind.field(at) for at in range(kind.num_fields)] if pa.types.is_struct(kind) else []
    names = alike(step, [field.name for field in fields])
    types = [field.type for field in fields if field.name in names]
    return (types[0], names[0]) if len(types) == 1 else (None, None)


def _is_list(kind: DataType) -> bool:
    types = pa.types
    kinds = (types.is_list, types.is_large_list, types.is_fixed_size_list, types.is_list_view)
    return any(is_kind(kind) for is_kind in (*kinds, types.is_large_list_view))


def _shown(column: Array) -> object:
    """A value as JSON can hold it; times keep all their digits."""
    found = value_at(column, 0)
    if isinstance(found, bytes):
        return found.decode(errors="backslashreplace")
    if isinstance(found, float) and not math.isfinite(found):
        return str(found)
    return json.loads(json.dumps(found, default=str))
