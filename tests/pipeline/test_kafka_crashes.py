"""Each message once, and exact marts, while consumers are killed and server and broker go away."""

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from loader.database.connection import connect
from loader.server.cluster import Cluster
from tests.support.brokers import Broker, running_broker
from tests.support.consumers import Consumers
from tests.support.dbt import Dbt
from tests.support.oracle import MARTS, Oracle
from tests.support.proxies import Proxy
from tests.support.servers import kill_server
from tests.support.waits import wait_until

KILLS = int(os.environ.get("KAFKA_KILLS", "30"))
KILLS_BETWEEN_RESTS = 6
PARTITIONS = 4
CONSUMERS = 3
TOPIC = "events"
BEGINNING = datetime(2026, 3, 2, tzinfo=UTC)

Row = tuple[datetime, str, str, int]
POISON = b"no event"


@pytest.fixture
def cluster(make_cluster: Callable[[], Cluster]) -> Cluster:
    """A server of the test's own, which it may kill."""
    cluster = make_cluster()
    cluster.start()
    return cluster


@pytest.fixture
def database(cluster: Cluster) -> str:
    """A database that goes away with its server."""
    cluster.ensure_database("crashes")
    return "crashes"


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """What consumers and the producer reach the broker through."""
    proxy = Proxy()
    yield proxy
    proxy.close()


@pytest.fixture
def broker(proxy: Proxy) -> Iterator[Broker]:
    with running_broker(through=proxy) as broker:
        broker.create(TOPIC, PARTITIONS)
        yield broker


@pytest.fixture
def consumers(
    dsn: str, broker: Broker, tmp_path: Path, generator: random.Random
) -> Iterator[Consumers]:
    arguments = ("--topic", TOPIC, "--brokers", broker.address, "--attributes", "number")
    consumers = Consumers(dsn=dsn, arguments=arguments, directory=tmp_path, generator=generator)
    yield consumers
    consumers.kill_all()


def end_connections(dsn: str) -> None:
    """End what the consumers are connected with."""
    with connect(dsn, purpose="test") as conn:
        conn.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )


def pause_broker(broker: Broker, seconds: float) -> None:
    """Let the broker answer nobody for a while."""
    broker.process.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    broker.process.send_signal(signal.SIGCONT)


def event(number: int) -> tuple[Row, bytes]:
    """Return an event as it is to be found, and as it is sent."""
    at = BEGINNING + timedelta(seconds=number)
    kind, source = ("car", "bus")[number % 2], f"camera {number % 7}"
    sent = {"time": at.isoformat(), "type": kind, "source": source, "number": number}
    return (at, kind, source, number), json.dumps(sent).encode()


def visible(dsn: str) -> Counter[Row]:
    with connect(dsn, purpose="test") as conn:
        return Counter(
            conn.execute(
                "select events.event_time, event_types.event_type, sources.source_name,"
                " (events.attributes ->> 'number')::int"
                " from raw.events join raw.loads using (load_id) join raw.sources using (source_id)"
                " join raw.event_types using (event_type_id)"
                " where loads.load_seq is not null and loads.withdrawn_seq is null"
            ).fetchall()
        )


def loaded(dsn: str) -> int:
    """Return how far the group has come."""
    with connect(dsn, purpose="test") as conn:
        # All may have been killed before one has made the schema.
        if conn.execute("select to_regclass('raw.kafka_offsets')").fetchone() == (None,):
            return 0
        row = conn.execute("select coalesce(sum(next_offset), 0) from raw.kafka_offsets").fetchone()
    assert row is not None
    return int(row[0])


def rejected(dsn: str) -> set[tuple[int, int]]:
    """Return the places of all messages that were rejected; none of them twice."""
    with connect(dsn, purpose="test") as conn:
        rows = conn.execute(
            "select partition_number, message_offset from raw.rejected_events"
        ).fetchall()
    assert len(rows) == len(set(rows))
    return {(partition, offset) for partition, offset in rows}


