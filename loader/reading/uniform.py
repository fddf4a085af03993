"""Uniform objects: those that are as the first ones are, read many at once.

Arrow reads the values, and refuses what has a wanted key twice or of another kind; msgspec passes
over all but those that are kept as they are written. What they refuse is left to `objects`, which
says the same of what they take.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec
import numpy as np

from loader.reading import objects
from loader.reading.arrow import ArrowError, DataType, Table, arrow_json, pa
from loader.reading.extract import Found, extract

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from loader.reading.fields import Node
    from loader.reading.pieces import Pieces

Values: TypeAlias = Mapping[str, Any]

_NULL: Final = msgspec.Raw(b"null")
# So few are not worth to be read at once; nor are any where hardly some are uniform.
_FEW: Final = 64
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
        members: column -> attributes of this class that lead to it.
    """

    node: Node
    schema: DataType
    row: type | None
    members: Mapping[str, tuple[str, ...]]

    def read(self, texts: Pieces) -> tuple[Found, Values, NDArray[np.bool_]]:
        """Read those that look so.

        Returns:
            The columns of these, what is kept of them, and which they are.
        """
        tables: list[Table] = []
        rows: list[Any] = []
        are_read = np.zeros(len(texts), np.bool_)
        ranges, failures = [(0, len(texts))], 0
        while ranges and failures < _MOST_FAILURES + 4 * len(tables):
            begin, end = ranges.pop()
            some = self._read(texts[begin:end])
            if some is not None:
                tables.append(some[0])
                rows += some[1]
                are_read[begin:end] = True
                continue
            failures += 1
            if end - begin > _FEW:
                middle = (begin + end) // 2
                ranges += [(middle, end), (begin, middle)]
        whole = pa.concat_tables(tables or [self.schema.empty_table()])
        columns = [column.combine_chunks() for column in whole.columns]
        found = extract(self.node, pa.RecordBatch.from_arrays(columns, schema=self.schema))
        kept = {name: _members(rows, way) for name, way in self.members.items()}
        if kept and found.places:
            at = found.rows.tolist()
            kept = {name: [values[row] for row in at] for name, values in kept.items()}
        return found, kept, are_read

    def _read(self, texts: Pieces) -> tuple[Table, list[Any]] | None:
        begin, size = int(texts.starts[0]), int(texts.ends[-1] - texts.starts[0])
        try:
            table = arrow_json.read_json(
                pa.BufferReader(pa.py_buffer(texts.data).slice(begin, size)),
                read_options=arrow_json.ReadOptions(use_threads=False, block_size=size + 1),
                parse_options=arrow_json.ParseOptions(
                    explicit_schema=self.schema, unexpected_field_behavior="ignore"
                ),
            )
            rows = []
            if self.row is not None:
                decode: Any = msgspec.json.Decoder(self.row).decode
                data = memoryview(texts.data)
                spans = zip(texts.starts.tolist(), texts.ends.tolist(), strict=True)
                rows = [decode(data[start:stop]) for start, stop in spans]
        except (ArrowError, *objects.ERRORS):
            return None
        return (table, rows) if len(table) == len(texts) else None


def uniform(needed: Node, kept: Node, kinds: Mapping[str, DataType | None]) -> Uniform | None:
    """Return how objects look whose columns are of these kinds; None where nothing reads such.

    Args:
        needed: what is wanted of each as a value.
        kept: what is to be kept of each as it is written.
        kinds: column -> type of its values; None for several.
    """
    schema = _type(needed, kinds)
    row = _class(kept)
    if schema is None or row is None:
        return None
    return Uniform(
        node=needed,
        schema=pa.schema(list(schema)),
        row=row if kept.keys else None,
        members=dict(_ways(kept)),
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
    """Return a class for what is kept of an object; None where it can be none."""
    if node.items is not None or (node.names and node.keys):
        return None
    if node.names:
        return msgspec.Raw
    fields: list[tuple[str, Any, Any]] = []
    for number, (key, child) in enumerate(node.keys.items()):
        inner = _class(child)
        if inner is None or not isinstance(key, str) or _ODD_KEY.search(key):
            return None
        is_raw = inner is msgspec.Raw
        fields.append((f"a{number}", inner if is_raw else inner | None, _NULL if is_raw else None))
    names: Any = {f"a{number}": key for number, key in enumerate(node.keys)}
    return msgspec.defstruct("Row", fields, rename=names, gc=False)


def _ways(node: Node) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the attributes of such classes that lead to each column."""
    yield from ((name, ()) for name in node.names)
    for number, child in enumerate(node.keys.values()):
        yield from ((name, (f"a{number}", *way)) for name, way in _ways(child))


def _members(rows: list[Any], way: tuple[str, ...]) -> list[Any]:
    for attribute in way:
        rows = [getattr(row, attribute, _NULL) for row in rows]
    return rows
