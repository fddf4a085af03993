"""When the indexes of chunks are made: with the chunks, or after them.

Loads of ever more rows into a new database, the indexes kept or built at the end, in turns; seconds
that the loader says, and for the indexes, medians. The rows of a load are of one month.

    python -m benchmarks.indexes [ROWS ...]
"""

import json
import statistics
import sys
import time
from pathlib import Path

import psycopg

from benchmarks.loading import generate
from benchmarks.ready_rows import drop_indexes
from benchmarks.server import Bench, bench_database, bench_server

ROUNDS = 5
SIZES = [2_000, 20_000, 200_000, 2_000_000]


def main(sizes: list[int]) -> None:
    """Print a table: a row per size."""
    print("| rows | kept | built after | ratio |\n|---:|---:|---:|---:|")
    with bench_server(log_statements=False) as cluster:
        path = cluster.home / "events.csv"
        for size in sizes:
            generate(path, size, days=15)
            seconds: dict[str, list[float]] = {"kept": [], "built after": []}
            for _ in range(ROUNDS):
                for when, found in seconds.items():
                    with bench_database(cluster, "indexes", has_seeds=False) as bench:
                        found.append(load(bench, path, are_built_after=when == "built after"))
            kept, after = (statistics.median(found) for found in seconds.values())
            print(f"| {size:,} | {kept:.3f} | {after:.3f} | {after / kept:.2f} |", flush=True)


def load(bench: Bench, path: Path, *, are_built_after: bool) -> float:
    """Load the file and return how long that took."""
    with psycopg.connect(bench.cluster.dsn(bench.database), autocommit=True) as conn:
        bench.run("loader", "maintain", "--ahead", "0")
        if are_built_after:
            drop_indexes(conn)
        done = bench.run("loader", "load", str(path), "--quiet", "--json")
        started = time.monotonic()
        if are_built_after:
            conn.execute("create index on raw.event_chunks (load_id)")
            conn.execute(
                "create index on raw.event_chunks (source_id, first_event_at, last_event_at)"
            )
        return float(json.loads(done)["seconds"]) + time.monotonic() - started


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or SIZES)
