"""Where early alerts go: standard error, PostgreSQL's NOTIFY, and the services of apprise."""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from loader.database.activity import iso_utc
from loader.errors import UsageError
from loader.process.terminal import echo, printable
from loader.settings import how_to_install

CHANNEL: Final = "video_events_alerts"
_MOST_BYTES: Final = 7900
# Made once: a load may have tens of thousands of alerts to send.
_JSON: Final = json.JSONEncoder(ensure_ascii=False)


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
        times = {name: iso_utc(getattr(self, name)) for name in ("started_at", "triggered_at")}
        return _JSON.encode(vars(self) | times)

    def as_text(self) -> str:
        """Return it as a line for people, who may read it on a terminal."""
        text = f"{self.rule_name}: {self.source_name}, {self.category}"
        return f"{iso_utc(self.triggered_at)} {printable(text)}"


# Passes alerts on; raises whatever it likes when it cannot.
Recipient = Callable[[Sequence[EarlyAlert]], None]


def to_stderr(alert: EarlyAlert) -> None:
    """Print an alert as a line."""
    echo(f"alert: {alert.as_text()}", err=True)


def all_to_stderr(alerts: Sequence[EarlyAlert]) -> None:
    """Print each alert as a line."""
    for alert in alerts:
        to_stderr(alert)


def payload(alert: EarlyAlert) -> str:
    """Return what NOTIFY sends of an alert, its names cut only if they are too long for that."""
    found = alert.as_json()
    if len(found.encode()) <= _MOST_BYTES:
        return found
    return replace(alert, source_name=alert.source_name[:500]).as_json()


def hidden_payload(_: EarlyAlert) -> str:
    """Return what says only that there is an alert; who sees it is up to views."""
    return "{}"


class ToServices:
    """Sends alerts to whatever apprise knows; its URLs hold secrets and are never shown."""

    def __init__(self, urls: Sequence[str]) -> None:
        try:
            import apprise  # noqa: PLC0415 - an extra, and slow to import
        except ImportError:
            raise UsageError(
                f"LOADER_ALERT_URLS needs apprise: {how_to_install('alerts')}"
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
