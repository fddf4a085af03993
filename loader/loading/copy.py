"""Events into the database: several connections, each with a COPY of its own."""

import math
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import numpy as np
from psycopg import Connection, sql

from loader.database.citus import keep_partitions, longest_copy
from loader.database.connection import connect
from loader.database.locks import show_life
from loader.loading.chunks import Cutter, concatenated
from loader.loading.encode import HEADER, TRAILER, EncodedRows
from loader.loading.options import ShardBy

# Batches that wait for a connection, for each of them: enough to keep it busy, and bounded.
_QUEUED_PER_WORKER = 2
# Another connection takes time of the processors that read and encode. It is opened when those
# at work waited so much of the time for the server to take what they sent, of a second at least.
_MOST_WAITING = 0.75
_SECONDS_LOOKED_AT = 1.0

# Below that, another connection costs more than it helps.
_FEWEST_ROWS: Final = 10_000

_Queue = queue.Queue[tuple[EncodedRows, int] | None]


class _AbortedError(Exception):
    """Another part of the load failed; this one rolls back."""


@dataclass(kw_only=True, eq=False, repr=False)
class Copier:
    """Copies batches of rows into one table over up to ``workers`` connections.

    Every connection copies in one transaction, committed by ``finish``; without that, nothing
    stays. (On a cluster they begin a new one every few seconds.) The first connection is opened for
    the first batch, another one when the server cannot keep up with those at work.

    Attributes:
        dsn: the database.
        table: the table in schema raw; it has the columns of ``raw.event_chunks``.
        load_id: the load.
        has_attributes: whether its events have any.
        workers: how many connections at most.
        shard_by: what decides which of them copies an event.
    """

    dsn: str
    table: str
    load_id: int
    has_attributes: bool
    workers: int
    shard_by: ShardBy = "source"

    def __post_init__(self) -> None:
        self._cutter = Cutter(
            self.load_id,
            has_attributes=self.has_attributes,
            is_numbered=self.table != "event_chunks",
        )
        self._statement = sql.SQL("copy {} ({}) from stdin with (format binary)").format(
            sql.Identifier("raw", self.table),
            sql.SQL(", ").join(map(sql.Identifier, self._cutter.columns)),
        )
        self._batches = 0
        self._used = 1
        self._looked_at = time.monotonic()
        # Seconds since then that the server took for what was sent, as often as something was.
        self._waits: list[float] = []
        self._queues: dict[int, _Queue] = {}
        self._threads: list[threading.Thread] = []
        self._connections: list[Connection] = []
        self._failures: list[BaseException] = []
        self._must_stop = threading.Event()

    def put(self, rows: EncodedRows, partitions_created: int) -> None:
        """Copy some rows, or wait until there is room for them.

        Args:
            rows: the rows.
            partitions_created: how many partitions this load has created so far. A COPY does not
                see those that are newer than itself, so the next one begins when it grows.

        Raises:
            psycopg.Error: a connection failed, now or before.
        """
        for worker, part in split(rows, self._batches, self._used, self.shard_by):
            self._enqueue(self._queue_of(worker), (part, partitions_created))
        self._batches += 1
        self._use_another_if_due()

    def finish(self) -> None:
        """Commit everything that was put."""
        for batches in self._queues.values():
            self._enqueue(batches, None)
        for thread in self._threads:
            thread.join()
        if self._failures:
            raise self._failures[0]

    def commit(self) -> None:
        """Commit everything that was put, and go on in new transactions."""
        self.finish()
        self._queues.clear()
        self._threads.clear()
        self._connections.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._must_stop.set()
            for connection in list(self._connections):
                # A connection may wait for a lock, and would not see that it must stop.
                connection.cancel_safe(timeout=5)
        for thread in self._threads:
            thread.join()

    def _queue_of(self, worker: int) -> _Queue:
        """Return the queue of a worker, which starts with its first batch."""
        if worker not in self._queues:
            batches: _Queue = queue.Queue(_QUEUED_PER_WORKER)
            thread = threading.Thread(target=self._work, args=[batches], name=f"copy {worker + 1}")
            self._queues[worker] = batches
            self._threads.append(thread)
            thread.start()
        return self._queues[worker]

    def _use_another_if_due(self) -> None:
        """Have the next batches go over one more connection if the server is what takes time."""
        elapsed = time.monotonic() - self._looked_at
        if elapsed < _SECONDS_LOOKED_AT:
            return
        if sum(self._waits) > _MOST_WAITING * elapsed * self._used:
            self._used = min(self._used + 1, self.workers)
        self._looked_at += elapsed
        self._waits.clear()

    def _enqueue(self, batches: _Queue, item: tuple[EncodedRows, int] | None) -> None:
        while not self._failures:
            with suppress(queue.Full):
                return batches.put(item, timeout=0.2)
        raise self._failures[0]

    def _work(self, batches: _Queue) -> None:
        try:
            with connect(self.dsn, purpose=f"copy, load {self.load_id}") as connection:
                self._connections.append(connection)
                show_life(connection, self.load_id)
                longest = longest_copy(connection)
                while self._copy(connection, self._portions(batches, longest)):
                    pass
        except _AbortedError:
            pass
        except BaseException as error:  # whatever it is, the main thread has to raise it
            self._failures.append(error)
            self._must_stop.set()

    def _copy(self, connection: Connection, portions: Iterator[tuple[EncodedRows, int]]) -> bool:
        """Copy portions in one transaction; return whether there were any."""
        portion = next(portions, None)
        if portion is None:
            return False
        with connection.transaction(), connection.cursor() as cursor:
            keep_partitions(connection)
            while portion is not None:
                known = portion[1]
                with cursor.copy(self._statement) as copy:
                    copy.write(HEADER)
                    while portion is not None and portion[1] == known:
                        for part in self._cutter.encode(portion[0]):
                            started = time.monotonic()
                            copy.write(part)
                            self._waits.append(time.monotonic() - started)
                        portion = next(portions, None)
                    copy.write(TRAILER)
        return True

    def _portions(self, batches: _Queue, longest: float) -> Iterator[tuple[EncodedRows, int]]:
        """Yield what comes in portions that make long chunks; with the partitions they need.

        They end so many seconds after the first one, though none may come for a while.
        """
        gathered: list[EncodedRows] = []
        known = 0
        ends_at = math.inf
        while (batch := self._take(batches, ends_at)) is not None:
            gathered.append(batch[0])
            known = batch[1]
            del batch
            if (rows := self._cutter.gather(gathered)) is not None:
                ends_at = min(ends_at, time.monotonic() + longest)
                yield rows, known
                del rows
        if gathered:
            yield concatenated(gathered), known

    def _take(self, batches: _Queue, ends_at: float) -> tuple[EncodedRows, int] | None:
        while not self._must_stop.is_set():
            if time.monotonic() > ends_at:
                return None
            with suppress(queue.Empty):
                batch = batches.get(timeout=0.2)
                if batch is None:
                    # Nothing comes after it, and it is asked for once more.
                    batches.put(None)
                return batch
        raise _AbortedError


def split(
    rows: EncodedRows, batch_number: int, workers: int, by: ShardBy
) -> Iterator[tuple[int, EncodedRows]]:
    """Yield the workers that get rows of a batch, each with its rows.

    A worker that gets all rows of a source makes longer chunks of them. By ``none``, whole batches
    go to one worker after the other.
    """
    if workers == 1 or by == "none" or len(rows.source_id) < _FEWEST_ROWS:
        yield batch_number % workers if by == "none" else 0, rows
        return
    key = rows.source_id if by == "source" else rows.event_type_id
    worker_of = key % workers
    for worker in range(workers):
        indices = np.flatnonzero(worker_of == worker)
        if len(indices):
            yield worker, rows.take(indices)
