"""Loads of a topic: what waits in a share becomes visible, and the offsets move with it."""

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import Connection

from loader.database.connection import connect
from loader.kafka.batches import Messages, Share
from loader.kafka.client import Topic, is_same
from loader.kafka.offsets import FencedError, Move, move_offsets
from loader.loading.load import load_batches
from loader.loading.observer import Observer
from loader.loading.options import LoadOptions
from loader.loading.result import LoadResult
from loader.reading.mapping import Mapping as Meaning


def load_share(
    share: Share,
    dsn: str,
    topic: Topic,
    identity: str,
    *,
    mapping: Meaning,
    options: LoadOptions,
    observers: Sequence[Observer],
) -> LoadResult | None:
    """Load what is buffered and move the offsets; None when only these had to move, or nothing.

    Raises:
        FencedError: another consumer was faster, or the topic is another one; nothing was loaded.
    """
    moves = share.moves()
    if not moves:
        return None
    # Offsets say nothing about another topic of this name; not even when it has as many.
    if not is_same(identity, topic.identity()):
        raise FencedError(f"topic {topic.name} was deleted and made anew while it was read")
    where = (topic.group, topic.name, identity)
    result = None
    if share.rows:
        # The offsets first: who is too late learns it before anything waits.
        moving = _Moving(*where, moves)
        result = load_batches(
            dsn,
            Messages(share, mapping),
            origin=f"kafka:{topic.name}",
            mapping=mapping,
            options=options,
            details={"kafka": _details(share, moves, *where)},
            observers=[moving, *observers],
        )
    else:
        with connect(dsn) as conn, conn.transaction():
            move_offsets(conn, *where, moves)
    topic.mirror(moves)
    return result


def _details(
    share: Share, moves: Mapping[int, Move], group: str, topic: str, identity: str
) -> dict[str, Any]:
    """Return what the ledger keeps: from which offset to which, the latter not included."""
    return {
        "group": group,
        "topic": topic,
        "identity": identity,
        "tombstones": share.tombstones,
        "messages": share.rows,
        "offsets": {
            str(partition): [move.old, move.new] for partition, move in sorted(moves.items())
        },
    }


class _Moving(Observer):
    """Moves offsets in the transaction that publishes the messages before them."""

    def __init__(self, group: str, topic: str, identity: str, moves: Mapping[int, Move]) -> None:
        self._where = (group, topic, identity)
        self._moves = moves

    def begin(self, conn: Connection, load_id: int, *, is_deduped: bool) -> None:  # noqa: ARG002
        self._conn = conn

    def settle(self) -> None:
        move_offsets(self._conn, *self._where, self._moves)
