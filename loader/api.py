"""What a program needs of the loader: to load, and to read what happened."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import psycopg
import pyarrow
from psycopg import Connection

from loader import activity
from loader.connection import connect, database_dsn, explain
from loader.errors import UsageError
from loader.frames import Event, Frames, to_arrow
from loader.inputs import expand
from loader.load import LoadResult, load_batches, load_input, prepare_database
from loader.mapping import Mapping
from loader.pipeline import LoadOptions
from loader.schema import require_schema
from loader.settings import Settings, read_settings


def load_files(
    paths: Sequence[str | Path],
    *,
    dsn: str | None = None,
    mapping: Mapping | None = None,
    options: LoadOptions | None = None,
) -> list[LoadResult]:
    """Load files, directories and globs, as ``loader load`` does; each becomes a load.

    Loading the same content again changes nothing.

    Args:
        paths: what to load.
        dsn: the database, found like that of the commands unless given.
        mapping: how to read the files.
        options: how to load them.

    Returns:
        What each load did, in the order of the paths.

    Raises:
        InputError: a file cannot be used; those before it stay loaded.
        LoaderError: whatever else goes wrong.
    """
    mapping, options = mapping or Mapping(), options or LoadOptions()
    inputs = expand([str(path) for path in paths], mapping)
    with _errors_explained():
        found = "" if options.dry_run else _prepared(dsn)
        return [
            load_input(found, one, mapping, options, lambda reading, totals: None)  # noqa: ARG005
            for one in inputs
        ]


def load_events(
    events: Iterable[Event],
    *,
    dsn: str | None = None,
    origin: str = "python",
    key: str | None = None,
    options: LoadOptions | None = None,
) -> LoadResult:
    """Load events that a program made; all of them become visible, or none.

    Args:
        events: read once and streamed, so memory stays constant.
        dsn: as for ``load_files``.
        origin: what the ledger calls it.
        key: names the content: loading something again under the same key changes nothing. None
            loads it anew each time.
        options: how to load; ``dry_run`` is for files only.

    Raises:
        InputError: a type or a source is not text.
        LoaderError: whatever else goes wrong; then nothing was loaded.
    """
    batches = to_arrow(events, origin)
    return load_arrow(batches, dsn=dsn, origin=origin, key=key, options=options)


def load_arrow(
    batches: pyarrow.Table | pyarrow.RecordBatch | Iterable[pyarrow.RecordBatch],
    *,
    dsn: str | None = None,
    origin: str = "python",
    key: str | None = None,
    mapping: Mapping | None = None,
    options: LoadOptions | None = None,
) -> LoadResult:
    """Load Arrow data; all of it becomes visible, or nothing.

    Args:
        batches: a table, a batch, or anything that gives batches of one schema, such as a
            ``RecordBatchReader``; read once and streamed.
        dsn: as for ``load_files``.
        origin: what the ledger calls it.
        key: as for ``load_events``.
        mapping: what the columns mean; ``time``, ``type`` and ``source`` unless given.
        options: how to load; ``dry_run`` is for files only.

    Returns:
        What the load did; rows that cannot be used are counted, and kept for ``loader rejects``.

    Raises:
        InputError: a column is missing, or of an unusable type.
        LoaderError: whatever else goes wrong; then nothing was loaded.
    """
    mapping, options = mapping or Mapping(), options or LoadOptions()
    if options.dry_run:
        raise UsageError("dry_run is for files only")
    if isinstance(batches, pyarrow.Table):
        batches = batches.to_batches()
    elif isinstance(batches, pyarrow.RecordBatch):
        batches = [batches]
    with _errors_explained():
        return load_batches(
            _prepared(dsn),
            Frames(batches, mapping, origin=origin, key=key),
            origin=origin,
            mapping=mapping,
            options=options,
        )


def periods(
    *,
    dsn: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    schema: str | None = None,
) -> list[activity.Period]:
    """Return the periods of activity per category, exact up to the last load.

    They are sorted in SQL, by category and then by time: ``itertools.groupby`` on the category
    gives each category once.

    Args:
        dsn: as for ``load_files``.
        since: only periods that end then or later.
        until: only periods that start before.
        schema: dbt's target schema; ``DBT_SCHEMA`` or ``analytics`` unless given.

    Raises:
        UsageError: nothing was loaded yet, or dbt has not built the models.
        LoaderError: whatever else goes wrong.
    """
    with _database(dsn) as (conn, settings):
        return activity.read_periods(conn, schema or settings.dbt_schema, since, until)


def alerts(
    *,
    dsn: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    schema: str | None = None,
) -> list[activity.Alert]:
    """Return the alerts, exact up to the last load, in the order of their times, sorted in SQL.

    Args:
        dsn: as for ``load_files``.
        since: only alerts triggered then or later.
        until: only alerts triggered before.
        schema: as for ``periods``.

    Raises:
        UsageError: nothing was loaded yet, or dbt has not built the models.
        LoaderError: whatever else goes wrong.
    """
    with _database(dsn) as (conn, settings):
        return activity.read_alerts(conn, schema or settings.dbt_schema, since, until)


def _prepared(dsn: str | None) -> str:
    settings = read_settings(dsn=dsn)
    found = database_dsn(settings)
    prepare_database(found, settings.partition_by)
    return found


@contextmanager
def _database(dsn: str | None) -> Iterator[tuple[Connection, Settings]]:
    settings = read_settings(dsn=dsn)
    with _errors_explained(), connect(database_dsn(settings), as_owner=False) as conn:
        require_schema(conn)
        yield conn, settings


@contextmanager
def _errors_explained() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise explain(error) from error
