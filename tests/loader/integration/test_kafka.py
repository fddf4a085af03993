"""``loader consume`` against a real broker: each message once, whatever happens to topics."""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from loader.kafka.client import Client
from loader.kafka.consumer import TopicConsumer
from loader.kafka.offsets import FencedError, Move, move_offsets
from loader.kafka.options import ConsumeOptions
from loader.mapping import Mapping
from loader.pipeline import LoadOptions
from loader.signals import StopRequest
from tests.brokers import QUICK, Broker, running_broker
from tests.conftest import Outcome

_numbers = count(1)
OFFSET = "select next_offset from raw.kafka_offsets where partition_number = 0"
Consume = Callable[..., Outcome]


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with running_broker() as broker:
        yield broker


@pytest.fixture
def topic(broker: Broker) -> str:
    name = f"events-{next(_numbers)}"
    broker.create(name, 2)
    return name


@pytest.fixture
def consume(broker: Broker, topic: str, run_loader: Callable[..., Outcome]) -> Consume:
    def run(*options: str) -> Outcome:
        return run_loader(
            "consume", "--topic", topic, "--brokers", broker.address, "--once", "--json",
            "--group", f"group of {topic}", *QUICK, *options,
        )  # fmt: skip

    return run


def event(second: int, **more: Any) -> bytes:
    found = {"time": f"2026-03-02T08:{second // 60:02}:{second % 60:02}Z", "type": "car"}
    return json.dumps(found | {"source": "gate"} | more).encode()


def results(outcome: Outcome) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in outcome.stdout.splitlines()]
    has_rejects = any(result["rows_rejected"] for result in found)
    assert outcome.exit_code == (3 if has_rejects else 0), outcome.stderr
    return found


def test_each_message_is_loaded_once(
    broker: Broker, topic: str, consume: Consume, conn: Connection
) -> None:
    broker.produce(topic, map(event, range(5)), partition=0)
    broker.produce(topic, map(event, range(5, 8)), partition=1)
    (first,) = results(consume())
    assert (first["rows_read"], first["rows_loaded"]) == (8, 8)
    assert first["origin"] == f"kafka:{topic}"
    assert results(consume()) == []
    broker.produce(topic, [event(10)], partition=1)
    (second,) = results(consume())
    assert second["rows_loaded"] == 1
    offsets = conn.execute(
        "select partition_number, next_offset from raw.kafka_offsets order by 1"
    ).fetchall()
    assert offsets == [(0, 5), (1, 4)]
    (details,) = conn.execute(
        "select options -> 'kafka' -> 'offsets' from raw.loads order by load_id desc limit 1"
    ).fetchone()  # type: ignore[misc]
    assert details == {"1": [3, 4]}


def test_poison_is_rejected_with_its_place(
    broker: Broker, topic: str, consume: Consume, run_loader: Callable[..., Outcome]
) -> None:
    pretty = json.dumps(json.loads(event(1)), indent=2).encode().replace(b"\n", b"\r\n")
    poison = [b"", b"\xff\xfe", b"not json", b'{"time":\n', b'{"time": "a\nb"}', b" \n ", b"[1]"]
    broker.produce(topic, [event(0), pretty, None, *poison, event(2, note="x")])
    (result,) = results(consume())
    assert (result["rows_read"], result["rows_loaded"], result["rows_rejected"]) == (10, 3, 7)
    shown = run_loader("rejects").stdout
    for offset in range(3, 10):
        assert f"partition 0 offset {offset}:" in shown
    assert "offset 2:" not in shown


def test_a_topic_of_nothing_but_poison_does_not_stop(
    broker: Broker, topic: str, consume: Consume
) -> None:
    broker.produce(topic, [b"[", b"]", b"\0\0"])
    (result,) = results(consume())
    assert (result["rows_read"], result["rows_rejected"]) == (3, 3)
    assert results(consume()) == []


def test_tombstones_move_the_offset_and_are_no_rows(
    broker: Broker, topic: str, consume: Consume, conn: Connection
) -> None:
    broker.produce(topic, [None, None])
    assert results(consume()) == []
    assert conn.execute("select max(next_offset) from raw.kafka_offsets").fetchall() == [(2,)]


def test_batches_have_at_most_so_many_rows(broker: Broker, topic: str, consume: Consume) -> None:
    broker.produce(topic, map(event, range(25)))
    assert [one["rows_loaded"] for one in results(consume("--max-rows", "10"))] == [10, 10, 5]


