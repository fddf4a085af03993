"""Sessions: a consumer for each destination, which knows nothing of the others.

Each keeps its own offsets beside its own rows, so each is exact for the reason that one is. At the
broker each has a group of its own, so each reads the whole topic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import psycopg

from loader.database.connection import explain, may_pass
from loader.errors import LoaderError
from loader.kafka.client import BrokerError
from loader.kafka.together import run_together
from loader.signals import StopRequest

_PAUSE_SECONDS: Final = 5.0

Session = Callable[[StopRequest], None]


class Sessions:
    """Runs sessions until told to stop, each for as long as it can go on.

    Args:
        sessions: by the names of destinations; each consumes until told to stop, and raises what it
            cannot cope with.
        once: they are to end by themselves, so that nobody is waited for.
        say: tells the user of what is neither a result nor the end.
    """

    def __init__(
        self, sessions: Mapping[str, Session], *, once: bool, say: Callable[[str], None]
    ) -> None:
        self._sessions = sessions
        self._once = once
        self._say = say
        self._failures: dict[str, LoaderError] = {}

    def run(self, must_stop: StopRequest) -> LoaderError | None:
        """Run all of them; return the worst of what has ended one, None if nothing has."""
        run_together(
            {
                name: lambda request, name=name: self._run(name, request)  # type: ignore[misc]
                for name in self._sessions
            },
            must_stop,
        )
        return max(self._failures.values(), key=lambda error: error.exit_code, default=None)

    def _run(self, name: str, must_stop: StopRequest) -> None:
        while True:
            try:
                self._sessions[name](must_stop)
            except Exception as error:  # nothing of one session may end the others
                known = _known(error)
                # Of the broker the others notice too; it is not the destination that is away.
                is_away = may_pass(error) and not isinstance(error, BrokerError)
                if not is_away or self._once or must_stop.is_set():
                    self._failures[name] = known
                    self._say(f"{name}: {known}")
                    return
                self._say(f"{name}: {known}; trying again")
                must_stop.wait(_PAUSE_SECONDS)
                if must_stop.is_set():
                    # Nothing was begun, so nothing is left undone.
                    return
            else:
                return


def _known(error: Exception) -> LoaderError:
    if isinstance(error, psycopg.Error):
        return explain(error)
    if isinstance(error, LoaderError):
        return error
    return LoaderError(f"unexpected {type(error).__name__}: {error}")
