"""The client library, which is an extra, how it is set up, and a topic as the broker has it."""

import logging
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from loader.errors import DatabaseError, InputError, UsageError
from loader.kafka.offsets import Move
from loader.settings import how_to_install

# What exactly-once rests on; another value would lose or repeat messages.
_OURS: Final = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    # An offset that the broker does not have is to be noticed, not replaced.
    "auto.offset.reset": "error",
    "enable.partition.eof": True,
    # Every rebalance revokes everything, and everything starts from the table again.
    "partition.assignment.strategy": "range,roundrobin",
    "group.protocol": "classic",
    # Whatever was written in a transaction that failed is no message.
    "isolation.level": "read_committed",
}
_THROUGH_OPTIONS: Final = ("bootstrap.servers", "metadata.broker.list", "group.id")
_DEFAULTS: Final = {
    "client.id": "video-events",
    # A topic that grows is noticed within this time.
    "topic.metadata.refresh.interval.ms": 60_000,
    "queued.max.messages.kbytes": 65_536,
    "fetch.queue.backoff.ms": 10,
}

TIMEOUT_SECONDS: Final = 15.0
# Until we look ourselves whether anybody is there.
_PATIENCE_SECONDS: Final = 2.0
_PORT: Final = 9092
# Brokers before Kafka 2.8 give topics no id.
_NO_ID: Final = "?"


class BrokerError(DatabaseError):
    """Kafka cannot be reached, or refuses us; nothing is lost, offsets are in the database."""


class FatalBrokerError(BrokerError):
    """The client library says that this consumer can do nothing any more; another one may."""


@dataclass(kw_only=True, eq=False, repr=False)
class Topic:
    """A topic as the broker has it, and the client library's consumer of a group.

    Attributes:
        name: the topic.
        brokers: host:port of some brokers, separated by commas.
        group: the consumer group; part of the key of the stored offsets.
        member_of: the group at the broker, which shares the partitions out; ``group`` unless
            several databases each get everything.
        options: further options of librdkafka; not shown, for they may hold passwords.
    """

    name: str
    brokers: str
    group: str
    member_of: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        library = kafka()
        from confluent_kafka.admin import AdminClient  # noqa: PLC0415 - an extra

        common: dict[str, Any] = {
            **_DEFAULTS,
            **self.options,
            "bootstrap.servers": self.brokers,
            # Its own lines on stderr would be mixed with ours; errors that matter reach us.
            "logger": _silent(),
        }
        try:
            self.consumer = library.Consumer(
                {**common, **_OURS, "group.id": self.member_of or self.group}
            )
        except library.KafkaException as error:
            raise UsageError(f"--kafka-option: {error.args[0].str()}") from None
        self._admin = AdminClient(common)

    def identity(self) -> str:
        """Return the cluster and the id of the topic, ``?`` where the broker has no ids."""
        library = kafka()
        try:
            # The consumer asks: an admin client might create the topic by asking.
            found = self._metadata()
            error = found.topics[self.name].error
            if error is not None:
                raise library.KafkaException(error)
            described = self._admin.describe_topics(
                library.TopicCollection([self.name]), request_timeout=TIMEOUT_SECONDS
            )
            topic_id = str(described[self.name].result(TIMEOUT_SECONDS).topic_id or _NO_ID)
        except library.KafkaException as raised:
            code = raised.args[0].code()
            if code == library.KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise InputError(
                    f"there is no topic {self.name}; create it, then run this again"
                ) from None
            if code != library.KafkaError._UNSUPPORTED_FEATURE:
                where = f"topic {self.name} at {self.brokers}"
                raise BrokerError(f"{where}: {raised.args[0].str()}") from None
            topic_id = _NO_ID
        except TimeoutError:
            raise BrokerError(
                f"topic {self.name}: the broker did not say what it is in time"
            ) from None
        return f"{found.cluster_id}/{topic_id}"

    def _metadata(self) -> Any:
        library = kafka()
        try:
            return self.consumer.list_topics(self.name, timeout=_PATIENCE_SECONDS)
        except library.KafkaException:
            # The library goes on trying, and does not tell what is wrong.
            if (why := _unreachable(self.brokers)) is not None:
                raise BrokerError(f"no broker can be reached at {self.brokers}: {why}") from None
        return self.consumer.list_topics(self.name, timeout=TIMEOUT_SECONDS)

    def bounds(self, partition: int) -> tuple[int, int]:
        """Return the first offset that the broker has, and the one after the last."""
        library = kafka()
        here = library.TopicPartition(self.name, partition)
        try:
            low, high = self.consumer.get_watermark_offsets(here, timeout=TIMEOUT_SECONDS)
        except library.KafkaException as raised:
            raise BrokerError(f"topic {self.name}: {raised.args[0].str()}") from None
        return low, high

    def assign(self, offsets: Mapping[int, int]) -> None:
        """Read these partitions, each from its offset."""
        library = kafka()
        self.consumer.assign(
            [library.TopicPartition(self.name, partition, at) for partition, at in offsets.items()]
        )

    def mirror(self, moves: Mapping[int, Move]) -> None:
        """Tell the broker how far we are, for whoever watches it; nothing depends on it."""
        library = kafka()
        offsets = [
            library.TopicPartition(self.name, partition, move.new)
            for partition, move in moves.items()
        ]
        with suppress(library.KafkaException):
            self.consumer.commit(offsets=offsets, asynchronous=True)


def is_same(stored: str, found: str) -> bool:
    """Tell whether two identities may be of one topic; without an id, nobody can tell more."""
    if stored.endswith(f"/{_NO_ID}") or found.endswith(f"/{_NO_ID}"):
        return stored.rpartition("/")[0] == found.rpartition("/")[0]
    return stored == found


def kafka() -> Any:
    """Return the module ``confluent_kafka``."""
    try:
        import confluent_kafka  # noqa: PLC0415 - an extra
    except ImportError:
        raise UsageError(
            f"loader consume needs Kafka's client: {how_to_install('kafka')}"
        ) from None
    return confluent_kafka


def read_options(given: Iterable[str], from_environment: str) -> dict[str, str]:
    """Read ``key=value`` options; what is given wins. No error shows a value."""
    found: dict[str, str] = {}
    lines = filter(None, map(str.strip, from_environment.splitlines()))
    for number, text in enumerate([*lines, *given], 1):
        key, equals, value = text.partition("=")
        key = key.strip()
        if not equals or not key:
            raise UsageError(f"--kafka-option number {number} is not key=value")
        if key in _OURS:
            raise UsageError(f"--kafka-option {key}: exactly once depends on it, so it is fixed")
        if key in _THROUGH_OPTIONS:
            raise UsageError(f"--kafka-option {key}: use --brokers or --group")
        found[key] = value.strip()
    return found


def _silent() -> logging.Logger:
    logger = logging.getLogger("loader.kafka")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return logger


def _unreachable(brokers: str) -> str | None:
    """Say why no broker takes a connection; None if one does."""
    why = None
    for address in brokers.split(","):
        host, colon, port = address.strip().rpartition("//")[2].rpartition(":")
        if not colon:
            host, port = port, str(_PORT)
        try:
            with socket.create_connection((host.strip("[]"), int(port)), _PATIENCE_SECONDS):
                return None
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
    return why
