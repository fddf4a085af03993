"""Passes early alerts on, once they are visible: the relay of a transactional outbox.

What is to be passed on stands in ``raw.early_alerts``, written with its load; see ADR 7. It goes
out from a thread of its own: a service that is slow or down holds up no load.
"""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any, Final, TypeAlias

from psycopg import Connection
from psycopg.rows import dict_row

from loader.alerting.notify import CHANNEL, EarlyAlert, Recipient, ToServices
from loader.database.connection import connect
from loader.database.queries import query
from loader.errors import UsageError
from loader.process.terminal import echo

# An alert that nobody passed on for so long was left by a loader that crashed.
FORGOTTEN_AFTER: Final = timedelta(minutes=5)
SECONDS_AT_THE_END: Final = 10.0
# A load may raise any number of alerts; so many are in memory.
READ_AT_ONCE: Final = 10_000
_TOLD_AT_ONCE: Final = 200
# Numbers of loads, and of alerts that no load brought.
_Told: TypeAlias = tuple[Iterable[int], Iterable[int]]


class Relay:
    """Passes on the alerts of loads in the background.

    A destination that fails costs its alerts a line on standard error, never the caller time. When
    the database fails, they wait for the next load. They stay in ``fct_alerts`` in any case.

    Args:
        dsn: the database.
        destinations: called one after the other, in the thread, with some alerts at a time. People
            may be woken by services, so with these it is one at a time: alerts are noted as passed
            on afterwards, and come again after a crash in between.
        payloads: what goes out over NOTIFY for each alert; whoever may connect hears it, whatever
            sources they may see.
        warn: told, once for each destination, that it fails.
    """

    def __init__(
        self,
        dsn: str,
        destinations: Sequence[Recipient],
        payloads: Sequence[Callable[[EarlyAlert], str]] = (),
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self._dsn = dsn
        self._payloads = payloads
        self._destinations = [self._notify, *destinations] if payloads else destinations
        self._warn = warn or (lambda text: echo(f"loader: {text}", err=True))
        has_services = any(isinstance(one, ToServices) for one in destinations)
        self._at_once = 1 if has_services else _TOLD_AT_ONCE
        self._published: queue.SimpleQueue[_Told | None] = queue.SimpleQueue()
        self._load_ids: set[int] = set()
        self._alert_ids: set[int] = set()
        self._conn: Connection | None = None
        self._thread: threading.Thread | None = None
        self._warned: set[str] = set()

    def pass_on(self, load_ids: Iterable[int] = (), alert_ids: Iterable[int] = ()) -> None:
        """Pass on alerts, of loads or single ones, and those that a crash left; return at once."""
        if self._thread is None:
            # A daemon: a service that hangs must not keep the command from ending.
            self._thread = threading.Thread(target=self._work, name="alerts", daemon=True)
            self._thread.start()
        self._published.put((load_ids, alert_ids))

    def close(self, seconds: float = SECONDS_AT_THE_END) -> None:
        """Wait for what is still to be passed on, but not longer than this."""
        if self._thread is None:
            return
        self._published.put(None)
        self._thread.join(seconds)
        if self._thread.is_alive():
            self._warn("some alerts were not passed on in time; see: loader alerts")

    def _work(self) -> None:
        while (told := self._published.get()) is not None:
            self._load_ids.update(told[0])
            self._alert_ids.update(told[1])
            try:
                for alerts in self._waiting():
                    self._tell(list(alerts.values()))
                    self._note(list(alerts))
            except Exception as error:  # noqa: BLE001, RUF100 - the thread must go on
                self._warn_once("database", f"alerts wait, and may come again: {_reason(error)}")
            else:
                self._load_ids.clear()
                self._alert_ids.clear()
        if self._conn is not None:
            self._conn.close()

    def _waiting(self) -> Iterator[dict[int, EarlyAlert]]:
        """Yield the alerts that wait, in the order of their times, as many as are told at once."""
        while True:
            wanted = {
                "load_ids": list(self._load_ids),
                "alert_ids": list(self._alert_ids),
                "forgotten_after": FORGOTTEN_AFTER,
                "limit": READ_AT_ONCE,
            }
            with self._connected().cursor(row_factory=dict_row) as cursor:
                rows = cursor.execute(query("find_early_alerts"), wanted).fetchall()
            if not rows:
                return
            for start in range(0, len(rows), self._at_once):
                some = rows[start : start + self._at_once]
                yield {row.pop("early_alert_id"): EarlyAlert(**row) for row in some}

    def _tell(self, alerts: Sequence[EarlyAlert]) -> None:
        for number, destination in enumerate(self._destinations):
            try:
                destination(alerts)
            except Exception as error:  # noqa: BLE001, RUF100 - whatever a service raises
                text = f"an alert could not be passed on: {_reason(error)}"
                self._warn_once(f"destination {number}", text)

    def _notify(self, alerts: Sequence[EarlyAlert]) -> None:
        """Send each alert as a message of its own, in their order."""
        # PostgreSQL sends equal ones of one statement once.
        payloads = [payload(alert) for payload in self._payloads for alert in alerts]
        conn = self._connected()
        with conn.transaction():
            conn.execute("set local statement_timeout = '5s'")
            conn.execute(
                # Of an array of texts psycopg would have to escape each quotation mark.
                "select pg_notify(%s, payload::text) from json_array_elements(%s::json) as payload",
                [CHANNEL, f"[{','.join(payloads)}]"],
            )

    def _note(self, early_alert_ids: list[int]) -> None:
        """Remember that alerts were passed on."""
        self._connected().execute(
            "update raw.early_alerts set passed_on_at = clock_timestamp()"
            " where early_alert_id = any(%s)",
            [early_alert_ids],
        )

    def _connected(self) -> Connection:
        if self._conn is None or self._conn.closed or self._conn.broken:
            self._conn = connect(self._dsn, purpose="alerts")
        return self._conn

    def _warn_once(self, about: str, text: str) -> None:
        if about not in self._warned:
            self._warned.add(about)
            self._warn(text)


def _reason(error: Exception) -> Any:
    # The text of other errors may quote a URL or a DSN.
    known = isinstance(error, ConnectionError | UsageError)
    return error if known else type(error).__name__
