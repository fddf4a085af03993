"""What a program reads of what happened: periods of activity, and alerts."""

from datetime import datetime
from typing import TypeVar

from loader.database.activity import Alert, Period, read_activity
from loader.database.connection import connect, explaining
from loader.database.schema import require_schema
from loader.delivery.destinations import find_destination
from loader.settings import read_settings
from loader.settings.checks import checked

_Row = TypeVar("_Row")


@checked
def periods(
    *,
    dsn: str | None = None,
    to: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    schema: str | None = None,
) -> list[Period]:
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
    return _activity(Period, dsn, to, schema, since, until)


@checked
def alerts(
    *,
    dsn: str | None = None,
    to: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    schema: str | None = None,
) -> list[Alert]:
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
    return _activity(Alert, dsn, to, schema, since, until)


def _activity(
    kind: type[_Row], dsn: str | None, to: str | None, schema: str | None, *span: datetime | None
) -> list[_Row]:
    found = find_destination(read_settings(dsn=dsn, is_program=True), to)
    with explaining(), connect(found.dsn(), as_owner=False) as conn:
        require_schema(conn)
        return read_activity(conn, kind, schema or found.settings.dbt_schema, *span)
