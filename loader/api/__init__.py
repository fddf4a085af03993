"""What a program needs of the loader: to load, and to read what happened.

All of it can be had from ``loader`` itself, which imports this module when somebody asks.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from os import PathLike, fspath
from typing import Any, TypeAlias, overload

import psycopg
import pyarrow

from loader.alerting.decorators import alert_on_consecutive, alert_on_presence
from loader.alerting.notify import EarlyAlert
from loader.api.answers import alerts, periods
from loader.database.activity import Alert, Period
from loader.database.connection import explaining
from loader.delivery.delivery import Delivery, IncompleteError, Missing, Outcome, explained
from loader.delivery.destinations import (
    Destination,
    destination_names,
    find_destination,
    find_destinations,
    known_options,
)
from loader.delivery.repeatable import repeatable_batches
from loader.errors import DatabaseError, InputError, LoaderError, UsageError, about
from loader.loading.load import load_batches
from loader.loading.options import LoadOptions
from loader.loading.result import LoadResult
from loader.process.terminal import printable
from loader.reading.in_memory import Event, EventsInMemory, to_arrow, to_batches
from loader.reading.inputs import expand
from loader.reading.known import mapping_of
from loader.reading.mapping import Mapping
from loader.reading.selection import Selection
from loader.settings import read_settings
from loader.settings.checks import checked

__all__ = [
    "Alert",
    "DatabaseError",
    "EarlyAlert",
    "Event",
    "IncompleteError",
    "InputError",
    "LoadOptions",
    "LoadResult",
    "LoaderError",
    "Mapping",
    "Period",
    "Selection",
    "UsageError",
    "alert_on_consecutive",
    "alert_on_presence",
    "alerts",
    "destinations",
    "known_format",
    "load_arrow",
    "load_events",
    "load_files",
    "periods",
]

# Whatever has __arrow_c_stream__ or __arrow_c_array__, or gives what has them.
ArrowData: TypeAlias = Any


def destinations() -> tuple[str, ...]:
    """Return the names of the databases in ``loader.toml``; none where there is no such file."""
    return destination_names(read_settings())


@checked
def known_format(name: str, **options: Any) -> Mapping:
    """Return how to read a known format; ``loader formats`` lists them.

    Args:
        name: one that is shipped, or of ``loader.toml``.
        options: fields of ``Mapping`` and ``Selection`` that are to be different.

    Raises:
        UsageError: there is no such format, or the options make no sense.
    """
    return mapping_of(known_options(read_settings(is_program=True), name), options)


@checked
def load_files(
    paths: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    dsn: str | None = None,
    to: str | Sequence[str] | None = None,
    mapping: Mapping | None = None,
    options: LoadOptions | None = None,
) -> list[LoadResult]:
    """Load files, directories and globs, as ``loader load`` does; each becomes a load.

    Loading the same content again changes nothing.

    Args:
        paths: what to load, one or several.
        dsn: the database, found like that of the commands unless given.
        to: destinations in ``loader.toml``; all of them unless given.
        mapping: how to read the files; as ``loader.toml`` says unless given.
        options: how to load them.

    Returns:
        What each load did, in the order of the paths, and for each in that of the destinations.

    Raises:
        InputError: a file cannot be used; those before it stay loaded.
        IncompleteError: some destinations do not have everything; it says who has what.
        LoaderError: whatever else goes wrong.
    """
    settings, options = read_settings(dsn=dsn, is_program=True), options or LoadOptions()
    mapping = mapping or mapping_of(known_options(settings, None))
    names = (to,) if isinstance(to, str) else to or ()
    found = find_destinations(settings, names, needs_dsn=not options.dry_run)
    if isinstance(paths, str | PathLike):
        paths = [paths]
    inputs = expand([fspath(path) for path in paths], mapping)
    with explaining():
        delivery = Delivery(found, mapping, options)
        delivery.begin()
        outcomes: list[Outcome] = []
        for an_input in inputs:
            for outcome in delivery.bring(an_input):
                if isinstance(outcome, Missing) and outcome.destination is None:
                    raise outcome.error
                outcomes.append(outcome)
    return _results_of(outcomes)


@overload
def load_events(
    events: Iterable[Event],
    *,
    dsn: str | None = None,
    to: str | None = None,
    origin: str = "python",
    key: str | None = None,
    options: LoadOptions | None = None,
) -> LoadResult: ...
@overload
def load_events(
    events: Iterable[Event],
    *,
    to: list[str] | tuple[str, ...],
    origin: str = "python",
    key: str | None = None,
    options: LoadOptions | None = None,
) -> list[LoadResult]: ...
@checked
def load_events(
    events: Iterable[Event],
    *,
    dsn: str | None = None,
    to: str | list[str] | tuple[str, ...] | None = None,
    origin: str = "python",
    key: str | None = None,
    options: LoadOptions | None = None,
) -> LoadResult | list[LoadResult]:
    """Load events that a program made; all of them become visible, or none.

    Args:
        events: read once and streamed, so memory stays constant. Dicts with a time, a type and a
            source are taken for events.
        dsn: as for ``load_files``.
        to: as for ``load_arrow``.
        origin: what the ledger calls it.
        key: names the content: loading something again under the same key changes nothing. None
            loads it anew each time.
        options: how to load; ``dry_run`` is for files only.

    Raises:
        InputError: something is no event; nor is what has no offset, or no text as its type.
        LoaderError: whatever else goes wrong; then nothing was loaded.
    """
    return _load(to_arrow(events), Mapping(), options, dsn=dsn, to=to, origin=origin, key=key)


@overload
def load_arrow(
    batches: ArrowData,
    *,
    dsn: str | None = None,
    to: str | None = None,
    origin: str = "python",
    key: str | None = None,
    mapping: Mapping | None = None,
    options: LoadOptions | None = None,
) -> LoadResult: ...
@overload
def load_arrow(
    batches: ArrowData,
    *,
    to: list[str] | tuple[str, ...],
    origin: str = "python",
    key: str | None = None,
    mapping: Mapping | None = None,
    options: LoadOptions | None = None,
) -> list[LoadResult]: ...
@checked
def load_arrow(
    batches: ArrowData,
    *,
    dsn: str | None = None,
    to: str | list[str] | tuple[str, ...] | None = None,
    origin: str = "python",
    key: str | None = None,
    mapping: Mapping | None = None,
    options: LoadOptions | None = None,
) -> LoadResult | list[LoadResult]:
    """Load Arrow data; all of it becomes visible, or nothing.

    Args:
        batches: a table or a batch of pyarrow, a frame of pandas or polars or whatever else has
            ``__arrow_c_stream__``, or anything that gives these, all of one schema; read once and
            streamed.
        dsn: as for ``load_files``.
        to: the destination in ``loader.toml``, needed where there are several; or a list of them,
            such as ``destinations()``, for a list of results.
        origin: what the ledger calls it.
        key: as for ``load_events``; several destinations need one.
        mapping: what the columns mean; ``time``, ``type`` and ``source`` unless given.
        options: how to load; ``dry_run`` is for files only.

    Returns:
        What the load did; rows that cannot be used are counted, and kept for ``loader rejects``.

    Raises:
        InputError: a column is missing, or of an unusable type.
        IncompleteError: some destinations have it, others do not.
        LoaderError: whatever else goes wrong; then nothing was loaded.
    """
    return _load(
        to_batches(batches), mapping or Mapping(), options, dsn=dsn, to=to, origin=origin, key=key
    )


def _load(
    batches: Iterable[pyarrow.RecordBatch],
    mapping: Mapping,
    options: LoadOptions | None,
    *,
    dsn: str | None,
    to: str | list[str] | tuple[str, ...] | None,
    origin: str,
    key: str | None,
) -> LoadResult | list[LoadResult]:
    options, origin = options or LoadOptions(), printable(origin)
    if options.dry_run:
        raise UsageError("dry_run is for files only")
    settings = read_settings(dsn=dsn, is_program=True)

    def load_into(destination: Destination, batches: Iterable[pyarrow.RecordBatch]) -> LoadResult:
        read_by = destination.mapping(mapping)
        result = load_batches(
            destination.prepare(),
            EventsInMemory(batches, read_by, origin=origin, key=key),
            origin=origin,
            mapping=read_by,
            options=destination.options(options),
        )
        return replace(result, destination=destination.name)

    if to is None or isinstance(to, str):
        with explaining():
            return load_into(find_destination(settings, to), batches)
    found = find_destinations(settings, to)
    if found[0].name is None:
        raise UsageError("to: there are no destinations to choose from")
    if key is None and len(found) > 1:
        raise UsageError(
            "several destinations need a key: with it, the same call again completes those that "
            "lack something, and loads nothing twice"
        )
    outcomes: list[Outcome] = []
    with about(origin), repeatable_batches(batches, origin) as again:
        for one in found:
            try:
                outcomes.append(load_into(one, again))
            except (psycopg.Error, LoaderError) as error:
                known = explained(error, one)
                outcomes.append(Missing(destination=one.name, origin=origin, error=known))
    return _results_of(outcomes)


def _results_of(outcomes: list[Outcome]) -> list[LoadResult]:
    """Return the results, if there are no others.

    Raises:
        InputError: an input could not be used by anybody.
        IncompleteError: some destinations lack something.
    """
    missing = [one for one in outcomes if isinstance(one, Missing)]
    if missing and all(one.is_unusable for one in missing):
        raise missing[0].error
    if missing:
        raise IncompleteError(outcomes)
    return [one for one in outcomes if isinstance(one, LoadResult)]
