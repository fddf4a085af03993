"""Prefetching: the next items are made by a thread while the last one is being used."""

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")
_LONGEST_WAIT_S = 1.0


class Prefetch(Generic[Item]):
    """Iterates over items that a thread makes ahead of need; Arrow and NumPy let it run."""

    def __init__(self, items: Iterable[Item], ahead: int = 2) -> None:
        self._items = items
        self._queue: queue.SimpleQueue[tuple[Item] | BaseException | None] = queue.SimpleQueue()
        self._room = threading.Semaphore(ahead)
        self._is_stopped = False
        # A daemon, for it may wait forever on standard input after the load has failed.
        self._thread = threading.Thread(target=self._run, name="prefetch", daemon=True)

    def __iter__(self) -> Iterator[Item]:
        """Yield the items; an error in making one is raised in its place."""
        self._thread.start()
        while (found := self._queue.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            self._room.release()
            yield found[0]

    def close(self) -> None:
        """Stop the thread, unless it hangs in a read that may never return."""
        self._is_stopped = True
        self._room.release()
        if self._thread.ident is not None:
            self._thread.join(_LONGEST_WAIT_S)

    def _run(self) -> None:
        try:
            for item in self._items:
                self._room.acquire()
                if self._is_stopped:
                    return
                self._queue.put((item,))
            self._queue.put(None)
        except BaseException as error:
            self._queue.put(error)
