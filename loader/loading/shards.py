"""Shards: which of the copying connections gets which events."""

from collections.abc import Iterator
from typing import Final, Literal

import numpy as np

from loader.loading.encode import Rows

ShardBy = Literal["source", "type", "none"]

# Below that, another connection costs more than it helps.
_FEWEST_ROWS: Final = 10_000


def split(rows: Rows, batch_number: int, workers: int, by: ShardBy) -> Iterator[tuple[int, Rows]]:
    """Yield the workers that get rows of a batch, each with its rows.

    A worker that gets all rows of a source makes longer chunks of them. By ``none``, whole batches
    go to one worker after the other.
    """
    if workers == 1 or by == "none" or len(rows.source_id) < _FEWEST_ROWS:
        yield batch_number % workers if by == "none" else 0, rows
        return
    key = rows.source_id if by == "source" else rows.event_type_id
    worker_of = key % workers
    for worker in range(workers):
        indices = np.flatnonzero(worker_of == worker)
        if len(indices):
            yield worker, rows.take(indices)
