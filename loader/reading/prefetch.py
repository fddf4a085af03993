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
        self._queue: queue.Queue[tuple[Item] | BaseException | None] = queue.Queue(ahead)
        self._is_stopped = threading.Event()
        # A daemon, for it may wait forever on standard input after the load has failed.
        self._thread = threading.Thread(target=self._run, name="prefetch", daemon=True)

    def __iter__(self) -> Iterator[Item]:
        """Yield the items; an error in making one is raised in its place."""
        self._thread.start()
        while (found := self._queue.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            yield found[0]

    def close(self) -> None:
        """Stop the thread, unless it hangs in a read that may never return."""
        self._is_stopped.set()
        if self._thread.ident is not None:
            self._thread.join(_LONGEST_WAIT_S)

    def _run(self) -> None:
        try:
            for item in self._items:
                if not self._put((item,)):
                    return
            self._put(None)
        except BaseException as error:
            self._put(error)

    def _put(self, found: tuple[Item] | BaseException | None) -> bool:
        while not self._is_stopped.is_set():
            try:
                self._queue.put(found, timeout=0.05)
            except queue.Full:
                continue
            return True
        return False
