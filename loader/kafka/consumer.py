"""The consumer: takes messages, gathers them into micro-batches, loads each exactly once.

The offsets in the database decide, not those of the broker. They move in the transaction that
publishes the messages, and only from where this consumer began; whoever is too late loses its
batch and starts again from the table.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import psycopg

from loader.database.connection import explain, may_pass
from loader.errors import DatabaseError
from loader.kafka.beginnings import Beginnings
from loader.kafka.client import BrokerError, Client, FatalBrokerError, kafka
from loader.kafka.loads import Loads
from loader.kafka.offsets import Deaths, FencedError
from loader.kafka.options import ConsumeOptions
from loader.kafka.share import Share
from loader.kafka.topics import Topic
from loader.loading.load import LoadResult, prepare_database
from loader.loading.observer import Observer
from loader.loading.options import LoadOptions
from loader.reading.limits import Limits
from loader.reading.mapping import Mapping as Meaning
from loader.signals import StopRequest

_AT_ONCE: Final = 10_000
_WAIT_SECONDS: Final = 0.2
_PAUSE_SECONDS: Final = 1.0
# A message at which consumers died so often, with nothing else in their hands, is rejected.
_MOST_ALONE: Final = 4
# From the second death on, batches have a 32nd of the messages that they had before.
_HALVINGS: Final = 5


class TopicConsumer:
    """Loads one topic for one group until told to stop.

    Args:
        dsn: the database.
        client: how to reach Kafka.
        topic: what to load.
        mapping: how to read the messages.
        load_options: how to load them.
        options: how to consume.
        observers: take part in the loads.
        loaded: called after every load.
        say: tells the user of what is neither a result nor the end.
    """

    def __init__(
        self,
        *,
        dsn: str,
        client: Client,
        topic: str,
        mapping: Meaning,
        load_options: LoadOptions,
        options: ConsumeOptions,
        observers: Sequence[Observer],
        loaded: Callable[[LoadResult], None],
        say: Callable[[str], None],
    ) -> None:
        self._dsn = dsn
        self._options = options
        self._loaded = loaded
        self._say = say
        self._limits = Limits()
        self._topic = Topic(topic, client)
        self._beginnings = Beginnings(
            dsn=dsn, group=client.group, topic=self._topic, options=options, say=say
        )
        self._loads = Loads(
            dsn=dsn,
            group=client.group,
            topic=self._topic,
            mapping=mapping,
            options=load_options,
            limits=self._limits,
            observers=observers,
        )
        self._identity = ""
        self._deaths: Mapping[int, Deaths] = {}
        # None until the group has given us a share, which may be empty.
        self._assigned: list[int] | None = None
        self._must_restart = False
        self._is_closing = False
        self._failure: Exception | None = None
        self._begin(Share({}))

    @property
    def buffered(self) -> int:
        """How many messages wait to be loaded."""
        return self._share.buffer.rows

    @property
    def is_assigned(self) -> bool:
        """Whether the group has given us a share, and we began to read it."""
        return self._assigned is not None and not self._must_restart

    def run(self, must_stop: StopRequest) -> None:
        """Consume; at the end load what is buffered.

        Raises:
            InputError: there is no such topic, it is another one now, or messages are lost.
            BrokerError: Kafka cannot be reached at all, or refuses us.
            DatabaseError: the database went away (with ``once``; else it is waited for).
        """
        consumer = self._topic.consumer
        try:
            is_subscribed = is_done = is_away = False
            while not is_done:
                # Asked before, so that what the last step has buffered is loaded.
                must_end = must_stop.is_set()
                try:
                    if must_end:
                        self._load()
                        return
                    if not is_subscribed:
                        self._subscribe()
                        is_subscribed = True
                    is_done = self._step()
                    if is_away and not self._must_restart:
                        self._say("it works again")
                        is_away = False
                except FencedError as error:
                    self._say(f"{error}; starting again from there")
                    # Forgotten at once: at the end nobody restarts, and it would be tried for ever.
                    self._begin(Share({}))
                    self._must_restart = True
                except (psycopg.Error, DatabaseError) as error:
                    must_end |= self._options.once or isinstance(error, FatalBrokerError)
                    # At first the broker is asked in vain only once: its address may be wrong.
                    must_end |= not is_subscribed and isinstance(error, BrokerError)
                    if must_end or not may_pass(error):
                        raise
                    cause = explain(error) if isinstance(error, psycopg.Error) else error
                    self._say(f"{cause}; trying again")
                    self._must_restart = is_away = True
                    must_stop.wait(_PAUSE_SECONDS)
        finally:
            self._is_closing = True
            consumer.close()

    def _subscribe(self) -> None:
        prepare_database(self._dsn)
        self._topic.identity()
        self._topic.consumer.subscribe(
            [self._topic.name],
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )

    def _step(self) -> bool:
        """Take some messages, and load if it is time; tell whether all is done."""
        if self._must_restart and self._assigned is not None:
            self._restart(self._assigned)
        room = max(1, min(_AT_ONCE, self._max_rows - self.buffered))
        wait = max(0.0, min(_WAIT_SECONDS, self._next_load - time.monotonic()))
        messages = self._topic.consumer.consume(room, timeout=wait)
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        if self._must_restart or self._assigned is None:
            # Some of these messages may be of a share that we do not have any more.
            return False
        self._take(messages)
        is_at_end = self._options.once and self._share.is_at_end(self._assigned)
        if (
            is_at_end
            or time.monotonic() >= self._next_load
            or self.buffered >= self._max_rows
            or self._share.buffer.size >= self._options.max_bytes
        ):
            self._load()
        return is_at_end

    def _take(self, messages: list[Any]) -> None:
        good = [message for message in messages if message.error() is None]
        # First, for what follows on them is judged by how far we have read.
        refused = {
            partition: one.end
            for partition, one in self._deaths.items()
            if one.alone >= _MOST_ALONE
        }
        self._share.add(good, self._limits, refused)
        if len(good) < len(messages):
            for message in messages:
                if message.error() is not None:
                    self._notice(message)

    def _notice(self, message: Any) -> None:
        """Look at what came instead of a message."""
        error, errors = message.error(), kafka().KafkaError
        partition = message.partition()
        if error.code() == errors._PARTITION_EOF:
            self._share.end_at(partition, message.offset())
            if self._share.is_new(partition) and self._options.begin == "end":
                # Now, so that a restart begins here and skips nothing.
                self._next_load = 0.0
        elif error.code() in (errors._AUTO_OFFSET_RESET, errors.OFFSET_OUT_OF_RANGE):
            # What is in hand is safe then, whatever the user wants to be done about the rest.
            self._load()
            if self._beginnings.after_gap(self._share, partition):
                self._load()
            self._must_restart = True
        elif error.code() in (errors.UNKNOWN_TOPIC_OR_PART, errors._UNKNOWN_TOPIC):
            self._must_restart = True
        elif error.fatal() or error.code() == errors._FATAL:
            raise FatalBrokerError(f"topic {self._topic.name}: {error.str()}")
        elif not error.retriable():
            raise BrokerError(f"topic {self._topic.name}: {error.str()}")

    def _load(self) -> None:
        """Load what is buffered, together with the offsets."""
        self._next_load = time.monotonic() + self._options.every
        result = self._loads.load(self._share, self._identity)
        self._begin(self._share.after_load())
        if result is not None:
            self._loaded(result)

    def _restart(self, partitions: list[int]) -> None:
        """Begin again from the table; what is buffered is forgotten and will be read again."""
        prepare_database(self._dsn)
        beginning = self._beginnings.find(partitions)
        self._identity = beginning.identity
        self._topic.assign(beginning.offsets)
        self._deaths = beginning.deaths
        self._begin(beginning.share)
        self._tell_of_deaths()
        self._must_restart = False

    def _begin(self, share: Share) -> None:
        self._share = share
        self._next_load = time.monotonic() + self._options.every
        worst = max((one.count for one in self._deadly.values()), default=0)
        self._max_rows = max(1, self._options.max_rows >> _HALVINGS * max(0, worst - 1))

    @property
    def _deadly(self) -> dict[int, Deaths]:
        """What consumers died of and is still to be loaded, by partition."""
        wanted = {partition: self._share.wanted(partition) for partition in self._deaths}
        return {
            partition: one
            for partition, one in self._deaths.items()
            if (wanted[partition] or one.first) < one.end
        }

    def _tell_of_deaths(self) -> None:
        """Name what consumers died of again and again, while it is still to be loaded."""
        for partition, one in sorted(self._deadly.items()):
            if one.count > 1:
                how = f"loading {self._max_rows:,} at a time"
                if one.alone >= _MOST_ALONE:
                    how = "that message is rejected unseen; see: loader rejects"
                self._say(
                    f"topic {self._topic.name} partition {partition}: consumers died {one.count} "
                    f"times while they loaded offsets {one.first:,} to {one.end - 1:,}; {how}"
                )

    def _on_assign(self, consumer: Any, partitions: list[Any]) -> None:
        # Where to start stands in the database, which is not to be asked in a callback.
        consumer.assign([])
        self._assigned = [one.partition for one in partitions]
        self._must_restart = True

    def _on_revoke(self, consumer: Any, partitions: list[Any]) -> None:
        if not (self._is_closing or self._must_restart):
            try:
                # The group waits for us: so a group that is never at rest still gets on.
                self._load()
            except Exception as error:
                self._failure = error
        self._on_lost(consumer, partitions)

    def _on_lost(self, consumer: Any, partitions: list[Any]) -> None:  # noqa: ARG002
        self._begin(Share({}))
        self._assigned = None
        self._must_restart = True
