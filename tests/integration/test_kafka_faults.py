"""``loader consume`` while brokers fail, and topics lose messages or grow."""

import signal
import subprocess
from collections.abc import Callable, Iterator
from itertools import count

import pytest
from confluent_kafka import KafkaError
from psycopg import Connection

from loader.errors import DatabaseError, InputError
from loader.kafka.client import FatalBrokerError
from loader.loading.observer import Observer
from tests.support.mock_brokers import MockBrokers, Request, running_mocks
from tests.support.topics import OFFSET, Running, Topic, event, results
from tests.support.waits import PATIENCE, wait_until

Scalar = Callable[[str], object]
StartConsumer = Callable[..., Running]
SECONDS = "select extract(epoch from event_time)::int %% 3600 from raw.events order by 1"


@pytest.fixture(scope="module")
def broker() -> Iterator[MockBrokers]:
    with running_mocks(2) as brokers:
        yield brokers


@pytest.fixture
def seconds(conn: Connection) -> Callable[[], list[int]]:
    """Give the seconds, since the full hour, of all events that are there."""

    def read() -> list[int]:
        return [second for (second,) in conn.execute(SECONDS, []).fetchall()]

    return read


def test_lost_messages_stop_it_unless_they_are_to_be_skipped(
    topic: Topic, broker: MockBrokers, seconds: Callable[[], list[int]], scalar: Scalar
) -> None:
    topic.produce(map(event, range(2)))
    assert len(results(topic.consume())) == 1
    topic.produce(map(event, range(2, 8)))
    broker.delete_messages(topic.name, 0, 5)
    for _ in range(2):
        stopped = topic.consume()
        assert (stopped.exit_code, stopped.stdout) == (4, "")
        assert (
            f"topic {topic.name} partition 0: 3 messages are lost, offsets 2 to 4; the broker "
            "deleted them before they were loaded; to go on behind them: loader consume --lost skip"
        ) in stopped.stderr
    assert scalar(OFFSET) == 2
    skipped = topic.consume("--lost", "skip")
    assert "3 messages are lost, offsets 2 to 4" in skipped.stderr
    assert results(skipped)[0]["rows_loaded"] == 3
    assert (seconds(), scalar(OFFSET)) == ([0, 1, 5, 6, 7], 8)


def test_all_that_is_new_may_be_lost(topic: Topic, broker: MockBrokers, scalar: Scalar) -> None:
    topic.produce(map(event, range(2)))
    assert len(results(topic.consume())) == 1
    topic.produce(map(event, range(2, 4)))
    broker.delete_messages(topic.name, 0, 4)
    assert topic.consume().exit_code == 4
    assert results(topic.consume("--lost", "skip")) == []
    assert scalar(OFFSET) == 4
    topic.produce([event(4)])
    assert results(topic.consume())[0]["rows_loaded"] == 1


@pytest.mark.parametrize("lost", ["stop", "skip"])
def test_what_was_read_before_the_loss_is_loaded(
    lost: str,
    topic: Topic,
    broker: MockBrokers,
    start_consumer: StartConsumer,
    seconds: Callable[[], list[int]],
) -> None:
    topic.produce(map(event, range(3)))
    running = start_consumer(lost=lost)
    wait_until(lambda: running.consumer.buffered == 3)

    def lose() -> None:
        topic.produce(map(event, range(3, 9)))
        broker.delete_messages(topic.name, 0, 6)

    running.while_paused(lose)
    if lost == "stop":
        running.wait()
        assert isinstance(running.failure, InputError)
        assert "3 messages are lost, offsets 3 to 5" in str(running.failure)
        assert seconds() == [0, 1, 2]
    else:
        wait_until(lambda: len(running.said) == 1 and running.consumer.buffered == 3)
        assert seconds() == [0, 1, 2]
        running.stop()
        assert "3 messages are lost, offsets 3 to 5" in running.said[0]
        assert seconds() == [0, 1, 2, 6, 7, 8]


def test_a_topic_that_grows_is_read_whole(
    start_loader: Callable[..., "subprocess.Popen[str]"],
    topic: Topic,
    wait_for: Callable[[str], None],
    seconds: Callable[[], list[int]],
) -> None:
    """No broker that runs here can add a partition.

    So a consumer stands still while the topic is replaced by one with the same messages and more
    partitions. Brokers that give topics no id make it look like one topic, as it is in life.
    """
    with running_mocks() as broker:
        broker.forget_ids()
        growing = Topic(name="growing", broker=broker, run_loader=topic.run_loader)
        broker.create("growing", 1)
        growing.produce([event(0)])
        process = start_loader(
            *growing.arguments, "--from", "end", "--every", "0.1s",
            "--kafka-option=topic.metadata.refresh.interval.ms=300",
        )  # fmt: skip
        wait_for(f"select coalesce(({OFFSET}), 0) = 1")
        process.send_signal(signal.SIGSTOP)
        broker.delete("growing")
        broker.create("growing", 3)
        growing.produce([event(0), event(1)])
        growing.produce(map(event, range(2, 5)), partition=2)
        process.send_signal(signal.SIGCONT)
        wait_for("select coalesce(sum(next_offset), 0) >= 5 from raw.kafka_offsets")
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, stderr
    # What was there at the beginning is left out, but only then and only there.
    assert seconds() == [1, 2, 3, 4]


