"""What a cluster costs beside one machine, and what goes between its servers.

For each size: a load, all models from scratch, and batches of 2,000 events, one in ten of them up
to a month late; once with few loads in the ledger, and once with 10,000 more. Seconds of the
processors of servers and loader: other work on the machine spoils those less. Kilobytes for each
model: from the nodes to the coordinator / from it to them / from node to node.

All servers run on this machine, and the one of the coordinator has the plain database too.

    python -m benchmarks.cluster 'host=... user=postgres dbname=citus_test' 0.2 2   million events
"""

import argparse
import asyncio
import contextlib
import io
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread

import psycopg
from dbt.cli.main import dbtRunner
from dbt_common.events.base_types import EventMsg
from psycopg.conninfo import make_conninfo

from benchmarks.batches import batch
from benchmarks.processor import children, children_seconds, postmaster_seconds
from benchmarks.server import PROJECT
from loader.database.conninfo import connection_variables
from loader.settings import export

SOURCES, BATCHES, MORE_LOADS = 40, 3, 10_000
# What `loader generate` begins with.
START = datetime(2024, 5, 13, tzinfo=UTC)
DAYS_PER_MILLION = 60
MODELS = ("--select", "config.materialized:exact", "--threads", "1")
POSTMASTER = "select split_part(pg_read_file('postmaster.pid'), chr(10), 1)::int"
# As many loads as if each had brought nothing.
ADD_LOADS = """
with numbered as (
    insert into raw.loads (origin, loader_version, schema_version, load_seq, published_at)
    select 'benchmark', 'benchmark', 2, counter.load_seq + number, clock_timestamp()
    from raw.load_counter as counter cross join generate_series(1, %s) as number
    returning load_seq
)
update raw.load_counter set load_seq = (select max(load_seq) from numbered)
"""


@dataclass(frozen=True, kw_only=True)
class Relays:
    """Stand before the nodes, and count what goes through.

    Attributes:
        coordinator: the first process of its server: who connects from elsewhere is a node.
        counted: bytes, by who connected and whether he sent or got them.
    """

    coordinator: int
    counted: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def before(self, nodes: list[tuple[str, int]]) -> Iterator[list[int]]:
        """Yield the port of the relay before each node."""
        ports: list[int] = []
        begun, done = Event(), Event()

        async def relay() -> None:
            for node in nodes:
                server = await asyncio.start_server(self._handler(*node), "127.0.0.1", 0)
                ports.append(server.sockets[0].getsockname()[1])
            begun.set()
            await asyncio.to_thread(done.wait)

        thread = Thread(target=asyncio.run, args=[relay()])
        thread.start()
        begun.wait()
        try:
            yield ports
        finally:
            done.set()
            thread.join()

    def _handler(self, host: str, port: int) -> Callable[..., Awaitable[None]]:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            who = "coordinator" if self._is_coordinator(writer) else "node"
            from_node, to_node = await asyncio.open_connection(host, port)
            await asyncio.gather(
                self._pump(reader, to_node, f"{who} sent"),
                self._pump(from_node, writer, f"{who} got"),
            )

        return handle

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, what: str
    ) -> None:
        with suppress(ConnectionError, asyncio.CancelledError):
            while some := await reader.read(1 << 16):
                self.counted[what] += len(some)
                writer.write(some)
                await writer.drain()
        writer.close()

    def _is_coordinator(self, writer: asyncio.StreamWriter) -> bool:
        """Tell whether a process of the coordinator has the socket at the other end."""
        ports = [writer.get_extra_info(name)[1] for name in ("peername", "sockname")]
        pair = [f":{port:04X}" for port in ports]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if [fields[1][-5:], fields[2][-5:]] == pair:
                return f"socket:[{fields[9]}]" in _files(self.coordinator)
        return False


def _files(postmaster: int) -> Iterator[str]:
    for pid in children(postmaster):
        with suppress(OSError):
            yield from (str(one.readlink()) for one in Path(f"/proc/{pid}/fd").iterdir())


@dataclass(frozen=True, kw_only=True)
class Meter:
    """What servers and the network do.

    Attributes:
        servers: the first process of each server, that of the coordinator first.
        relays: what counts the bytes.
        sent: for each model, what it has sent in each run that was looked at.
    """

    servers: list[int]
    relays: Relays
    sent: dict[str, list[str]] = field(default_factory=dict)

    @contextmanager
    def seconds(self, what: str, times: int = 1) -> Iterator[None]:
        """Print what is taken of processors meanwhile, by each of so many."""
        before = self._seconds()
        yield
        loader, coordinator, *nodes = (
            (after - seconds) / times
            for seconds, after in zip(before, self._seconds(), strict=True)
        )
        print(f"| {what} | {loader:.2f} | {coordinator:.2f} | {sum(nodes):.2f} |", flush=True)

    def _seconds(self) -> list[float]:
        # Until those who have been left are gone.
        time.sleep(2)
        return [children_seconds(), *map(postmaster_seconds, self.servers)]

    def note(self, event: EventMsg) -> None:
        """Note what a model of dbt has sent, when it is done."""
        if event.info.name not in {"NodeStart", "NodeFinished"}:
            return
        counted = self.relays.counted
        names = ("coordinator got", "coordinator sent", "node got", "node sent")
        got, sent, *between = (counted[name] / 1000 for name in names)
        counted.clear()
        if event.info.name == "NodeFinished":
            model = self.sent.setdefault(event.data.node_info.node_name, [])
            model.append(f"{got:,.0f} / {sent:,.0f} / {sum(between):,.0f}")


