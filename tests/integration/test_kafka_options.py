"""What ``loader consume`` makes of its options and of messages; on brokers that answer at once."""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from loader.cli import consume as cli_consume
from loader.kafka.consumer import TopicConsumer
from loader.kafka.offsets import FencedError, Move, move_offsets
from loader.reading.batch import EventBatch
from loader.reading.json import JsonReader
from loader.reading.pieces import Pieces
from loader.reading.rows import Broken
from tests.conftest import Outcome
from tests.support.mock_brokers import MockBrokers, running_mocks
from tests.support.topics import OFFSET, Running, Topic, event, results
from tests.support.waits import wait_until

Run = Callable[..., Outcome]
Scalar = Callable[[str], object]
EVENTS = "select count(*) from raw.events"


@pytest.fixture(scope="module")
def broker() -> Iterator[MockBrokers]:
    with running_mocks() as brokers:
        yield brokers


def test_offsets_of_another_topic_of_that_name_do_not_move(conn: Connection) -> None:
    """One that was deleted and created anew counts from zero again."""
    move_offsets(conn, "group", "topic", "its id", {0: Move(old=None, new=5)})
    with pytest.raises(FencedError):
        move_offsets(conn, "group", "topic", "another id", {0: Move(old=5, new=9)})
    move_offsets(conn, "group", "topic", "its id", {0: Move(old=5, new=9)})


def test_a_topic_of_nothing_but_poison_does_not_stop(topic: Topic) -> None:
    topic.produce([b"[", b"]", b"\0\0"])
    (result,) = results(topic.consume())
    assert (result["rows_read"], result["rows_rejected"]) == (3, 3)
    assert results(topic.consume()) == []


def test_a_broker_that_is_not_there_is_named_with_the_reason(run_loader: Run) -> None:
    outcome = run_loader("consume", "--topic", "t", "--brokers", "127.0.0.1:1,[::1]:1", "--once")
    assert outcome.exit_code == 5
    # The library itself would tell after 15 seconds, without an address.
    assert "no broker can be reached at 127.0.0.1:1,[::1]:1: Connection refused" in outcome.stderr


class DeathError(BaseException):
    """Ends a consumer as a signal would: what it has begun is left as it is."""