def test_messages_are_mapped_like_files(
    broker: Broker, topic: str, consume: Consume, conn: Connection
) -> None:
    broker.produce(topic, [b'{"ts": 1772438405000, "class": "Pkw", "score": 0.9}'])
    options = ("--time-column", "ts", "--time-format", "epoch_ms", "--type-column", "class",
               "--type-map", "Pkw=car", "--source", "gate", "--attributes", "score")  # fmt: skip
    assert len(results(consume(*options))) == 1
    assert conn.execute("select attributes from raw.events").fetchall() == [({"score": 0.9},)]


def test_a_recreated_topic_is_noticed(broker: Broker, topic: str, consume: Consume) -> None:
    broker.produce(topic, map(event, range(3)))
    assert len(results(consume())) == 1
    broker.delete(topic)
    broker.create(topic, 2)
    broker.produce(topic, map(event, range(10, 15)))
    stopped = consume()
    assert stopped.exit_code == 4
    assert "--new-topic restart" in stopped.stderr
    (result,) = results(consume("--new-topic", "restart"))
    assert result["rows_loaded"] == 5
    assert results(consume()) == []


def test_a_new_partition_is_read_from_its_beginning(
    broker: Broker, topic: str, consume: Consume, conn: Connection
) -> None:
    broker.produce(topic, [event(0)], partition=0)
    assert results(consume("--from", "end")) == []
    # As if the topic had grown since, which this broker cannot do.
    conn.execute("delete from raw.kafka_offsets where partition_number = 1")
    broker.produce(topic, [event(1)], partition=1)
    (result,) = results(consume("--from", "end"))
    assert result["rows_loaded"] == 1


def test_from_the_end_skips_only_what_was_there(
    broker: Broker, topic: str, consume: Consume
) -> None:
    broker.produce(topic, [event(0)])
    assert results(consume("--from", "end")) == []
    broker.produce(topic, [event(1)])
    (result,) = results(consume("--from", "end"))
    assert result["rows_loaded"] == 1


