r"""How fast events get into the database: the loader beside the usual ways, rows per second.

The same events, one server, one run. Every way starts with an empty database, and ``psql \\copy``
and the loader read the same file from the page cache. The slow ways get fewer rows.

    python -m benchmarks.loading [--rows 5000000] [--plot FILE.svg]
"""

import argparse
import csv
import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import psycopg
from matplotlib import pyplot as plt

from benchmarks.ready_rows import copy_ready_rows, ready_rows
from benchmarks.server import PROJECT, Bench, bench_database, bench_server
from loader.server.embedded import find_programs

ROUNDS = 3
TYPED = "create table plain (time timestamptz, type text, source text)"
TEXTS = "create table plain (time text, type text, source text)"
INDEX = "create index on plain (source, time)"
# The same loader without the indexes of raw.event_chunks and without ANALYZE afterwards.
BARE_LOADER = """
import sys
from loader import __main__ as program
sys.meta_path.insert(0, program.WithoutPandas())
from benchmarks.ready_rows import drop_indexes
from loader.loading import load, steps
prepare = load.mend_numbers
load.mend_numbers = lambda conn: (prepare(conn), drop_indexes(conn))
steps.tidy_up = lambda *arguments, **options: None
program.main()
"""


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way to load.

    Attributes:
        name: what the table says.
        rows: how many rows it gets; the slow ways would take all day.
        format: of the file.
        run: loads a file into an empty database.
        prepare: is called with the file before the clock starts.
        is_indexed: whether the events can be looked up by source and time afterwards, with
            statistics.
    """

    name: str
    rows: int
    run: Callable[[Bench, Path], None]
    prepare: Callable[[Path], object] = lambda _: None
    format: str = "csv"
    is_indexed: bool = False


def main(rows: int, plot: Path | None) -> None:
    """Print a table, and draw it."""
    with bench_server(log_statements=False) as cluster:
        folder = cluster.home / "files"
        folder.mkdir()
        results: list[tuple[Way, float]] = []
        for way in ways(rows):
            path = folder / f"events-{way.rows}.{way.format}"
            if not path.exists():
                generate(path, way.rows)
            way.prepare(path)
            seconds = []
            for _ in range(ROUNDS):
                with bench_database(cluster, "loading", has_seeds=False) as bench:
                    seconds.append(timed(partial(way.run, bench, path)))
            results.append((way, way.rows / statistics.median(seconds)))
            print(f"{way.name}: {results[-1][1]:,.0f} rows/s", file=sys.stderr)
    show(results)
    if plot is not None:
        draw(results, plot)


def ways(rows: int) -> Iterator[Way]:
    """Yield the ways, slowest first."""
    yield Way(name="INSERT, row by row", rows=min(rows, 20_000), run=row_by_row)
    yield Way(name="executemany", rows=min(rows, 100_000), run=with_executemany)
    yield Way(name="INSERT of 1,000 rows each", rows=min(rows, 200_000), run=with_many_values)
    yield Way(name="COPY, text, psycopg", rows=min(rows, 500_000), run=with_text_copy)
    yield Way(name="COPY, binary, psycopg", rows=min(rows, 500_000), run=with_binary_copy)
    for is_indexed in (False, True):
        run = with_indexed_psql if is_indexed else with_psql
        yield Way(name=r"psql \copy, text columns", rows=rows, run=run, is_indexed=is_indexed)
        yield Way(
            name="loader",
            rows=rows,
            run=partial(with_loader, is_bare=not is_indexed),
            is_indexed=is_indexed,
        )
        yield Way(
            name="ready rows, 2 connections",
            rows=rows,
            run=partial(copy_ready_rows, is_bare=not is_indexed),
            prepare=ready_rows,
            is_indexed=is_indexed,
        )
    for form in ("ndjson", "parquet"):
        yield Way(name=f"loader, {form}", rows=rows, run=with_loader, format=form, is_indexed=True)


def generate(path: Path, rows: int, *, days: int = 60) -> None:
    """Write made-up events of 20 sources."""
    subprocess.run(
        [
            sys.executable, "-m", "loader", "generate", "--events", str(rows), "--sources", "20",
            "--days", str(days), "--format", path.suffix[1:], "--output", str(path),
        ],
        cwd=PROJECT, check=True,
    )  # fmt: skip


def timed(action: Callable[[], object]) -> float:
    """Return the seconds that an action takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def connected(bench: Bench, table: str) -> psycopg.Connection:
    """Connect, and create the table that a usual way copies into."""
    conn = psycopg.connect(bench.cluster.dsn(bench.database))
    conn.execute(table.encode())
    conn.commit()
    return conn


