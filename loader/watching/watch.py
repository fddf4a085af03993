"""Loads the files that come into a directory, each once, until told to stop."""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import psycopg

from loader.database.connection import explain, may_pass
from loader.delivery.delivery import Delivery, IncompleteError, Missing, Outcome
from loader.errors import DatabaseError, InputError
from loader.loading.result import LoadResult
from loader.process.signals import StopRequest
from loader.reading.paths import Input
from loader.watching.inbox import Inbox, Seen, see

_FIRST_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 60.0
_REMEMBERED: Final = 1000
_MOST_DEATHS: Final = 2
# What a file, or the files in it, became at each destination.
_Has: TypeAlias = dict[tuple[str | None, str | None], LoadResult]


@dataclass(frozen=True, kw_only=True)
class WatchOptions:
    """How to watch.

    Attributes:
        every: seconds between two batches.
        settle: seconds for which a file must not have changed to count as complete.
        once: load what is there, then stop.
    """

    every: float = 300.0
    settle: float = 10.0
    once: bool = False


@dataclass(kw_only=True, eq=False, repr=False)
class Watcher:
    """Looks into a directory again and again, and loads what is complete.

    That nothing is loaded twice, even if a file is loaded and then not moved, is up to the ledger,
    which knows the content.

    Attributes:
        delivery: brings files to the databases.
        inbox: the directory.
        options: how to watch.
        loaded: called after every load.
        batch_loaded: called when the files of one look are dealt with, if any was loaded.
        unusable: called with a message when a file cannot be used.
        say: tells the user of what is neither a result nor the end.
    """

    delivery: Delivery
    inbox: Inbox
    options: WatchOptions
    loaded: Callable[[LoadResult], None]
    batch_loaded: Callable[[], None]
    unusable: Callable[[str], None]
    say: Callable[[str], None]

    def __post_init__(self) -> None:
        self._left_alone: set[str] = set()
        self._written: set[str] = set()
        self._outcomes: list[Outcome] = []
        # What each file that waits for a destination is at the others, so that they are not asked.
        self._has: dict[Seen, _Has] = {}
        # What was put into done and rejected lately, by load: somebody may still write to it.
        self._put: deque[tuple[Seen, list[LoadResult]]] = deque(maxlen=_REMEMBERED)
        # With --dry-run, the files that were read; they stay where they are.
        self._read: set[Seen] = set()
        # What the last batch was about: where it is still there, it waits for something else.
        self._tried: set[Seen] = set()

    def run(self, must_stop: StopRequest) -> None:
        """Watch; when told to stop, finish the file that is being loaded.

        Raises:
            InputError: there is no such directory, or (with ``once``) it cannot be read.
            DatabaseError: the database went away (with ``once``; else it is waited for).
        """
        self.inbox.prepare(dry_run=self.delivery.options.dry_run)
        pause = _FIRST_PAUSE_SECONDS
        is_unknown, is_away = True, False
        while not must_stop.is_set():
            end = time.monotonic() + self.options.every
            try:
                if is_unknown:
                    # Now, and not when a file comes: at the start somebody is looking.
                    self._check()
                    is_unknown = False
                self._load_batch(must_stop)
                wait = self._rest()
                if is_away:
                    self.say("it works again")
                is_away, pause = False, _FIRST_PAUSE_SECONDS
                while not (self.options.once or self._is_over(wait, end, must_stop)):
                    wait = self._rest()
            except (psycopg.Error, DatabaseError, InputError) as error:
                if self.options.once or not (isinstance(error, InputError) or may_pass(error)):
                    raise
                is_unknown = is_away = True
                self.say(f"{explain(error)}; trying again in {pause:.0f} s")
                must_stop.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            if self.options.once:
                return

    def _rest(self) -> float:
        """Let observers look, unless a file waits to be loaded; return for how long to wait."""
        return math.inf if self._look() - self._tried else self.delivery.rest()

    def _is_over(self, wait: float, end: float, must_stop: StopRequest) -> bool:
        """Wait so long; tell whether it is time for the next batch."""
        left = end - time.monotonic()
        return must_stop.wait(min(wait, left)) or wait >= left

    def _load_batch(self, must_stop: StopRequest) -> None:
        self._look_back()
        before = self._look()
        if not before or must_stop.wait(self.options.settle):
            return
        complete = before & self._look()
        self._tried = complete
        if not complete:
            return
        self.delivery.begin()
        self._outcomes = []
        has_loaded = False
        try:
            for seen in sorted(complete, key=lambda one: (one.modified, one.path)):
                if must_stop.is_set():
                    break
                try:
                    has_loaded |= self._load(seen)
                except InputError as error:
                    # It stays where it is, and does not keep the others from being loaded.
                    self.unusable(str(error))
        finally:
            if has_loaded:
                self.batch_loaded()
        missing = {
            one.destination
            for one in self._outcomes
            if isinstance(one, Missing) and not one.is_unusable
        }
        if missing:
            if self.delivery.destinations[0].name not in missing:
                self.delivery.rest()
            raise IncompleteError(self._outcomes)

    def _check(self) -> None:
        """See whether anything can be loaded now; of several databases, tell which cannot."""
        self.delivery.begin()
        for error in self.delivery.failures:
            self.say(f"{error}; the others are loaded into")

    def _look(self) -> set[Seen]:
        look = self.inbox.look()
        if new := look.others - self._left_alone:
            names = ", ".join(sorted(new))
            self.say(f"left alone, for want of a format in the name or in --format: {names}")
        if new := look.written - self._written:
            names = ", ".join(sorted(new))
            self.say(f"left until nobody has it open for writing: {names}")
        self._left_alone, self._written = look.others, look.written
        self._read &= look.files
        return look.files - self._read

    def _look_back(self) -> None:
        """Find files that grew after they were loaded and moved: what was added is not loaded."""
        for _ in range(len(self._put)):
            put, results = self._put.popleft()
            now = see(put.path)
            if now is None or now.inode != put.inode:
                # Taken away, as it may be.
                continue
            if now == put:
                self._put.append((put, results))
            else:
                self._fail(now, _was_incomplete(self.inbox.name_of(put.path), results))

    def _load(self, seen: Seen) -> bool:
        """Load one file and move it to where it belongs; tell whether it was loaded."""
        if self.delivery.options.dry_run:
            self._try(seen)
            return False
        taken = self.inbox.take(seen)
        if taken is None:
            return False
        with self.inbox.attempt(taken) as deaths:
            if deaths is None:
                return False
            if deaths >= _MOST_DEATHS:
                self._set_aside(taken, deaths)
                return False
            return self._load_taken(taken)

    def _try(self, seen: Seen) -> None:
        """Read a file where it is, to tell what would become of it."""
        self._read.add(seen)
        try:
            for an_input in self.inbox.inputs_of(seen.path):
                self._bring(an_input, {})
        except InputError as error:
            self.unusable(str(error))

    def _set_aside(self, taken: Seen, deaths: int) -> None:
        """Put away a file that a loader dies of, so that what stands behind it is loaded."""
        self._fail(
            taken,
            f"{self.inbox.name_of(taken.path)}: the loader died {deaths} times while it loaded "
            "this file: killed, out of memory, or by a fault of its own; to try once more, move it "
            "back",
        )

    def _load_taken(self, taken: Seen) -> bool:
        name = self.inbox.name_of(taken.path)
        has = self._has.setdefault(taken, {})
        held = len(has)
        try:
            inputs = self.inbox.inputs_of(taken.path)
            for an_input in inputs:
                self._bring(an_input, has)
        except InputError as error:
            results = list(has.values())
            now = see(taken.path)
            # One that was written to meanwhile may be usable when it is complete.
            if now == taken:
                self._fail(taken, str(error))
            elif results and now is not None:
                self._fail(now, _was_incomplete(name, results))
            del self._has[taken]
            return len(results) > held
        results = list(has.values())
        if (now := see(taken.path)) is not None and now != taken:
            # If nobody has it yet, it is as if it had come only now.
            if results:
                self._fail(now, _was_incomplete(name, results))
            del self._has[taken]
        elif len(has) == len(inputs) * len(self.delivery.destinations):
            is_complete = not any(result.rows_rejected for result in results)
            target = self.inbox.put(taken, "done" if is_complete else "rejected")
            if target is not None:
                self._put.append((replace(taken, path=target), results))
            del self._has[taken]
        return len(results) > held

    def _bring(self, an_input: Input, has: _Has) -> None:
        """Load a file, or one in it, into every destination that lacks it and can be reached."""
        outcomes = []
        member = an_input.member
        have = [destination for held, destination in has if held == member]
        for one in self.delivery.bring(an_input, except_to=have):
            outcomes.append(one)
            if isinstance(one, LoadResult):
                has[member, one.destination] = one
                self.loaded(one)
        self._outcomes += outcomes
        for one in outcomes:
            if isinstance(one, Missing) and isinstance(one.error, InputError):
                raise type(one.error)(an_input.explain(one.error))

    def _fail(self, taken: Seen, reason: str) -> None:
        if self.inbox.put(taken, "failed", note=reason) is not None:
            self.unusable(f"{reason}; moved to failed")


def _was_incomplete(name: str, results: Sequence[LoadResult]) -> str:
    def each(what: str, at: str) -> str:
        return " and ".join(
            f"{what} {one.load_id}"
            + ("" if one.destination is None else f" {at} {one.destination}")
            for one in results
        )

    return (
        f"{name}: was still written to after {each('load', 'of')} had read it; to load "
        f"it whole: {each('loader withdraw', '--to')}, then move it back; let it settle longer "
        "(--settle), or write it elsewhere and rename it when it is complete"
    )
