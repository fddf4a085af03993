"""Deliveries: inputs into one or several databases, each of which gets what it lacks, and who has.

Every database has a ledger of its own, which knows what it has. So one that is down makes no
difference to the others, and whatever is killed at any moment, delivering again completes what is
missing.
"""

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import KW_ONLY, asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeAlias

import psycopg

from loader.database.connection import explain, redact
from loader.delivery.destinations import Destination
from loader.delivery.repeatable import repeatable
from loader.errors import DatabaseError, InputError, LoaderError
from loader.loading.load import ProgressCallback, load_input
from loader.loading.observer import Observer
from loader.loading.options import LoadOptions
from loader.loading.result import LoadResult
from loader.reading.inputs import Input
from loader.reading.mapping import Mapping
from loader.reading.paths import STANDARD_INPUT


@dataclass(frozen=True, kw_only=True)
class Missing:
    """An input that a destination does not have.

    Attributes:
        destination: the destination; None for the only database there is.
        origin: the input, as the ledger would call it.
        error: why; of an ``InputError`` the input is to blame.
    """

    destination: str | None
    origin: str
    error: LoaderError

    @property
    def is_unusable(self) -> bool:
        """Whether the input is to blame, so that loading it again makes nothing better."""
        return isinstance(self.error, InputError)

    def __str__(self) -> str:
        """Say who lacks what, and why."""
        text = str(self.error)
        where = "" if self.origin in text else f"{self.origin}: "
        who = "" if self.destination is None else f"{self.destination}: "
        return f"{who}{where}{text}"


Outcome: TypeAlias = LoadResult | Missing


class IncompleteError(DatabaseError):
    """Some destinations do not have everything; the same call again completes what is missing.

    It has the ``results`` of what was loaded, or had been before, and what is ``missing``.
    """

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        self.results = [one for one in outcomes if isinstance(one, LoadResult)]
        self.missing = [one for one in outcomes if isinstance(one, Missing)]
        lines = [*map(str, self.missing), *describe_incomplete(outcomes)]
        super().__init__("; ".join(dict.fromkeys(lines)))


def as_dict(outcome: Outcome) -> dict[str, Any]:
    """Return the fields that ``--json`` prints; of what is missing as of a load of nothing."""
    if isinstance(outcome, LoadResult):
        found = asdict(outcome)
    else:
        names = [field.name for field in fields(LoadResult)]
        found = {name: 0 if name.startswith("rows_") else None for name in names}
        found |= {"already_loaded": False, "seconds": 0.0}
        found |= {**vars(outcome), "error": str(outcome.error)}
    # For people; programs ask for all of them.
    del found["first_reject"]
    if outcome.destination is None:
        # As it is where there is one database only.
        del found["destination"]
    return found


def describe_incomplete(outcomes: Sequence[Outcome]) -> list[str]:
    """Return a line for each destination that lacks what it could have had."""
    names = dict.fromkeys(str(one.destination) for one in outcomes)
    lacks = Counter(
        one.destination for one in outcomes if isinstance(one, Missing) and not one.is_unusable
    )
    total = len(outcomes) // max(len(names), 1)
    return [
        f"{name} lacks {lacks[name]} of {total} input{'' if total == 1 else 's'}; the same command "
        "again loads what is missing, and nothing twice"
        for name in names
        if lacks[name]
    ]


# Shows how far the load of an input, by the name to show, is.
ShowProgress = Callable[[str], AbstractContextManager[ProgressCallback]]
State = tuple[int, ...] | None


def show_nothing(label: str) -> AbstractContextManager[ProgressCallback]:  # noqa: ARG001
    """Show nothing of how far a load is."""
    return nullcontext(lambda reading, totals: None)  # noqa: ARG005


