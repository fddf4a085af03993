"""Extraction: the columns that paths lead to, out of structs and lists of Arrow.

Of the many types that files may have, they get the few that the readers know.
"""

from collections.abc import Mapping
from itertools import compress
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from loader.reading.arrow import Array, DataType, RecordBatch, pa, pc
from loader.reading.fields import Node


class Events:
    """Which rows and items events come from.

    Attributes:
        levels: row of each event; then of each array on the way, which item of all arrays there.
        places: of each array on the way, which item of it, counted from 0.
    """

    def __init__(self, rows: int) -> None:
        self.levels = [np.arange(rows)]
        self._all_rows = self.levels[0]
        self.places: list[NDArray[np.int64]] = []

    def enter(self, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        """Go into arrays of these lengths; return the array that each item is from."""
        above = np.repeat(np.arange(len(lengths)), lengths)
        place = np.arange(len(above)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        self.levels = [*(one[above] for one in self.levels), np.arange(len(above))]
        self.places = [*(one[above] for one in self.places), place]
        self._all_rows = self.levels[0]
        return above

    def keep(
        self, are_kept: NDArray[np.bool_], columns: Mapping[str, list[Any]]
    ) -> Mapping[str, list[Any]]:
        """Forget all others, and return what columns have of these."""
        if are_kept.all():
            return columns
        self.levels = [one[are_kept] for one in self.levels]
        self.places = [one[are_kept] for one in self.places]
        return {name: list(compress(values, are_kept)) for name, values in columns.items()}

    def spread(self, values: list[Any], level: int) -> list[Any]:
        """Give each event the value that stands above it, inside of so many arrays."""
        if level == len(self.places):
            return values
        return [values[at] for at in self.levels[level].tolist()]

    def is_alone(self, event: int) -> bool:
        """Whether an event is the only one of its row."""
        if not self.places:
            return True
        row = self.levels[0][event]
        first, end = np.searchsorted(self._all_rows, [row, row + 1])
        return bool(end - first == 1)

    def stood(self, event: int) -> tuple[int, list[int]]:
        """Return the row of an event, and which item of each array it comes from."""
        return int(self.levels[0][event]), [int(places[event]) for places in self.places]


def extract(node: Node, batch: RecordBatch) -> tuple[dict[str, Array], Events]:
    """Find columns; each item of the innermost list becomes an event, with what stands above it."""
    columns: dict[str, Array] = {}
    events = Events(batch.num_rows)
    wanted = None
    for key, child in node.keys.items():
        wanted = _look_into(child, batch.column(key), columns) or wanted
    while wanted is not None:
        items, above = _items(wanted[1], events)
        columns = {name: column.take(pa.array(above)) for name, column in columns.items()}
        wanted = _look_into(wanted[0], items, columns)
    return columns, events


def _look_into(node: Node, column: Array, columns: dict[str, Array]) -> tuple[Node, Array] | None:
    """Add columns; return the lists whose items are wanted, and what of these."""
    column = plain(column)
    columns |= dict.fromkeys(node.names, column)
    wanted = None if node.items is None else (node.items, column)
    for key, child in node.keys.items():
        inner = pc.struct_field(column, key) if isinstance(key, str) else _item(column, key)
        wanted = _look_into(child, inner, columns) or wanted
    return wanted


def _item(lists: Array, number: int) -> Array:
    """Return one item of each list; null where there are not so many."""
    only = pc.list_slice(lists, number, number + 1, return_fixed_size_list=True)
    return pc.list_element(only, 0)


def _items(lists: Array, events: Events) -> tuple[Array, NDArray[np.int64]]:
    """Return the items of lists, and the list of each.

    A list that is not there gives one item that is not there.
    """
    is_null = lists.is_null().to_numpy(zero_copy_only=False)
    lengths = pc.list_value_length(lists).fill_null(1).to_numpy(zero_copy_only=False)
    above = events.enter(np.where(is_null, 1, lengths).astype(np.int64))
    items = pc.list_flatten(lists)
    if is_null.any():
        is_none = is_null[above]
        items = items.take(pa.array(np.cumsum(~is_none) - 1, mask=is_none))
    return items, above


def plain(column: Array) -> Array:
    """Return the same values as a plain column."""
    kind = column.type
    if pa.types.is_dictionary(kind) and plain_type(kind.value_type) != kind.value_type:
        return plain(column.dictionary_decode())
    if isinstance(kind, pa.UuidType):
        return pa.array([None if one is None else str(one) for one in column.to_pylist()], "string")
    if isinstance(kind, pa.BaseExtensionType):
        return plain(column.storage)
    wanted = plain_type(kind)
    return column if wanted == kind else column.cast(wanted)


def plain_type(kind: DataType) -> DataType:
    """Return the type that a column of some type gets.

    The instants of zoned times stay the same: only how they are shown depends on the zone, whose
    name this machine may not even know.
    """
    if isinstance(kind, pa.BaseExtensionType):
        return pa.string() if isinstance(kind, pa.UuidType) else plain_type(kind.storage_type)
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return pa.timestamp(kind.unit, "UTC")
    return _PLAIN.get(kind, kind)


_PLAIN: Final = {
    pa.string_view(): pa.string(),
    pa.binary_view(): pa.binary(),
    pa.float16(): pa.float32(),
}