def is_publishing(dsn: str) -> bool:
    """Tell whether a consumer waits to publish what it has loaded."""
    with connect(dsn, purpose="test") as conn:
        waiting = conn.execute(
            "select from pg_stat_activity where datname = current_database()"
            " and wait_event_type = 'Lock' and application_name like 'video-events loader%'"
        )
        return waiting.fetchone() is not None


def kill_while_they_publish(consumers: Consumers, dsn: str, produce: Callable[[], None]) -> None:
    """Kill all of them when one has loaded something; however slow the machine is, one has to."""
    with connect(dsn, purpose="test") as holder, holder.transaction():
        holder.execute("lock raw.load_counter in exclusive mode")
        produce()
        consumers.start(CONSUMERS, are_mortal=False)
        wait_until(lambda: is_publishing(dsn))
        consumers.kill_all()


def lost_loads(dsn: str) -> int:
    """Return how many loads were begun of which nothing is left."""
    with connect(dsn, purpose="test") as conn:
        row = conn.execute("select coalesce(max(load_id) - count(*), 0) from raw.loads").fetchone()
    assert row is not None
    return int(row[0])


def test_consumers_killed_at_any_moment_load_each_message_once(
    broker: Broker, proxy: Proxy, cluster: Cluster, consumers: Consumers, dsn: str, dbt: Dbt,
    generator: random.Random,
) -> None:  # fmt: skip
    sent: Counter[Row] = Counter()
    poison: set[tuple[int, int]] = set()
    ends = [0] * PARTITIONS

    def produce() -> None:
        # While nothing is interrupted: what the producer sends twice is there twice.
        events = [event(sent.total() + at) for at in range(generator.randint(1, 100))]
        values = [value for _, value in events]
        values.insert(place := generator.randint(0, len(values)), POISON)
        partition = generator.randrange(PARTITIONS)
        broker.produce(TOPIC, values, partition)
        sent.update(row for row, _ in events)
        poison.add((partition, ends[partition] + place))
        ends[partition] += len(values)

    faults: list[Callable[[], None]] = [
        lambda: kill_server(cluster),
        lambda: end_connections(dsn),
        proxy.reset,
        lambda: pause_broker(broker, generator.uniform(0.1, 1.5)),
    ]

    def go_on() -> None:
        # Kills that keep a group from ever loading anything would show little.
        before = loaded(dsn)

        def has_gone_on() -> bool:
            consumers.start(consumers.bury(0), are_mortal=False)
            return loaded(dsn) > before

        wait_until(has_gone_on)

    produce()
    consumers.start(CONSUMERS, are_mortal=True)
    faulty = rests = 0
    while consumers.kills < KILLS:
        produce()
        if generator.random() < 0.25:
            faults[faulty % len(faults)]()
            faulty += 1
        if generator.random() < 0.6:
            consumers.kill_one()
        consumers.start(consumers.bury(generator.uniform(0.1, 0.8)), are_mortal=True)
        if consumers.kills // KILLS_BETWEEN_RESTS > rests:
            rests += 1
            go_on()
            if rests == 1:
                dbt.build()
    kill_while_they_publish(consumers, dsn, produce)
    produce()
    consumers.start(CONSUMERS, are_mortal=False, are_restless=False)
    wait_until(lambda: loaded(dsn) == sum(ends))
    consumers.stop()
    found = visible(dsn)
    assert {"missing": sent - found, "too many": found - sent} == {"missing": {}, "too many": {}}
    assert rejected(dsn) == poison
    assert lost_loads(dsn) > 0
    dbt("run")
    with connect(dsn, purpose="test") as conn:
        assert Oracle(conn=conn).differences(MARTS) == {}
        # Nothing is left of those that were never finished.
        left = conn.execute(
            "select count(*), (select count(*) from raw.loads where load_seq is null)"
            " from raw.events where load_id not in (select load_id from raw.loads)"
        ).fetchone()
    assert left == (0, 0)
