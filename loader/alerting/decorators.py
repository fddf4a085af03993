"""Decorators that raise alerts for what a callable ingests, while it does so."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import update_wrapper
from typing import Generic, TypeVar

import numpy as np

from loader.alerting.detector import Detector, Found
from loader.alerting.notify import EarlyAlert, to_stderr
from loader.alerting.rules import (
    DEFAULT_GAP,
    ConsecutiveRule,
    Definitions,
    PresenceRule,
    Rule,
    read_definitions,
)
from loader.errors import UsageError, about
from loader.reading.in_memory import Event, as_events
from loader.settings import read_settings
from loader.settings.checks import checked

_Result = TypeVar("_Result")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
Ingest = Callable[[Sequence[Event]], _Result]


class Alerting(Generic[_Result]):
    """An ingest callable that also looks at the events it is given.

    It remembers where each source stands, itself and nowhere else: two of them know nothing of
    each other. Threads may share one.
    """

    def __init__(
        self,
        ingest: Ingest[_Result],
        definitions: Definitions,
        on_alert: Callable[[EarlyAlert], None],
        cooldown: timedelta,
    ) -> None:
        update_wrapper(self, ingest)
        self._ingest = ingest
        self._on_alert = on_alert
        self._detector = Detector(definitions, cooldown)
        self._sources: dict[str, int] = {}
        self._lock = threading.Lock()

    def __call__(self, events: Iterable[Event]) -> _Result:
        """Ingest a batch of events, then raise its alerts, in the order of their times.

        When ingesting fails nothing is raised or remembered, so the batch can be tried again.
        """
        batch = events if isinstance(events, Sequence) else list(events)
        with about("events"):
            seen = list(as_events(batch))
        result = self._ingest(batch)
        with self._lock:
            found = self._look(seen)
            names = list(self._sources)
        for alert in found:
            self._on_alert(
                EarlyAlert(
                    rule_name=alert.rule_name,
                    source_name=names[alert.source],
                    category=alert.category,
                    started_at=_moment(alert.started_at),
                    triggered_at=_moment(alert.triggered_at),
                )
            )
        return result

    def _look(self, batch: Sequence[Event]) -> list[Found]:
        types: dict[str, int] = {}
        return self._detector.look(
            np.array([(event.time - _EPOCH) // _MICROSECOND for event in batch], dtype=np.int64),
            np.array(
                [self._sources.setdefault(event.source, len(self._sources)) for event in batch],
                dtype=np.int64,
            ),
            np.array([types.setdefault(event.type, len(types)) for event in batch], dtype=np.int64),
            list(types),
        )


@checked
def alert_on_consecutive(
    *,
    threshold: int = 5,
    category: str = "people",
    rule_name: str | None = None,
    on_alert: Callable[[EarlyAlert], None] = to_stderr,
    cooldown: timedelta = timedelta(0),
    categories: Mapping[str, str] | None = None,
) -> Callable[[Ingest[_Result]], Alerting[_Result]]:
    """Alert when so many events in a row, at one source, are of a category.

    For events that come in the order of (time, type) at each source the alerts are those of
    ``fct_alerts``, however they are cut into batches; an event that is older than the last one of
    its source is not looked at.

    Args:
        threshold: how many.
        category: of what.
        rule_name: what alerts call the rule, such as ``5 people in a row`` unless given.
        on_alert: called with each alert, after the batch is ingested.
        cooldown: no further alert at a source within this time of events.
        categories: the category of each event type, that of all others being ``other``; from the
            seeds of the project unless given.

    Raises:
        UsageError: there are no categories, neither given nor in a project here or above.
        UsageError: the threshold is less than 1.
    """
    if threshold < 1:
        raise UsageError(f"threshold: {threshold} is less than 1")
    name = rule_name or f"{threshold} {category} in a row"
    rule = ConsecutiveRule(name=name, category=category, threshold=threshold)
    return _decorator(rule, on_alert, cooldown, categories, None)


@checked
def alert_on_presence(
    *,
    min_duration: timedelta = timedelta(minutes=10),
    category: str = "people",
    rule_name: str | None = None,
    on_alert: Callable[[EarlyAlert], None] = to_stderr,
    cooldown: timedelta = timedelta(0),
    categories: Mapping[str, str] | None = None,
    gap: timedelta | None = None,
) -> Callable[[Ingest[_Result]], Alerting[_Result]]:
    """Alert when a period of a category, at one source, lasts so long.

    Args:
        min_duration: how long, from the first event to the last.
        category: of what.
        rule_name: what alerts call the rule, such as ``people for 0:10:00`` unless given.
        on_alert: as for ``alert_on_consecutive``, as are ``cooldown`` and ``categories``.
        cooldown: no further alert at a source within this time of events.
        categories: the category of each event type.
        gap: events less than this apart belong to one period; ``activity_gap`` of the project
            unless given, one minute if there is none.

    Raises:
        UsageError: there are no categories, neither given nor in a project here or above.
    """
    name = rule_name or f"{category} for {min_duration}"
    rule = PresenceRule(name=name, category=category, min_duration=min_duration)
    return _decorator(rule, on_alert, cooldown, categories, gap)


def _decorator(
    rule: Rule,
    on_alert: Callable[[EarlyAlert], None],
    cooldown: timedelta,
    categories: Mapping[str, str] | None,
    gap: timedelta | None,
) -> Callable[[Ingest[_Result]], Alerting[_Result]]:
    if categories is None:
        project = read_definitions(read_settings().project_dir)
        categories, gap = project.categories, gap or project.gap
    definitions = Definitions(rules=(rule,), categories=categories, gap=gap or DEFAULT_GAP)
    return lambda ingest: Alerting(ingest, definitions, on_alert, cooldown)


def _moment(microseconds: int) -> datetime:
    return _EPOCH + microseconds * _MICROSECOND
