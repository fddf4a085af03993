"""``loader consume`` against a real broker: each message once, whatever happens to consumers."""

import json
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from psycopg import Connection

from loader.database.connection import connect
from tests.support.brokers import Broker, running_broker
from tests.support.topics import OFFSET, Running, Topic, event, results
from tests.support.waits import PATIENCE, wait_until

Start = Callable[..., "subprocess.Popen[str]"]
Scalar = Callable[[str], object]
EVENTS = "select count(*) from raw.events"


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with running_broker() as broker:
        yield broker


def test_each_message_is_loaded_once(topic: Topic, conn: Connection) -> None:
    topic.produce(map(event, range(5)), partition=0)
    topic.produce(map(event, range(5, 8)), partition=1)
    (first,) = results(topic.consume())
    assert (first["rows_read"], first["rows_loaded"]) == (8, 8)
    assert first["origin"] == f"kafka:{topic.name}"
    topic.produce([event(10)], partition=1)
    (second,) = results(topic.consume())
    assert second["rows_loaded"] == 1
    offsets = conn.execute(
        "select partition_number, next_offset from raw.kafka_offsets order by 1"
    ).fetchall()
    assert offsets == [(0, 5), (1, 4)]
    (details,) = conn.execute(
        "select options -> 'kafka' -> 'offsets' from raw.loads order by load_id desc limit 1"
    ).fetchone()  # type: ignore[misc]
    assert details == {"1": [3, 4]}


def test_messages_of_a_known_format_are_loaded(topic: Topic, conn: Connection) -> None:
    sample = Path(__file__).parents[2] / "docs/samples/deepstream-minimal.ndjson"
    topic.produce(sample.read_bytes().splitlines())
    (result,) = results(topic.consume("--as", "deepstream-minimal"))
    assert (result["rows_loaded"], result["rows_rejected"]) == (3, 0)
    types = conn.execute("select event_type from raw.event_types order by 1").fetchall()
    assert types == [("Person",), ("Vehicle",)]


def test_poison_is_rejected_with_its_place(topic: Topic, scalar: Scalar) -> None:
    pretty = json.dumps(json.loads(event(1)), indent=2).encode().replace(b"\n", b"\r\n")
    poison = [b"", b"\xff\xfe", b"not json", b'{"time":\n', b'{"time": "a\nb"}', b" \n ", b"[1]"]
    topic.produce([event(0), pretty, None, *poison, event(2, note="x")])
    (result,) = results(topic.consume())
    assert (result["rows_read"], result["rows_loaded"], result["rows_rejected"]) == (10, 3, 7)
    shown = topic.run_loader("rejects").stdout
    places = [int(offset) for offset in re.findall(r"partition 0 offset (\d+):", shown)]
    assert places == list(range(3, 10))
    assert scalar(f"{OFFSET} and topic = '{topic.name}'") == 11


def test_a_recreated_topic_is_noticed(topic: Topic, broker: Broker) -> None:
    topic.produce(map(event, range(3)))
    assert len(results(topic.consume())) == 1
    broker.delete(topic.name)
    broker.create(topic.name, 2)
    topic.produce(map(event, range(10, 15)))
    stopped = topic.consume()
    assert stopped.exit_code == 4
    assert "--new-topic restart" in stopped.stderr
    (result,) = results(topic.consume("--new-topic", "restart"))
    assert result["rows_loaded"] == 5


def test_what_is_buffered_of_a_topic_that_was_made_anew_is_not_loaded(
    topic: Topic,
    start_consumer: Callable[..., Running],
    scalar: Scalar,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of what was read, nobody can tell which topic it is from; nor what an offset counts.

    The topic is another one by what we are told only: librdkafka 2.16 crashes when it really is.
    """
    topic.produce(map(event, range(3)))
    running = start_consumer()
    wait_until(lambda: running.consumer.buffered == 3)
    with monkeypatch.context() as patched:
        patched.setattr("loader.kafka.client.Topic.identity", lambda _: "cluster/another")
        running.stop()
    assert running.failure is None
    assert "made anew while it was read" in running.said[0]
    assert running.loads == []
    assert (scalar(EVENTS), scalar("select count(*) from raw.kafka_offsets")) == (0, 0)
    (result,) = results(topic.consume())
    assert result["rows_loaded"] == 3


def test_what_is_buffered_is_loaded_before_partitions_go_to_another(
    topic: Topic, start_consumer: Callable[..., Running], scalar: Scalar
) -> None:
    for partition in (0, 1):
        topic.produce(map(event, range(3)), partition=partition)
    first = start_consumer()
    wait_until(lambda: first.consumer.buffered == 6)
    second = start_consumer()
    wait_until(lambda: scalar(EVENTS) == 6)
    wait_until(lambda: second.consumer.is_assigned)
    for partition in (0, 1):
        topic.produce([event(10)], partition=partition)
    wait_until(lambda: first.consumer.buffered == second.consumer.buffered == 1)
    second.stop()
    assert scalar(EVENTS) == 7


@pytest.mark.parametrize("has_loaded_before", [False, True])
def test_a_zombie_is_fenced(
    has_loaded_before: bool,
    topic: Topic,
    start_loader: Start,
    write_events: Callable[..., Path],
    dsn: str,
    wait_for: Callable[[str], None],
    scalar: Scalar,
) -> None:
    """It stands still in the middle of a load, for longer than its group waits for it."""
    # The partition of the table must be there, for making it takes a lock that the zombie holds.
    assert topic.run_loader("load", write_events(start="2026-03-02T07", count=1)).exit_code == 0
    if has_loaded_before:
        topic.produce([event(0)])
        assert len(results(topic.consume())) == 1
    before = int(has_loaded_before)
    topic.produce(map(event, range(1, 6)))
    options = (*topic.arguments, "--every", "0.2s", "--workers", "1")
    with connect(dsn, purpose="test") as holder, holder.transaction():
        # Nobody copies an event meanwhile.
        holder.execute("lock raw.events in share mode")
        zombie = start_loader(*options)
        wait_for(
            "select count(*) > 0 from pg_stat_activity where wait_event_type = 'Lock'"
            " and application_name like 'video-events loader%'"
        )
        zombie.send_signal(signal.SIGSTOP)
    heir = start_loader(*options)
    wait_for(f"select count(*) = {1 + before + 5} from raw.events join raw.loads using (load_id)"
             " where load_seq is not null")  # fmt: skip
    zombie.send_signal(signal.SIGCONT)
    wait_for("select count(*) = 0 from raw.loads where load_seq is null")
    assert scalar(EVENTS) == 1 + before + 5
    topic.produce([event(10)])
    wait_for(f"{OFFSET.replace('next_offset', f'max(next_offset) = {before + 6}')}"
             f" and topic = '{topic.name}'")  # fmt: skip
    said = {}
    for process in (zombie, heir):
        process.send_signal(signal.SIGTERM)
        _, said[process] = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0
    assert f"another consumer of group {topic.group} has loaded on from" in said[zombie]
    assert "another consumer" not in said[heir]
    assert scalar(EVENTS) == 1 + before + 6
    assert scalar("select count(*) from raw.loads where load_seq is null") == 0
