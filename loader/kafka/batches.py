"""Messages that wait to be loaded, and how they become events."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from loader.kafka.offsets import Move
from loader.reading import objects
from loader.reading.batch import Reject
from loader.reading.json import JsonReader
from loader.reading.limits import Limits, too_long
from loader.reading.lines import Block
from loader.reading.prefetch import Prefetch
from loader.reading.rows import Broken

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from loader.reading.batch import EventBatch
    from loader.reading.bounds import Gate
    from loader.reading.mapping import Mapping as Meaning

# Stands for a message that is a reject already, until the reader has passed it: blank lines are
# none to it.
_NO_ROW: Final = b""
_DIED: Final = "the loader died again and again while it loaded this message; it was not looked at"


@dataclass(frozen=True)
class Chunk:
    """Messages as the client gave them: their values as lines, and where each stood."""

    data: bytes
    partitions: array[int]
    offsets: array[int]
    rejects: tuple[Reject, ...]

    def first_rejects(self, room: int) -> tuple[Reject, ...]:
        """Return those that are rejected already, as far as there is room."""
        return self.rejects[:room]


class Share:
    """A consumer's share of a topic: where it began, how far it has read, what waits to be loaded.

    Args:
        begun: partition -> where the table says to begin; one without is new to the group.

    Attributes:
        chunks: the messages that wait, in memory.
        rows: how many, but for tombstones.
        tombstones: messages without a value, which are no events.
        size: bytes of the values.
    """

    def __init__(self, begun: Mapping[int, int]) -> None:
        self.chunks: list[Chunk] = []
        self.rows = self.tombstones = self.size = 0
        self._begun = dict(begun)
        self._next: dict[int, int] = {}
        self._at_end: set[int] = set()

    def add(
        self, messages: Sequence[Any], limits: Limits, refused: Mapping[int, int] | None = None
    ) -> None:
        """Keep messages, none of which is an error.

        Args:
            messages: as the client gives them.
            limits: how long they may be.
            refused: partition -> offset before which messages are rejected unseen.
        """
        self._keep(messages, limits, refused or {})
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

    def _keep(self, messages: Sequence[Any], limits: Limits, refused: Mapping[int, int]) -> None:
        values = [message.value() for message in messages]
        if None in values:
            messages = [message for message in messages if message.value() is not None]
            self.tombstones += len(values) - len(messages)
            values = [value for value in values if value is not None]
        if not values:
            return
        partitions = array("i", [message.partition() for message in messages])
        offsets = array("q", [message.offset() for message in messages])
        rejects: list[Reject] = []
        data = b"\n".join(values)
        if refused or not _is_plain(data, values):
            ends = [refused.get(partition, 0) for partition in partitions]
            for at, value in enumerate(values):
                if offsets[at] < ends[at]:
                    line: bytes | Reject = _cut(_DIED, value, limits)
                else:
                    line = _one_line(value, limits)
                if isinstance(line, Reject):
                    place = {"partition_number": partitions[at], "message_offset": offsets[at]}
                    rejects.append(replace(line, **place))
                    line = _NO_ROW
                values[at] = line
            data = b"\n".join(values)
        self.chunks.append(Chunk(data, partitions, offsets, tuple(rejects)))
        self.rows += len(values)
        self.size += len(data)


class Messages:
    """The events that wait in a share, as ``load_batches`` takes them; iterate once."""

    fingerprint: None = None
    header: None = None

    def __init__(self, share: Share, mapping: Meaning, limits: Limits) -> None:
        self._chunks = share.chunks
        self._limits = limits
        self._mapping = mapping
        self._gate: Gate | None = None
        self._prefetch = Prefetch(self._batches())

    def guard(self, gate: Gate) -> None:
        """Reject the messages that this gate refuses; before the first batch."""
        self._gate = gate

    def __iter__(self) -> Iterator[EventBatch]:
        """Yield events and rejects."""
        try:
            yield from self._prefetch
        finally:
            self._prefetch.close()

    def _batches(self) -> Iterator[EventBatch]:
        reader = JsonReader(_Nothing(), self._mapping, self._limits, "")
        reader.assembler.gate = self._gate
        for chunk in self._chunks:
            for found in reader.read_messages([Block(chunk.data, 0)]):
                yield replace(found, rejects=tuple(_placed(found.rejects, chunk)))
            if chunk.rejects:
                yield reader.broken(Broken(count=len(chunk.rejects), rejects=chunk.first_rejects))


class _Nothing:
    """Content of a reader that is given blocks."""

    def read(self, size: int) -> bytes:  # noqa: ARG002 - as ByteSource has it
        return b""


def _is_plain(data: bytes, values: Sequence[bytes]) -> bool:
    """Whether each value is a line, and none of them blank."""
    if b"\r" in data or data.count(b"\n") != len(values) - 1:
        return False
    return not any(not value or value.isspace() for value in values)


def _one_line(value: bytes, limits: Limits) -> bytes | Reject:
    """Return a value on one line, if it is an object that may go over several."""
    if not value.strip():
        return _reject("the message is empty", value)
    if b"\n" not in value and b"\r" not in value:
        return value
    if len(value) > limits.line_bytes:
        kept = min(len(value), limits.raw_bytes)
        return _cut(too_long(len(value), kept, limits), value, limits)
    found = objects.read(value)
    if isinstance(found, objects.NotAnObject):
        return _reject(found.reason, value)
    # Between the parts of an object only, for inside of a text they would not be JSON.
    return value.replace(b"\r", b" ").replace(b"\n", b" ")


def _cut(reason: str, value: bytes, limits: Limits) -> Reject:
    kept = value[: limits.raw_bytes]
    return replace(_reject(reason, kept), is_cut=len(kept) < len(value))


def _reject(reason: str, raw: bytes) -> Reject:
    return Reject(line_number=None, column_name=None, reason=reason, raw=raw)


def _placed(rejects: Sequence[Reject], chunk: Chunk) -> Iterator[Reject]:
    """Name the message instead of the line, which was counted from 0 in the chunk."""
    for reject in rejects:
        at = reject.line_number or 0
        yield replace(
            reject,
            line_number=None,
            partition_number=chunk.partitions[at],
            message_offset=chunk.offsets[at],
        )
