"""Rows into the database: several connections, each with a COPY of its own."""

import queue
import threading
from types import TracebackType
from typing import Self

from psycopg import Connection, Copy, sql

from loader.database.connection import connect
from loader.database.locks import show_life
from loader.loading.encode import HEADER, TRAILER, Rows, copied_columns, encode
from loader.loading.shards import ShardBy, split

# Batches that wait for a connection, for each of them: enough to keep it busy, and bounded.
_QUEUED_PER_WORKER = 2


_Queue = queue.Queue[tuple[Rows, int] | None]


class _AbortedError(Exception):
    """Another part of the load failed; this one rolls back."""


class Copier:
    """Copies batches of rows into one table over up to ``workers`` connections.

    Every connection copies in one transaction, committed by ``finish``; without that, nothing
    stays. A connection is opened only when there is a batch for it.
    """

    def __init__(
        self,
        dsn: str,
        *,
        table: str,
        load_id: int,
        has_attributes: bool,
        workers: int,
        shard_by: ShardBy = "source",
    ) -> None:
        """Prepare to copy into ``raw.<table>``; a staging table gets row numbers too."""
        self._dsn = dsn
        self._load_id = load_id
        columns = copied_columns(has_attributes=has_attributes, has_row_numbers=table != "events")
        self._statement = sql.SQL("copy {} ({}) from stdin with (format binary)").format(
            sql.Identifier("raw", table), sql.SQL(", ").join(map(sql.Identifier, columns))
        )
        self._workers = workers
        self._shard_by = shard_by
        self._batches = 0
        self._queues: dict[int, _Queue] = {}
        self._threads: list[threading.Thread] = []
        self._connections: list[Connection] = []
        self._failures: list[BaseException] = []
        self._must_stop = threading.Event()
        self.may_have_committed = False

    def put(self, rows: Rows, partitions_created: int) -> None:
        """Copy some rows, or wait until there is room for them.

        Args:
            rows: the rows.
            partitions_created: how many partitions this load has created so far. A COPY does not
                see those that are newer than itself, so the next one begins when it grows.

        Raises:
            psycopg.Error: a connection failed, now or before.
        """
        for worker, part in split(rows, self._batches, self._workers, self._shard_by):
            self._enqueue(self._queue_of(worker), (part, partitions_created))
        self._batches += 1

    def finish(self) -> None:
        """Commit everything that was put."""
        self.may_have_committed = True
        for batches in self._queues.values():
            self._enqueue(batches, None)
        self._join()

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

    def _enqueue(self, batches: _Queue, item: tuple[Rows, int] | None) -> None:
        while True:
            if self._failures:
                raise self._failures[0]
            try:
                batches.put(item, timeout=0.2)
            except queue.Full:
                continue
            return

    def _join(self) -> None:
        for thread in self._threads:
            thread.join()
        if self._failures:
            raise self._failures[0]

    def _work(self, batches: _Queue) -> None:
        try:
            with connect(self._dsn, purpose=f"copy, load {self._load_id}") as connection:
                self._connections.append(connection)
                show_life(connection, self._load_id)
                with connection.transaction(), connection.cursor() as cursor:
                    batch = self._take(batches)
                    while batch is not None:
                        with cursor.copy(self._statement) as copy:
                            batch = self._copy_while_possible(copy, batch, batches)
        except _AbortedError:
            pass
        except BaseException as error:  # whatever it is, the main thread has to raise it
            self._failures.append(error)
            self._must_stop.set()

    def _copy_while_possible(
        self, copy: Copy, batch: tuple[Rows, int], batches: _Queue
    ) -> tuple[Rows, int] | None:
        """Copy this batch and the next ones; return one that needs a new COPY, None at the end."""
        partitions_known = batch[1]
        copy.write(HEADER)
        following: tuple[Rows, int] | None = batch
        while following is not None and following[1] == partitions_known:
            copy.write(encode(following[0], self._load_id))
            following = self._take(batches)
        copy.write(TRAILER)
        return following

    def _take(self, batches: _Queue) -> tuple[Rows, int] | None:
        while not self._must_stop.is_set():
            try:
                return batches.get(timeout=0.2)
            except queue.Empty:
                continue
        raise _AbortedError
