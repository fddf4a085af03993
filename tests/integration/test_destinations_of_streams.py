"""``loader watch``, ``loader consume`` and programs, with two destinations, one of them away."""

import json
import os
import random
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest
from psycopg import Connection, sql

import loader
from loader import Event, IncompleteError, InputError, UsageError
from loader.server.cluster import Cluster
from tests.conftest import Outcome
from tests.support.brokers import Broker, running_broker
from tests.support.topics import event
from tests.support.waits import PATIENCE, wait_until

from .test_destinations import EVENTS, rows
from .test_watch import files_in

Run = Callable[..., Outcome]
Write = Callable[..., Path]
Configure = Callable[..., Path]
Start = Callable[..., "subprocess.Popen[str]"]
# A member that is killed holds its partitions for so long.
QUICK = (
    "--kafka-option", "session.timeout.ms=1500", "--kafka-option", "heartbeat.interval.ms=200",
)  # fmt: skip
# Seconds in which a process ends that was told to.
LONG_ENOUGH = 30
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


class Switch:
    """Takes a database away, and gives it back."""

    def __init__(self, cluster: Cluster, archive_dsn: str) -> None:
        self._cluster = cluster
        self._name = psycopg.conninfo.conninfo_to_dict(archive_dsn)["dbname"]

    def off(self) -> None:
        self._allow(False)
        with psycopg.connect(self._cluster.dsn(), autocommit=True) as admin:
            admin.execute(
                "select pg_terminate_backend(pid, 300000) from pg_stat_activity where datname = %s",
                [self._name],
            )

    def on(self) -> None:
        self._allow(True)

    def _allow(self, is_allowed: bool) -> None:
        with psycopg.connect(self._cluster.dsn(), autocommit=True) as admin:
            admin.execute(
                sql.SQL("alter database {} allow_connections {}").format(
                    sql.Identifier(str(self._name)), sql.Literal(is_allowed)
                )
            )


@pytest.fixture
def switch(cluster: Cluster, archive_dsn: str) -> Iterator[Switch]:
    found = Switch(cluster, archive_dsn)
    yield found
    found.on()


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    directory = tmp_path / "inbox"
    directory.mkdir()
    return directory


def count_events(dsn: str) -> int:
    with psycopg.connect(dsn) as conn:
        return len(rows(conn, EVENTS))


def test_a_file_waits_for_the_one_that_is_away(
    configure: Configure, run_loader: Run, write_events: Write, inbox: Path, switch: Switch,
    conn: Connection, archive_dsn: str,
) -> None:  # fmt: skip
    configure(realtime='types = ["car"]')
    switch.off()
    write_events("inbox/good.csv", count=5)
    write_events("inbox/some bad.csv", count=2, bad=1, start="2024-05-14T00")
    (inbox / "other.csv").write_text("a,b\n1,2\n")
    once = ("watch", inbox, "--once", "--settle", "0s", "--json", "--quiet")
    outcome = run_loader(*once)
    assert outcome.exit_code == 5
    assert files_in(inbox) == {
        "loading": ["good.csv", "some bad.csv"],
        "failed": ["other.csv", "other.csv.error.txt"],
    }
    assert "archive lacks" in outcome.stderr
    found = [json.loads(line) for line in outcome.stdout.splitlines()]
    assert [(one["destination"], one["rows_loaded"]) for one in found] == [
        ("realtime", 5), ("realtime", 2),
    ]  # fmt: skip
    switch.on()
    outcome = run_loader(*once)
    assert outcome.exit_code == 3
    assert files_in(inbox) == {
        "done": ["good.csv"],
        "failed": ["other.csv", "other.csv.error.txt"],
        "rejected": ["some bad.csv"],
    }
    assert len(rows(conn, EVENTS)) == count_events(archive_dsn) == 7


def test_files_go_on_to_come_while_one_is_away(
    configure: Configure, start_loader: Start, write_events: Write, inbox: Path, tmp_path: Path,
    switch: Switch, dsn: str, archive_dsn: str,
) -> None:  # fmt: skip
    configure()
    switch.off()
    process = start_loader("watch", inbox, "--every", "0.2s", "--settle", "0s", "--json", "--quiet")
    for number in range(3):
        write_events(f"{number}.csv.part", count=4, start=f"2024-05-1{number}T00")
        (tmp_path / f"{number}.csv.part").rename(inbox / f"{number}.csv")
        wait_until(lambda number=number: count_events(dsn) == 4 * (number + 1))  # type: ignore[misc]
    switch.on()
    wait_until(lambda: files_in(inbox).get("done") == ["0.csv", "1.csv", "2.csv"])
    process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, stderr
    found = [json.loads(line) for line in stdout.splitlines()]
    # None was loaded, or even read, once more for the one that had it.
    assert [one["already_loaded"] for one in found] == [False] * 6
    assert sorted((one["destination"], Path(one["origin"]).name) for one in found) == [
        (name, f"{number}.csv") for name in ("archive", "realtime") for number in range(3)
    ]
    assert count_events(archive_dsn) == 12
    assert "trying again in 1 s" in stderr


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with running_broker() as broker:
        broker.create("events", 2)
        broker.create("more", 2)
        yield broker


