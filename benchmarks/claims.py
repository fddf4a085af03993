"""What the documentation says of speed, in one run and beside the usual ways, as ratios.

Loading, models from scratch, batches. Seconds that elapsed count on a quiet machine only; those on
a processor, of server and client together, tell on any. Medians of rounds in which all take turns.

    python -m benchmarks.claims [--rows 5000000] [--rounds 3] [--millions 1 10] [--batches 5]
"""

import argparse
import importlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from pyarrow import parquet

from benchmarks import batches
from benchmarks.full_refresh import in_duckdb
from benchmarks.loading import (
    INDEX,
    TEXTS,
    TYPED,
    connected,
    generate,
    psql,
    with_indexed_psql,
    with_psql,
    with_text_copy,
)  # fmt: skip
from benchmarks.processor import children_seconds, server_seconds
from benchmarks.server import PROJECT, Bench, Spent, bench_database, bench_server
from loader.server.cluster import Cluster

OTHER_SERVER = Path("/usr/lib/postgresql/15/bin")
BARE = r"psql \copy, text columns"
INDEXED = r"psql \copy, index kept, ANALYZE"
# Of a process that this one starts, the peak of this one counts too.
_WITH_PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
# What no reader of CSV that is built on Arrow can do without.
_ARROW_ALONE = """
import sys
from pyarrow import csv, timestamp
reading = csv.ReadOptions(use_threads=False)
with csv.open_csv(sys.argv[1], read_options=reading) as file:
    for batch in file:
        batch.column("time").cast(timestamp("us", "UTC"))
"""
_SIZE = (
    "select sum(pg_total_relation_size(oid)) from pg_class"
    " where relname = 'plain' or relname ~ '^event_chunks_' and relkind = 'r'"
)


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way to load a file.

    Attributes:
        name: what the table says.
        run: loads a file into an empty database; the result is the peak of its memory in MB.
        format: of the file.
        share: of the rows; the slow ways would take all day.
    """

    name: str
    run: Callable[[Bench, Path], float | None]
    format: str = "csv"
    share: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a way to load cost, per million events: seconds, and bytes of each event.

    Attributes:
        elapsed: from beginning to end.
        server: seconds of a processor.
        client: the same, of the program that loads.
        disk: bytes per event.
        peak: megabytes of memory.
    """

    elapsed: float
    server: float
    client: float
    disk: float
    peak: float

    @property
    def processor(self) -> float:
        """Seconds of both."""
        return self.server + self.client


def main(rows: int, rounds: int, millions: list[int], batch_rounds: int) -> None:
    """Print the tables."""
    begun = time.monotonic()
    load_average = os.getloadavg()[0]
    print(f"{rows:,} events, {os.cpu_count()} processors, load average {load_average:.1f}\n")
    with bench_server(listen_addresses="") as cluster, ExitStack() as stack:
        files = {form: cluster.home / f"events.{form}" for form in ("csv", "parquet")}
        for path in files.values():
            generate(path, rows)
            path.chmod(0o644)
        costs = load_in_turns(
            cluster, files, [*usual_ways(), *our_ways()], rows=rows, rounds=rounds
        )
        show_costs("PostgreSQL of the wheel, Unix socket", costs)
        csv = costs["loader, CSV"]
        claims = {
            "CSV beside psql, both with index and statistics": beside(csv, costs[INDEXED]),
            "Parquet beside psql with both": beside(costs["loader, Parquet"], costs[INDEXED]),
            "CSV beside psql without an index": beside(csv, costs[BARE]),
            "server, seconds of a processor for all": f"{csv.server * rows / 1e6:.2f}",
            "bytes per event, with indexes": f"{csv.disk:.1f}",
            "peak memory of the loader": f"{max(one.peak for one in costs.values()):.0f} MB",
        }
        if OTHER_SERVER.exists():
            other = stack.enter_context(bench_server(OTHER_SERVER, listen_addresses="127.0.0.1"))
            some = [one for one in (*usual_ways(), *our_ways()) if "psycopg" not in one.name]
            show_costs(
                "PostgreSQL 15, TCP",
                load_in_turns(other, files, some, rows=rows, rounds=rounds, host="127.0.0.1"),
            )
        say(f"loaded after {time.monotonic() - begun:.0f} s")
        claims |= show_models(cluster, files["parquet"], rounds)
        say(f"built from scratch after {time.monotonic() - begun:.0f} s")
    claims |= show_batches(millions, batch_rounds)
    print("\n## In short\n\n| | |\n|---|---:|")
    for name, found in claims.items():
        print(f"| {name} | {found} |")
    say(f"done after {time.monotonic() - begun:.0f} s")


