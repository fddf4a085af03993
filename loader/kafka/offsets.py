"""Offsets: how far a group has loaded a topic, kept beside the rows that it loaded."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from psycopg import Connection

from loader.database.queries import query
from loader.errors import LoaderError


class FencedError(LoaderError):
    """Another consumer of the group has loaded these messages, or is about to."""


@dataclass(frozen=True, kw_only=True)
class Move:
    """A step of a partition, to the next message to load; ``old`` is None while it has no row."""

    old: int | None
    new: int


@dataclass(frozen=True, kw_only=True)
class Deaths:
    """How often consumers died while they loaded some messages of a partition, one after the other.

    These are the messages from offset ``first`` to before ``end``; ``alone`` counts the loads that
    had nothing but the first of them.
    """

    first: int
    end: int
    count: int
    alone: int


@dataclass(frozen=True, kw_only=True)
class Offsets:
    """What the tables say about a group and a topic; they say nothing of one that is new.

    Attributes:
        identity: which topic the offsets count, see ``Topic.identity``.
        next: partition -> offset of the next message to load.
        deaths: partition -> what consumers died of last.
    """

    identity: str | None = None
    next: Mapping[int, int] = field(default_factory=dict)
    deaths: Mapping[int, Deaths] = field(default_factory=dict)


def read_offsets(conn: Connection, group: str, topic: str) -> Offsets:
    """Return how far a group has come, and what its consumers died of."""
    where = {"group": group, "topic": topic}
    rows = conn.execute(query("kafka_offsets"), where).fetchall()
    return Offsets(
        identity=rows[0][2] if rows else None,
        next={int(row[0]): int(row[1]) for row in rows},
        deaths={
            partition: Deaths(first=first, end=end, count=count, alone=alone)
            for partition, first, end, count, alone in conn.execute(query("kafka_deaths"), where)
        },
    )


def move_offsets(
    conn: Connection, group: str, topic: str, identity: str, moves: Mapping[int, Move]
) -> None:
    """Move offsets from where this consumer began; part of the transaction that publishes.

    FencedError: one of them is not there any more, so another consumer has moved it.
    """
    # In order, so that two consumers that race for several partitions cannot deadlock.
    for partition, move in sorted(moves.items()):
        name = "add_kafka_offset" if move.old is None else "move_kafka_offset"
        moved = conn.execute(
            query(name),
            {
                "group": group,
                "topic": topic,
                "identity": identity,
                "partition": partition,
                "old": move.old,
                "new": move.new,
            },
        ).rowcount
        if moved != 1:
            raise FencedError(
                f"{topic} partition {partition}: another consumer of group {group} has loaded "
                f"on from offset {move.old or 0:,}"
            )


def forget_offsets(conn: Connection, group: str, topic: str) -> None:
    """Let a group start a topic anew."""
    for table in ("raw.kafka_offsets", "raw.kafka_deaths"):
        statement = f"delete from {table} where consumer_group = %s and topic = %s"  # noqa: S608
        conn.execute(statement.encode(), [group, topic])