def main(dsn: str, sizes: list[float]) -> None:
    """Print what each step costs."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        if "test" not in conn.info.dbname:
            sys.exit("this empties the database: name it *test*")
        (coordinator,) = conn.execute(POSTMASTER.encode()).fetchall()[0]
        servers = conn.execute("select result::int from run_command_on_workers(%s)", [POSTMASTER])
        relays = Relays(coordinator=coordinator)
        meter = Meter(servers=[coordinator, *(pid for (pid,) in servers)], relays=relays)
        nodes = conn.execute(
            "select nodeid, nodename, nodeport from pg_dist_node where groupid <> 0"
        ).fetchall()
        plain = f"{conn.info.dbname}_plain"
        move = "select citus_update_node(%s, %s, %s)"
        with relays.before([(host, port) for _, host, port in nodes]) as ports:
            try:
                for (node, _, _), port in zip(nodes, ports, strict=True):
                    conn.execute(move, [node, "127.0.0.1", port])
                is_known = "select bool_and(metadatasynced) from pg_dist_node"
                while conn.execute(is_known).fetchone() != (True,):
                    time.sleep(0.1)
                for size in sizes:
                    conn.execute(f"drop database if exists {plain} with (force)".encode())
                    conn.execute(f"create database {plain}".encode())
                    measure(meter, make_conninfo(dsn, dbname=plain), size, is_cluster=False)
                    conn.execute("drop view if exists raw.events cascade")
                    conn.execute("drop schema if exists raw, analytics, analytics_internal cascade")
                    measure(meter, dsn, size, is_cluster=True)
            finally:
                conn.execute(f"drop database if exists {plain} with (force)".encode())
                for given in nodes:
                    conn.execute(move, given)


def measure(meter: Meter, dsn: str, size: float, *, is_cluster: bool) -> None:
    """Load, build and add batches in one database."""
    generator = random.Random(1)
    days = int(size * DAYS_PER_MILLION)
    print(f"\n{size} million events, {'a cluster' if is_cluster else 'one machine'}\n")
    print("| seconds | loader | coordinator | nodes |\n|---|---:|---:|---:|", flush=True)
    export(connection_variables(dsn))
    os.environ["LOADER_DSN"] = dsn
    with tempfile.TemporaryDirectory() as name, psycopg.connect(dsn, autocommit=True) as conn:
        folder = Path(name)
        shutil.copy(PROJECT / "profiles.example.yml", folder / "profiles.yml")
        note = meter.note if is_cluster else None
        history = folder / "history.parquet"
        run(
            "generate", "--events", str(int(size * 1_000_000)), "--sources", str(SOURCES),
            "--days", str(days), "--format", "parquet", "--output", str(history),
        )  # fmt: skip
        run("maintain", "--quiet")
        if is_cluster:
            run("cluster", "init")
        with meter.seconds("load"):
            run("load", "--quiet", str(history))
        dbt(folder, "build", "--exclude-resource-type", "test", "unit_test", "--threads", "1")
        with meter.seconds("from scratch"):
            dbt(folder, "run", "--full-refresh", *MODELS, note=note)
        for more in (0, MORE_LOADS):
            if more:
                conn.execute(ADD_LOADS, [more])
                conn.execute("analyze raw.loads")
                with meter.seconds(f"from scratch, {more:,} more loads"):
                    dbt(folder, "run", "--full-refresh", *MODELS, note=note)
            files = [folder / f"{more}-{number}.csv" for number in range(BATCHES + 1)]
            for number, file in enumerate(files):
                begin = START + timedelta(days=days, seconds=1_700 * number)
                sources = [f"camera-{one:02d}" for one in range(1, SOURCES + 1)]
                file.write_text(batch(begin, generator, sources))
            # The first one creates a partition, and warms caches.
            run("load", "--quiet", str(files[0]))
            dbt(folder, "run", *MODELS)
            with meter.seconds(f"a batch, {more:,} more loads", times=BATCHES):
                for file in files[1:]:
                    run("load", "--quiet", str(file))
                    dbt(folder, "run", *MODELS, note=note if file == files[-1] else None)
        (size_of_category_periods,) = conn.execute(
            "select pg_relation_size('analytics.fct_category_activity_periods') / 1000"
        ).fetchall()[0]
    if is_cluster:
        print(f"\nPeriods of categories are {size_of_category_periods:,} kB.\n")
        print("| kilobytes | scratch | batch | scratch, more loads | batch, more loads |")
        print("|---|---:|---:|---:|---:|")
        for model, sent in sorted(meter.sent.items()):
            print(f"| `{model}` | {' | '.join(sent)} |")
        meter.sent.clear()


def run(*arguments: str) -> None:
    """Run a command of the loader in a process of its own."""
    subprocess.run(
        [sys.executable, "-m", "loader", *arguments],
        check=True, cwd=PROJECT, stdout=subprocess.DEVNULL,
    )  # fmt: skip


def dbt(folder: Path, *arguments: str, note: Callable[[EventMsg], None] | None = None) -> None:
    """Run dbt in this process, and tell of what happens."""
    paths = [f"--{name}={folder}" for name in ("profiles-dir", "target-path", "log-path")]
    with contextlib.redirect_stdout(io.StringIO()) as said:
        result = dbtRunner(callbacks=[note] if note else []).invoke(
            [*arguments, f"--project-dir={PROJECT}", *paths, "--no-send-anonymous-usage-stats"]
        )
    if not result.success:
        sys.exit(said.getvalue())


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("dsn", help="a coordinator's database named *test*, which is emptied")
    parser.add_argument("millions", type=float, nargs="*", default=[0.2, 2])
    given = parser.parse_args()
    main(given.dsn, given.millions)
