"""Loads of a topic: what a share has buffered becomes visible together with its offsets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import Connection

from loader.database.connection import connect
from loader.kafka.batches import Messages
from loader.kafka.offsets import FencedError, Move, move_offsets
from loader.kafka.share import Share
from loader.kafka.topics import Topic, is_same
from loader.loading.load import LoadResult, load_batches
from loader.loading.observer import Observation, Observer
from loader.loading.options import LoadOptions
from loader.reading.limits import Limits
from loader.reading.mapping import Mapping


class Loads:
    """Loads micro-batches of one topic for one group.

    Args:
        dsn: the database.
        group: the consumer group.
        topic: where the messages are from.
        mapping: how to read them.
        options: how to load them.
        limits: how long a message may be, and the like.
        observers: take part in the loads, behind the offsets.
    """

    def __init__(
        self,
        *,
        dsn: str,
        group: str,
        topic: Topic,
        mapping: Mapping,
        options: LoadOptions,
        limits: Limits,
        observers: Sequence[Observer],
    ) -> None:
        self._dsn = dsn
        self._group = group
        self._topic = topic
        self._mapping = mapping
        self._options = options
        self._limits = limits
        self._observers = observers

    def load(self, share: Share, identity: str) -> LoadResult | None:
        """Load what is buffered and move the offsets; None when only these had to move.

        Args:
            share: what was read.
            identity: the topic that it was read from.

        Raises:
            FencedError: another consumer was faster, or the topic is another one; nothing was
                loaded.
        """
        moves = share.moves()
        if not moves:
            return None
        # Offsets say nothing about another topic of this name; not even when it has as many.
        if not is_same(identity, self._topic.identity()):
            raise FencedError(
                f"topic {self._topic.name} was deleted and made anew while it was read"
            )

        where = (self._group, self._topic.name, identity)
        result = None
        if share.buffer.rows:
            result = load_batches(
                self._dsn,
                Messages(share.buffer, self._mapping, self._limits),
                origin=f"kafka:{self._topic.name}",
                mapping=self._mapping,
                options=self._options,
                details={"kafka": self._details(share, identity, moves)},
                # The offsets first: who is too late learns it before anything waits.
                observers=[_Moving(*where, moves), *self._observers],
            )
        else:
            with connect(self._dsn) as conn, conn.transaction():
                move_offsets(conn, *where, moves)
        self._topic.mirror(moves)
        return result

    def _details(self, share: Share, identity: str, moves: dict[int, Move]) -> dict[str, Any]:
        """Return what the ledger keeps: from which offset to which, the latter not included."""
        return {
            "group": self._group,
            "topic": self._topic.name,
            "identity": identity,
            "tombstones": share.buffer.tombstones,
            "messages": share.buffer.rows,
            "offsets": {
                str(partition): [move.old, move.new] for partition, move in sorted(moves.items())
            },
        }


class _Moving(Observer, Observation):
    """Moves offsets in the transaction that publishes the messages before them."""

    def __init__(self, group: str, topic: str, identity: str, moves: dict[int, Move]) -> None:
        self._where = (group, topic, identity)
        self._moves = moves

    def observe(self, conn: Connection, load_id: int, *, is_deduped: bool) -> Observation:  # noqa: ARG002
        self._conn = conn
        return self

    def settle(self) -> None:
        move_offsets(self._conn, *self._where, self._moves)
