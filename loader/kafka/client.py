"""The client library, which is an extra, and how it is set up."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from loader.errors import DatabaseError, UsageError
from loader.settings import how_to_install

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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


class BrokerError(DatabaseError):
    """Kafka cannot be reached, or refuses us; nothing is lost, offsets are in the database."""


class FatalBrokerError(BrokerError):
    """The client library says that this consumer can do nothing any more; another one may."""


@dataclass(frozen=True, kw_only=True)
class Client:
    """How to reach Kafka.

    Attributes:
        brokers: host:port of some brokers, separated by commas.
        group: the consumer group; part of the key of the stored offsets.
        member_of: the group at the broker, which shares the partitions out; ``group`` unless
            several databases each get everything.
        options: further options of librdkafka; not shown, for they may hold passwords.
    """

    brokers: str
    group: str
    member_of: str | None = None
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def _common(self) -> dict[str, Any]:
        return {
            **_DEFAULTS,
            **self.options,
            "bootstrap.servers": self.brokers,
            # Its own lines on stderr would be mixed with ours; errors that matter reach us.
            "logger": _silent(),
        }

    def consumer(self) -> Any:
        """Return a consumer of the group.

        Raises:
            UsageError: the library is not installed, or an option is not usable.
        """
        library = kafka()
        try:
            return library.Consumer(
                {**self._common, **_OURS, "group.id": self.member_of or self.group}
            )
        except library.KafkaException as error:
            raise UsageError(f"--kafka-option: {error.args[0].str()}") from None

    def admin(self) -> Any:
        """Return a client that asks about topics."""
        kafka()
        from confluent_kafka.admin import AdminClient  # noqa: PLC0415 - an extra

        return AdminClient(self._common)


def kafka() -> Any:
    """Return the module ``confluent_kafka``.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import confluent_kafka  # noqa: PLC0415 - an extra
    except ImportError:
        raise UsageError(
            f"loader consume needs Kafka's client: {how_to_install('kafka')}"
        ) from None
    return confluent_kafka


def read_options(given: Iterable[str], from_environment: str) -> dict[str, str]:
    """Read ``key=value`` options; what is given wins over the environment.

    Raises:
        UsageError: one is not ``key=value``, or not to be chosen. It does not show the value.
    """
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
