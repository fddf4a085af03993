"""The bound of all loaders: rows that are ready to be copied before the clock starts.

Nothing is read, checked or encoded while it runs, there is no ledger and nothing to publish. What
is left is PostgreSQL's work on the rows in the tables that the models need.
"""

import threading
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow as pa
from pyarrow import csv

from benchmarks.server import Bench
from loader.database.partitions import Partitions, tidy_up
from loader.loading.chunks import Cutter
from loader.loading.encode import HEADER, TRAILER, EncodedRows

CONNECTIONS = 2
_ROWS_AT_ONCE = 1 << 18
_CUTTER = Cutter(1, has_attributes=False)
_COPY = f"copy raw.event_chunks ({', '.join(_CUTTER.columns)}) from stdin binary"


@cache
def ready_rows(path: Path) -> tuple[npt.NDArray[np.int64], list[list[bytes]]]:
    """Return the times of a file, and the chunks that each connection is to send."""
    table = csv.read_csv(path).combine_chunks()
    times = table["time"].cast(pa.timestamp("us")).to_numpy().astype(np.int64)
    sources, types = (
        table[name].combine_chunks().dictionary_encode().indices.to_numpy() + 1
        for name in ("source", "type")
    )
    rows = EncodedRows(
        event_time=times,
        source_id=sources.astype(np.int32),
        event_type_id=types.astype(np.int16),
    )
    parts: list[list[bytes]] = [[] for _ in range(CONNECTIONS)]
    for start in range(0, len(times), _ROWS_AT_ONCE):
        some = np.arange(start, min(start + _ROWS_AT_ONCE, len(times)))
        for number, part in enumerate(parts):
            mine = some[sources[some] % CONNECTIONS == number]
            part.extend(map(bytes, _CUTTER.encode(rows.take(mine))))
    return times, parts


def copy_ready_rows(bench: Bench, path: Path, *, is_bare: bool) -> None:
    """Copy them, into partitions with indexes and statistics unless ``is_bare``."""
    times, parts = ready_rows(path)
    dsn = bench.cluster.dsn(bench.database)
    with psycopg.connect(dsn, autocommit=True) as conn:
        if is_bare:
            drop_indexes(conn)
        partitions = Partitions(conn)
        partitions.prepare(times)
        threads = [threading.Thread(target=_copy, args=[dsn, part]) for part in parts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if not is_bare:
            tidy_up(conn, partitions, have_new_names=False)


def drop_indexes(conn: psycopg.Connection) -> None:
    """Let events have no index, in a database that has no partition yet."""
    conn.execute("drop index raw.event_chunks_source_time, raw.event_chunks_load")


def _copy(dsn: str, blocks: list[bytes]) -> None:
    with psycopg.connect(dsn) as conn, conn.cursor() as cursor, cursor.copy(_COPY.encode()) as copy:
        copy.write(HEADER)
        for block in blocks:
            copy.write(block)
        copy.write(TRAILER)
