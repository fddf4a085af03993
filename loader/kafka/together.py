"""Works that go on side by side, none of which holds up another one."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from loader.signals import StopRequest

Work = Callable[[StopRequest], None]

# After that, what still hangs is left behind; it does not survive the end of the process.
_PATIENCE_SECONDS: Final = 3.0
# How long a signal, or a request to stop, may go unnoticed.
_WAKE_SECONDS: Final = 0.2


def run_together(works: Mapping[str, Work], must_stop: StopRequest | None = None) -> None:
    """Run each work in a thread of its own, and wait for all of them.

    Args:
        works: each handles its own errors, and ends soon after the request that it is given is set.
        must_stop: when it is set, all works are asked to end.

    Raises:
        KeyboardInterrupt: somebody wants an end at once; the works were told.
        BaseException: what a work has raised, when all have ended.
    """
    # One for each: a request wakes one thread.
    requests = {name: StopRequest() for name in works}
    ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    def run(name: str) -> None:
        try:
            works[name](requests[name])
        except BaseException as error:  # whatever it is, the main thread has to raise it
            ended.put(error)
        else:
            ended.put(None)

    threads = [threading.Thread(target=run, args=[name], name=name, daemon=True) for name in works]
    for thread in threads:
        thread.start()
    failures: list[BaseException] = []
    left = len(threads)
    try:
        while left:
            if must_stop is not None and must_stop.is_set():
                for request in requests.values():
                    request.set()
                must_stop = None
            try:
                # Never without end: a signal that comes just before this thread falls asleep does
                # not wake it, and would be handled only when it wakes.
                failure = ended.get(timeout=_WAKE_SECONDS)
            except queue.Empty:
                continue
            left -= 1
            if failure is not None:
                failures.append(failure)
    except BaseException:
        for request in requests.values():
            request.set()
        end = time.monotonic() + _PATIENCE_SECONDS
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
        raise
    if failures:
        raise failures[0]
