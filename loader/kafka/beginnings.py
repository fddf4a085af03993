"""Where to begin: what the table says of a group, as long as it is still about this topic."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from loader.database.connection import connect
from loader.errors import InputError
from loader.kafka.client import kafka
from loader.kafka.offsets import Deaths, forget_offsets, read_deaths, read_offsets
from loader.kafka.options import ConsumeOptions
from loader.kafka.share import Share
from loader.kafka.topics import Topic, is_same


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """Where some partitions are read from.

    Attributes:
        identity: which topic the offsets count, see ``Topic.identity``.
        offsets: partition -> offset, or what the client library has for the first or the end.
        share: to gather what is read from there.
        deaths: what consumers died of before, by partition.
    """

    identity: str
    offsets: Mapping[int, int]
    share: Share
    deaths: Mapping[int, Deaths]


class Beginnings:
    """Finds where to begin, and what to do when the broker does not have that any more.

    Args:
        dsn: the database.
        group: the consumer group.
        topic: what is read.
        options: how to consume.
        say: tells the user of what is neither a result nor the end.
    """

    def __init__(
        self,
        *,
        dsn: str,
        group: str,
        topic: Topic,
        options: ConsumeOptions,
        say: Callable[[str], None],
    ) -> None:
        self._dsn = dsn
        self._group = group
        self._topic = topic
        self._options = options
        self._say = say

    def find(self, partitions: Collection[int]) -> Beginning:
        """Return where the group begins to read these partitions.

        Raises:
            InputError: the topic is not the one that the group has loaded.
            BrokerError: the broker does not answer.
        """
        found = self._topic.identity()
        with connect(self._dsn) as conn:
            stored = read_offsets(conn, self._group, self._topic.name)
            if stored.identity is not None and not is_same(stored.identity, found):
                if self._options.new_topic == "stop":
                    raise self._another_topic()
                self._say(f"topic {self._topic.name} is another one now: starting at its beginning")
                forget_offsets(conn, self._group, self._topic.name)
                stored = replace(stored, identity=None, next={})
            deaths = read_deaths(conn, self._group, self._topic.name)
        # A partition that a known topic has grown is read whole.
        at_end = self._options.begin == "end" and not stored.next
        start = kafka().OFFSET_END if at_end else kafka().OFFSET_BEGINNING
        return Beginning(
            identity=stored.identity or found,
            offsets={partition: stored.next.get(partition, start) for partition in partitions},
            share=Share({one: stored.next[one] for one in partitions if one in stored.next}),
            deaths={one: deaths[one] for one in partitions if one in deaths},
        )

    def after_gap(self, share: Share, partition: int) -> bool:
        """Deal with an offset that the broker does not have; tell whether messages are skipped.

        Those are skipped in the share, which is to be loaded then. In any case it is time to begin
        again.

        Raises:
            InputError: the topic is another one, or messages are lost, and the user did not say
                what to do then.
            BrokerError: the broker does not answer.
        """
        wanted = share.wanted(partition)
        low, high = self._topic.bounds(partition)
        if wanted is None or low <= wanted <= high:
            return False
        if wanted > high:
            if self._options.new_topic == "stop":
                raise self._another_topic()
            with connect(self._dsn) as conn:
                forget_offsets(conn, self._group, self._topic.name)
            return False
        message = (
            f"topic {self._topic.name} partition {partition}: {low - wanted:,} messages are lost, "
            f"offsets {wanted:,} to {low - 1:,}; the broker deleted them before they were loaded"
        )
        if self._options.lost == "stop":
            raise InputError(f"{message}; to go on behind them: loader consume --lost skip")
        self._say(message)
        share.skip_to(partition, low)
        return True

    def _another_topic(self) -> InputError:
        return InputError(
            f"topic {self._topic.name} is not the one that group {self._group} has loaded: it was "
            "deleted and made anew, or is on another cluster; to load the new one from its "
            "beginning: loader consume --new-topic restart"
        )
