"""A topic of a test's own, with what is sent to it and what consumes it."""

import json
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from loader.kafka.client import Topic as BrokersTopic
from loader.kafka.consumer import ConsumeOptions, TopicConsumer
from loader.loading.observer import Observer
from loader.loading.options import LoadOptions
from loader.loading.result import LoadResult
from loader.process.signals import StopRequest
from loader.reading.mapping import Mapping
from tests.conftest import Outcome
from tests.support.brokers import QUICK, Broker
from tests.support.mock_brokers import MockBrokers
from tests.support.waits import PATIENCE

OFFSET = "select next_offset from raw.kafka_offsets where partition_number = 0"


def event(second: int, **more: Any) -> bytes:
    """Return a message: an event in this second."""
    found = {"time": f"2026-03-02T08:{second // 60:02}:{second % 60:02}Z", "type": "car"}
    return json.dumps(found | {"source": "gate"} | more).encode()


def results(outcome: Outcome) -> list[dict[str, Any]]:
    """Return what a command loaded, which must have gone well."""
    found = [json.loads(line) for line in outcome.stdout.splitlines()]
    has_rejects = any(result["rows_rejected"] for result in found)
    assert outcome.exit_code == (3 if has_rejects else 0), outcome.stderr
    return found


@dataclass(frozen=True, kw_only=True)
class Topic:
    """A topic on a broker.

    Attributes:
        name: its name.
        broker: where it is.
        run_loader: runs a command in this process.
    """

    name: str
    broker: Broker | MockBrokers
    run_loader: Callable[..., Outcome]

    @property
    def group(self) -> str:
        """The group that its consumers are in."""
        return f"group of {self.name}"

    @property
    def arguments(self) -> tuple[str, ...]:
        """What every consumer of the topic is given."""
        return (
            "consume", "--topic", self.name, "--group", self.group,
            "--brokers", self.broker.address,
            *(f"--kafka-option={key}={value}" for key, value in QUICK.items()),
        )  # fmt: skip

    def produce(self, values: Iterable[bytes | None], partition: int = 0) -> None:
        """Send messages."""
        self.broker.produce(self.name, values, partition)

    def consume(self, *options: str) -> Outcome:
        """Load what is there."""
        return self.run_loader(*self.arguments, "--once", "--json", *options)


class Shown(TopicConsumer):
    """Counts its steps, and does something else between two of them when it is told to."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.todo: list[Callable[[], None]] = []
        self.steps = 0

    @property
    def library(self) -> Any:
        """The client library's consumer."""
        return self.topic.consumer

    @property
    def is_assigned(self) -> bool:
        """Whether the group has given us a share, and we began to read it."""
        return self._assigned is not None and not self._must_restart

    def _step(self) -> bool:
        self.steps += 1
        while self.todo:
            self.todo.pop()()
        return super()._step()


@dataclass(kw_only=True)
class Running:
    """A consumer in a thread, which can be looked into.

    Attributes:
        consumer: the consumer.
        said: what it has told.
        loads: what it has loaded.
        failure: what ended it.
    """

    consumer: Shown
    said: list[str]
    loads: list[LoadResult]
    failure: Exception | None = None
    _must_stop: StopRequest = field(default_factory=StopRequest)
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.consumer.run(self._must_stop)
        except Exception as error:
            self.failure = error

    def wait(self) -> None:
        """Wait for its end."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def while_paused(self, act: Callable[[], None]) -> None:
        """Do something while nothing is read; the client can be paused in its own thread only."""
        done = threading.Event()

        def paused() -> None:
            client = self.consumer.library
            partitions = client.assignment()
            client.pause(partitions)
            act()
            client.resume(partitions)
            done.set()

        self.consumer.todo.append(paused)
        assert done.wait(PATIENCE)

    def stop(self) -> None:
        """Let it load what it has, and end."""
        self._must_stop.set()
        self.wait()


def start(
    dsn: str,
    topic: Topic,
    client: dict[str, str],
    observers: Sequence[Observer] = (),
    **options: Any,
) -> Running:
    """Start a consumer that loads nothing of its own accord for an hour, unless told otherwise."""
    said: list[str] = []
    loads: list[LoadResult] = []
    consumer = Shown(
        dsn=dsn,
        topic=BrokersTopic(
            name=topic.name,
            brokers=topic.broker.address,
            group=topic.group,
            options=QUICK | client,
        ),
        mapping=Mapping(format="ndjson"),
        load_options=LoadOptions(workers=1),
        options=ConsumeOptions(**({"every": 3600} | options)),
        observers=observers,
        loaded=loads.append,
        say=said.append,
    )
    return Running(consumer=consumer, said=said, loads=loads)
