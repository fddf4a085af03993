"""Offsets: how far a group has loaded a topic, kept beside the rows that it loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg import Connection

from loader.database.queries import query
from loader.errors import LoaderError


class FencedError(LoaderError):
    """Another consumer of the group has loaded these messages, or is about to."""


@dataclass(frozen=True, kw_only=True)
class Move:
    """A step of one partition.

    Attributes:
        old: the offset in the table; None when the partition has no row yet.
        new: the offset of the next message to load.
    """

    old: int | None
    new: int


@dataclass(frozen=True, kw_only=True)
class Offsets:
    """What the table says about a group and a topic.

    Attributes:
        identity: which topic the offsets count, see ``identity``; None without rows.
        next: partition -> offset of the next message to load.
    """

    identity: str | None
    next: Mapping[int, int]


@dataclass(frozen=True, kw_only=True)
class Deaths:
    """How often consumers died while they loaded some messages of a partition, one after the other.

    Attributes:
        first: offset of the first of these messages.
        end: offset behind the last.
        count: how often.
        alone: how often of a load that had nothing but the first of them.
    """

    first: int
    end: int
    count: int
    alone: int


def read_deaths(conn: Connection, group: str, topic: str) -> dict[int, Deaths]:
    """Return what consumers of a group died of last, by partition."""
    rows = conn.execute(query("kafka_deaths"), {"group": group, "topic": topic}).fetchall()
    return {
        partition: Deaths(first=first, end=end, count=count, alone=alone)
        for partition, first, end, count, alone in rows
    }


def read_offsets(conn: Connection, group: str, topic: str) -> Offsets:
    """Return how far a group has come."""
    rows = conn.execute(query("kafka_offsets"), {"group": group, "topic": topic}).fetchall()
    return Offsets(
        identity=rows[0][2] if rows else None, next={int(row[0]): int(row[1]) for row in rows}
    )


def move_offsets(
    conn: Connection, group: str, topic: str, identity: str, moves: Mapping[int, Move]
) -> None:
    """Move offsets from where this consumer began; part of the transaction that publishes.

    Raises:
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
    conn.execute(
        "delete from raw.kafka_offsets where consumer_group = %s and topic = %s", [group, topic]
    )
    conn.execute(
        "delete from raw.kafka_deaths where consumer_group = %s and topic = %s", [group, topic]
    )
