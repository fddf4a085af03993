"""``fct_activity_periods`` from scratch, beside the usual query and DuckDB.

The same events, one run, two CPUs: seconds and ratios.

    python -m benchmarks.full_refresh 5        million events
"""

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import duckdb

from benchmarks.server import Bench, bench_database, bench_server

CATEGORIES = "case when {type} in ('pedestrian', 'bicycle') then 'people' else 'vehicles' end"
# The classic: mark where a period begins, number the periods, aggregate.
CLASSIC = """
    with marked as (
        select *, case when time - lag(time) over (partition by source, category order by time)
                            < interval '1 minute' then 0 else 1 end as is_first
        from events
    ),
    numbered as (
        select *, sum(is_first) over (partition by source, category order by time) as number
        from marked
    )
    select source, category, count(*) as event_count, min(time) as started_at, max(time) as ended_at
    from numbered group by source, category, number
"""


def main(millions: int) -> None:
    """Print a table of the seconds that each way takes, and how many periods it found."""
    with bench_server() as cluster, bench_database(cluster, "refresh") as bench:
        path = bench.folder / "events.parquet"
        bench.run(
            "loader", "generate", "--events", str(millions * 1_000_000), "--sources", "20",
            "--days", "60", "--format", "parquet", "--output", str(path),
        )  # fmt: skip
        bench.run("loader", "load", str(path), "--quiet")
        bench.dbt("run")
        prepare(bench)
        ours = bench.dbt("run", "--full-refresh", "--select", "fct_activity_periods")
        found = bench.sql("select count(*) from analytics.fct_activity_periods")[0][0]
        rows = [
            (
                "this project, with ids, constraints, indexes",
                ours["fct_activity_periods"].elapsed,
                found,
            )
        ]
        for name, table in (
            ("window query, text keys", "as_text"),
            ("window query, integer keys", "as_ids"),
        ):
            query = f"create table classic_{table} as {CLASSIC.replace('events', table)}"
            seconds = timed(partial(bench.sql, query))
            rows.append((name, seconds, bench.sql(f"select count(*) from classic_{table}")[0][0]))
        rows.append(in_duckdb(path))
    print(f"{millions} million events\n\n| | seconds | ratio | periods |\n|---|---:|---:|---:|")
    for name, seconds, periods in rows:
        print(f"| {name} | {seconds:.1f} | {seconds / rows[0][1]:.1f} | {periods:,} |")


def prepare(bench: Bench) -> None:
    """Make the tables that the usual query reads: all text but the time, and all integers."""
    bench.sql(
        "create table as_text as select source_name as source, category, occurred_at as time"
        " from analytics.stg_video_events__events"
    )
    bench.sql(
        "create table as_ids as select source_id as source, (category = 'people')::int as category,"
        " occurred_at as time from analytics.stg_video_events__events"
    )
    bench.sql("vacuum analyze")


def in_duckdb(path: Path) -> tuple[str, float, int]:
    """Run the usual query in DuckDB on the Parquet file, with two threads."""
    with duckdb.connect() as conn:
        conn.execute("set threads = 2")
        category = CATEGORIES.format(type="type")
        source = f"(select time, source, {category} as category from '{path}')"
        query = f"create table periods as {CLASSIC.replace('from events', f'from {source}')}"
        seconds = timed(lambda: conn.execute(query))
        row = conn.execute("select count(*) from periods").fetchone()
    assert row is not None
    return "DuckDB, window query on Parquet, 2 threads", seconds, int(row[0])


def timed(action: Callable[[], object]) -> float:
    """Return the seconds that an action takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