def test_a_topic_without_id_that_was_made_anew_is_noticed_by_its_end(topic: Topic) -> None:
    with running_mocks() as broker:
        broker.forget_ids()
        anew = Topic(name="anew", broker=broker, run_loader=topic.run_loader)
        broker.create("anew", 1)
        anew.produce(map(event, range(3)))
        assert len(results(anew.consume())) == 1
        broker.delete("anew")
        broker.create("anew", 1)
        anew.produce([event(10)])
        stopped = anew.consume()
        assert (stopped.exit_code, "--new-topic restart" in stopped.stderr) == (4, True)
        (result,) = results(anew.consume("--new-topic", "restart"))
        assert result["rows_loaded"] == 1


FAULTS: list[tuple[Request, list[int]]] = [
    (Request.FETCH, [KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART]),
    (Request.FETCH, [KafkaError.KAFKA_STORAGE_ERROR, KafkaError.REQUEST_TIMED_OUT]),
    (Request.HEARTBEAT, [KafkaError.REBALANCE_IN_PROGRESS]),
    (Request.HEARTBEAT, [KafkaError.UNKNOWN_MEMBER_ID]),
    (Request.HEARTBEAT, [KafkaError.ILLEGAL_GENERATION]),
    (Request.HEARTBEAT, [KafkaError.NOT_COORDINATOR]),
    (Request.OFFSET_COMMIT, [KafkaError.UNKNOWN_MEMBER_ID, KafkaError.ILLEGAL_GENERATION]),
    (Request.METADATA, [KafkaError.LEADER_NOT_AVAILABLE, KafkaError.REQUEST_TIMED_OUT]),
]


def test_faults_of_brokers_cost_no_message_and_double_none(
    topic: Topic,
    broker: MockBrokers,
    start_consumer: StartConsumer,
    seconds: Callable[[], list[int]],
) -> None:
    running = start_consumer(every=0.05)
    numbers = count()

    def send_and_wait(cause: str) -> None:
        sent = [next(numbers) for _ in range(4)]
        for partition in (0, 1):
            topic.produce(map(event, sent[partition::2]), partition)
        try:
            wait_until(lambda: len(seconds()) > sent[-1])
        except AssertionError:
            pytest.fail(f"after {cause}: {len(seconds())} of {sent[-1] + 1}; {running.said}")

    send_and_wait("the start")
    for request, errors in FAULTS:
        broker.fail(request, *errors)
        send_and_wait(f"{request!r} failed with {errors}")
    for number in (1, 2):
        broker.stop(number)
        broker.hand_over(3 - number, topic=topic.name, group=topic.group)
        send_and_wait(f"broker {number} went down, and the other one took over")
        broker.start(number)
    broker.stop(1)
    broker.stop(2)
    broker.start(2)
    broker.start(1)
    send_and_wait("both were down")
    running.stop()
    assert running.failure is None
    assert seconds() == list(range(next(numbers)))


def test_a_member_that_another_one_replaces_ends(
    broker: MockBrokers, start_consumer: StartConsumer
) -> None:
    """Two with one ``group.instance.id``: the first could only try for ever, so it says so."""
    running = start_consumer(client={"group.instance.id": "one"})
    wait_until(lambda: running.consumer.is_assigned)
    broker.fail(Request.HEARTBEAT, KafkaError.FENCED_INSTANCE_ID)
    running.wait()
    assert isinstance(running.failure, FatalBrokerError)
    assert running.said == []


def test_a_server_that_takes_no_writes_is_waited_for_from_the_start(
    topic: Topic, database: str, conn: Connection, start_consumer: StartConsumer
) -> None:
    read_only = f"alter database {database} set default_transaction_read_only = "
    conn.execute(f"{read_only} on".encode())
    consumer = start_consumer(every=0.2)
    for events in (range(2), range(2, 5)):
        wait_until(lambda: consumer.said[-1:] != [] and consumer.said[-1] != "it works again")
        assert "it is a standby, or was made read-only" in consumer.said[-1]
        assert consumer.said[-1].endswith("; trying again")
        conn.execute(f"{read_only} off".encode())
        wait_until(lambda: consumer.said[-1] == "it works again")
        conn.execute(f"{read_only} on".encode())
        topic.produce(map(event, events))
    wait_until(lambda: consumer.said[-1] != "it works again")
    conn.execute(f"{read_only} off".encode())
    wait_until(lambda: sum(load.rows_loaded for load in consumer.loads) == 5)
    assert conn.execute("select count(*) from raw.events").fetchone() == (5,)


def test_observers_do_not_look_before_all_is_read_and_loaded(
    topic: Topic, broker: MockBrokers, start_consumer: StartConsumer
) -> None:
    looks: list[int] = []

    class Looking(Observer):
        def rest(self) -> float:
            looks.append(0)
            return 1

    topic.produce(map(event, range(5)))
    # So that it does not know for a while whether there is anything.
    broker.slow_down(700)
    try:
        consumer = start_consumer(observers=[Looking()]).consumer
        wait_until(lambda: consumer.buffered == 5)
    finally:
        broker.slow_down(0)
    steps = consumer.steps
    wait_until(lambda: consumer.steps > steps + 3)
    assert looks == []


def test_a_database_that_is_down_while_observers_look_is_waited_for(
    topic: Topic, start_consumer: StartConsumer
) -> None:
    """They look though no message was ever there."""

    class Down(Observer):
        count = 0

        def rest(self) -> float:
            self.count += 1
            if self.count == 2:
                raise DatabaseError("cannot connect")
            return 1

    down = Down()
    consumer = start_consumer(every=0.1, observers=[down])
    wait_until(lambda: down.count > 2)
    topic.produce([event(1)])
    wait_until(lambda: len(consumer.loads) == 1)
    assert consumer.said == ["cannot connect; trying again", "it works again"]