@dataclass(eq=False, repr=False)
class Delivery:
    """Brings inputs to destinations, one after another, each for as long as it can be reached.

    Attributes:
        destinations: where to.
        mapping: how to read inputs, but for what each destination takes of them.
        options: how to load them.
        observers: take part in the loads into the first destination: nobody wants an alert twice.
        show_progress: shows how far each load is.
    """

    destinations: Sequence[Destination]
    mapping: Mapping
    options: LoadOptions
    _: KW_ONLY
    observers: Sequence[Observer] = ()
    show_progress: ShowProgress = show_nothing

    def __post_init__(self) -> None:
        self._mappings = {one.name: one.mapping(self.mapping) for one in self.destinations}
        # To ask one that is down for each input would be to wait for it each time.
        self._failures: dict[str | None, LoaderError] = {}
        self._dsns: dict[str | None, str] = {}

    def begin(self) -> None:
        """Make the databases ready; those that were down may be up again.

        What is wrong with the only database, which has no name, is raised.
        """
        self._failures.clear()
        if self.options.dry_run:
            return
        for one in self.destinations:
            try:
                self._dsns[one.name] = one.prepare()
            except (psycopg.Error, LoaderError) as error:
                if one.name is None:
                    raise
                self._failures[one.name] = explained(error, one)

    def rest(self) -> float:
        """Tell observers that nothing waits to be loaded; return in how many seconds to do so.

        What is wrong with the only database, which has no name, is raised as it is.
        """
        first = self.destinations[0]
        try:
            return min((observer.rest() for observer in self.observers), default=math.inf)
        except (psycopg.Error, LoaderError) as error:
            if first.name is None:
                raise
            # Whatever it is, the others are still loaded into.
            raise DatabaseError(f"{first.name}: {explained(error, first)}") from None

    @property
    def failures(self) -> list[str]:
        """Which destinations are not to be had now, and why."""
        return [f"{name}: {error}" for name, error in self._failures.items()]

    def bring(
        self, an_input: Input, *, except_to: Collection[str | None] = ()
    ) -> Iterator[Outcome]:
        """Load an input into each destination but some; give what became of it, one by one.

        What can be read only once is copied first, where there are several. Call ``begin`` before.
        What is wrong with the only database, which has no name, is raised.
        """
        wanted = [one for one in self.destinations if one.name not in except_to]
        try:
            with nullcontext(an_input) if len(wanted) == 1 else repeatable(an_input) as source:
                state = _state_of(source)
                for one in wanted:
                    yield self._bring(source, state, one)
        except InputError as error:
            known = type(error)(an_input.explain(error))
            for one in wanted:
                yield Missing(destination=one.name, origin=an_input.label, error=known)

    def _bring(self, source: Input, state: State, destination: Destination) -> Outcome:
        name = destination.name
        label = source.label if name is None else f"{name}: {source.label}"
        try:
            if name in self._failures:
                raise self._failures[name]
            if _state_of(source) != state:
                raise InputError(f"{source.origin}: was changed meanwhile; load it again")
            with self.show_progress(label) as progress:
                result = load_input(
                    self._dsns.get(name, ""),
                    source,
                    self._mappings[name],
                    destination.options(self.options),
                    progress,
                    observers=self.observers if destination is self.destinations[0] else (),
                )
        except InputError as error:
            known: LoaderError = type(error)(source.explain(error))
        except (psycopg.Error, LoaderError) as error:
            if name is None:
                raise
            known = self._failures[name] = explained(error, destination)
        else:
            return replace(result, destination=name)
        return Missing(destination=name, origin=source.label, error=known)


def explained(error: psycopg.Error | LoaderError, destination: Destination) -> LoaderError:
    """Return an error that shows no password."""
    settings = destination.settings
    known = explain(error, settings)
    # Its kind decides the exit code, but it may be a special one that takes other arguments.
    for kind in (InputError, DatabaseError):
        if isinstance(known, kind):
            return kind(redact(str(known), settings))
    return LoaderError(redact(str(known), settings))


def _state_of(source: Input) -> State:
    """Return what changes when a file does; all destinations are to get the same content."""
    if source.origin == STANDARD_INPUT:
        return None
    try:
        found = Path(source.origin).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
