"""Signals that end a command."""

import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from types import FrameType
from typing import Final

# What a command ends with, as a shell reports it: 128 and the number of the signal.
INTERRUPTED: Final = 130
TERMINATED: Final = 143
_ENDS: Final = {
    signal.SIGINT: (b"loader: interrupted\n", INTERRUPTED),
    signal.SIGTERM: (b"loader: terminated\n", TERMINATED),
}


class StopRequest:
    """Says that somebody wants an end, to all who ask or wait for it.

    A ``threading.Event`` is not to be set by the handler of a signal: when that comes while the
    same thread begins to wait, it waits for ever. A ``SimpleQueue`` is made for it.
    """

    def __init__(self) -> None:
        self._is_set = False
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()

    def set(self) -> None:
        """Ask for the end."""
        self._is_set = True
        self._wake.put(None)

    def is_set(self) -> bool:
        """Tell whether the end was asked for."""
        return self._is_set

    def wait(self, seconds: float) -> bool:
        """Wait until the end is asked for, or so long; tell whether it was."""
        if not self._is_set and seconds > 0:
            with suppress(queue.Empty):
                self._wake.get(timeout=seconds)
                # For whoever waits beside us.
                self._wake.put(None)
        return self._is_set


@contextmanager
def stopping_gently() -> Iterator[StopRequest]:
    """Take SIGTERM and Ctrl-C as a wish to finish; the second one ends the command at once."""
    request = StopRequest()

    def ask(_: int) -> None:
        if request.is_set():
            raise KeyboardInterrupt
        request.set()

    with handling(ask, signal.SIGTERM, signal.SIGINT):
        yield request


@contextmanager
def handling(action: Callable[[int], None], *signals: signal.Signals) -> Iterator[None]:
    """Call ``action`` with a signal when one of these comes, instead of what happened before.

    Only the main thread of a process may ask for that; in another one nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    before = {number: signal.signal(number, _calling(action)) for number in signals}
    try:
        yield
    finally:
        for number, handler_before in before.items():
            signal.signal(number, handler_before)


def _calling(action: Callable[[int], None]) -> Callable[[int, FrameType | None], None]:
    return lambda number, _frame: action(number)


def unless_ignored(*signals: signal.Signals) -> list[signal.Signals]:
    """Return those that are not ignored; a shell has a program in the background ignore Ctrl-C."""
    return [number for number in signals if signal.getsignal(number) != signal.SIG_IGN]


def end_at_once() -> None:
    """Have Ctrl-C and SIGTERM end the process with one line, while there is nothing to clean up.

    An exception instead would show the import that it came into, or be taken for a failure of it.
    """
    for number in unless_ignored(*_ENDS):
        signal.signal(number, _calling(_end))


def ending_at_once() -> AbstractContextManager[None]:
    """End at once, as above, during what is only imports."""
    return handling(_end, *unless_ignored(*_ENDS))


def _end(number: int) -> None:
    line, exit_code = _ENDS[signal.Signals(number)]
    with suppress(OSError):
        os.write(2, line)
    os._exit(exit_code)