def test_each_destination_consumes_on_its_own(
    configure: Configure, run_loader: Run, switch: Switch, broker: Broker, conn: Connection,
    archive_dsn: str,
) -> None:  # fmt: skip
    configure(realtime='types = ["van"]')
    broker.produce("events", [*map(event, range(10)), event(20, type="van"), b"poison"])
    once = ("consume", "--topic", "events", "--brokers", broker.address, "--once", "--json", *QUICK)
    switch.off()
    outcome = run_loader(*once)
    assert outcome.exit_code == 5
    assert "loader: archive: " in outcome.stderr
    (found,) = map(json.loads, outcome.stdout.splitlines())
    counts = ("destination", "rows_read", "rows_loaded", "rows_rejected")
    assert [found[name] for name in counts] == ["realtime", 12, 1, 1]
    switch.on()
    outcome = run_loader(*once)
    assert outcome.exit_code == 3
    (found,) = map(json.loads, outcome.stdout.splitlines())
    assert [found[name] for name in counts] == ["archive", 12, 11, 1]
    offsets = "select consumer_group, next_offset from raw.kafka_offsets where partition_number = 0"
    with psycopg.connect(archive_dsn) as archive:
        assert rows(conn, offsets) == rows(archive, offsets) == [("video-events", 12)]
    outcome = run_loader(*once, "--to", "archive")
    assert (outcome.exit_code, outcome.stdout) == (0, "")


def test_consumers_of_two_destinations_are_exact_whatever_happens_to_one(
    configure: Configure,
    start_loader: Start,
    switch: Switch,
    broker: Broker,
    dsn: str,
    archive_dsn: str,
) -> None:
    configure()
    arguments = (
        "consume", "--topic", "more", "--brokers", broker.address, "--every", "0.3s", "--quiet",
        *QUICK,
    )  # fmt: skip

    def produce(first: int) -> None:
        for partition in (0, 1):
            begins = first + 50 * partition
            broker.produce("more", map(event, range(begins, begins + 50)), partition)

    process = start_loader(*arguments)
    produce(0)
    wait_until(lambda: count_events(dsn) == count_events(archive_dsn) == 100)
    switch.off()
    produce(100)
    wait_until(lambda: count_events(dsn) == 200)
    said = wait_until_said(process, "archive: ")
    process.kill()
    _, stderr = process.communicate()
    assert "realtime: " not in said + stderr
    produce(200)
    # It starts although one is away, and that one joins in later.
    process = start_loader(*arguments)
    wait_until(lambda: count_events(dsn) == 300)
    switch.on()
    wait_until(lambda: count_events(archive_dsn) == 300)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, stderr
    with psycopg.connect(dsn) as one, psycopg.connect(archive_dsn) as other:
        assert rows(one, EVENTS) == rows(other, EVENTS)
        assert len({row[0] for row in rows(one, EVENTS)}) == 300


def wait_until_said(process: "subprocess.Popen[str]", text: str) -> str:
    """Wait until a process has said something on standard error; return all that it said."""
    assert process.stderr is not None
    descriptor = process.stderr.fileno()
    said = bytearray()

    def is_said() -> bool:
        with suppress(BlockingIOError):
            said.extend(os.read(descriptor, 1 << 16))
        return text.encode() in said

    os.set_blocking(descriptor, False)
    wait_until(is_said)
    os.set_blocking(descriptor, True)
    return said.decode()


def end(process: "subprocess.Popen[str]") -> str:
    """Send a signal until the process ends; two that it has not looked at yet count as one."""
    for _ in range(int(PATIENCE / LONG_ENOUGH)):
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=LONG_ENOUGH)[1]
    raise AssertionError("it goes on")


def test_a_second_signal_ends_all_though_one_hangs(
    configure: Configure,
    start_loader: Start,
    run_loader: Run,
    broker: Broker,
    dsn: str,
    archive_dsn: str,
) -> None:
    configure()
    broker.create("held", 1)
    broker.produce("held", map(event, range(5)))
    arguments = ("consume", "--topic", "held", "--brokers", broker.address, *QUICK)
    with psycopg.connect(archive_dsn) as held, psycopg.connect(dsn, autocommit=True) as conn:
        held.execute("select load_seq from raw.load_counter for update")
        process = start_loader(*arguments, "--every", "0.3s", "--quiet")
        waits = (
            "select 1 from pg_stat_activity where wait_event_type = 'Lock'"
            " and query like '%load_counter%'"
        )
        wait_until(lambda: count_events(dsn) == 5 and len(rows(conn, waits)) == 1)
        process.send_signal(signal.SIGTERM)
        # The one that has loaded everything ends; the other one goes on.
        mine = (
            "select 1 from pg_stat_activity where application_name like '%loader (main)%'"
            " and datname = current_database()"
        )
        wait_until(lambda: not rows(conn, mine))
        assert process.poll() is None
        stderr = end(process)
        assert process.returncode == 130, stderr
        assert "Traceback" not in stderr
    outcome = run_loader(*arguments, "--once", "--json", "--quiet")
    assert [json.loads(line)["destination"] for line in outcome.stdout.splitlines()] == ["archive"]
    assert (count_events(dsn), count_events(archive_dsn)) == (5, 5)


