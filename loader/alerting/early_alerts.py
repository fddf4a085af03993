"""Early alerts of loads: found while batches are copied, kept with the load, then passed on.

What is found is written under the load, as its events are, and is seen when they are; where its
sources then stand is written in the transaction that publishes it. So a load that fails, or is
loaded already, raises nothing, and a crash loses nothing. Notifications go out after the commit.

Where nothing comes any more, the clock tells: see ``EarlyAlerts.rest``.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection, Cursor, sql

from loader.alerting.detector import Detector, Found, SourceState
from loader.alerting.notify import Destination, EarlyAlert
from loader.alerting.relay import Relay
from loader.alerting.rules import Definitions
from loader.database.connection import connect
from loader.database.queries import query
from loader.loading.encode import HEADER, POSTGRES_EPOCH_US, TRAILER, Rows, records
from loader.loading.observer import Observer

_REPLAYED_AT_ONCE: Final = 50_000
_WRITTEN_AT_ONCE: Final = 1000
# Between two looks by the clock: silences are told so late at most; others load too.
_SHORTEST_REST_SECONDS: Final = 5.0
_LONGEST_REST_SECONDS: Final = 300.0
# What fell due while nobody could load may only wait to be loaded by somebody who is slower. Who
# did not look for as long was away, too: the database, the machine, or busy with a load.
_PATIENCE: Final = timedelta(minutes=10) // timedelta(microseconds=1)

_COLUMNS: Final = ("load_id", "source_id", "rule_name", "category", "started_at", "triggered_at")
_COPY: Final = sql.SQL("copy raw.early_alerts ({}) from stdin with (format binary)").format(
    sql.SQL(", ").join(map(sql.Identifier, _COLUMNS))
)


def server_time(conn: Connection) -> int:
    """Return the time, in microseconds since 1970, by the one clock that all loaders can see."""
    moment = conn.execute("select extract(epoch from clock_timestamp()) * 1000000")
    (now,) = moment.fetchone() or (0,)
    return int(now)


class EarlyAlerts(Observer):
    """What a command needs to raise alerts: rules, cooldown, and where alerts go.

    Use it as a context manager; its end waits, but not for long, for what is to be passed on.

    Args:
        dsn: the database.
        definitions: the rules.
        destinations: where alerts go, as ``payloads``; see ``Relay``.
        payloads: what goes out over NOTIFY.
        cooldown: no further alert of a rule at a source within this time of events.
        is_patient: whether what fell due before the first rest, or in an outage, waits for slower
            loaders.
    """

    def __init__(
        self,
        dsn: str,
        definitions: Definitions,
        destinations: Sequence[Destination],
        payloads: Sequence[Callable[[EarlyAlert], str]],
        *,
        cooldown: timedelta = timedelta(0),
        is_patient: bool = False,
    ) -> None:
        self._dsn = dsn
        self._is_patient = is_patient
        # By the clock of the server: the last look, and the first one after we were away.
        self._looked_at = self._back_at = 0
        self._next_look = 0.0
        self._definitions = definitions
        self._cooldown = cooldown
        self._relay = Relay(dsn, destinations, payloads)

    def __enter__(self) -> EarlyAlerts:
        return self

    def __exit__(self, *_: object) -> None:
        self._relay.close()

    def published(self, load_id: int) -> None:
        """Pass on the alerts of a published load, and those that a crash left; return at once."""
        self._next_look = 0.0
        self._relay.pass_on([load_id])

    def rest(self) -> float:
        """Tell of sources that, by the clock, are silent for too long; return when to look again.

        Only of those that were heard of in time before: what is loaded of last year makes nobody
        silent today. Everything is in one transaction, and who else looks at the same time passes
        over what is locked. So each silence is told once, by whoever is first.
        """
        if not Detector(self._definitions).tells_of_absence:
            return math.inf
        wait = self._next_look - time.monotonic()
        if wait > 0:
            return wait
        with connect(self._dsn, purpose="alerts") as conn:
            now = server_time(conn)
            if self._is_patient and now - self._looked_at > _PATIENCE:
                self._back_at = now
            expected_from = 0 if now - self._back_at >= _PATIENCE else self._back_at
            alert_ids, due = self._tell_by_clock(conn, now, expected_from)
        self._looked_at = now
        # Also without any: a crash may have left some.
        self._relay.pass_on(alert_ids=alert_ids)
        wait = min(max((due - now) / 1e6, _SHORTEST_REST_SECONDS), _LONGEST_REST_SECONDS)
        self._next_look = time.monotonic() + wait
        return wait

    def _tell_by_clock(
        self, conn: Connection, now: int, expected_from: int
    ) -> tuple[list[int], float]:
        """Write what has fallen due; return which alerts these are, and when more will."""
        detector = Detector(self._definitions, self._cooldown)
        detector.states = _states(conn.execute(query("find_alert_states")))
        expected = detector.expected(detector.states, expected_from)
        silent = sorted({source for due, source in expected if due <= now})
        alert_ids: list[int] = []
        if silent:
            with conn.transaction():
                detector.states = _states(
                    conn.execute(query("lock_free_alert_states"), {"source_ids": silent})
                )
                found = detector.absences(
                    now, detector.states, by="loaded_at", expected_from=expected_from
                )
                _save(conn, detector.states)
                if found:
                    columns = zip(*found, strict=True)
                    names = ("triggered", "sources", "rules", "categories", "started")
                    values = dict(zip(names, map(list, columns), strict=True))
                    alert_ids = [row[0] for row in conn.execute(query("add_early_alerts"), values)]
        return alert_ids, min((due for due, _ in expected if due > now), default=math.inf)

    def begin(self, conn: Connection, load_id: int, *, is_deduped: bool) -> None:
        """Begin to watch a load; one that is deduped is read again from the table."""
        self._conn = conn
        self._load_id = load_id
        self._detector = Detector(self._definitions, self._cooldown)
        self._is_deduped = is_deduped
        self._versions: dict[int, int] = {}
        self._types: dict[int, str] = {}
        self._bounds: tuple[int, int] | None = None
        self._found: list[Found] = []
        self._has_written = False

    def see(self, rows: Rows) -> None:
        """Look at a batch that is being copied; before the load is published nothing shows."""
        if not len(rows.event_time):
            return
        first, last = int(rows.event_time.min()), int(rows.event_time.max())
        if self._bounds is not None:
            first, last = min(first, self._bounds[0]), max(last, self._bounds[1])
        self._bounds = (first, last)
        new = [key for key in _distinct(rows.source_id) if key not in self._versions]
        if new:
            self._versions |= dict.fromkeys(new, 0)
            if not self._is_deduped:
                for source_id, version, state in self._conn.execute(
                    "select source_id, version, state from raw.alert_states"
                    " where source_id = any(%s)",
                    [new],
                ):
                    self._versions[source_id] = version
                    self._detector.states[source_id] = SourceState.from_json(state)
        if not self._is_deduped:
            self._found += self._look(rows.event_time, rows.source_id, rows.event_type_id)
            if len(self._found) >= _WRITTEN_AT_ONCE:
                self._write()

    def settle(self) -> None:
        """Write the last alerts, and the states, in the transaction that publishes the load.

        A source whose state another loader has changed since we read it is judged anew, from that
        state, over the events of this load. By the time of its last event, other sources too may
        have been silent for too long.
        """
        if not self._versions:
            return
        now = server_time(self._conn) if self._detector.tells_of_absence else 0
        # A clock that runs ahead makes nobody silent.
        until = min(self._bounds[1] if self._bounds else 0, now)
        # All at once and in one order, or two loads would wait for each other.
        elsewhere = self._silent_elsewhere(until)
        source_ids = sorted({*self._versions, *elsewhere})
        self._execute("add_alert_states", source_ids=source_ids)
        stale = []
        rows = self._execute("lock_alert_states", source_ids=source_ids).fetchall()
        for source_id, version, state in rows:
            if source_id not in self._versions:
                self._detector.states[source_id] = SourceState.from_json(state)
            elif self._is_deduped or version != self._versions[source_id]:
                stale.append(source_id)
                self._detector.states[source_id] = SourceState.from_json(state)
        if stale:
            self._found = [found for found in self._found if found.source not in set(stale)]
            if self._has_written:
                self._execute("remove_early_alerts", load_id=self._load_id, source_ids=stale)
            for event_time, source_id, event_type_id in self._replay(stale):
                self._found += self._look(event_time, source_id, event_type_id)
        self._found += self._detector.absences(until, self._versions)
        self._found += self._detector.absences(until, elsewhere, by="newest_at")
        self._detector.hear(now, self._versions)
        _save(self._conn, {key: self._detector.states[key] for key in source_ids})
        self._write()

    def _write(self) -> None:
        """Write what was found since the last time."""
        if not self._found:
            return
        with self._conn.cursor() as cursor, cursor.copy(_COPY) as copy:
            copy.write(HEADER + _encode(self._found, self._load_id) + TRAILER)
        self._found = []
        self._has_written = True

    def _replay(self, source_ids: list[int]) -> Iterator[Sequence[NDArray[Any]]]:
        first, last = self._bounds or (0, 0)
        # A cursor on the server: the load may be larger than the memory.
        with self._conn.cursor(name="replay") as cursor:
            cursor.execute(
                query("events_of_load"),
                {
                    "load_id": self._load_id,
                    "source_ids": source_ids,
                    "first": first,
                    "last": last,
                },
            )
            while rows := cursor.fetchmany(_REPLAYED_AT_ONCE):
                yield [np.array(column, dtype=np.int64) for column in zip(*rows, strict=True)]

    def _silent_elsewhere(self, until: int) -> set[int]:
        """Return other sources that are silent for too long, before their states are locked."""
        if not self._detector.tells_of_absence:
            return set()
        others = _states(self._conn.execute(query("find_alert_states")))
        for source_id in self._versions:
            others.pop(source_id, None)
        self._detector.states |= others
        found = self._detector.absences(until, others, by="newest_at")
        return {alert.source for alert in found}

    def _look(
        self,
        event_time: NDArray[Any],
        source_id: NDArray[Any],
        event_type_id: NDArray[Any],
    ) -> list[Found]:
        if not self._types.keys() >= set(_distinct(event_type_id)):
            self._types = dict(
                self._conn.execute("select event_type_id, event_type from raw.event_types")
            )
        ids = list(self._types)
        place_of = np.zeros(max(ids) + 1, dtype=np.int64)
        place_of[ids] = np.arange(len(ids))
        return self._detector.look(
            event_time, source_id, place_of[event_type_id], list(self._types.values())
        )

    def _execute(self, name: str, **parameters: object) -> Cursor:
        return self._conn.execute(query(name), parameters)


def _states(rows: Iterable[Sequence[Any]]) -> dict[int, SourceState]:
    return {source_id: SourceState.from_json(state) for source_id, state in rows}


def _save(conn: Connection, states: Mapping[int, SourceState]) -> None:
    texts = [json.dumps(state.as_json()) for state in states.values()]
    conn.execute(query("save_alert_states"), {"source_ids": list(states), "states": texts})


def _encode(found: Iterable[Found], load_id: int) -> bytes:
    """Return the columns ``_COLUMNS`` of alerts as ``encode`` does those of events."""
    by_rule: dict[tuple[str, str], list[Found]] = {}
    for alert in found:
        by_rule.setdefault((alert.rule_name, alert.category), []).append(alert)
    encoded = []
    for names, alerts in by_rule.items():
        rule_name, category = (name.encode() for name in names)
        triggered, sources, _, _, started = zip(*alerts, strict=True)
        fields = [
            (">i8", load_id),
            (">i4", sources),
            (f"S{len(rule_name)}", rule_name),
            (f"S{len(category)}", category),
            (">i8", np.array(started) - POSTGRES_EPOCH_US),
            (">i8", np.array(triggered) - POSTGRES_EPOCH_US),
        ]
        encoded.append(records(len(alerts), fields).tobytes())
    return b"".join(encoded)


def _distinct(ids: NDArray[Any]) -> list[int]:
    """Return the different ids; counting small ones is many times as fast as sorting."""
    low = int(ids.min())
    if int(ids.max()) - low > 1 << 20:
        return list(np.unique(ids).tolist())
    return list((np.flatnonzero(np.bincount(ids - low)) + low).tolist())
