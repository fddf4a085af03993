"""Uniform objects: those that are as the first ones are, read many at once.

Arrow reads the values, and refuses what has a wanted key twice or of another kind; msgspec passes
over all but those that are kept as they are written. What they refuse is left to `objects`, which
says the same of what they take.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec
import numpy as np

from loader.reading import objects
from loader.reading.arrow import ArrowError, DataType, InvalidError, Table, arrow_json, pa
from loader.reading.extract import Events, extract
from loader.reading.fields import ITEMS
from loader.reading.pieces import Around

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from loader.reading.fields import Node
    from loader.reading.pieces import Pieces

Values: TypeAlias = Mapping[str, Any]
Way: TypeAlias = tuple[str | None, ...]

_NULL: Final = msgspec.Raw(b"null")
# So few are not worth to be read at once; nor are any where hardly some are uniform.
_FEW: Final = 64
# Where Arrow found what it refuses.
_ROW: Final = re.compile(r" in row (\d+)")
_MOST_FAILURES: Final = 20
# Such a key cannot be a field of a class.
_ODD_KEY: Final = re.compile(r'["\\\x00-\x1f]')


@dataclass(frozen=True, kw_only=True)
class Uniform:
    """How the objects of some texts look.

    Attributes:
        node: what is wanted of each as a value.
        schema: the types of these values.
        row: a class with what is kept of each as it is written; None for nothing.
        members: column -> attributes of this class, and items of arrays, that lead to it.
    """

    node: Node
    schema: DataType
    row: type | None
    members: Mapping[str, Way]

    def read(self, texts: Pieces) -> tuple[Values, Values, Events, NDArray[np.bool_]]:
        """Read those that look so.

        Returns:
            Their columns, what is kept of them, which events they are, and which of the texts.
        """
        # The items alone, without what stands around each.
        texts = replace(texts, around=Around())
        tables: list[Table] = []
        rows: list[Any] = []
        are_read = np.zeros(len(texts), np.bool_)
        ranges, failures = [(0, len(texts))], 0
        while ranges and failures < _MOST_FAILURES + np.count_nonzero(are_read) // _FEW:
            begin, end = ranges.pop()
            if begin == end:
                continue
            try:
                table, some = self._read(texts[begin:end])
            except (ArrowError, *objects.ERRORS) as error:
                failures += 1
                if found := _ROW.search(str(error)):
                    bad = begin + int(found[1])
                    ranges += [(bad + 1, end), (begin, bad)]
                elif end - begin > _FEW:
                    middle = (begin + end) // 2
                    ranges += [(middle, end), (begin, middle)]
            else:
                tables.append(table)
                rows += some
                are_read[begin:end] = True
        whole = pa.concat_tables(tables or [self.schema.empty_table()])
        columns = [column.combine_chunks() for column in whole.columns]
        batch = pa.RecordBatch.from_arrays(columns, schema=self.schema)
        values, events = extract(self.node, batch)
        kept = {name: events.spread(_members(rows, way), way) for name, way in self.members.items()}
        return values, kept, events, are_read

    def _read(self, texts: Pieces) -> tuple[Table, list[Any]]:
        begin, size = int(texts.starts[0]), int(texts.ends[-1] - texts.starts[0])
        table = arrow_json.read_json(
            pa.BufferReader(pa.py_buffer(texts.data).slice(begin, size)),
            read_options=arrow_json.ReadOptions(use_threads=False, block_size=size + 1),
            parse_options=arrow_json.ParseOptions(
                explicit_schema=self.schema, unexpected_field_behavior="ignore"
            ),
        )
        if len(table) != len(texts):
            raise InvalidError("a text has several objects")
        decode: Any = None if self.row is None else msgspec.json.Decoder(self.row).decode
        return table, [] if decode is None else list(map(decode, texts))


def uniform(needed: Node, kept: Node, kinds: Mapping[str, DataType | None]) -> Uniform | None:
    """Return how objects look whose columns are of these kinds; None where nothing reads such.

    Args:
        needed: what is wanted of each as a value.
        kept: what is to be kept of each as it is written.
        kinds: column -> type of its values; None for several.
    """
    schema, row, members = _type(needed, kinds), _class(kept), dict(_ways(kept))
    depth = max((way.count(ITEMS) for way in members.values()), default=0)
    if schema is None or row is None or depth > needed.depth:
        return None
    return Uniform(
        node=needed,
        schema=pa.schema(list(schema)),
        row=row if kept.keys else None,
        members=members,
    )


def _type(node: Node, kinds: Mapping[str, DataType | None]) -> DataType | None:
    """Return the Arrow type of a value; None where it has none, or several."""
    if bool(node.names) + bool(node.keys) + (node.items is not None) != 1:
        return None
    if node.names:
        found = {kinds[name] for name in node.names}
        return found.pop() if len(found) == 1 else None
    if node.items is not None:
        inner = _type(node.items, kinds)
        return None if inner is None else pa.list_(inner)
    fields = [(key, _type(child, kinds)) for key, child in node.keys.items()]
    is_struct = all(isinstance(key, str) and kind is not None for key, kind in fields)
    return pa.struct(fields) if is_struct else None


def _class(node: Node) -> Any:
    """Return a class for what is kept of a value; None where it can be none."""
    if bool(node.names) + bool(node.keys) + (node.items is not None) > 1:
        return None
    if node.names:
        return msgspec.Raw
    if node.items is not None:
        inner = _class(node.items)
        item: Any = inner if inner is msgspec.Raw or inner is None else inner | None
        return None if inner is None else list[item]
    fields: list[tuple[str, Any, Any]] = []
    for number, (key, child) in enumerate(node.keys.items()):
        inner = _class(child)
        if inner is None or not isinstance(key, str) or _ODD_KEY.search(key):
            return None
        is_raw = inner is msgspec.Raw
        fields.append((f"a{number}", inner if is_raw else inner | None, _NULL if is_raw else None))
    names: Any = {f"a{number}": key for number, key in enumerate(node.keys)}
    return msgspec.defstruct("Row", fields, rename=names, gc=False)


def _ways(node: Node) -> Iterator[tuple[str, Way]]:
    """Yield the attributes and items of such classes that lead to each column."""
    yield from ((name, ()) for name in node.names)
    if node.items is not None:
        yield from ((name, (ITEMS, *way)) for name, way in _ways(node.items))
    for number, child in enumerate(node.keys.values()):
        yield from ((name, (f"a{number}", *way)) for name, way in _ways(child))


def _members(rows: list[Any], way: Way) -> list[Any]:
    for step in way:
        if step is ITEMS:
            # An array that is not there has one item that is not there, as in `extract`.
            rows = [item for one in rows for item in ((_NULL,) if one is None else one)]
        else:
            rows = [getattr(row, step, _NULL) for row in rows]
    return rows
