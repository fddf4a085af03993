"""Periods of activity and alerts, as the dbt models' live views give them."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeVar

from psycopg import Connection, errors

from loader.database.citus import between_commits
from loader.database.connection import refusal
from loader.database.queries import fetch, within
from loader.errors import UsageError

# Always part of the answer, if only as an empty list.
CATEGORIES = ("people", "vehicles")
# Of event types that event_types.csv does not list: shown to people, not part of the JSON.
CATCH_ALL = "other"
_Row = TypeVar("_Row")


@dataclass(frozen=True, kw_only=True)
class Period:
    """A period in which something of a category was going on, at whatever source."""

    category: str
    event_count: int
    started_at: datetime
    ended_at: datetime


@dataclass(frozen=True, kw_only=True)
class Alert:
    """An alert of a rule at a source."""

    rule_name: str
    source_name: str
    category: str
    event_count: int
    triggered_at: datetime


# The statement that asks for each, and whom it asks.
_VIEWS: Final[dict[type, tuple[str, str]]] = {
    Period: ("periods", "category_activity_periods_live"),
    Alert: ("alerts", "alerts_live"),
}


def read_activity(
    conn: Connection,
    kind: type[_Row],
    schema: str,
    since: datetime | None,
    until: datetime | None,
) -> list[_Row]:
    """Return what reaches into a time span: periods by category, or alerts, each in time order.

    The order is SQL's: consumers that group neighbours, as ``itertools.groupby`` does, rely on it.
    """
    name, view = _VIEWS[kind]
    with asking(conn, view, schema):
        span = {"since": since, "until": until}
        return fetch(conn, kind, name, span, view=within(schema, view))


@contextmanager
def asking(conn: Connection, what: str, schema: str) -> Iterator[None]:
    """Say what to do where dbt has not built what is asked, or the user may not ask it."""
    try:
        with between_commits(conn, schema):
            yield
    except (
        errors.UndefinedTable,
        errors.UndefinedFunction,
        errors.InvalidSchemaName,
        UnicodeEncodeError,
    ):
        raise UsageError(
            f'there is no {what} in schema "{schema}" yet; run: dbt build '
            "(another schema: --schema or DBT_SCHEMA)"
        ) from None
    except errors.InsufficientPrivilege as error:
        raise refusal(error, "reader", conn.info.user) from error


def periods_by_category(periods: Iterable[Period]) -> dict[str, list[Sequence[str]]]:
    """Return the periods as ``loader periods --json`` prints them."""
    result: dict[str, list[Sequence[str]]] = {category: [] for category in CATEGORIES}
    for period in periods:
        if period.category != CATCH_ALL:
            span = [iso_utc(period.started_at), iso_utc(period.ended_at)]
            result.setdefault(period.category, []).append(span)
    return result


def iso_utc(moment: datetime) -> str:
    """Return a time as ``2024-05-13T15:00:00Z``, with microseconds when there are any."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