def test_a_message_that_kills_the_consumer_is_found_and_set_aside(
    topic: Topic, scalar: Scalar, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = JsonReader.batches

    def die(reader: JsonReader, messages: Pieces, broken: Broken) -> Iterator[EventBatch]:
        if b"poison" in messages.data:
            raise DeathError
        return read(reader, messages, broken)

    monkeypatch.setattr(JsonReader, "batches", die)
    monkeypatch.setattr("loader.loading.steps.Load.discard", lambda _: None)
    topic.produce(map(event, range(40)), partition=0)
    topic.produce([event(40), event(41, note="poison"), *map(event, range(42, 60))], partition=1)
    sizes = []
    for _ in range(6):
        with pytest.raises(DeathError):
            topic.consume("--max-rows", "32")
        sizes.append(
            scalar("select options #>> '{kafka,messages}' from raw.loads where load_seq is null")
        )
    assert sizes[-4:] == ["1"] * 4
    outcome = topic.consume("--max-rows", "32")
    assert "partition 1: consumers died 6 times while they loaded offsets 1 to 1" in outcome.stderr
    # Behind it, batches are as large as ever.
    assert results(outcome)[0]["rows_read"] == 1
    assert scalar(EVENTS) == 59
    shown = topic.run_loader("rejects").stdout
    assert "partition 1 offset 1: the loader died again and again" in shown
    assert shown.count("\n") == 1
    rows = conn.execute("select deaths, deaths_alone from raw.kafka_deaths where end_offset = 2")
    assert rows.fetchall() == [(6, 4)]
    topic.produce(map(event, range(60, 90)), partition=1)
    (result,) = results(topic.consume("--max-rows", "32"))
    assert result["rows_loaded"] == 30


def test_tombstones_move_the_offset_and_are_no_rows(topic: Topic, scalar: Scalar) -> None:
    topic.produce([None, None])
    assert results(topic.consume()) == []
    assert scalar("select max(next_offset) from raw.kafka_offsets") == 2


def test_batches_have_at_most_so_many_rows(topic: Topic) -> None:
    topic.produce(map(event, range(25)))
    loaded = [one["rows_loaded"] for one in results(topic.consume("--max-rows", "10"))]
    assert loaded == [10, 10, 5]


def test_a_batch_is_loaded_every_so_often(
    topic: Topic, start_consumer: Callable[..., Running]
) -> None:
    running = start_consumer(every=0.1)
    for number in range(3):
        topic.produce([event(number)])
        wait_until(lambda: len(running.loads) == number + 1)  # noqa: B023
    assert [load.rows_loaded for load in running.loads] == [1, 1, 1]


def test_it_rests_until_something_comes(
    topic: Topic, start_consumer: Callable[..., Running]
) -> None:
    running = start_consumer()
    wait_until(lambda: running.consumer.is_assigned)
    topic.produce([event(0)])
    wait_until(lambda: running.consumer.buffered == 1)
    assert running.consumer.steps < 50


def test_messages_are_mapped_like_files(topic: Topic, conn: Connection) -> None:
    topic.produce([b'{"ts": 1772438405000, "class": "Pkw", "score": 0.9}'])
    options = ("--time-column", "ts", "--time-format", "epoch_ms", "--type-column", "class",
               "--type-map", "Pkw=car", "--source", "gate", "--attributes", "score")  # fmt: skip
    assert len(results(topic.consume(*options))) == 1
    assert conn.execute("select attributes from raw.events").fetchall() == [({"score": 0.9},)]


def test_from_the_end_skips_only_what_was_there(topic: Topic) -> None:
    topic.produce([event(0)])
    assert results(topic.consume("--from", "end")) == []
    topic.produce([event(1)])
    (result,) = results(topic.consume("--from", "end"))
    assert result["rows_loaded"] == 1


def test_each_group_loads_everything(topic: Topic, conn: Connection) -> None:
    topic.produce(map(event, range(4)))
    for group in ("a", "b"):
        (result,) = results(topic.consume("--group", group))
        assert result["rows_loaded"] == 4
    topic.produce([event(4)])
    (result,) = results(topic.consume("--group", "b"))
    assert result["rows_loaded"] == 1
    found = conn.execute(
        "select consumer_group, next_offset from raw.kafka_offsets where partition_number = 0"
        " order by consumer_group"
    ).fetchall()
    assert found == [("a", 4), ("b", 5)]


def test_a_batch_that_comes_too_late_is_read_again(
    topic: Topic, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic.produce(map(event, range(4)))
    moves: list[dict[int, Move]] = []

    def overtaken(
        at: psycopg.Connection, group: str, name: str, identity: str, own: dict[int, Move]
    ) -> None:
        if not moves:
            # Another consumer has published the first message since we began.
            moves.append(own)
            move_offsets(conn, group, name, identity, {0: Move(old=None, new=1)})
        move_offsets(at, group, name, identity, own)

    monkeypatch.setattr("loader.kafka.loads.move_offsets", overtaken)
    outcome = topic.consume()
    (result,) = results(outcome)
    assert result["rows_loaded"] == 3
    assert "another consumer" in outcome.stderr
    assert conn.execute("select count(*) from raw.loads").fetchall() == [(1,)]


def test_who_is_too_late_at_its_end_ends(
    topic: Topic, start_consumer: Callable[..., Running], conn: Connection, scalar: Scalar
) -> None:
    topic.produce(map(event, range(4)))
    running = start_consumer()
    wait_until(lambda: running.consumer.buffered == 4)
    # All of them were loaded by another consumer meanwhile.
    assert len(results(topic.consume("--group", "other"))) == 1
    conn.execute("update raw.kafka_offsets set consumer_group = %s", [topic.group])
    running.stop()
    assert running.failure is None
    assert "another consumer" in running.said[0]
    assert (len(running.said), running.loads, scalar(EVENTS)) == (1, [], 4)


def test_sigterm_loads_what_is_buffered(
    topic: Topic, scalar: Scalar, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic.produce(map(event, range(3)))
    consumers: list[TopicConsumer] = []

    class Shown(TopicConsumer):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            consumers.append(self)

    def terminate() -> None:
        wait_until(lambda: any(one.buffered == 3 for one in consumers))
        assert scalar(EVENTS) == 0
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(cli_consume, "TopicConsumer", Shown)
    thread = threading.Thread(target=terminate)
    thread.start()
    (result,) = results(topic.run_loader(*topic.arguments, "--every", "1h", "--json"))
    thread.join()
    assert result["rows_loaded"] == scalar(EVENTS) == scalar(OFFSET) == 3


def test_alerts_go_on_over_batches_and_are_told_once(
    topic: Topic, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = "alert: 2026-03-02T08:00:04Z person_in_5_consecutive_events: gate, people"
    topic.produce([event(second, type="pedestrian") for second in range(4)])
    assert "alert:" not in topic.consume("--alert").stderr
    topic.produce([event(second, type="pedestrian") for second in range(4, 9)])

    # The batch that raises it is published by another consumer first: nothing is told of ours.
    later = iter([False, True])

    def too_late_once(*arguments: Any) -> None:
        if not next(later):
            raise FencedError("another consumer has loaded on")
        move_offsets(*arguments)

    monkeypatch.setattr("loader.kafka.loads.move_offsets", too_late_once)
    outcome = topic.consume("--alert", "--cooldown", "0s")
    assert "another consumer" in outcome.stderr
    assert [line for line in outcome.stderr.splitlines() if "alert:" in line] == [told]
    assert conn.execute("select count(*) from raw.early_alerts").fetchone() == (1,)


def test_the_clock_tells_of_silences_when_all_is_loaded(
    topic: Topic, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "event_types.csv").write_text("event_type,category\ncar,vehicles\n")
    (tmp_path / "alert_rules.csv").write_text(
        "rule_name,kind,category,threshold,min_duration\nno cars,absence,vehicles,,10 minutes\n"
    )

    def told(minute: int) -> list[str]:
        now = datetime(2024, 5, 13, 12, minute, tzinfo=UTC).timestamp() * 1e6
        monkeypatch.setattr("loader.alerting.states.server_time", lambda _: int(now))
        outcome = topic.consume("--alert", "--rules", str(tmp_path))
        assert outcome.exit_code == 0, outcome.stderr
        return [line for line in outcome.stderr.splitlines() if "alert:" in line]

    def produce(minute: int) -> None:
        value = {"time": f"2024-05-13T12:{minute:02}:00Z", "type": "car", "source": "gate"}
        topic.produce([json.dumps(value).encode()])

    produce(0)
    assert told(1) == []
    # What waits ends a silence that would be told otherwise.
    produce(9)
    assert told(11) == []
    silent = ["alert: 2024-05-13T12:19:00Z no cars: gate, vehicles"]
    assert [told(18), told(19), told(20)] == [[], silent, []]


def test_offsets_move_only_from_where_they_stand(conn: Connection) -> None:
    arguments = ("group", "topic", "cluster/id")
    move_offsets(conn, *arguments, {0: Move(old=None, new=5)})
    move_offsets(conn, *arguments, {0: Move(old=5, new=9)})
    for old, identity in ((5, "cluster/id"), (None, "cluster/id"), (9, "cluster/other")):
        with pytest.raises(FencedError):
            move_offsets(conn, "group", "topic", identity, {0: Move(old=old, new=7)})
    assert conn.execute(OFFSET).fetchall() == [(9,)]


def test_a_topic_that_is_not_there(topic: Topic, broker: MockBrokers) -> None:
    broker.delete(topic.name)
    outcome = topic.consume()
    assert (outcome.exit_code, "there is no topic" in outcome.stderr) == (4, True)


def test_a_broker_that_is_not_there(
    run_loader: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loader.kafka.client.TIMEOUT_SECONDS", 0.5)
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
    assert f"pip install --editable '{Path(__file__).parents[2]}[kafka]'" in outcome.stderr
