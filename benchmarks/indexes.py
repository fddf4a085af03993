"""When a new partition gets its large index: with its rows, or after them.

Loads of ever more rows into a database without partitions, with ``--indexes keep`` and ``rebuild``
in turns; seconds that the loader says, medians. The rows of a load are of one month.

    python -m benchmarks.indexes [ROWS ...]
"""

import json
import statistics
import sys
from pathlib import Path

from benchmarks.loading import generate
from benchmarks.server import Bench, bench_database, bench_server

ROUNDS = 5
SIZES = [2_000, 20_000, 200_000, 2_000_000]


def main(sizes: list[int]) -> None:
    """Print a table: a row per size."""
    print("| rows | keep | rebuild | ratio |\n|---:|---:|---:|---:|")
    with bench_server(log_statements=False) as cluster:
        path = cluster.home / "events.csv"
        for size in sizes:
            generate(path, size, days=15)
            seconds: dict[str, list[float]] = {"keep": [], "rebuild": []}
            for _ in range(ROUNDS):
                for indexing, found in seconds.items():
                    with bench_database(cluster, "indexes", has_seeds=False) as bench:
                        found.append(load(bench, path, indexing))
            keep, rebuild = (statistics.median(found) for found in seconds.values())
            print(f"| {size:,} | {keep:.3f} | {rebuild:.3f} | {rebuild / keep:.2f} |", flush=True)


def load(bench: Bench, path: Path, indexing: str) -> float:
    """Load the file and return how long that took."""
    done = bench.run("loader", "load", str(path), "--indexes", indexing, "--quiet", "--json")
    return float(json.loads(done)["seconds"])


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or SIZES)
