"""What early alerts cost: one load with ``--alert`` and one without, in turns.

python -m benchmarks.early_alerts [--rows 1000000]

The clock says how long the load took; other work on the machine spoils it. The processor's seconds,
of loader and server together, include passing on what was found, which goes on after the load.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.loading import generate
from benchmarks.processor import children_seconds, server_seconds
from benchmarks.server import PROJECT, bench_database, bench_server

ROUNDS = 9


def main(rows: int) -> None:
    """Print the seconds of each, on the clock and of the processor, and their ratios."""
    clock: dict[bool, list[float]] = {False: [], True: []}
    processor: dict[bool, list[float]] = {False: [], True: []}
    with bench_server(log_statements=False) as cluster:
        path = cluster.home / "files" / "events.csv"
        path.parent.mkdir()
        generate(path, rows)
        for _ in range(ROUNDS):
            for has_alerts in (False, True):
                with bench_database(cluster, "alerts", has_seeds=False) as bench:
                    before = children_seconds() + server_seconds(cluster)
                    spent = load(bench.environment, path, has_alerts=has_alerts)
                    clock[has_alerts].append(spent)
                    after = children_seconds() + server_seconds(cluster)
                    processor[has_alerts].append(after - before)
    for name, found in (("clock", clock), ("processor", processor)):
        without, with_alerts = (statistics.median(found[is_on]) for is_on in (False, True))
        print(f"{name}: without {without:.2f} s, with {with_alerts:.2f} s: "
              f"{with_alerts / without - 1:+.1%}")  # fmt: skip


def load(environment: dict[str, str], path: Path, *, has_alerts: bool) -> float:
    """Load the file into an empty database and return the seconds that the loader says."""
    options = ["--alert", "--alert-to", "notify"] if has_alerts else []
    done = subprocess.run(
        [sys.executable, "-m", "loader", "load", str(path), "--quiet", "--json", *options],
        cwd=PROJECT, env=environment, check=True, capture_output=True,
    )  # fmt: skip
    return float(json.loads(done.stdout)["seconds"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    main(parser.parse_args().rows)