def test_programs_load_into_all(
    configure: Configure, write_events: Write, switch: Switch, conn: Connection, archive_dsn: str
) -> None:
    configure(realtime='types = ["van"]')
    assert loader.destinations() == ("realtime", "archive")
    path = write_events(count=3)
    switch.off()
    with pytest.raises(IncompleteError, match="archive lacks 1 of 1 input") as raised:
        loader.load_files([path])
    assert [one.destination for one in raised.value.results] == ["realtime"]
    assert [one.destination for one in raised.value.missing] == ["archive"]
    switch.on()
    found = loader.load_files([path])
    assert [(one.destination, one.already_loaded, one.rows_read) for one in found] == [
        ("realtime", True, 3), ("archive", False, 3),
    ]  # fmt: skip
    assert [one.destination for one in loader.load_files([path], to="archive")] == ["archive"]

    def seen() -> Iterator[Event]:
        for number in range(6):
            kind = "van" if number % 3 else "car"
            yield Event(time=NOON + timedelta(seconds=number), type=kind, source="gate")

    switch.off()
    with pytest.raises(IncompleteError):
        loader.load_events(seen(), to=loader.destinations(), key="noon")
    switch.on()
    both = loader.load_events(seen(), to=loader.destinations(), key="noon")
    assert [(one.already_loaded, one.rows_loaded) for one in both] == [(True, 4), (False, 6)]
    table = pa.table({"time": [NOON], "type": ["van"], "source": ["door"]})
    assert loader.load_arrow(table, to="realtime").destination == "realtime"
    assert (len(rows(conn, EVENTS)), count_events(archive_dsn)) == (5, 9)


def test_programs_are_told_what_they_have_to_say(configure: Configure, tmp_path: Path) -> None:
    configure(realtime='types = ["van"]')
    with pytest.raises(UsageError, match='to="realtime" or to="archive"'):
        loader.load_events([])
    with pytest.raises(UsageError, match="several destinations need a key"):
        loader.load_events([], to=loader.destinations())
    with pytest.raises(UsageError, match="say which one"):
        loader.periods()
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="no column"):
        loader.load_files([tmp_path / "other.csv"])

    def broken() -> Iterator[Event]:
        yield Event(time=NOON, type="van", source="gate")
        raise RuntimeError("the camera is gone")

    with pytest.raises(RuntimeError):
        loader.load_events(broken(), to=loader.destinations(), key="broken")


def test_together_they_hold_what_the_filters_say(
    configure: Configure, run_loader: Run, conn: Connection, archive_dsn: str, tmp_path: Path,
    switch: Switch, generator: random.Random,
) -> None:  # fmt: skip
    """Random files and filters, one destination away now and then: each has its share, once."""
    types, sources = ["car", "van", "bus"], ["gate", "door"]
    wanted = {
        "realtime": (generator.sample(types, 2), sources, 12, 36),
        "archive": (types, generator.sample(sources, 1), 0, generator.randint(20, 48)),
    }
    keys = {
        name: f"types = {json.dumps(some)}\nsources = {json.dumps(others)}\n"
        f"since = {(NOON + timedelta(hours=first)).isoformat()}\n"
        f"until = {(NOON + timedelta(hours=end)).isoformat()}\n"
        for name, (some, others, first, end) in wanted.items()
    }
    configure(**keys)
    written = []
    for number in range(5):
        path = tmp_path / f"{number}.ndjson"
        events = [
            (generator.randint(-2, 50), generator.choice(types), generator.choice(sources))
            for _ in range(40)
        ]
        written += events
        path.write_text(
            "".join(
                json.dumps({
                    "time": (NOON + timedelta(hours=hour)).isoformat(), "type": kind, "source": one,
                }) + "\n"
                for hour, kind, one in events
            )
        )  # fmt: skip
        if is_away := generator.random() < 0.5:
            switch.off()
        assert run_loader("load", path, "--quiet").exit_code == (5 if is_away else 0)
        switch.on()
    assert run_loader("load", tmp_path, "--quiet").exit_code == 0
    with psycopg.connect(archive_dsn) as archive:
        for name, database in (("realtime", conn), ("archive", archive)):
            some, others, first, end = wanted[name]
            assert rows(database, EVENTS) == sorted(
                ((NOON + timedelta(hours=hour)).strftime("%d %H:%M:%S"), kind, one)
                for hour, kind, one in written
                if kind in some and one in others and first <= hour < end
            ), name
            assert rows(database, "select count(*), sum(rows_rejected) from raw.loads") == [(5, 0)]
