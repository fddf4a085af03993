"""Sessions: a consumer for each destination, beside the others, which know nothing of it.

Each keeps its own offsets beside its own rows, so each is exact for the reason that one is. At the
broker each has a group of its own, so each reads the whole topic.
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from loader.database.connection import explain, may_pass
from loader.errors import LoaderError
from loader.kafka.client import BrokerError
from loader.process.signals import StopRequest

_PAUSE_SECONDS: Final = 5.0
# After that, what still hangs is left behind; it does not survive the end of the process.
_PATIENCE_SECONDS: Final = 3.0
# How long a signal may go unnoticed.
_WAKE_SECONDS: Final = 0.2

Session = Callable[[StopRequest], None]


def run_sessions(
    sessions: Mapping[str, Session],
    must_stop: StopRequest,
    *,
    once: bool,
    say: Callable[[str], None],
) -> LoaderError | None:
    """Run each session in a thread of its own, for as long as it can go on.

    Args:
        sessions: by the names of destinations; each consumes until told to stop, and raises what it
            cannot cope with.
        must_stop: when it is set, all are told to stop.
        once: they are to end by themselves, so that nobody is waited for.
        say: tells the user of what is neither a result nor the end.

    Returns:
        The worst of what has ended one, None if nothing has.
    """
    failures: list[LoaderError] = []

    def run(name: str) -> None:
        while not must_stop.is_set():
            try:
                return sessions[name](must_stop)
            except Exception as error:  # nothing of one session may end the others
                known = explain(error)
                # Of the broker the others notice too; it is not the destination that is away.
                is_away = may_pass(error) and not isinstance(error, BrokerError)
                if not is_away or once or must_stop.is_set():
                    failures.append(known)
                    return say(f"{name}: {known}")
            say(f"{name}: {known}; trying again")
            must_stop.wait(_PAUSE_SECONDS)
        return None

    threads = [threading.Thread(target=run, args=[name], daemon=True) for name in sessions]
    for thread in threads:
        thread.start()
    try:
        while running := [thread for thread in threads if thread.is_alive()]:
            # Never without end: a signal that comes just before this thread falls asleep does not
            # wake it, and would be handled only when it wakes.
            running[0].join(_WAKE_SECONDS)
    except BaseException:
        must_stop.set()
        end = time.monotonic() + _PATIENCE_SECONDS
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
        raise
    return max(failures, key=lambda error: error.exit_code, default=None)
