"""What a batch costs each incremental model, against how much is stored.

2,000 events, one in ten up to a month late, on top of histories that are ever longer: 20 sources
that see as much every day, for a month or for years. Then on top of a source that was busy
without a pause for 500,000 events.
Milliseconds of the server, one model after the other, all statements of the model's transaction:
on a processor, and from beginning to end. The server has memory for all of it, and all of it is
in there: it is the work that is measured.

    python -m benchmarks.batches 1 10 50      millions of events stored
    python -m benchmarks.batches --rules 1 10 each also with rules `absence` and `unusual`
"""

import argparse
import random
import statistics
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

from benchmarks.server import Bench, Spent, bench_database, bench_server
from loader.database.partitions import EVENTS_PER_CHUNK

SOURCES = 20
# A million events take longer than the latest event of a batch is late.
DAYS_PER_MILLION = 34
START = datetime(2024, 1, 1, tzinfo=UTC)
BATCHES = 9
BUFFERS = "12GB"
# Of the kinds that the seed has no rule of.
MORE_RULES = (
    "('gone', 'absence', 'people', null, '1 hour'), ('odd', 'unusual', 'people', null, null)"
)


def main(millions: list[int], *, with_rules: bool = False) -> None:
    """Print a table: a row per model, a column per history; with rules, one more for each size."""
    with bench_server(shared_buffers=BUFFERS) as cluster, ExitStack() as stack:
        histories: dict[str, tuple[Bench, datetime]] = {}
        for size in millions:
            days = size * DAYS_PER_MILLION
            for rules in ["", MORE_RULES] if with_rules else [""]:
                name = f"{size} M" + (", more rules" if rules else "")
                database = f"history_{size}" + ("_rules" if rules else "")
                bench = stack.enter_context(bench_database(cluster, database))
                store_history(bench, size * 1_000_000, days, rules=rules)
                histories[name] = bench, START + timedelta(days=days)
        bench = stack.enter_context(bench_database(cluster, "busy"))
        store_busy_source(bench)
        histories["busy source"] = bench, START + timedelta(seconds=500_000)
        columns = measure(histories)
        first, _ = histories[f"{millions[0]} M"]
        idle = []
        for _ in range(3):
            started = time.perf_counter()
            columns["nothing new"] = first.dbt("run", "--threads", "1")
            idle.append(time.perf_counter() - started)
    show(columns)
    server = sum(spent.elapsed for spent in columns["nothing new"].values())
    print(f"\n`dbt run` with nothing new: {min(idle):.1f} s, of which the server {server:.1f} s.")


def show(columns: dict[str, dict[str, Spent]]) -> None:
    """Print milliseconds on a processor, and in parentheses those that elapsed."""
    print("| model | " + " | ".join(columns) + " |")
    print("|---|" + "---:|" * len(columns))
    for model in sorted(next(iter(columns.values()))):
        cells = [column.get(model, Spent()) for column in columns.values()]
        shown = (f"{1000 * cell.processor:.0f} ({1000 * cell.elapsed:.0f})" for cell in cells)
        print(f"| `{model}` | {' | '.join(shown)} |")


def store_history(bench: Bench, events: int, days: int, *, rules: str = "") -> None:
    """Load made-up events, five million at a time, and build every model from scratch.

    Args:
        bench: where.
        events: how many.
        days: over how long a time they are.
        rules: rows for the seed of rules, beside those that are in there.
    """
    if rules:
        bench.sql(f"insert into analytics_internal.alert_rules values {rules}")
    at_once = 5_000_000
    for start in range(0, events, at_once):
        count = min(at_once, events - start)
        store(
            bench,
            f"""
            select timestamptz '{START:%F}' + number * (interval '{days} days' / {events}),
                   1 + (hashint8(number / 8) & 1023) % {SOURCES},
                   1 + (hashint8(number / 8 + 1) & 1023) % 5
            from generate_series({start}, {start + count - 1}) as number
            """,
            days,
        )
    settle(bench)
    bench.dbt("run")


def warm(bench: Bench) -> None:
    """Read everything once, so that the small history has no advantage but that it is small.

    And vacuum it, as autovacuum does in the minutes after a large load: whoever is the first to
    read a row of a new table notes on its page that it is committed, and with checksums writes the
    page to the WAL.
    """
    bench.sql("vacuum analyze")
    bench.sql("checkpoint")
    bench.sql("create extension if not exists pg_prewarm")
    bench.sql(
        """
        select pg_prewarm(relations.oid) from pg_class as relations
        where relations.relkind in ('r', 'i')
            and relations.relnamespace::regnamespace::text ~ '^(raw|analytics|analytics_internal)$'
        """
    )


def store_busy_source(bench: Bench) -> None:
    """Store one period of 500,000 events of people only, one a second."""
    store(
        bench,
        f"""
        select timestamptz '{START:%F}' + number * interval '1 second', 1, 1
        from generate_series(0, 499999) as number
        """,
        7,
    )
    settle(bench)
    bench.dbt("run")


