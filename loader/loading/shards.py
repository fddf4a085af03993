"""Shards: which of the copying connections gets which events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from loader.loading.encode import Rows

ShardBy = Literal["source", "type", "none"]

# Below that, another connection costs more than it helps.
_FEWEST_ROWS: Final = 10_000


def split(rows: Rows, batch_number: int, workers: int, by: ShardBy) -> Iterator[tuple[int, Rows]]:
    """Yield the workers that get rows of a batch, each with its rows in the order of sources.

    Rows of one source lie together in the index on (source_id, event_time). When they come
    together, and no other connection inserts beside them, that index takes a third less of the
    server's time, and nobody waits for a page of it: see ``benchmarks/loading.py``.

    Args:
        rows: the batch.
        batch_number: how many batches of the load came before.
        workers: how many workers there are.
        by: rows with the same source, or the same type, always go to the same worker; ``none``
            gives whole batches to one worker after the other.
    """
    in_order = _order_of(rows.source_id)
    if workers == 1 or by == "none" or len(in_order) < _FEWEST_ROWS:
        yield batch_number % workers if by == "none" else 0, rows.take(in_order)
        return
    key = rows.source_id if by == "source" else rows.event_type_id
    worker_of = key[in_order] % workers
    for worker in range(workers):
        indices = in_order[worker_of == worker]
        if len(indices):
            yield worker, rows.take(indices)


def _order_of(ids: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Return the indices that sort ids, equal ones in the order in which they stand."""
    # NumPy has a radix sort for 16 bits, which takes a fifth of the time.
    small = ids.astype(np.uint16) if ids.size and ids.min() >= 0 and ids.max() < 2**16 else ids
    return np.argsort(small, kind="stable")
