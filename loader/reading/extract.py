"""Extraction: the columns that paths lead to, out of structs and lists of Arrow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from loader.reading.arrow import Array, RecordBatch, pa, pc
from loader.reading.plain import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from loader.reading.fields import Node


@dataclass(frozen=True, kw_only=True)
class Found:
    """The columns of some rows.

    Attributes:
        columns: column -> a value for each event; null where there is none.
        rows: row of each event.
        places: of each array on the way, which item each event comes from, counted from 0.
    """

    columns: Mapping[str, Array]
    rows: NDArray[np.int64]
    places: list[NDArray[np.int64]]

    def is_alone(self, event: int) -> bool:
        """Whether an event is the only one of its row."""
        row = self.rows[event]
        first, end = np.searchsorted(self.rows, [row, row + 1])
        return bool(end - first == 1)

    def places_of(self, event: int) -> list[int]:
        """Return which item of each array an event comes from."""
        return [int(places[event]) for places in self.places]


def extract(node: Node, batch: RecordBatch) -> Found:
    """Find columns; each item of the innermost list becomes an event, with what stands above it."""
    columns: dict[str, Array] = {}
    rows = np.arange(batch.num_rows)
    places: list[NDArray[np.int64]] = []
    wanted = None
    for key, child in node.keys.items():
        wanted = _look_into(child, batch.column(key), columns) or wanted
    while wanted is not None:
        items, above, place = _items(wanted[1])
        columns = {name: column.take(pa.array(above)) for name, column in columns.items()}
        rows, places = rows[above], [*(one[above] for one in places), place]
        wanted = _look_into(wanted[0], items, columns)
    return Found(columns=columns, rows=rows, places=places)


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
    lengths = pc.list_value_length(lists).fill_null(0).to_numpy(zero_copy_only=False)
    lengths = lengths.astype(np.int64) * lists.is_valid().to_numpy(zero_copy_only=False)
    first = np.cumsum(lengths) - lengths
    return pc.list_flatten(lists).take(pa.array(first + number, mask=lengths <= number))


def _items(lists: Array) -> tuple[Array, NDArray[np.int64], NDArray[np.int64]]:
    """Return the items of lists, the list of each, and its place there.

    A list that is not there gives one item that is not there.
    """
    is_null = lists.is_null().to_numpy(zero_copy_only=False)
    lengths = pc.list_value_length(lists).fill_null(1).to_numpy(zero_copy_only=False)
    lengths = np.where(is_null, 1, lengths).astype(np.int64)
    above = np.repeat(np.arange(len(lengths)), lengths)
    place = np.arange(len(above)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    items = pc.list_flatten(lists)
    if is_null.any():
        is_none = is_null[above]
        items = items.take(pa.array(np.cumsum(~is_none) - 1, mask=is_none))
    return items, above, place
