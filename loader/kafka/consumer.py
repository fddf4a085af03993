"""The consumer: takes messages, gathers them into micro-batches, loads each exactly once.

The offsets in the database decide, not those of the broker. They move in the transaction that
publishes the messages, and only from where this consumer began; whoever is too late loses its
batch and starts again from the table.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

import psycopg

from loader.connection import UNAVAILABLE, connect, explain
from loader.early_alerts import EarlyAlerts
from loader.errors import InputError
from loader.kafka.batches import Messages
from loader.kafka.client import BrokerError, Client, kafka
from loader.kafka.offsets import FencedError, Move, forget_offsets, move_offsets, read_offsets
from loader.kafka.options import ConsumeOptions
from loader.kafka.share import Share
from loader.kafka.topics import TIMEOUT_SECONDS, another_topic, identity, is_same
from loader.limits import Limits
from loader.load import LoadResult, load_batches, prepare_database
from loader.mapping import Mapping
from loader.pipeline import LoadOptions
from loader.signals import StopRequest

_AT_ONCE: Final = 10_000
_WAIT_SECONDS: Final = 0.2
_PAUSE_SECONDS: Final = 1.0


class TopicConsumer:
    """Loads one topic for one group until told to stop.

    Args:
        dsn: the database.
        client: how to reach Kafka.
        topic: what to load.
        mapping: how to read the messages.
        load_options: how to load them.
        options: how to consume.
        early_alerts: raises alerts for what is loaded.
        loaded: called after every load.
        say: tells the user of what is neither a result nor the end.
    """

    def __init__(
        self,
        *,
        dsn: str,
        client: Client,
        topic: str,
        mapping: Mapping,
        load_options: LoadOptions,
        options: ConsumeOptions,
        early_alerts: EarlyAlerts | None,
        loaded: Callable[[LoadResult], None],
        say: Callable[[str], None],
    ) -> None:
        self._dsn = dsn
        self._group = client.group
        self._topic = topic
        self._mapping = mapping
        self._load_options = load_options
        self._options = options
        self._early_alerts = early_alerts
        self._loaded = loaded
        self._say = say
        self._limits = Limits()
        self._consumer = client.consumer()
        self._admin = client.admin()
        self._identity = ""
        # None until the group has given us a share, which may be empty.
        self._assigned: list[int] | None = None
        self._must_restart = False
        self._is_closing = False
        self._failure: Exception | None = None
        self._share = Share({})
        self._next_load = 0.0

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
        try:
            prepare_database(self._dsn)
            identity(self._consumer, self._admin, self._topic)
            self._consumer.subscribe(
                [self._topic],
                on_assign=self._on_assign,
                on_revoke=self._on_revoke,
                on_lost=self._on_lost,
            )
            is_done = False
            while not is_done:
                # Asked before, so that what the last step has buffered is loaded.
                must_end = must_stop.is_set()
                try:
                    if must_end:
                        self._load()
                        return
                    is_done = self._step()
                except FencedError as error:
                    self._say(f"{error}; starting again from there")
                    self._must_restart = True
                except UNAVAILABLE as error:
                    if self._options.once or must_end:
                        raise
                    cause = explain(error) if isinstance(error, psycopg.Error) else error
                    self._say(f"{cause}; trying again")
                    self._must_restart = True
                    must_stop.wait(_PAUSE_SECONDS)
        finally:
            self._is_closing = True
            self._consumer.close()

    def _step(self) -> bool:
        """Take some messages, and load if it is time; tell whether all is done."""
        if self._must_restart and self._assigned is not None:
            self._restart(self._assigned)
        room = max(1, min(_AT_ONCE, self._options.max_rows - self.buffered))
        wait = max(0.0, min(_WAIT_SECONDS, self._next_load - time.monotonic()))
        messages = self._consumer.consume(room, timeout=wait)
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
            or self.buffered >= self._options.max_rows
            or self._share.buffer.size >= self._options.max_bytes
        ):
            self._load()
        return is_at_end

    def _take(self, messages: list[Any]) -> None:
        good = [message for message in messages if message.error() is None]
        if len(good) < len(messages):
            for message in messages:
                if message.error() is not None:
                    self._notice(message)
        self._share.add(good, self._limits)

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
            self._offset_is_gone(partition)
        elif error.code() in (errors.UNKNOWN_TOPIC_OR_PART, errors._UNKNOWN_TOPIC):
            self._must_restart = True
        elif error.fatal() or not error.retriable():
            raise BrokerError(f"topic {self._topic}: {error.str()}")

    def _load(self) -> None:
        """Load what is buffered, together with the offsets."""
        self._next_load = time.monotonic() + self._options.every
        moves = self._share.moves()
        if not moves:
            return
        # Offsets say nothing about another topic of this name; not even when it has as many.
        self._check_identity(identity(self._consumer, self._admin, self._topic))

        def move(conn: psycopg.Connection) -> None:
            move_offsets(conn, self._group, self._topic, self._identity, moves)

        result = None
        if self.buffered:
            result = load_batches(
                self._dsn,
                Messages(self._share.buffer, self._mapping, self._limits),
                origin=f"kafka:{self._topic}",
                mapping=self._mapping,
                options=self._load_options,
                details={"kafka": self._details(moves)},
                in_publication=move,
                early_alerts=self._early_alerts,
            )
        else:
            with connect(self._dsn) as conn, conn.transaction():
                move(conn)
        self._begin(self._share.after_load())
        self._mirror(moves)
        if result is not None:
            self._loaded(result)

    def _details(self, moves: dict[int, Move]) -> dict[str, Any]:
        """Return what the ledger keeps: from which offset to which, the latter not included."""
        return {
            "group": self._group,
            "topic": self._topic,
            "identity": self._identity,
            "tombstones": self._share.buffer.tombstones,
            "offsets": {
                str(partition): [move.old, move.new] for partition, move in sorted(moves.items())
            },
        }

    def _mirror(self, moves: dict[int, Move]) -> None:
        """Tell the broker how far we are, for whoever watches it; nothing depends on it."""
        library = kafka()
        offsets = [
            library.TopicPartition(self._topic, partition, move.new)
            for partition, move in moves.items()
        ]
        with suppress(library.KafkaException):
            self._consumer.commit(offsets=offsets, asynchronous=True)

    def _restart(self, partitions: list[int]) -> None:
        """Begin again from the table; what is buffered is forgotten and will be read again."""
        library = kafka()
        prepare_database(self._dsn)
        found = identity(self._consumer, self._admin, self._topic)
        with connect(self._dsn) as conn:
            stored = read_offsets(conn, self._group, self._topic)
            if stored.identity is not None and not is_same(stored.identity, found):
                if self._options.new_topic == "stop":
                    raise another_topic(self._topic, self._group)
                self._say(f"topic {self._topic} is another one now: starting at its beginning")
                forget_offsets(conn, self._group, self._topic)
                stored = replace(stored, identity=None, next={})
        self._identity = stored.identity or found
        # A partition that a known topic has grown is read whole.
        at_end = self._options.begin == "end" and not stored.next
        start = library.OFFSET_END if at_end else library.OFFSET_BEGINNING
        self._consumer.assign(
            [
                library.TopicPartition(self._topic, partition, stored.next.get(partition, start))
                for partition in partitions
            ]
        )
        self._begin(Share({p: stored.next[p] for p in partitions if p in stored.next}))
        self._must_restart = False

    def _begin(self, share: Share) -> None:
        self._share = share
        self._next_load = time.monotonic() + self._options.every

    def _check_identity(self, found: str) -> None:
        if not is_same(self._identity, found):
            self._must_restart = True
            raise FencedError(f"topic {self._topic} was deleted and made anew while it was read")

    def _offset_is_gone(self, partition: int) -> None:
        """The broker does not have the offset that we want: find out why."""
        library = kafka()
        here = library.TopicPartition(self._topic, partition)
        low, high = self._consumer.get_watermark_offsets(here, timeout=TIMEOUT_SECONDS)
        wanted = self._share.wanted(partition)
        if wanted is None or low <= wanted <= high:
            self._must_restart = True
            return
        if wanted > high:
            if self._options.new_topic == "stop":
                raise another_topic(self._topic, self._group)
            with connect(self._dsn) as conn:
                forget_offsets(conn, self._group, self._topic)
            self._must_restart = True
            return
        message = (
            f"topic {self._topic} partition {partition}: {low - wanted:,} messages are lost, "
            f"offsets {wanted:,} to {low - 1:,}; the broker deleted them before they were loaded"
        )
        if self._options.lost == "stop":
            raise InputError(f"{message}; to go on behind them: loader consume --lost skip")
        self._say(message)
        self._share.skip_to(partition, low)
        self._load()
        self._must_restart = True

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
