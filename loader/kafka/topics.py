"""Topics: which topic a name stands for, so that one made anew is not taken for the old one."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from loader.errors import InputError
from loader.kafka.client import BrokerError, Client, kafka
from loader.kafka.offsets import Move

TIMEOUT_SECONDS: Final = 15.0
# Until we look ourselves whether anybody is there.
_PATIENCE_SECONDS: Final = 2.0
_PORT: Final = 9092
# Brokers before Kafka 2.8 give topics no id.
_NO_ID: Final = "?"


class Topic:
    """A topic as the broker has it.

    Args:
        name: its name.
        client: how to reach Kafka.

    Attributes:
        name: its name.
        consumer: the client library's consumer of the group.
    """

    def __init__(self, name: str, client: Client) -> None:
        self.name = name
        self.consumer = client.consumer()
        self._admin = client.admin()
        self._brokers = client.brokers

    def identity(self) -> str:
        """Return the cluster and the id of the topic; ``?`` for the id where the broker has none.

        Raises:
            InputError: there is no such topic.
            BrokerError: the broker does not answer.
        """
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
                where = f"topic {self.name} at {self._brokers}"
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
            if (why := _unreachable(self._brokers)) is not None:
                raise BrokerError(f"no broker can be reached at {self._brokers}: {why}") from None
        return self.consumer.list_topics(self.name, timeout=TIMEOUT_SECONDS)

    def bounds(self, partition: int) -> tuple[int, int]:
        """Return the first offset that the broker has, and the one after the last.

        Raises:
            BrokerError: the broker does not answer.
        """
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


def is_same(stored: str, found: str) -> bool:
    """Tell whether two identities may be of one topic; without an id, nobody can tell more."""
    if stored.endswith(f"/{_NO_ID}") or found.endswith(f"/{_NO_ID}"):
        return stored.rpartition("/")[0] == found.rpartition("/")[0]
    return stored == found
