"""Messages that wait to be loaded, and how they become events."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from loader.kafka.offsets import Deaths, Move
from loader.reading.batch import EventBatch, Reject
from loader.reading.bounds import Bounds
from loader.reading.json import JsonReader
from loader.reading.limits import Limits
from loader.reading.mapping import Mapping as Meaning
from loader.reading.pieces import Pieces
from loader.reading.prefetch import Prefetch
from loader.reading.rows import Broken

_LIMITS: Final = Limits()
_DIED: Final = "the loader died again and again while it loaded this message; it was not looked at"
_EMPTY: Final = "the message is empty"
# What consumers died of is loaded in ever smaller parts, and at last a message is set aside; see
# docs/decisions/0027. A message at which they died so often, with nothing else in their hands, is
# rejected unseen.
_MOST_ALONE: Final = 4
# From the second death on, batches have a 32nd of the messages that they had before.
_HALVINGS: Final = 5
# The lines of a message are counted on from its number times this: which message a line is of can
# be told, however many it has.
_LINES: Final = 1 << 32


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Messages as the client gave them.

    Attributes:
        data: their values, with line feeds between; nothing for one that is a reject already.
        ends: of each, the byte behind it.
        partitions: where each stood, as ``offsets``.
        rejects: those that were not even read.
    """

    data: bytes
    ends: NDArray[np.int64]
    partitions: array[int]
    offsets: array[int]
    rejects: tuple[Reject, ...]

    def read(self, reader: JsonReader) -> Iterator[EventBatch]:
        """Yield the events, and what is no event with the place where it stood."""
        starts = np.append(0, self.ends[:-1] + 1)
        lines = np.arange(len(self.ends)) * _LINES
        unread = Broken(len(self.rejects), self.rejects)
        for found in reader.batches(Pieces(self.data, starts, self.ends, lines), unread):
            yield replace(found, rejects=tuple(map(self._placed, found.rejects)))

    def _placed(self, reject: Reject) -> Reject:
        """Name the message instead of the line."""
        at = (reject.line_number or 0) // _LINES
        return replace(
            reject,
            line_number=None,
            partition_number=self.partitions[at],
            message_offset=self.offsets[at],
        )


class Share:
    """A consumer's share of a topic: where it began, how far it has read, what waits to be loaded.

    Args:
        begun: partition -> where the table says to begin; one without is new to the group.
        deaths: partition -> what consumers of the group died of last.

    Attributes:
        chunks: the messages that wait, in memory.
        rows: how many, but for tombstones.
        tombstones: messages without a value, which are no events.
        size: bytes of the values.
    """

    def __init__(
        self, begun: Mapping[int, int], deaths: Mapping[int, Deaths] | None = None
    ) -> None:
        self.chunks: list[Chunk] = []
        self.rows = self.tombstones = self.size = 0
        self._begun = dict(begun)
        self._deaths = deaths or {}
        self._next: dict[int, int] = {}
        self._at_end: set[int] = set()

    def add(self, messages: Sequence[Any]) -> None:
        """Keep messages, as the client gives them, none of which is an error."""
        self._keep(messages)
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
        following = Share({**self._begun, **self._next}, self._deaths)
        following._at_end = self._at_end
        return following

    def rows_at_once(self, max_rows: int) -> int:
        """Return how many messages may be loaded together, of so many at the most."""
        worst = max((one.count for _, one in self._deadly()), default=0)
        return max(1, max_rows >> _HALVINGS * max(0, worst - 1))

    def described(self, topic: str, max_rows: int) -> Iterator[str]:
        """Name what consumers died of again and again, while it is still to be loaded."""
        for partition, one in self._deadly():
            if one.count > 1:
                how = f"loading {max_rows:,} at a time"
                if one.alone >= _MOST_ALONE:
                    how = "that message is rejected unseen; see: loader rejects"
                yield (
                    f"topic {topic} partition {partition}: consumers died {one.count} times while "
                    f"they loaded offsets {one.first:,} to {one.end - 1:,}; {how}"
                )

    def _deadly(self) -> Iterator[tuple[int, Deaths]]:
        """Yield, by partition, what consumers died of and is still to be loaded."""
        for partition, one in sorted(self._deaths.items(), key=lambda item: item[0]):
            if (self.wanted(partition) or one.first) < one.end:
                yield partition, one

    def _keep(self, messages: Sequence[Any]) -> None:
        count = len(messages)
        messages = [message for message in messages if message.value() is not None]
        self.tombstones += count - len(messages)
        if not messages:
            return
        values = [message.value() for message in messages]
        partitions = array("i", [message.partition() for message in messages])
        offsets = array("q", [message.offset() for message in messages])
        reasons = {at: _EMPTY for at, value in enumerate(values) if not value or value.isspace()}
        refused = {at: one.end for at, one in self._deaths.items() if one.alone >= _MOST_ALONE}
        if refused:
            ends = [refused.get(partition, 0) for partition in partitions]
            reasons |= {at: _DIED for at, offset in enumerate(offsets) if offset < ends[at]}
        rejects = [_reject(at, reasons[at], values[at]) for at in sorted(reasons)]
        for at in reasons:
            values[at] = b""
        data = b"\n".join(values)
        self.chunks.append(
            Chunk(
                data=data,
                ends=np.cumsum([len(value) + 1 for value in values]) - 1,
                partitions=partitions,
                offsets=offsets,
                rejects=tuple(rejects),
            )
        )
        self.rows += len(values)
        self.size += len(data)


class Messages:
    """The events that wait in a share, as ``load_batches`` takes them; iterate once."""

    fingerprint: None = None
    header: None = None

    def __init__(self, share: Share, mapping: Meaning) -> None:
        self._chunks = share.chunks
        self._mapping = mapping
        self.bounds: Bounds | None = None
        self._prefetch = Prefetch(self._batches())

    def __iter__(self) -> Iterator[EventBatch]:
        """Yield events and rejects."""
        try:
            yield from self._prefetch
        finally:
            self._prefetch.close()

    def _batches(self) -> Iterator[EventBatch]:
        # It is given messages, and no content.
        reader = JsonReader(BytesIO(), self._mapping, _LIMITS)
        reader.assembler.bounds = self.bounds
        for chunk in self._chunks:
            yield from chunk.read(reader)


def _reject(at: int, reason: str, value: bytes) -> Reject:
    kept = value[: _LIMITS.raw_bytes]
    return Reject(
        line_number=at * _LINES,
        column_name=None,
        reason=reason,
        raw=kept,
        is_cut=len(kept) < len(value),
    )
