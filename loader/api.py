"""What a program needs of the loader: to load, and to read what happened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from os import PathLike, fspath

from psycopg import Connection

from loader.api_frames import errors_explained, results_of
from loader.checks import checked
from loader.database import activity
from loader.database.connection import connect
from loader.database.schema import require_schema
from loader.delivery.delivery import Delivery
from loader.delivery.destinations import destination_names, find_destination, find_destinations
from loader.delivery.outcomes import Missing, Outcome
from loader.loading.load import LoadResult
from loader.loading.options import LoadOptions
from loader.reading.inputs import expand
from loader.reading.mapping import Mapping
from loader.settings import Settings, read_settings


def destinations() -> tuple[str, ...]:
    """Return the names of the databases in ``loader.toml``; none where there is no such file."""
    return destination_names(read_settings())


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
        mapping: how to read the files.
        options: how to load them.

    Returns:
        What each load did, in the order of the paths, and for each in that of the destinations.

    Raises:
        InputError: a file cannot be used; those before it stay loaded.
        IncompleteError: some destinations do not have everything; it says who has what.
        LoaderError: whatever else goes wrong.
    """
    mapping, options = mapping or Mapping(), options or LoadOptions()
    found = find_destinations(read_settings(dsn=dsn), _names(to), needs_dsn=not options.dry_run)
    if isinstance(paths, str | PathLike):
        paths = [paths]
    inputs = expand([fspath(path) for path in paths], mapping)
    with errors_explained():
        delivery = Delivery(found, mapping, options)
        delivery.begin()
        outcomes: list[Outcome] = []
        for an_input in inputs:
            for outcome in delivery.bring(an_input):
                if isinstance(outcome, Missing) and outcome.destination is None:
                    raise outcome.error
                outcomes.append(outcome)
    return results_of(outcomes)


@checked
def periods(
    *,
    dsn: str | None = None,
    to: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    schema: str | None = None,
) -> list[activity.Period]:
    """Return the periods of activity per category, exact up to the last load.

    They are sorted in SQL, by category and then by time: ``itertools.groupby`` on the category
    gives each category once.

    Args:
        dsn: as for ``load_files``.
        to: the destination in ``loader.toml``, needed where there are several.
        since: only periods that end then or later.
        until: only periods that start before.
        schema: dbt's target schema; ``DBT_SCHEMA`` or ``analytics`` unless given.

    Raises:
        UsageError: nothing was loaded yet, or dbt has not built the models.
        LoaderError: whatever else goes wrong.
    """
    with _database(dsn, to) as (conn, settings):
        return activity.read_periods(conn, schema or settings.dbt_schema, since, until)


@checked
def alerts(
    *,
    dsn: str | None = None,
    to: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    schema: str | None = None,
) -> list[activity.Alert]:
    """Return the alerts, exact up to the last load, in the order of their times, sorted in SQL.

    Args:
        dsn: as for ``load_files``.
        to: the destination in ``loader.toml``, needed where there are several.
        since: only alerts triggered then or later.
        until: only alerts triggered before.
        schema: as for ``periods``.

    Raises:
        UsageError: nothing was loaded yet, or dbt has not built the models.
        LoaderError: whatever else goes wrong.
    """
    with _database(dsn, to) as (conn, settings):
        return activity.read_alerts(conn, schema or settings.dbt_schema, since, until)


def _names(to: str | Sequence[str] | None) -> Sequence[str]:
    if to is None:
        return ()
    return (to,) if isinstance(to, str) else to


@contextmanager
def _database(dsn: str | None, to: str | None) -> Iterator[tuple[Connection, Settings]]:
    found = find_destination(read_settings(dsn=dsn), to)
    with errors_explained(), connect(found.dsn(), as_owner=False) as conn:
        require_schema(conn)
        yield conn, found.settings
