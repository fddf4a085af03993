"""A consumer's share of a topic: where it began, how far it has read, what waits to be loaded."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from loader.kafka.batches import Buffer
from loader.kafka.offsets import Move
from loader.reading.limits import Limits


class Share:
    """What was read of some partitions since the last load.

    Args:
        begun: partition -> where the table says to begin; one without is new to the group.
    """

    def __init__(self, begun: Mapping[int, int]) -> None:
        self.buffer = Buffer()
        self._begun = dict(begun)
        self._next: dict[int, int] = {}
        self._at_end: set[int] = set()

    def add(
        self, messages: Sequence[Any], limits: Limits, refused: Mapping[int, int] | None = None
    ) -> None:
        """Buffer messages, none of which is an error; ``refused`` is as for ``Buffer.add``."""
        self.buffer.add(messages, limits, refused or {})
        # The offsets of a partition only grow, so its last message decides.
        last = {message.partition(): message.offset() for message in messages}
        for partition, offset in last.items():
            self._next[partition] = offset + 1

    def skip_to(self, partition: int, offset: int) -> None:
        """Go on at an offset, if it lies ahead: what lies between is no message of ours."""
        if offset > self._next.get(partition, -1):
            self._next[partition] = offset

    def end_at(self, partition: int, offset: int) -> None:
        """Note that the broker has nothing more; the offset is past the marks of transactions."""
        self._at_end.add(partition)
        self.skip_to(partition, offset)

    def is_at_end(self, partitions: Collection[int]) -> bool:
        """Whether all of these were read to their end."""
        return self._at_end.issuperset(partitions)

    def is_new(self, partition: int) -> bool:
        """Whether the table says nothing of a partition."""
        return partition not in self._begun

    def wanted(self, partition: int) -> int | None:
        """Return the offset to be read next; None if only the broker knows."""
        return self._next.get(partition, self._begun.get(partition))

    def moves(self) -> dict[int, Move]:
        """Return by how much a load of what is buffered moves the offsets in the table."""
        return {
            partition: Move(old=self._begun.get(partition), new=following)
            for partition, following in self._next.items()
            if following != self._begun.get(partition)
        }

    def after_load(self) -> Share:
        """Return the share as it is when what is buffered has been loaded."""
        following = Share({**self._begun, **self._next})
        following._at_end = self._at_end
        return following