def test_a_zombie_is_fenced_and_its_batch_read_again(
    broker: Broker, topic: str, consume: Consume, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.produce(topic, map(event, range(4)))
    moves: list[dict[int, Move]] = []

    def overtaken(
        at: psycopg.Connection, group: str, name: str, identity: str, own: dict[int, Move]
    ) -> None:
        if not moves:
            # Another consumer has published the first message since we began.
            moves.append(own)
            move_offsets(conn, group, name, identity, {0: Move(old=None, new=1)})
        move_offsets(at, group, name, identity, own)

    monkeypatch.setattr("loader.kafka.consumer.move_offsets", overtaken)
    outcome = consume()
    (result,) = results(outcome)
    assert result["rows_loaded"] == 3
    assert "another consumer" in outcome.stderr
    assert conn.execute("select count(*) from raw.loads").fetchall() == [(1,)]


def test_alerts_go_on_over_batches_and_are_told_once(
    broker: Broker, topic: str, consume: Consume, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = "alert: 2026-03-02T08:00:04Z person_in_5_consecutive_events: gate, people"
    broker.produce(topic, [event(second, type="pedestrian") for second in range(4)])
    assert "alert:" not in consume("--alert").stderr
    broker.produce(topic, [event(second, type="pedestrian") for second in range(4, 9)])

    # The batch that raises it is published by another consumer first: nothing is told of ours.
    later = iter([False, True])

    def too_late_once(*arguments: Any) -> None:
        if not next(later):
            raise FencedError("another consumer has loaded on")
        move_offsets(*arguments)

    monkeypatch.setattr("loader.kafka.consumer.move_offsets", too_late_once)
    outcome = consume("--alert", "--cooldown", "0s")
    assert "another consumer" in outcome.stderr
    assert [line for line in outcome.stderr.splitlines() if "alert:" in line] == [told]
    assert conn.execute("select count(*) from raw.early_alerts").fetchone() == (1,)


def test_offsets_move_only_from_where_they_stand(conn: Connection) -> None:
    arguments = ("group", "topic", "cluster/id")
    move_offsets(conn, *arguments, {0: Move(old=None, new=5)})
    move_offsets(conn, *arguments, {0: Move(old=5, new=9)})
    for old, identity in ((5, "cluster/id"), (None, "cluster/id"), (9, "cluster/other")):
        with pytest.raises(FencedError):
            move_offsets(conn, "group", "topic", identity, {0: Move(old=old, new=7)})
    assert conn.execute(
        "select next_offset from raw.kafka_offsets where partition_number = 0"
    ).fetchall() == [(9,)]


def test_a_topic_that_is_not_there(consume: Consume, broker: Broker, topic: str) -> None:
    broker.delete(topic)
    outcome = consume()
    assert (outcome.exit_code, "there is no topic" in outcome.stderr) == (4, True)


def test_a_broker_that_is_not_there(run_loader: Callable[..., Outcome],
                                    monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr("loader.kafka.topics.TIMEOUT_SECONDS", 0.5)
    outcome = run_loader("consume", "--topic", "t", "--brokers", "127.0.0.1:1", "--once")
    assert outcome.exit_code == 5
    assert len(outcome.stderr.splitlines()) == 1


@pytest.mark.parametrize("option", ["nonsense", "enable.auto.commit=true", "no.such.option=secret"])
def test_options_that_cannot_be_used(run_loader: Callable[..., Outcome], option: str) -> None:
    outcome = run_loader("consume", "--topic", "t", "--kafka-option", option)
    assert outcome.exit_code == 2
    assert "--kafka-option" in outcome.stderr
    assert "secret" not in outcome.stderr


def test_without_the_client(
    run_loader: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    outcome = run_loader("consume", "--topic", "t")
    assert outcome.exit_code == 2
    assert "pip install 'video-events-loader[kafka]'" in outcome.stderr


@pytest.fixture
def start_consumer(
    broker: Broker, topic: str, dsn: str
) -> Iterator[Callable[[], tuple[TopicConsumer, StopRequest, threading.Thread]]]:
    """Start a consumer of one group that loads nothing of its own accord for an hour."""
    stops: list[tuple[StopRequest, threading.Thread]] = []

    def start() -> tuple[TopicConsumer, StopRequest, threading.Thread]:
        options = {"session.timeout.ms": "6000", "heartbeat.interval.ms": "200"}
        consumer = TopicConsumer(
            dsn=dsn,
            client=Client(brokers=broker.address, group=f"group of {topic}", options=options),
            topic=topic,
            mapping=Mapping(format="ndjson"),
            load_options=LoadOptions(workers=1),
            options=ConsumeOptions(every=3600),
            early_alerts=None,
            loaded=lambda result: None,  # noqa: ARG005
            say=lambda text: None,  # noqa: ARG005
        )
        must_stop = StopRequest()
        thread = threading.Thread(target=consumer.run, args=[must_stop])
        thread.start()
        stops.append((must_stop, thread))
        return consumer, must_stop, thread

    yield start
    for must_stop, _ in stops:
        must_stop.set()
    for _, thread in stops:
        thread.join(30)
        assert not thread.is_alive()


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_what_is_buffered_is_loaded_at_the_end(
    broker: Broker, topic: str, start_consumer: Any, conn: Connection
) -> None:
    broker.produce(topic, map(event, range(3)))
    consumer, must_stop, thread = start_consumer()
    wait_until(lambda: consumer.buffered == 3)
    assert conn.execute("select count(*) from raw.events").fetchone() == (0,)
    must_stop.set()
    thread.join(30)
    assert conn.execute("select count(*) from raw.events").fetchone() == (3,)
    assert conn.execute(OFFSET).fetchall() == [(3,)]


def test_what_is_buffered_is_loaded_before_partitions_go_to_another(
    broker: Broker, topic: str, start_consumer: Any, conn: Connection
) -> None:
    for partition in (0, 1):
        broker.produce(topic, map(event, range(3)), partition=partition)
    first, _, _ = start_consumer()
    wait_until(lambda: first.buffered == 6)
    second, must_stop, thread = start_consumer()
    wait_until(lambda: conn.execute("select count(*) from raw.events").fetchone() == (6,))
    wait_until(lambda: second.is_assigned)
    for partition in (0, 1):
        broker.produce(topic, [event(10)], partition=partition)
    wait_until(lambda: first.buffered == second.buffered == 1)
    must_stop.set()
    thread.join(30)
    assert conn.execute("select count(*) from raw.events").fetchone() == (7,)