def read(path: Path) -> Iterator[list[str]]:
    """Yield the rows of a CSV file as Python has them."""
    with path.open(newline="") as file:
        rows = csv.reader(file)
        next(rows)
        yield from rows


def row_by_row(bench: Bench, path: Path) -> None:
    """One statement for each row, one transaction for all."""
    with connected(bench, TYPED) as conn, conn.cursor() as cursor:
        for row in read(path):
            cursor.execute("insert into plain values (%s, %s, %s)", row)


def with_executemany(bench: Bench, path: Path) -> None:
    """The executemany of psycopg, which uses pipelines."""
    with connected(bench, TYPED) as conn, conn.cursor() as cursor:
        cursor.executemany("insert into plain values (%s, %s, %s)", read(path))


def with_many_values(bench: Bench, path: Path) -> None:
    """Statements of 1,000 rows each."""
    with connected(bench, TYPED) as conn:
        rows = read(path)
        while chunk := list(itertools.islice(rows, 1000)):
            values = ", ".join(["(%s, %s, %s)"] * len(chunk))
            conn.execute(
                f"insert into plain values {values}".encode(), list(itertools.chain(*chunk))
            )


def with_text_copy(bench: Bench, path: Path) -> None:
    """COPY of psycopg, row by row."""
    statement = "copy plain from stdin"
    with connected(bench, TYPED) as conn, conn.cursor() as cursor, cursor.copy(statement) as copy:
        for row in read(path):
            copy.write_row(row)


def with_binary_copy(bench: Bench, path: Path) -> None:
    """The same in binary, which needs Python values."""
    statement = "copy plain from stdin with (format binary)"
    with connected(bench, TYPED) as conn, conn.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(["timestamptz", "text", "text"])
        for moment, kind, source in read(path):
            copy.write_row((datetime.fromisoformat(moment), kind, source))


def with_psql(bench: Bench, path: Path) -> None:
    """Copy with psql into one plain table of texts: nothing is checked, nothing is typed."""
    connected(bench, TEXTS).close()
    psql(bench, f"\\copy plain from '{path}' with (format csv, header)")


def with_indexed_psql(bench: Bench, path: Path) -> None:
    """The same, and then what it takes to look events up by source and time."""
    with_psql(bench, path)
    psql(bench, INDEX)
    psql(bench, "analyze plain")


def psql(bench: Bench, command: str) -> None:
    """Run one command of psql."""
    program = find_programs() / "psql"
    subprocess.run(
        [program, "--quiet", "--no-psqlrc", "--command", command],
        env=bench.environment, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip


def with_loader(bench: Bench, path: Path, *, is_bare: bool = False) -> None:
    """The whole command, as users run it."""
    program = ["-c", BARE_LOADER] if is_bare else ["-m", "loader"]
    done = subprocess.run(
        [sys.executable, *program, "load", str(path), "--quiet", "--json"],
        cwd=PROJECT, env=bench.environment, check=True, capture_output=True,
    )  # fmt: skip
    result: dict[str, Any] = json.loads(done.stdout)
    assert result["rows_rejected"] == 0


def show(results: list[tuple[Way, float]]) -> None:
    """Print two tables: without an index, and with it."""
    for is_indexed in (False, True):
        peers = [(way, rate) for way, rate in results if way.is_indexed == is_indexed]
        base = next(rate for way, rate in peers if way.name.startswith("psql"))
        print("\nWith index and statistics\n" if is_indexed else "\nWithout any index\n")
        print("| | rows/s | ratio to psql |\n|---|---:|---:|")
        for way, rate in peers:
            print(f"| {way.name} | {rate:,.0f} | {rate / base:.2f} |")


def draw(results: list[tuple[Way, float]], path: Path) -> None:
    """Draw the tables as bars."""
    mpl.use("svg")
    # Text as text, and nothing that differs from run to run but the figures.
    mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "video-events"}
    figure, axes = plt.subplots(figsize=(8, 0.35 * len(results) + 1), layout="constrained")
    names = [f"{way.name}{' + index' if way.is_indexed else ''}" for way, _ in results]
    colors = ["#2a78b5" if "loader" in name else "#9aa5b1" for name in names]
    bars = axes.barh(range(len(results)), [rate / 1000 for _, rate in results], color=colors)
    axes.bar_label(bars, [f"{rate / 1000:,.0f}" for _, rate in results], padding=3, fontsize=8)
    axes.set_yticks(range(len(results)), names, fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.set_xlabel("thousand rows per second")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    main(arguments.rows, arguments.plot)
