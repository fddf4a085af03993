"""What a program needs to load what it has in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeAlias, overload

import psycopg
import pyarrow

from loader.checks import checked
from loader.database.connection import explain
from loader.delivery.delivery import deliver_each
from loader.delivery.destinations import Destination, find_destination, find_destinations
from loader.delivery.outcomes import IncompleteError, Missing, Outcome
from loader.delivery.spool import repeatable_batches
from loader.errors import UsageError
from loader.loading.load import LoadResult, load_batches
from loader.loading.options import LoadOptions
from loader.reading.frames import Event, Frames, to_arrow, to_batches
from loader.reading.mapping import Mapping
from loader.settings import read_settings
from loader.terminal import printable

# Whatever has __arrow_c_stream__ or __arrow_c_array__, or gives what has them.
ArrowData: TypeAlias = Any


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
    origin = printable(origin)
    return _load_arrow(
        to_arrow(events, origin),
        dsn=dsn,
        to=to,
        origin=origin,
        key=key,
        mapping=Mapping(),
        options=options,
    )


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
    mapping, origin = mapping or Mapping(), printable(origin)
    return _load_arrow(
        to_batches(batches, origin),
        dsn=dsn,
        to=to,
        origin=origin,
        key=key,
        mapping=mapping,
        options=options,
    )


def _load_arrow(
    batches: Iterable[pyarrow.RecordBatch],
    *,
    dsn: str | None,
    to: str | list[str] | tuple[str, ...] | None,
    origin: str,
    key: str | None,
    mapping: Mapping,
    options: LoadOptions | None,
) -> LoadResult | list[LoadResult]:
    options = options or LoadOptions()
    if options.dry_run:
        raise UsageError("dry_run is for files only")
    settings = read_settings(dsn=dsn)
    if to is None or isinstance(to, str):
        only = find_destination(settings, to)
        with errors_explained():
            return _load_into(
                only, batches, origin=origin, key=key, mapping=mapping, options=options
            )
    found = find_destinations(settings, to)
    if found[0].name is None:
        raise UsageError("to: there are no destinations to choose from")
    if key is None and len(found) > 1:
        raise UsageError(
            "several destinations need a key: with it, the same call again completes those that "
            "lack something, and loads nothing twice"
        )
    with repeatable_batches(batches, origin) as again:
        outcomes = deliver_each(
            found,
            origin,
            lambda one: _load_into(
                one, again, origin=origin, key=key, mapping=mapping, options=options
            ),
        )
    return results_of(outcomes)


def _load_into(
    destination: Destination,
    batches: Iterable[pyarrow.RecordBatch],
    *,
    origin: str,
    key: str | None,
    mapping: Mapping,
    options: LoadOptions,
) -> LoadResult:
    mapping = destination.mapping(mapping)
    result = load_batches(
        destination.prepare(),
        Frames(batches, mapping, origin=origin, key=key),
        origin=origin,
        mapping=mapping,
        options=destination.options(options),
    )
    return replace(result, destination=destination.name)


def results_of(outcomes: list[Outcome]) -> list[LoadResult]:
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


@contextmanager
def errors_explained() -> Iterator[None]:
    """Raise what PostgreSQL reports as an error of ours."""
    try:
        yield
    except psycopg.Error as error:
        raise explain(error) from error