def usual_ways() -> Iterator[Way]:
    r"""Yield psql, and what else there is."""
    yield Way(name=BARE, run=with_psql)
    yield Way(name=INDEXED, run=with_kept_index)
    yield Way(name=r"psql \copy, index after, ANALYZE", run=with_indexed_psql)
    yield Way(name="psycopg, COPY of text", run=with_text_copy, share=0.1)
    yield Way(name="pyarrow reads the CSV, and stores nothing", run=with_arrow_alone)
    for module, run in (("adbc_driver_postgresql", with_adbc), ("pgpq", with_pgpq)):
        if find_spec(module):
            yield Way(name=f"{module}, from Arrow, typed", run=run, format="parquet")
        else:
            package = module.replace("_", "-")
            say(f"without {module}, which is not installed: pip install {package}")
    with duckdb.connect() as conn, suppress(duckdb.Error):
        conn.execute("load postgres")
        yield Way(name="DuckDB, its extension postgres", run=with_duckdb)
        return
    say("without DuckDB writing to PostgreSQL: its extension is not installed: install postgres")


def our_ways() -> Iterator[Way]:
    """Yield the loader: all that it does, with indexes and statistics."""
    yield Way(name="loader, CSV", run=with_loader)
    yield Way(name="loader, Parquet", run=with_loader, format="parquet")


