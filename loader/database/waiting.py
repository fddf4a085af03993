"""Waiting for the server: whom it waits for is told, and a server that is gone is given up.

Every statement of a session is looked after. When it takes long, a thread asks over a connection of
its own what the matter is, so no kind of lock is a case by itself.
"""

import logging
import re
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import psycopg
from psycopg import Connection

from loader.database.queries import query
from loader.errors import LoaderError

Result = TypeVar("Result")
# What psycopg waits with: it yields what it waits for, and is sent what is ready.
Waiting = Generator[Any, Any, Result]

SECONDS_UNTIL_TOLD: Final = 2.0
SECONDS_BETWEEN_LINES = 10.0
_LONGEST_PAUSE_SECONDS: Final = 30.0
_REPEAT_SECONDS: Final = 60.0
# As many names as help.
_MOST_BLOCKERS: Final = 3
# "FATAL:  sorry, too many clients", in the language of the server: libpq puts two blanks behind the
# first word of what a server says, and none of its own.
_FROM_SERVER: Final = re.compile(r"\S:  ")

# For a command it goes to standard error; a program that uses the package sees to it.
LOGGER: Final = logging.getLogger("loader")


def now_and_then(say: Callable[[str], None] = LOGGER.info) -> Callable[[str], None]:
    """Return what tells how far something is, but not as often as it is called."""
    last = time.monotonic()

    def tell(text: str) -> None:
        nonlocal last
        if time.monotonic() - last >= SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            say(text)

    return tell


@dataclass(kw_only=True, eq=False, repr=False)
class Watch:
    """Looks after one statement while it is waited for.

    Attributes:
        pid: the server's process that works on it.
        patience: for how many seconds a server that does not answer is waited for.
        reconnect: opens another connection to the same server.
        break_off: makes the wait fail.
        blockers: whom it was found to wait for.
    """

    pid: int
    patience: float
    reconnect: Callable[[], Connection]
    break_off: Callable[[], None]
    blockers: str = ""

    def __post_init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._has_ended = threading.Event()
        # Held while it ends: afterwards nothing is broken off that others wait for.
        self._ending = threading.Lock()
        self._progress: int | None = None
        self._told_at = -_REPEAT_SECONDS

    def over(self, waiting: Waiting[Result]) -> Waiting[Result]:
        """Wait as before, and begin to look after it when that takes long."""
        begun = time.monotonic()
        try:
            wanted = next(waiting)
            while True:
                ready = yield wanted
                # psycopg comes by ten times a second, with nothing, so that Ctrl-C is seen.
                if self._thread is None and time.monotonic() - begun >= SECONDS_UNTIL_TOLD:
                    self._thread = threading.Thread(target=self._look_after, daemon=True)
                    self._thread.start()
                wanted = waiting.send(ready)
        except StopIteration as end:
            result: Result = end.value
            return result

    def end(self) -> None:
        """Stop looking after it."""
        if self._thread is not None:
            with self._ending:
                self._has_ended.set()

    def _look_after(self) -> None:
        pause, silent_since = SECONDS_UNTIL_TOLD, None
        while not self._has_ended.is_set():
            begun = time.monotonic()
            reason = self._look()
            if reason is None:
                silent_since = None
            elif silent_since is None:
                silent_since = begun
            else:
                silence = time.monotonic() - silent_since
                if silence >= self.patience:
                    self._give_up(reason)
                    return
                self._tell(
                    f"no answer from the server for {silence:.0f} s ({reason}); given up after "
                    f"{self.patience:.0f} s"
                )
            self._has_ended.wait(min(pause, self.patience / 3))
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _look(self) -> str | None:
        """Tell whom it waits for; return why nothing can come of it any more, None if it can."""
        try:
            with self.reconnect() as conn:
                rows = conn.execute(query("waits"), {"pid": self.pid}).fetchall()
        except (psycopg.Error, LoaderError) as error:
            # Somebody has answered, if only that there is no room for one more.
            return None if _FROM_SERVER.search(str(error)) else " ".join(str(error).split())
        if not rows:
            return "its session is not there any more"
        is_waiting_for_us, progress = rows[0][:2]
        if is_waiting_for_us and progress == self._progress:
            return "it waits for us, as we do for it"
        self._progress = progress
        blockers = [_described(*row[2:]) for row in rows if row[2] is not None]
        if blockers:
            shown = blockers[:_MOST_BLOCKERS]
            if len(blockers) > len(shown):
                shown.append(f"{len(blockers) - len(shown)} more")
            is_news = self.blockers != "; ".join(shown)
            self.blockers = "; ".join(shown)
            self._tell(f"waiting for a lock that others hold: {self.blockers}", is_news=is_news)
        return None

    def _tell(self, text: str, *, is_news: bool = False) -> None:
        if is_news or time.monotonic() - self._told_at >= _REPEAT_SECONDS:
            self._told_at = time.monotonic()
            if not self._has_ended.is_set():
                LOGGER.warning(text)

    def _give_up(self, reason: str) -> None:
        with self._ending:
            if not self._has_ended.is_set():
                LOGGER.warning("the server does not answer (%s); given up", reason)
                self.break_off()


def _described(
    pid: int, user: str | None, application: str | None, state: str | None, since: str | None
) -> str:
    if pid == 0:
        return "a prepared transaction, see pg_prepared_xacts"
    what = [f'user "{user or "?"}"', application or "no application name"]
    # Of others one sees no more, unless one may read all statistics.
    if state is not None:
        what.append(f"{state} since {since} UTC")
    text = f"pid {pid} ({', '.join(what)})"
    return "".join(c if c.isprintable() else "?" for c in text)
