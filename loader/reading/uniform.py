"""Uniform objects: those that are all as the first one is, read by Arrow.

It refuses what has a wanted key twice or of another kind, and reads while another thread uses
Python.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loader.reading import objects
from loader.reading.arrow import Array, ArrowError, DataType, arrow_json, pa
from loader.reading.extract import Events, extract
from loader.reading.fields import Node
from loader.reading.mapping import Mapping as Meaning
from loader.reading.pieces import Pieces
from loader.reading.times.calendar import SECOND


class Uniform:
    """Reads objects all at once, or not at all.

    Args:
        meaning: which columns mean what.
        per_second: the unit of times that are numbers; None for no such.
    """

    def __init__(self, meaning: Meaning, per_second: int | None) -> None:
        self._meaning = meaning
        self._per_second = per_second or 0

    def read(
        self, node: Node, texts: Pieces
    ) -> tuple[Mapping[str, Array], Events, NDArray[np.bool_]] | None:
        """Find what is wanted of objects as `unpack` does; None where they are not all alike."""
        if self._meaning.attributes:
            return None
        try:
            _, example = objects.read_slowly(texts[0])[0]
        except objects.NotAnObjectError:
            return None
        kind = self._type(node, example)
        if kind is None:
            return None
        schema = pa.schema(list(kind))
        begin, size = int(texts.starts[0]), int(texts.ends[-1] - texts.starts[0])
        try:
            table = arrow_json.read_json(
                pa.BufferReader(pa.py_buffer(texts.data).slice(begin, size)),
                read_options=arrow_json.ReadOptions(use_threads=False, block_size=size + 1),
                parse_options=arrow_json.ParseOptions(
                    explicit_schema=schema, unexpected_field_behavior="ignore"
                ),
            )
        except (ArrowError, UnicodeDecodeError):
            return None
        columns = [column.combine_chunks() for column in table.columns]
        batch = pa.RecordBatch.from_arrays(columns, schema=schema)
        # With several objects in a text there are more.
        if len(batch) != len(texts):
            return None
        return *extract(node, batch), np.ones(len(texts), np.bool_)

    def _type(self, node: Node, value: Any) -> DataType | None:
        """Return the type of values of which one is known; None where Arrow has none."""
        if bool(node.names) + bool(node.keys) + (node.items is not None) != 1:
            return None
        if node.names:
            return self._type_of_column(set(node.names), value)
        if node.items is not None:
            first = value[0] if isinstance(value, list) and value else None
            inner = self._type(node.items, first)
            return None if inner is None else pa.list_(inner)
        known = value if isinstance(value, dict) else {}
        fields = [(key, self._type(one, known.get(str(key)))) for key, one in node.keys.items()]
        is_struct = all(isinstance(key, str) and kind is not None for key, kind in fields)
        return pa.struct(fields) if is_struct else None

    def _type_of_column(self, names: set[str], value: Any) -> DataType | None:
        if value is None or isinstance(value, str):
            return pa.string()
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            return None
        is_whole = isinstance(value, int)
        if not names.isdisjoint(self._meaning.time_columns):
            if is_whole:
                return pa.int64() if self._per_second else None
            # Of such units, a binary fraction has all digits that count.
            return pa.float64() if 0 < self._per_second <= SECOND else None
        if not names.isdisjoint(self._meaning.needed_columns):
            return pa.int64() if is_whole else None
        return pa.float64()
