"""Where early alerts go: standard error, PostgreSQL's NOTIFY, and the services of apprise.

They go out from a thread of their own: a service that is slow or down holds up no load.
"""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import click
import psycopg

from loader.activity import iso_utc
from loader.connection import connect
from loader.errors import UsageError

if TYPE_CHECKING:
    from datetime import datetime

CHANNEL: Final = "video_events_alerts"
WAITING: Final = 10_000
_AT_ONCE: Final = 200
SECONDS_AT_THE_END: Final = 10.0
_MOST_BYTES: Final = 7900


@dataclass(frozen=True, kw_only=True)
class EarlyAlert:
    """An alert at the moment in which its events were loaded.

    Attributes:
        rule_name: the rule of ``alert_rules.csv``.
        source_name: where it happened.
        category: of what.
        started_at: when the run or the period began.
        triggered_at: when the rule was met, by the times of the events, as in ``fct_alerts``.
    """

    rule_name: str
    source_name: str
    category: str
    started_at: datetime
    triggered_at: datetime

    def as_json(self) -> str:
        """Return it as it is sent to programs, times in ISO 8601, UTC."""
        values = asdict(self)
        for name in ("started_at", "triggered_at"):
            values[name] = iso_utc(values[name])
        return json.dumps(values, ensure_ascii=False)

    def as_text(self) -> str:
        """Return it as a line for people; names of sources are shown without control characters."""
        source = "".join(c if c.isprintable() else "?" for c in self.source_name)
        return f"{iso_utc(self.triggered_at)} {self.rule_name}: {source}, {self.category}"


# Passes alerts on; raises whatever it likes when it cannot.
Destination = Callable[[Sequence[EarlyAlert]], None]


def to_stderr(alert: EarlyAlert) -> None:
    """Print an alert as a line."""
    click.echo(f"alert: {alert.as_text()}", err=True)


def all_to_stderr(alerts: Sequence[EarlyAlert]) -> None:
    """Print each alert as a line."""
    for alert in alerts:
        to_stderr(alert)


class ToPostgres:
    """Sends alerts over NOTIFY, on a connection of its own."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._conn: psycopg.Connection | None = None

    def __call__(self, alerts: Sequence[EarlyAlert]) -> None:
        """Send alerts, each as a message of its own, in their order."""
        if self._conn is None or self._conn.closed or self._conn.broken:
            self._conn = connect(self._dsn, purpose="alerts")
            self._conn.execute("select set_config('statement_timeout', '5s', false)")
        self._conn.execute(
            "select pg_notify(%s, payload) from unnest(%s::text[]) as payload",
            [CHANNEL, [_payload(alert) for alert in alerts]],
        )

    def close(self) -> None:
        """Close the connection."""
        if self._conn is not None:
            self._conn.close()


def _payload(alert: EarlyAlert) -> str:
    """Return the JSON, its names cut only if they are longer than what NOTIFY takes."""
    payload = alert.as_json()
    if len(payload.encode()) <= _MOST_BYTES:
        return payload
    return replace(alert, source_name=alert.source_name[:500]).as_json()


class ToServices:
    """Sends alerts to whatever apprise knows; its URLs hold secrets and are never shown."""

    def __init__(self, urls: Sequence[str]) -> None:
        try:
            import apprise  # noqa: PLC0415 - an extra, and slow to import
        except ImportError:
            raise UsageError(
                "LOADER_ALERT_URLS needs apprise: pip install 'video-events-loader[alerts]'"
            ) from None
        # What it logs may quote URLs; without a handler of its own it comes to standard error.
        logging.getLogger("apprise").addHandler(logging.NullHandler())
        self._services = apprise.Apprise()
        for number, url in enumerate(urls, start=1):
            if not self._services.add(url):
                raise UsageError(
                    f"URL {number} in LOADER_ALERT_URLS is none that apprise understands"
                )

    def __call__(self, alerts: Sequence[EarlyAlert]) -> None:
        """Send each alert to every service."""
        taken = [
            self._services.notify(title=alert.rule_name, body=alert.as_text()) for alert in alerts
        ]
        if not all(taken):
            raise ConnectionError("a service of LOADER_ALERT_URLS did not take it")


class Notifier:
    """Passes alerts on in the background.

    A full queue or a destination that fails costs the alert a line on standard error, never the
    caller time. The alerts stay in ``fct_alerts`` in any case.

    Args:
        destinations: called one after the other, in the thread, with some alerts at a time.
        warn: told, once for each destination, that it fails.
        at_end: called, in the thread, after the last alert.

    Attributes:
        at_once: how many alerts are passed on before they are noted as passed on: after a crash
            these come again. People may be woken by services, so that is one there.
    """

    def __init__(
        self,
        destinations: Sequence[Destination],
        warn: Callable[[str], None] | None = None,
        at_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._at_end = at_end
        self._destinations = destinations
        self._warn = warn or (lambda text: click.echo(f"loader: {text}", err=True))
        self.at_once = 1 if any(isinstance(one, ToServices) for one in destinations) else _AT_ONCE
        self._queue: queue.Queue[tuple[Sequence[EarlyAlert], Callable[[], None]] | None]
        self._queue = queue.Queue(WAITING // self.at_once)
        self._thread: threading.Thread | None = None
        self._warned: set[int] = set()

    def put(self, alerts: Sequence[EarlyAlert], done: Callable[[], None] = lambda: None) -> bool:
        """Pass alerts on, at most ``at_once``; return at once whether there was room for them.

        ``done`` is called, in the thread, afterwards.
        """
        if self._thread is None:
            # A daemon: a service that hangs must not keep the command from ending.
            self._thread = threading.Thread(target=self._work, name="alerts", daemon=True)
            self._thread.start()
        try:
            self._queue.put_nowait((alerts, done))
        except queue.Full:
            self._warn_once(-1, "more alerts than can be passed on; see: loader alerts")
            return False
        return True

    def close(self, seconds: float = SECONDS_AT_THE_END) -> None:
        """Wait for what is still to be passed on, but not longer than this."""
        if self._thread is None:
            return
        deadline = time.monotonic() + seconds
        with contextlib.suppress(queue.Full):
            self._queue.put(None, timeout=seconds)
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            self._warn("some alerts were not passed on in time; see: loader alerts")

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            alerts, done = item
            for number, destination in enumerate(self._destinations):
                try:
                    destination(alerts)
                except Exception as error:  # noqa: BLE001, RUF100 - whatever a service raises
                    self._warn_once(number, f"an alert could not be passed on: {_reason(error)}")
            try:
                done()
            except Exception as error:  # noqa: BLE001, RUF100 - the thread must go on
                self._warn_once(-2, f"an alert may come again: {_reason(error)}")
        self._at_end()

    def _warn_once(self, number: int, text: str) -> None:
        if number not in self._warned:
            self._warned.add(number)
            self._warn(text)


def _reason(error: Exception) -> Any:
    # The text of other errors may quote a URL or a DSN.
    known = isinstance(error, ConnectionError | UsageError)
    return error if known else type(error).__name__
