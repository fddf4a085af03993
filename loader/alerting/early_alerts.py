"""Early alerts of loads: found while batches are copied, kept with the load, then passed on.

What is found is written under the load, as its events are, and is seen when they are; where its
sources then stand is written in the transaction that publishes it. So a load that fails, or is
loaded already, raises nothing, and a crash loses nothing. Notifications go out after the commit.

Where nothing comes any more, the clock tells: see ``Silences``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection, Cursor

from loader.alerting import states
from loader.alerting.detector import Detector, Found
from loader.alerting.notify import EarlyAlert, Recipient
from loader.alerting.relay import Relay
from loader.alerting.rules import Definitions
from loader.alerting.silences import Silences
from loader.database.queries import query
from loader.loading.encode import EncodedRows
from loader.loading.observer import Observer

_REPLAYED_AT_ONCE: Final = 50_000
_WRITTEN_AT_ONCE: Final = 1000
_COPY: Final = (
    "copy raw.early_alerts (triggered_at, source_id, rule_name, category, started_at, load_id)"
    " from stdin"
)


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
        destinations: Sequence[Recipient],
        payloads: Sequence[Callable[[EarlyAlert], str]],
        *,
        cooldown: timedelta = timedelta(0),
        is_patient: bool = False,
    ) -> None:
        self._definitions = definitions
        self._cooldown = cooldown
        self._relay = Relay(dsn, destinations, payloads)
        self._silences = Silences(dsn, definitions, cooldown, self._relay, is_patient=is_patient)

    def __enter__(self) -> EarlyAlerts:
        return self

    def __exit__(self, *_: object) -> None:
        self._relay.close()

    def published(self, load_id: int) -> None:
        """Pass on the alerts of a published load, and those that a crash left; return at once."""
        self._silences.look_soon()
        self._relay.pass_on([load_id])

    def rest(self) -> float:
        """Tell of what the clock says; return in how many seconds to look again."""
        return self._silences.rest()

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

    def see(self, rows: EncodedRows) -> None:
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
                known, versions = states.read(self._conn, new)
                self._detector.states |= known
                self._versions |= versions
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
        now = states.server_time(self._conn) if self._definitions.of_absence else 0
        # A clock that runs ahead makes nobody silent.
        until = min(self._bounds[1] if self._bounds else 0, now)
        # All at once and in one order, or two loads would wait for each other.
        elsewhere = self._silent_elsewhere(until)
        source_ids = sorted({*self._versions, *elsewhere})
        self._execute("add_alert_states", source_ids=source_ids)
        known, versions = states.read(self._conn, source_ids, "for update")
        stale = [
            source_id
            for source_id, version in self._versions.items()
            if self._is_deduped or version != versions[source_id]
        ]
        self._detector.states |= {key: known[key] for key in (*stale, *elsewhere)}
        if stale:
            self._found = [found for found in self._found if found.source not in set(stale)]
            if self._has_written:
                self._execute("remove_early_alerts", load_id=self._load_id, source_ids=stale)
            for event_time, source_id, event_type_id in self._replay(stale):
                self._found += self._look(event_time, source_id, event_type_id)
        self._found += self._detector.absences(until, self._versions)
        self._found += self._detector.absences(until, elsewhere, by="newest_at")
        self._detector.hear(now, self._versions)
        states.save(self._conn, {key: self._detector.states[key] for key in source_ids})
        self._write()

    def _write(self) -> None:
        """Write what was found since the last time."""
        if not self._found:
            return
        triggered, *names, started = zip(*self._found, strict=True)
        load_ids = [self._load_id] * len(self._found)
        with self._conn.cursor() as cursor, cursor.copy(_COPY) as copy:
            for row in zip(_texts(triggered), *names, _texts(started), load_ids, strict=True):
                copy.write_row(row)
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
        if not self._definitions.of_absence:
            return set()
        others = states.read_all(self._conn)
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


def _texts(moments: Sequence[int]) -> list[str]:
    """Return microseconds since 1970 as PostgreSQL reads times, all at once."""
    return list(np.array(moments, "M8[us]").astype(str).tolist())


def _distinct(ids: NDArray[Any]) -> list[int]:
    """Return the different ids; counting small ones is many times as fast as sorting."""
    low = int(ids.min())
    if int(ids.max()) - low > 1 << 20:
        return list(np.unique(ids).tolist())
    return list((np.flatnonzero(np.bincount(ids - low)) + low).tolist())
