"""What a load, or a withdrawal, changed: periods and alerts before it beside those after it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from itertools import groupby

from psycopg import Connection, errors

from loader.database.activity import asking
from loader.database.connection import refusal
from loader.database.ledger import LedgerRow
from loader.database.queries import fetch, within
from loader.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A period or an alert, as it was or as it became.

    Attributes:
        event_count: how many events it had.
        started_at: time of its first event.
        ended_at: time of its last event.
        triggered_at: when the rule was met; None for a period.
    """

    event_count: int
    started_at: datetime
    ended_at: datetime
    triggered_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Change:
    """Periods, or alerts of one rule, of one category at a source that became others.

    Attributes:
        change: ``made``, ``removed``, ``joined``, ``split``, or ``changed`` where one stayed one.
        rule_name: the rule of alerts; None for periods.
        source_name: the source.
        category: the category.
        before: what there was, in order.
        after: what it became, in order.
    """

    change: str
    rule_name: str | None
    source_name: str
    category: str
    before: list[Stretch]
    after: list[Stretch]


@dataclass(frozen=True, kw_only=True)
class _Row(Stretch):
    rule_name: str | None
    source_name: str
    category: str
    is_after: bool


def explain_load(
    conn: Connection, schema: str, load_id: int, say: Callable[[str], None]
) -> list[Change]:
    """Return what a load or withdrawal changed, in the marts of a schema.

    Args:
        conn: a connection.
        schema: of the marts.
        load_id: the load, or the withdrawal.
        say: tells the user of alerts that nobody can know any more.
    """
    load = _find_load(conn, load_id)
    if load.load_seq is None:
        raise UsageError(f"load {load_id} is not published, so it changed nothing")
    # A withdrawal is about the events of the load that it withdraws.
    events = _find_load(conn, load.withdraws_load_id) if load.withdraws_load_id else load
    if events.first_event_at is None:
        return []
    span = {
        "seq": load.load_seq,
        "load_id": events.load_id,
        "since": events.first_event_at,
        "until": events.last_event_at,
    }
    functions = {"activity_periods": "activity_periods_as_of", "alerts": "alerts_of_change_as_of"}
    names = {name: within(schema, found) for name, found in functions.items()}
    conn.add_notice_handler(lambda notice: say(f"not shown: {notice.message_primary}"))
    with asking(conn, functions["alerts"], schema):
        try:
            rows = fetch(conn, _Row, "explain_load", span, **names)
        except errors.NoDataFound as error:
            raise UsageError(error.diag.message_primary or str(error)) from None
    return list(_changes(rows))


def _find_load(conn: Connection, load_id: int) -> LedgerRow:
    try:
        found = fetch(conn, LedgerRow, "find_load", {"load_id": load_id})
    except errors.InsufficientPrivilege as error:
        # Who may read both the ledger and the marts.
        raise refusal(error, "transformer", conn.info.user) from error
    if not found:
        raise UsageError(f"there is no load {load_id}; see: loader loads")
    return found[0]


def _changes(rows: Iterable[_Row]) -> Iterator[Change]:
    """Yield what became what: those of before and after that overlap belong together."""
    for _, same in groupby(rows, lambda row: (row.rule_name, row.source_name, row.category)):
        together: list[_Row] = []
        for row in same:
            if together and _is_apart(together, row):
                yield _change(together)
                together = []
            together.append(row)
        yield _change(together)


def _is_apart(together: Sequence[_Row], row: _Row) -> bool:
    last_at = max(one.ended_at for one in together)
    # Alerts may touch and be two: of one hour and the next, of a silence and the next.
    is_next = row.rule_name is not None and row.started_at > together[-1].started_at
    return row.started_at > last_at or (is_next and row.started_at == last_at)


def _change(together: list[_Row]) -> Change:
    before, after = (
        [
            Stretch(**{one.name: getattr(row, one.name) for one in fields(Stretch)})
            for row in together
            if row.is_after == is_after
        ]
        for is_after in (False, True)
    )
    match len(before), len(after):
        case 0, _:
            change = "made"
        case _, 0:
            change = "removed"
        case more, 1 if more > 1:
            change = "joined"
        case 1, more if more > 1:
            change = "split"
        case _:
            change = "changed"
    first = together[0]
    return Change(
        change=change,
        rule_name=first.rule_name,
        source_name=first.source_name,
        category=first.category,
        before=before,
        after=after,
    )
