"""The files of a folder, brought to several destinations; and who has which of them already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import psycopg

from loader.cli.progress import show_progress
from loader.database.connection import explain, redact
from loader.delivery.delivery import Courier, couriers, deliver
from loader.delivery.outcomes import IncompleteError, Missing, Outcome
from loader.errors import DatabaseError

if TYPE_CHECKING:
    from loader.delivery.destinations import Destination
    from loader.loading.load import LoadResult, ProgressCallback
    from loader.loading.observer import Observer
    from loader.loading.options import LoadOptions
    from loader.reading.inputs import Input
    from loader.reading.mapping import Mapping
    from loader.watching.inbox import Seen


class Fanout:
    """Brings files to all destinations, each as soon as it can be reached.

    Args:
        destinations: each with a name.
        mapping: how to read the files.
        options: how to load them.
        observers: take part in the loads into the first destination.
        loaded: called after every load.
        quiet: show no progress.
    """

    def __init__(
        self,
        *,
        destinations: Sequence[Destination],
        mapping: Mapping,
        options: LoadOptions,
        observers: Sequence[Observer],
        loaded: Callable[[LoadResult], None],
        quiet: bool,
    ) -> None:
        self._destinations = destinations
        self._mapping = mapping
        self._options = options
        self._observers = observers
        self._loaded = loaded
        self._quiet = quiet
        self._couriers: list[Courier] = []
        self._outcomes: list[Outcome] = []
        # So that a file that waits for one destination is not read again for the others.
        self._has: dict[Seen, dict[str, LoadResult]] = {}

    def begin(self) -> None:
        """Begin with a batch: destinations that were down may be up again."""
        self._couriers = couriers(self._destinations, self._mapping, self._options, self._observers)
        self._outcomes = []

    def check(self, say: Callable[[str], None]) -> None:
        """Tell which destinations cannot be loaded into now; the others are."""
        for one in self._destinations:
            try:
                one.prepare()
            except (psycopg.Error, DatabaseError) as error:
                known = explain(error, one.settings) if isinstance(error, psycopg.Error) else error
                say(f"{one.name}: {redact(str(known), one.settings)}; the others are loaded into")

    def load(self, taken: Seen, an_input: Input) -> list[LoadResult]:
        """Bring a file to those that lack it; return the loads of those that have it now.

        Raises:
            InputError: the file cannot be used.
        """
        has = self._has.setdefault(taken, {})
        outcomes = deliver(
            [one for one in self._couriers if one.name not in has],
            [an_input],
            show_progress=self._show,
            report=lambda outcome: None,  # noqa: ARG005
        )
        self._outcomes += outcomes
        for one in outcomes:
            if not isinstance(one, Missing):
                has[str(one.destination)] = one
                self._loaded(one)
        for one in outcomes:
            if isinstance(one, Missing) and one.is_unusable:
                raise one.error
        return list(has.values())

    def held(self, taken: Seen) -> list[LoadResult]:
        """Return the loads of a file so far."""
        return list(self._has.get(taken, {}).values())

    def is_everywhere(self, taken: Seen) -> bool:
        """Tell whether all destinations have a file."""
        return len(self._has.get(taken, {})) == len(self._destinations)

    def forget(self, taken: Seen) -> None:
        """Forget a file that is dealt with."""
        self._has.pop(taken, None)

    def end(self) -> None:
        """End a batch.

        Raises:
            IncompleteError: some destination lacks what it could have had.
        """
        missing = [one for one in self._outcomes if isinstance(one, Missing)]
        if any(not one.is_unusable for one in missing):
            raise IncompleteError(self._outcomes)

    def _show(self, label: str, name: str) -> AbstractContextManager[ProgressCallback]:
        has_bar = len(self._destinations) == 1
        return show_progress(f"{name}: {label}", quiet=self._quiet, has_bar=has_bar)
