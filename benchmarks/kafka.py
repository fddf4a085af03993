"""Events a second of ``loader consume --once``: broker, loader and PostgreSQL on one machine.

python -m benchmarks.kafka [EVENTS]

Other work on the machine makes the clock's figure worse. The seconds of the processor that each of
the three takes do not depend on that much, and say what all cores could do.
"""

import json
import os
import sys

from benchmarks.processor import children_seconds, seconds, server_seconds
from benchmarks.server import bench_database, bench_server
from tests.support.brokers import running_broker

PARTITIONS = 4


def main(events: int) -> None:
    """Fill a topic, load it, and print how fast that was, without the start of the process."""
    values = [
        f'{{"time":"2026-03-02T{n // 3600 % 24:02}:{n // 60 % 60:02}:{n % 60:02}Z",'
        f'"type":"car","source":"camera-{n % 50}"}}'.encode()
        for n in range(events // PARTITIONS)
    ]
    with bench_server(log_statements=False) as server, running_broker() as broker:
        broker.create("bench", PARTITIONS)
        for partition in range(PARTITIONS):
            broker.produce("bench", values, partition)
        with bench_database(server, "kafka", has_seeds=False) as bench:
            before = {
                "loader": children_seconds(),
                "PostgreSQL": server_seconds(server),
                "broker": seconds(broker.process.pid),
            }
            printed = bench.run(
                "loader", "consume", "--topic", "bench", "--brokers", broker.address,
                "--once", "--json", "--quiet",
            )  # fmt: skip
            after = {
                "loader": children_seconds(),
                "PostgreSQL": server_seconds(server),
                "broker": seconds(broker.process.pid),
            }
            loads = [json.loads(line) for line in printed.splitlines()]
            assert sum(load["rows_loaded"] for load in loads) == len(values) * PARTITIONS
            rows = bench.sql(
                "select rows_loaded, started_at, published_at from raw.loads order by load_id"
            )
            print(f"loading alone: {events / sum(x['seconds'] for x in loads):,.0f} events/s")
            # From one publication to the next, everything is done once: taking and loading.
            if len(rows) > 1:
                spent = (rows[-1][2] - rows[0][2]).total_seconds()
                done = sum(row[0] for row in rows[1:])
                print(f"end to end: {done / spent:,.0f} events/s")
            taken = {name: after[name] - before[name] for name in before}
            each = ", ".join(f"{name} {spent:.1f} s" for name, spent in taken.items())
            cores = os.cpu_count() or 1
            print(f"processor: {each}; all of {cores} cores could do "
                  f"{events / sum(taken.values()) * cores:,.0f} events/s")  # fmt: skip


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4_000_000)