def settle(bench: Bench) -> None:
    """Do what the loader does at the end of a load."""
    bench.sql("vacuum analyze raw.event_chunks")


def store(bench: Bench, query: str, days: int) -> None:
    """Publish the rows (event_time, source_id, event_type_id) of a query as one load.

    Straight in SQL: what is measured here is dbt, and 50 million events are wanted soon.
    """
    bench.sql(
        f"""
        insert into raw.sources (source_name)
        select 'camera-' || number from generate_series(1, {SOURCES}) as number
        on conflict do nothing
        """
    )
    bench.sql(
        """
        insert into raw.event_types (event_type)
        values ('pedestrian'), ('bicycle'), ('car'), ('truck'), ('van') on conflict do nothing
        """
    )
    month = START.replace(day=1)
    while month < START + timedelta(days=days + 62):
        following = (month + timedelta(days=32)).replace(day=1)
        bench.sql(
            f"create table if not exists raw.event_chunks_{month:%Y_%m} partition of"
            f" raw.event_chunks for values from ('{month:%F}') to ('{following:%F}')"
        )
        month = following
    bench.sql(
        f"""
        with next as (update raw.load_counter set load_seq = load_seq + 1 returning load_seq),
        new as (
            insert into raw.loads
                (schema_version, load_seq, origin, loader_version, published_at, first_event_at)
            select 2, load_seq, 'benchmark', 'benchmark', now(), '{START:%F}' from next
            returning load_id
        ),
        numbered as (
            select
                *,
                date_bin('1 day', moment, '2000-01-01Z') as day,
                row_number() over (
                    partition by source, date_bin('1 day', moment, '2000-01-01Z') order by moment
                ) as place
            from ({query}) as events (moment, source, type)
        )
        insert into raw.event_chunks
        select
            min(moment), max(moment), load_id, source, count(*),
            array_agg(moment order by moment), array_agg(type order by moment)
        from numbered cross join new
        group by load_id, source, day, (place - 1) / {EVENTS_PER_CHUNK}
        """
    )


def measure(
    histories: dict[str, tuple[Bench, datetime]],
    *,
    rounds: int = BATCHES,
    settings: dict[str, str] | None = None,
) -> dict[str, dict[str, Spent]]:
    """Load batches with the loader and return the medians of each model, for each history.

    Some may be one history, with other settings of the server.

    In turns, so that what else the machine does, or how fast it is at the moment, is the same for
    all of them.
    """
    generator = random.Random(1)
    spent: dict[str, list[dict[str, Spent]]] = {name: [] for name in histories}
    # Not sooner: a machine may take away memory that is not used while the others are stored.
    for bench in {bench.database: bench for bench, _ in histories.values()}.values():
        warm(bench)
    # The first one, which is not counted, warms the caches and creates partitions.
    for number in range(rounds + 1):
        for name, (bench, end) in histories.items():
            if settings:
                bench.sql(f"alter database {bench.database} set {settings[name]}")
            load_batch(bench, end + timedelta(seconds=1_700 * number), generator)
            spent[name].append(bench.dbt("run", "--threads", "1"))
    return {name: medians(runs[1:]) for name, runs in spent.items()}


def load_batch(bench: Bench, begin: datetime, generator: random.Random) -> None:
    """Load 2,000 events of the half hour that begins then."""
    path = bench.folder / "batch.csv"
    path.write_text(batch(begin, generator, [f"camera-{one}" for one in range(1, SOURCES + 1)]))
    bench.run("loader", "load", str(path), "--quiet")


def batch(begin: datetime, generator: random.Random, sources: list[str]) -> str:
    """Return 2,000 events of the half hour that begins then, one in ten of them older."""
    rows = ["time,type,source"]
    for _ in range(2000):
        late = generator.random() < 0.1
        before = generator.random() * (30 * 86_400 if late else 1_700)
        moment = max(START, begin + timedelta(seconds=1_700 - before))
        kind = generator.choice(["pedestrian", "bicycle", "car", "truck", "van"])
        rows.append(f"{moment.isoformat()},{kind},{generator.choice(sources)}")
    return "\n".join(rows)


def medians(runs: list[dict[str, Spent]]) -> dict[str, Spent]:
    """Return the median of each model."""
    return {
        model: Spent(
            elapsed=statistics.median(run[model].elapsed for run in runs),
            processor=statistics.median(run[model].processor for run in runs),
        )
        for model in runs[-1]
        if not model.startswith(("stg_", "rpt_")) and not model.endswith("_live")
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("millions", type=int, nargs="*")
    parser.add_argument("--rules", action="store_true", help="also with rules of the other kinds")
    given = parser.parse_args()
    main(given.millions or [1, 10, 50], with_rules=given.rules)