def load_in_turns(
    cluster: Cluster,
    files: dict[str, Path],
    ways: list[Way],
    *,
    rows: int,
    rounds: int,
    host: str | None = None,
) -> dict[str, Cost]:
    """Load as often as there are rounds; return the medians of each way."""
    found: dict[str, list[Cost]] = {way.name: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            path, count = files[way.format], int(rows * way.share)
            if way.share < 1:
                path = path.with_name(f"some.{way.format}")
                if not path.exists():
                    generate(path, count)
            with bench_database(cluster, "loading", has_seeds=False) as bench:
                found[way.name].append(cost(replace(bench, host=host), way, path, count))
    return {
        name: Cost(
            **{
                part: statistics.median(getattr(one, part) for one in costs)
                for part in ("elapsed", "server", "client", "disk", "peak")
            }
        )
        for name, costs in found.items()
    }


def cost(bench: Bench, way: Way, path: Path, count: int) -> Cost:
    """Load a file into an empty database, and say what that cost."""
    bench.sql("checkpoint")
    server, client = server_seconds(bench.cluster), children_seconds() + time.process_time()
    begun = time.perf_counter()
    peak = way.run(bench, path)
    elapsed = time.perf_counter() - begun
    client = children_seconds() + time.process_time() - client
    server = server_seconds(bench.cluster) - server
    disk = float(bench.sql(_SIZE)[0][0] or 0)
    say(f"{way.name}: {elapsed:.1f} s")
    millions = count / 1_000_000
    return Cost(
        elapsed=elapsed / millions,
        server=server / millions,
        client=client / millions,
        disk=disk / count,
        peak=peak or 0.0,
    )


def show_costs(title: str, costs: dict[str, Cost]) -> None:
    """Print a table: a row per way, each beside psql with and without an index."""
    print(
        f"## Loading: {title}\n\nSeconds per million events. How many times as fast, elapsed"
        " (processor): as psql without an index, and as psql that keeps one and analyzes.\n"
    )
    print(
        "| | s | server, cpu | client, cpu | bytes/event | peak MB | psql, no index | psql, index |"
    )
    print("|---|" + "---:|" * 7)
    for name, one in costs.items():
        ratios = [beside(one, costs[peer]) for peer in (BARE, INDEXED)]
        print(
            f"| {name} | {one.elapsed:.2f} | {one.server:.2f} | {one.client:.2f} | {one.disk:.1f}"
            f" | {one.peak or '':{'.0f' if one.peak else ''}} | {' | '.join(ratios)} |"
        )
    print(flush=True)


def beside(one: Cost, peer: Cost) -> str:
    """Return how many times as fast as its peer something is, elapsed and in processor time."""
    return f"{peer.elapsed / one.elapsed:.2f} ({peer.processor / one.processor:.2f})"


def with_kept_index(bench: Bench, path: Path) -> None:
    """Copy with psql into a table with the index that look-ups need, and analyze it."""
    with connected(bench, TEXTS) as conn:
        conn.execute(INDEX)
    psql(bench, rf"\copy plain from '{path}' with (format csv, header)")
    psql(bench, "analyze plain")


def with_arrow_alone(bench: Bench, path: Path) -> None:  # noqa: ARG001
    """Parse the file and its times, in one thread, as the loader has Arrow do it."""
    subprocess.run([sys.executable, "-c", _ARROW_ALONE, str(path)], check=True)


def with_adbc(bench: Bench, path: Path) -> None:
    """Hand a table of Arrow over."""
    dbapi = importlib.import_module("adbc_driver_postgresql.dbapi")
    with dbapi.connect(bench.uri) as conn, conn.cursor() as cursor:
        cursor.adbc_ingest("plain", events_of(path), mode="create")
        conn.commit()


def with_pgpq(bench: Bench, path: Path) -> None:
    """Encode batches of Arrow for a COPY in binary."""
    table = events_of(path)
    encoder = importlib.import_module("pgpq").ArrowToPostgresBinaryEncoder(table.schema)
    statement = "copy plain from stdin with (format binary)"
    with connected(bench, TYPED) as conn, conn.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(encoder.write_header())
        for batch in table.to_batches():
            copy.write(encoder.write_batch(batch))
        copy.write(encoder.finish())


def events_of(path: Path) -> pa.Table:
    """Read time, type and source as the typed table has them."""
    table = parquet.read_table(path, columns=["time", "type", "source"])
    time_type = pa.timestamp("us", "UTC")
    names = ("time", "type", "source")
    fields = [pa.field(name, time_type if name == "time" else pa.string()) for name in names]
    return table.cast(pa.schema(fields))


def with_duckdb(bench: Bench, path: Path) -> None:
    """Copy the file with DuckDB."""
    with duckdb.connect() as conn:
        conn.execute("load postgres")
        conn.execute(f"attach '{bench.uri}' as target (type postgres)")
        conn.execute(f"create table target.plain as select time, type, source from '{path}'")


def with_loader(bench: Bench, path: Path) -> float:
    """The whole command, as users run it; return the peak of its memory in megabytes."""
    command = ["loader", "load", str(path), "--quiet"]
    done = subprocess.run(
        [sys.executable, "-c", _WITH_PEAK, sys.executable, "-m", *command],
        cwd=PROJECT, env=bench.environment, check=True, capture_output=True,
    )  # fmt: skip
    return int(done.stdout) / 1024


def show_models(cluster: Cluster, path: Path, rounds: int) -> dict[str, str]:
    """Print what all models cost from scratch, and one of them beside DuckDB."""
    with bench_database(cluster, "scratch") as bench:
        bench.run("loader", "load", str(path), "--quiet")
        spent, whole = with_server(bench, partial(bench.dbt, "run", "--threads", "1"))
        elapsed = sum(one.elapsed for one in spent.values())
        print("## All models from scratch\n\n| model | s |\n|---|---:|")
        for name, one in sorted(spent.items(), key=lambda pair: -pair[1].elapsed)[:8]:
            print(f"| `{name}` | {one.elapsed:.1f} |")
        print(f"| all | {elapsed:.1f} |\n\nOn a processor of the server, all: {whole:.1f} s.\n")
        ours: list[tuple[float, float]] = []
        theirs: list[tuple[float, float]] = []
        refresh = ["run", "--full-refresh", "--select", "fct_activity_periods"]
        for _ in range(rounds):
            spent, server = with_server(bench, partial(bench.dbt, *refresh))
            ours.append((spent["fct_activity_periods"].elapsed, server))
            begun = time.process_time()
            theirs.append((in_duckdb(path)[1], time.process_time() - begun))
        (mine, my_cpu), (duck, duck_cpu) = (
            [statistics.median(one) for one in zip(*found, strict=True)] for found in (ours, theirs)
        )
    print("## `fct_activity_periods` from scratch, beside DuckDB on Parquet with 2 threads\n")
    print("| | s | cpu |\n|---|---:|---:|")
    print(f"| this project | {mine:.2f} | {my_cpu:.2f} |\n| DuckDB | {duck:.2f} | {duck_cpu:.2f} |")
    print(f"| ratio | {mine / duck:.2f} | {my_cpu / duck_cpu:.2f} |\n", flush=True)
    return {
        "all models from scratch, seconds of the server's processor": f"{whole:.1f}",
        "`fct_activity_periods` from scratch, share of DuckDB's time": f"{mine / duck:.2f}",
    }


def with_server(
    bench: Bench, action: Callable[[], dict[str, Spent]]
) -> tuple[dict[str, Spent], float]:
    """Return what dbt said, and what all processes of the server took of a processor."""
    before = server_seconds(bench.cluster)
    spent = action()
    return spent, server_seconds(bench.cluster) - before


def show_batches(millions: list[int], rounds: int) -> dict[str, str]:
    """Print what a batch costs each model, for each history, with JIT and without."""
    with bench_server(shared_buffers=batches.BUFFERS) as cluster, ExitStack() as stack:
        histories = {}
        settings = {}
        for size in millions:
            bench = stack.enter_context(bench_database(cluster, f"history_{size}"))
            days = size * batches.DAYS_PER_MILLION
            batches.store_history(bench, size * 1_000_000, days)
            say(f"stored {size} million events")
            end = batches.START + timedelta(days=days)
            for number, jit in enumerate(("off", "on")):
                name = f"{size} M, jit {jit}"
                histories[name] = bench, end + timedelta(days=number)
                settings[name] = f"jit = {jit}"
        columns = batches.measure(histories, rounds=rounds, settings=settings)
    for column in columns.values():
        column["all"] = Spent(
            elapsed=sum(one.elapsed for one in column.values()),
            processor=sum(one.processor for one in column.values()),
        )
    print("## A batch of 2,000 events\n\nMilliseconds on a processor of the server (elapsed).\n")
    batches.show(columns)
    first, last = (columns[f"{size} M, jit off"] for size in (millions[0], millions[-1]))
    growth = {name: last[name].processor / first[name].processor for name in first}
    claims = {f"a batch of all models, {name}": f"{1000 * one['all'].processor:.0f} ms"
              for name, one in columns.items()}  # fmt: skip
    return claims | {
        "the same, the largest history beside the smallest": f"{growth.pop('all'):.2f}",
        "the same, the model that grows most": f"{max(growth.values()):.2f}",
    }


def say(text: str) -> None:
    """Tell how far this is."""
    print(text, file=sys.stderr, flush=True)


def arguments() -> dict[str, Any]:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--millions", type=int, nargs="+", default=[1, 10])
    parser.add_argument("--batches", type=int, default=5, dest="batch_rounds")
    return vars(parser.parse_args())


if __name__ == "__main__":
    main(**arguments())
