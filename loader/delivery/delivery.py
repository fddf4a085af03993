"""Deliveries: inputs into several databases, each of which gets what it lacks.

Every database has a ledger of its own, which knows what it has. So one that is down makes no
difference to the others, and whatever is killed at any moment, delivering again completes what is
missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from loader.database.connection import explain, redact
from loader.delivery.outcomes import Missing, Outcome
from loader.delivery.spool import repeatable
from loader.delivery.together import run_together
from loader.errors import DatabaseError, InputError, LoaderError
from loader.loading.load import LoadResult, ProgressCallback, load_input
from loader.reading.inputs import Input, Reading
from loader.reading.paths import STANDARD_INPUT
from loader.reading.totals import Totals
from loader.signals import StopRequest

if TYPE_CHECKING:
    from loader.delivery.destinations import Destination
    from loader.loading.observer import Observer
    from loader.loading.options import LoadOptions
    from loader.reading.mapping import Mapping

# Shows how far the load of an input, by its name, into a destination, by its name, is.
ShowProgress = Callable[[str, str], AbstractContextManager[ProgressCallback]]
State = tuple[int, ...] | None


def couriers(
    destinations: Sequence[Destination],
    mapping: Mapping,
    options: LoadOptions,
    observers: Sequence[Observer] = (),
) -> list[Courier]:
    """Return a courier to each destination.

    Observers see what the first one takes: nobody wants each alert several times.
    """
    return [
        Courier(one, mapping, options, observers=() if place else observers)
        for place, one in enumerate(destinations)
    ]


def deliver(
    couriers: Sequence[Courier],
    inputs: Sequence[Input],
    *,
    show_progress: ShowProgress,
    report: Callable[[Outcome], None],
) -> list[Outcome]:
    """Bring inputs to several destinations at once; none of them waits for another one.

    Args:
        couriers: one for each destination.
        inputs: what to bring; what can be read only once is copied first.
        show_progress: shows how far each load is.
        report: called after each of them, from several threads.

    Returns:
        What became of each input at each destination, by input and then by destination.
    """
    outcomes: dict[str, list[Outcome]] = {one.name: [] for one in couriers}
    is_one = len(couriers) == 1
    with nullcontext(list(inputs)) if is_one else repeatable(inputs) as sources:
        states = [None if isinstance(one, InputError) else state_of(one) for one in sources]

        def work(courier: Courier, must_stop: StopRequest) -> None:
            for an_input, source, state in zip(inputs, sources, states, strict=True):
                outcome = courier.carry(an_input, source, state, show_progress, must_stop)
                outcomes[courier.name].append(outcome)
                report(outcome)

        if is_one:
            work(couriers[0], StopRequest())
        else:
            run_together({one.name: partial(work, one) for one in couriers})
    return [one for row in zip(*outcomes.values(), strict=True) for one in row]


def deliver_each(
    destinations: Sequence[Destination],
    origin: str,
    load: Callable[[Destination], LoadResult],
) -> list[Outcome]:
    """Load something that is no file into several destinations at once, each on its own.

    Args:
        destinations: where to.
        origin: what the ledger calls it.
        load: loads it into one of them, in a thread of its own.

    Returns:
        What became of it at each destination.
    """
    outcomes: dict[str, Outcome] = {}

    def work(destination: Destination, _: StopRequest) -> None:
        name = str(destination.name)
        try:
            outcomes[name] = load(destination)
        except (psycopg.Error, LoaderError) as error:
            known = _explained(error, destination)
            outcomes[name] = Missing(destination=name, origin=origin, error=known)

    run_together({str(one.name): partial(work, one) for one in destinations})
    return [outcomes[str(one.name)] for one in destinations]


class Courier:
    """Brings inputs to one destination, for as long as it can be reached.

    Args:
        destination: where to; it has a name.
        mapping: how to read inputs, but for what the destination takes of them.
        options: how to load them.
        observers: take part in the loads.
    """

    def __init__(
        self,
        destination: Destination,
        mapping: Mapping,
        options: LoadOptions,
        *,
        observers: Sequence[Observer] = (),
    ) -> None:
        self.name = str(destination.name)
        self._destination = destination
        self._mapping = destination.mapping(mapping)
        self._options = destination.options(options)
        self._observers = observers
        self._dsn: str | None = "" if options.dry_run else None
        self._failure: LoaderError | None = None

    def carry(
        self,
        an_input: Input,
        source: Input | InputError,
        state: State,
        show_progress: ShowProgress,
        must_stop: StopRequest,
    ) -> Outcome:
        """Bring one input.

        Args:
            an_input: the input.
            source: where it can be read, or why it cannot be.
            state: how the file was when the first destination began with it.
            show_progress: shows how far the load is.
            must_stop: gives up, as Ctrl-C does, when it is set.
        """
        if self._failure is not None:
            # To ask again would be to wait for it again, for each input.
            return self._missing(an_input, self._failure)
        try:
            if isinstance(source, InputError):
                raise source
            if self._dsn is None:
                self._dsn = self._destination.prepare()
            if state is not None and state_of(source) != state:
                raise InputError(f"{source.origin}: was changed meanwhile; load it again")
            with show_progress(an_input.label, self.name) as progress:
                result = load_input(
                    self._dsn,
                    source,
                    self._mapping,
                    self._options,
                    _stopping(progress, must_stop),
                    observers=self._observers,
                )
        except InputError as error:
            named = source if isinstance(source, Input) else an_input
            return self._missing(an_input, type(error)(named.explain(error)))
        except (psycopg.Error, LoaderError) as error:
            self._failure = _explained(error, self._destination)
            return self._missing(an_input, self._failure)
        return replace(result, destination=self.name)

    def _missing(self, an_input: Input, error: LoaderError) -> Missing:
        return Missing(destination=self.name, origin=an_input.label, error=error)


def _explained(error: psycopg.Error | LoaderError, destination: Destination) -> LoaderError:
    """Return an error that shows no password."""
    settings = destination.settings
    known = explain(error, settings) if isinstance(error, psycopg.Error) else error
    # Its kind decides the exit code, but it may be a special one that takes other arguments.
    for kind in (InputError, DatabaseError):
        if isinstance(known, kind):
            return kind(redact(str(known), settings))
    return LoaderError(redact(str(known), settings))


def _stopping(progress: ProgressCallback, must_stop: StopRequest) -> ProgressCallback:
    def show(reading: Reading, totals: Totals) -> None:
        if must_stop.is_set():
            # As if it had been pressed in this thread: nothing of the load stays.
            raise KeyboardInterrupt
        progress(reading, totals)

    return show


def state_of(source: Input) -> State:
    """Return what changes when a file does; all destinations are to get the same content."""
    if source.origin == STANDARD_INPUT:
        return None
    try:
        found = Path(source.origin).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
