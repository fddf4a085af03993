"""The consumer: takes messages, gathers them into micro-batches, loads each exactly once.

The offsets in the database decide, not those of the broker. They move in the transaction that
publishes the messages, and only from where this consumer began; whoever is too late loses its
batch and starts again from the table.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import psycopg

from loader.database.connection import connect, explain, may_pass
from loader.errors import DatabaseError, InputError
from loader.kafka.batches import Share
from loader.kafka.client import BrokerError, FatalBrokerError, Topic, is_same, kafka
from loader.kafka.loads import load_share
from loader.kafka.offsets import FencedError, Offsets, forget_offsets, read_offsets
from loader.loading.load import prepare_database
from loader.loading.observer import Observer
from loader.loading.options import LoadOptions
from loader.loading.result import LoadResult
from loader.process.signals import StopRequest
from loader.reading.mapping import Mapping as Meaning

_AT_ONCE: Final = 10_000
_WAIT_SECONDS: Final = 0.2
_PAUSE_SECONDS: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class ConsumeOptions:
    """How to consume.

    Attributes:
        every: seconds between two loads.
        max_rows: a load begins earlier when so many messages wait.
        max_bytes: or when their values take so much memory.
        once: load what is there, then stop.
        begin: where a group starts that has not loaded the topic before.
        new_topic: what to do when the topic was made anew under the same name.
        lost: what to do when the broker has deleted messages that were not loaded.
    """

    every: float = 300.0
    max_rows: int = field(default=1_000_000, metadata={"least": 1})
    max_bytes: int = 256 << 20
    once: bool = False
    begin: Literal["beginning", "end"] = "beginning"
    new_topic: Literal["stop", "restart"] = "stop"
    lost: Literal["stop", "skip"] = "stop"


@dataclass(kw_only=True, eq=False, repr=False)
class TopicConsumer:
    """Loads one topic for one group until told to stop.

    Attributes:
        dsn: the database.
        topic: what to load, and the group it is loaded for.
        mapping: how to read the messages.
        load_options: how to load them.
        options: how to consume.
        observers: take part in the loads, behind the offsets.
        loaded: called after every load.
        say: tells the user of what is neither a result nor the end.
    """

    dsn: str
    topic: Topic
    mapping: Meaning
    load_options: LoadOptions
    options: ConsumeOptions
    observers: Sequence[Observer]
    loaded: Callable[[LoadResult], None]
    say: Callable[[str], None]

    def __post_init__(self) -> None:
        self._identity = ""
        # None until the group has given us a share, which may be empty.
        self._assigned: list[int] | None = None
        self._must_restart = False
        self._is_closing = False
        self._failure: Exception | None = None
        self._begin(Share({}))

    @property
    def buffered(self) -> int:
        """How many messages wait to be loaded."""
        return self._share.rows

    def run(self, must_stop: StopRequest) -> None:
        """Consume; at the end load what is buffered.

        Raises:
            InputError: there is no such topic, it is another one now, or messages are lost.
            BrokerError: Kafka cannot be reached at all, or refuses us.
            DatabaseError: the database went away (with ``once``; else it is waited for).
        """
        consumer = self.topic.consumer
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
                        self.say("it works again")
                        is_away = False
                except FencedError as error:
                    self.say(f"{error}; starting again from there")
                    # Forgotten at once: at the end nobody restarts, and it would be tried for ever.
                    self._begin(Share({}))
                    self._must_restart = True
                except (psycopg.Error, DatabaseError) as error:
                    must_end |= self.options.once or isinstance(error, FatalBrokerError)
                    # At first the broker is asked in vain only once: its address may be wrong.
                    must_end |= not is_subscribed and isinstance(error, BrokerError)
                    if must_end or not may_pass(error):
                        raise
                    self.say(f"{explain(error)}; trying again")
                    self._must_restart = is_away = True
                    must_stop.wait(_PAUSE_SECONDS)
        finally:
            self._is_closing = True
            consumer.close()

    def _subscribe(self) -> None:
        prepare_database(self.dsn)
        self.topic.identity()
        self.topic.consumer.subscribe(
            [self.topic.name],
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
        messages = self.topic.consumer.consume(room, timeout=wait)
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        if self._must_restart or self._assigned is None:
            # Some of these messages may be of a share that we do not have any more.
            return False
        self._take(messages)
        is_at_end = self._share.is_at_end(self._assigned)
        is_done = self.options.once and is_at_end
        if (
            is_done
            or time.monotonic() >= self._next_load
            or self.buffered >= self._max_rows
            or self._share.size >= self.options.max_bytes
        ):
            self._load()
        if is_at_end and not self.buffered:
            for observer in self.observers:
                observer.rest()
        return is_done

    def _take(self, messages: list[Any]) -> None:
        good = [message for message in messages if message.error() is None]
        # First, for what follows on them is judged by how far we have read.
        self._share.add(good)
        for message in messages:
            if message.error() is not None:
                self._notice(message)

    def _notice(self, message: Any) -> None:
        """Look at what came instead of a message."""
        error, errors = message.error(), kafka().KafkaError
        partition = message.partition()
        if error.code() == errors._PARTITION_EOF:
            self._share.end_at(partition, message.offset())
            if self._share.is_new(partition) and self.options.begin == "end":
                # Now, so that a restart begins here and skips nothing.
                self._next_load = 0.0
        elif error.code() in (errors._AUTO_OFFSET_RESET, errors.OFFSET_OUT_OF_RANGE):
            # What is in hand is safe then, whatever the user wants to be done about the rest.
            self._load()
            self._mind_gap(partition)
            self._must_restart = True
        elif error.code() in (errors.UNKNOWN_TOPIC_OR_PART, errors._UNKNOWN_TOPIC):
            self._must_restart = True
        elif error.fatal() or error.code() == errors._FATAL:
            raise FatalBrokerError(f"topic {self.topic.name}: {error.str()}")
        elif not error.retriable():
            raise BrokerError(f"topic {self.topic.name}: {error.str()}")

    def _mind_gap(self, partition: int) -> None:
        """Deal with an offset that the broker does not have; what is skipped is noted."""
        wanted = self._share.wanted(partition)
        low, high = self.topic.bounds(partition)
        if wanted is None or low <= wanted <= high:
            return
        if wanted > high:
            self._check_new_topic()
            with connect(self.dsn) as conn:
                forget_offsets(conn, self.topic.group, self.topic.name)
            return
        message = (
            f"topic {self.topic.name} partition {partition}: {low - wanted:,} messages are lost, "
            f"offsets {wanted:,} to {low - 1:,}; the broker deleted them before they were loaded"
        )
        if self.options.lost == "stop":
            raise InputError(f"{message}; to go on behind them: loader consume --lost skip")
        self.say(message)
        self._share.skip_to(partition, low)
        self._load()

    def _check_new_topic(self) -> None:
        """Refuse a topic that the group has not loaded, unless the user wants it."""
        if self.options.new_topic == "stop":
            raise InputError(
                f"topic {self.topic.name} is not the one that group {self.topic.group} has loaded: "
                "it was deleted and made anew, or is on another cluster; to load the new one from "
                "its beginning: loader consume --new-topic restart"
            )

    def _load(self) -> None:
        """Load what is buffered, together with the offsets.

        Raises:
            FencedError: another consumer was faster, or the topic is another one; nothing was
                loaded.
        """
        self._next_load = time.monotonic() + self.options.every
        result = load_share(
            self._share,
            self.dsn,
            self.topic,
            self._identity,
            mapping=self.mapping,
            options=self.load_options,
            observers=self.observers,
        )
        self._begin(self._share.after_load())
        if result is not None:
            self.loaded(result)

    def _restart(self, partitions: list[int]) -> None:
        """Begin again from the table; what is buffered is forgotten and will be read again."""
        prepare_database(self.dsn)
        found = self.topic.identity()
        with connect(self.dsn) as conn:
            stored = read_offsets(conn, self.topic.group, self.topic.name)
            if stored.identity is not None and not is_same(stored.identity, found):
                self._check_new_topic()
                self.say(f"topic {self.topic.name} is another one now: starting at its beginning")
                forget_offsets(conn, self.topic.group, self.topic.name)
                stored = Offsets()
        self._identity = stored.identity or found
        # A partition that a known topic has grown is read whole.
        at_end = self.options.begin == "end" and not stored.next
        start = kafka().OFFSET_END if at_end else kafka().OFFSET_BEGINNING
        self.topic.assign({one: stored.next.get(one, start) for one in partitions})
        begun = {one: stored.next[one] for one in partitions if one in stored.next}
        deaths = {one: stored.deaths[one] for one in partitions if one in stored.deaths}
        self._begin(Share(begun, deaths))
        for text in self._share.described(self.topic.name, self._max_rows):
            self.say(text)
        self._must_restart = False

    def _begin(self, share: Share) -> None:
        self._share = share
        self._next_load = time.monotonic() + self.options.every
        self._max_rows = share.rows_at_once(self.options.max_rows)

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
