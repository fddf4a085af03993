"""What early alerts cost: one load with ``--alert`` and one without, in turns.

python -m benchmarks.early_alerts [--rows 1000000]
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.loading import generate
from benchmarks.server import PROJECT, bench_database, bench_server

ROUNDS = 5


def main(rows: int) -> None:
    """Print the seconds of each and their ratio."""
    seconds: dict[bool, list[float]] = {False: [], True: []}
    with bench_server(log_statements=False) as cluster:
        path = cluster.home / "files" / "events.csv"
        path.parent.mkdir()
        generate(path, rows)
        for _ in range(ROUNDS):
            for has_alerts, spent in seconds.items():
                with bench_database(cluster, "alerts", has_seeds=False) as bench:
                    spent.append(load(bench.environment, path, has_alerts=has_alerts))
    without, with_alerts = (statistics.median(seconds[is_on]) for is_on in (False, True))
    print(f"without {without:.2f} s, with {with_alerts:.2f} s: {with_alerts / without - 1:+.1%}")


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
