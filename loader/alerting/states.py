"""Where a source stands for alerts: what must be remembered of it between two loads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, LiteralString, NamedTuple

from psycopg import Connection, sql

from loader.database.queries import query, template, value


class Heard(NamedTuple):
    """When the last event of a category at a source was loaded.

    Attributes:
        last_at: when that event was.
        loaded_at: by the clock.
        newest_at: by the events: the last one of any source, but not of one that is yet to come.
    """

    last_at: int
    loaded_at: int
    newest_at: int


@dataclass(kw_only=True)
class SourceState:
    """What must be remembered of a source; times in microseconds since 1970 UTC.

    Attributes:
        seen: time and type of the last event; None before the first.
        run: category, number of events and start of the run that is going on.
        periods: start and end, so far, of the last period of each category with a rule of presence
            or absence.
        absent: for each rule of absence, the last event before the silence that it told of.
        heard: when the last event of each category with a rule of absence was loaded.
        alerted: when each rule last gave an alert that was passed on, for the cooldown.
    """

    seen: tuple[int, str] | None = None
    run: tuple[str, int, int] | None = None
    periods: dict[str, tuple[int, int]] = field(default_factory=dict)
    absent: dict[str, int] = field(default_factory=dict)
    heard: dict[str, Heard] = field(default_factory=dict)
    alerted: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the state as ``json`` can write it."""
        return dict(self.__dict__)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> SourceState:
        """Return the state that ``as_json`` gave."""
        seen, run = value.get("seen"), value.get("run")
        return cls(
            seen=(seen[0], seen[1]) if seen else None,
            run=(run[0], run[1], run[2]) if run else None,
            periods={name: (span[0], span[1]) for name, span in value.get("periods", {}).items()},
            absent=dict(value.get("absent", {})),
            heard={name: Heard(*times) for name, times in value.get("heard", {}).items()},
            alerted=dict(value.get("alerted", {})),
        )


def server_time(conn: Connection) -> int:
    """Return the time, in microseconds since 1970, by the one clock that all loaders can see."""
    return int(value(conn, "select extract(epoch from clock_timestamp()) * 1000000"))


def read(
    conn: Connection, source_ids: list[int], lock: LiteralString = ""
) -> tuple[dict[int, SourceState], dict[int, int]]:
    """Return the states of some sources, and the version of each."""
    statement = template("alert_states").format(lock=sql.SQL(lock))
    rows = conn.execute(statement, {"source_ids": source_ids}).fetchall()
    states = {source_id: SourceState.from_json(state) for source_id, _, state in rows}
    return states, {source_id: version for source_id, version, _ in rows}


def read_all(conn: Connection) -> dict[int, SourceState]:
    """Return the states of all sources that have a name to be told by."""
    return {
        source_id: SourceState.from_json(state)
        for source_id, state in conn.execute(query("all_alert_states"))
    }


def save(conn: Connection, states: Mapping[int, SourceState]) -> None:
    """Write the states of some sources, by id."""
    texts = [json.dumps(state.as_json()) for state in states.values()]
    conn.execute(query("save_alert_states"), {"source_ids": list(states), "states": texts})
