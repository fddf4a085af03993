"""Silences: sources where nothing comes any more are told of by the clock, as no load does."""

import math
import time
from datetime import timedelta
from typing import Final

from psycopg import Connection

from loader.alerting import states
from loader.alerting.detector import Detector
from loader.alerting.relay import Relay
from loader.alerting.rules import Definitions
from loader.database.connection import connect
from loader.database.queries import query, values

# Between two looks by the clock: silences are told so late at most; others load too.
_SHORTEST_REST_SECONDS: Final = 5.0
_LONGEST_REST_SECONDS: Final = 300.0
# What fell due while nobody could load may only wait to be loaded by somebody who is slower. Who
# did not look for as long was away, too: the database, the machine, or busy with a load.
_PATIENCE: Final = timedelta(minutes=10) // timedelta(microseconds=1)


class Silences:
    """Tells of sources that, by the clock of the server, are silent for too long.

    Only of those that were heard of in time before: what is loaded of last year makes nobody
    silent today.

    Args:
        dsn: the database.
        definitions: the rules.
        cooldown: as for ``EarlyAlerts``.
        relay: passes on what is told.
        is_patient: as for ``EarlyAlerts``.
    """

    def __init__(
        self,
        dsn: str,
        definitions: Definitions,
        cooldown: timedelta,
        relay: Relay,
        *,
        is_patient: bool,
    ) -> None:
        self._dsn = dsn
        self._definitions = definitions
        self._cooldown = cooldown
        self._relay = relay
        self._is_patient = is_patient
        # By the clock of the server: the last look, and the first one after we were away.
        self._looked_at = self._back_at = 0
        self._next_look = 0.0

    def look_soon(self) -> None:
        """Look at the next rest: something is new."""
        self._next_look = 0.0

    def rest(self) -> float:
        """Look, if it is time to; return in how many seconds to look again.

        Everything is in one transaction, and who else looks at the same time passes over what is
        locked. So each silence is told once, by whoever is first.
        """
        if not self._definitions.of_absence:
            return math.inf
        wait = self._next_look - time.monotonic()
        if wait > 0:
            return wait
        with connect(self._dsn, purpose="alerts") as conn:
            now = states.server_time(conn)
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
        detector.states = states.read_all(conn)
        expected = detector.expected(detector.states, expected_from)
        silent = sorted({source for due, source in expected if due <= now})
        alert_ids: list[int] = []
        if silent:
            with conn.transaction():
                # Whoever holds one of the others is about to write what is new of it.
                detector.states, _ = states.read(conn, silent, "for update skip locked")
                found = detector.absences(
                    now, detector.states, by="loaded_at", expected_from=expected_from
                )
                states.save(conn, detector.states)
                if found:
                    columns = [list(column) for column in zip(*found, strict=True)]
                    alert_ids = values(conn, query("add_early_alerts"), columns)
        return alert_ids, min((due for due, _ in expected if due > now), default=math.inf)
