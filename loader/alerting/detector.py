"""Finds alerts in events as they come, source by source, on whole columns.

The order in a source is that of (time, event type), as in the models. An event that comes before
the last one seen of its source is late: it cannot be judged without the history, and is left to
``fct_alerts``. For events in order the alerts are those of ``fct_alerts``, however the events are
cut into batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from loader.alerting.batches import Batch
from loader.alerting.rules import (
    CATCH_ALL,
    AbsenceRule,
    ConsecutiveRule,
    Definitions,
    PresenceRule,
    Rule,
)
from loader.alerting.states import Heard, SourceState

_MICROSECOND = timedelta(microseconds=1)
Clock: TypeAlias = Literal["loaded_at", "newest_at"]


class Found(NamedTuple):
    """An alert, with its source as the detector was given it; in the order of its times.

    A load may have tens of thousands of them, and tuples are made and sorted several times as
    fast as objects of a dataclass.

    Attributes:
        triggered_at: microseconds since 1970 UTC, as ``started_at``.
    """

    triggered_at: int
    source: Any
    rule_name: str
    category: str
    started_at: int


class Detector:
    """Looks at batches of events and remembers, for each source, where it stands.

    Args:
        definitions: rules, categories and gap.
        cooldown: after an alert, no other one of the same rule and source that is triggered, by
            the times of the events, sooner than this.
    """

    def __init__(self, definitions: Definitions, cooldown: timedelta = timedelta(0)) -> None:
        self._definitions = definitions
        self._cooldown = cooldown // _MICROSECOND
        self._names: list[str] = []
        self.states: dict[Any, SourceState] = {}

    def look(
        self,
        time: NDArray[np.int64],
        source: NDArray[Any],
        event_type: NDArray[Any],
        type_names: Sequence[str],
    ) -> list[Found]:
        """Return the alerts that a batch triggers, in the order of their times.

        Args:
            time: microseconds since 1970 UTC.
            source: an integer for each event, the key of its state.
            event_type: for each event the index of its name.
            type_names: the names of the types.
        """
        if not len(time):
            return []
        batch = Batch(time, source, event_type, type_names)
        batch.drop_late(self.states)
        if not len(batch.time):
            return []
        category_of = np.array([self._code(name) for name in type_names], dtype=np.int16)
        category = category_of[batch.event_type]
        found = self._runs(batch, category) + self._periods(batch, category)
        for key, end in zip(batch.keys, batch.ends.tolist(), strict=True):
            name = type_names[int(batch.event_type[end - 1])]
            self.states[key].seen = (int(batch.time[end - 1]), name)
        found.sort()
        return [alert for alert in found if self._is_due(alert)]

    def _code(self, event_type: str) -> int:
        name = self._definitions.categories.get(event_type, CATCH_ALL)
        if name not in self._names:
            self._names.append(name)
        return self._names.index(name)

    def _runs(self, batch: Batch, category: NDArray[np.int16]) -> list[Found]:
        is_start = batch.is_first.copy()
        is_start[1:] |= category[1:] != category[:-1]
        starts = np.flatnonzero(is_start)
        lengths = np.diff(starts, append=len(category))
        categories = category[starts]
        started = batch.time[starts]
        carried = np.zeros(len(starts), dtype=np.int64)
        firsts = np.searchsorted(starts, batch.starts)
        for key, first in zip(batch.keys, firsts.tolist(), strict=True):
            run = self.states[key].run
            if run is not None and run[0] == self._names[categories[first]]:
                carried[first], started[first] = run[1], run[2]
        counts = carried + lengths
        found = []
        for rule in self._definitions.rules:
            if isinstance(rule, ConsecutiveRule) and rule.category in self._names:
                is_hit = categories == self._names.index(rule.category)
                is_hit &= (carried < rule.threshold) & (counts >= rule.threshold)
                hits = np.flatnonzero(is_hit)
                at = starts[hits] + rule.threshold - 1 - carried[hits]
                found += _found(rule, batch, starts[hits], started[hits], batch.time[at])
        lasts = np.append(firsts[1:], len(starts)) - 1
        for key, last in zip(batch.keys, lasts.tolist(), strict=True):
            name = self._names[categories[last]]
            self.states[key].run = (name, int(counts[last]), int(started[last]))
        return found

    def _periods(self, batch: Batch, category: NDArray[np.int16]) -> list[Found]:
        found = []
        for code, name in enumerate(self._names):
            members = np.flatnonzero(category == code)
            rules = [
                rule
                for rule in self._definitions.rules
                if rule.category == name and not isinstance(rule, ConsecutiveRule)
            ]
            if rules and len(members):
                found += self._periods_of(name, rules, batch, members)
            elif len(members):
                # What is remembered under other rules does not hold any more.
                source = batch.source[members]
                for key in source[np.append(True, source[1:] != source[:-1])].tolist():
                    self.states[key].periods.pop(name, None)
        return found

    def _periods_of(
        self,
        category: str,
        rules: Sequence[PresenceRule | AbsenceRule],
        batch: Batch,
        members: NDArray[np.intp],
    ) -> list[Found]:
        found = []
        time, source = batch.time[members], batch.source[members]
        is_first = np.append(True, source[1:] != source[:-1])
        is_start = is_first.copy()
        gap = self._definitions.gap_of(category) // _MICROSECOND
        is_start[1:] |= time[1:] - time[:-1] >= gap
        starts = np.flatnonzero(is_start)
        lasts = np.append(starts[1:], len(time)) - 1
        started, ended = time[starts], time[lasts]
        # How long it had lasted before this batch; -1 for a period that begins here.
        lasted = np.full(len(starts), -1, dtype=np.int64)
        # The last event before each period, its own first one where none is known.
        silent_since = np.where(is_first[starts], started, time[starts - 1])
        firsts = np.searchsorted(starts, np.flatnonzero(is_first))
        keys = source[is_first].tolist()
        for key, first in zip(keys, firsts.tolist(), strict=True):
            span = self.states[key].periods.get(category)
            if span is not None and started[first] - span[1] < gap:
                started[first], lasted[first] = span[0], span[1] - span[0]
                silent_since[first] = started[first]
            elif span is not None:
                silent_since[first] = span[1]
        for rule in rules:
            shortest = rule.min_duration // _MICROSECOND
            if isinstance(rule, AbsenceRule):
                is_hit = (started > silent_since) & (started - silent_since >= shortest)
                for key, first in zip(keys, firsts.tolist(), strict=True):
                    is_hit[first] &= self.states[key].absent.get(rule.name) != silent_since[first]
                since = silent_since
            else:
                is_hit = (lasted < shortest) & (ended - started >= shortest)
                since = started
            hits = np.flatnonzero(is_hit)
            triggered = since[hits] + shortest
            found += _found(rule, batch, members[starts[hits]], since[hits], triggered)
        finals = np.append(firsts[1:], len(starts)) - 1
        for key, final in zip(keys, finals.tolist(), strict=True):
            self.states[key].periods[category] = (int(started[final]), int(ended[final]))
        return found

    def hear(self, now: int, sources: Iterable[Any]) -> None:
        """Note that what is new of these sources is loaded now, when all states are known."""
        newest = max((state.seen[0] for state in self.states.values() if state.seen), default=0)
        for category in {rule.category for rule in self._definitions.of_absence}:
            for source in sources:
                state = self.states[source]
                _, last = state.periods.get(category, (None, None))
                heard = state.heard.get(category)
                if last is not None and (heard is None or heard.last_at != last):
                    state.heard[category] = Heard(last, now, min(newest, now))

    def absences(
        self, until: int, sources: Iterable[Any], *, by: Clock | None = None, expected_from: int = 0
    ) -> list[Found]:
        """Return the silences at sources that are long enough at an instant, each of them once.

        Args:
            until: microseconds since 1970 UTC.
            sources: the keys of states.
            by: only those that were not long enough yet, by this clock, when the last event before
                them was loaded: what is older is history, and makes nobody silent today.
            expected_from: only those that were long enough at this instant or later.
        """
        found = []
        for due, rule, source, since in list(self._silences(sources, by, expected_from)):
            if due <= until:
                self.states[source].absent[rule.name] = since
                shortest = rule.min_duration // _MICROSECOND
                found.append(Found(since + shortest, source, rule.name, rule.category, since))
        found.sort()
        return [alert for alert in found if self._is_due(alert)]

    def expected(self, sources: Iterable[Any], expected_from: int) -> list[tuple[int, Any]]:
        """Return when silences will be, or are, long enough to be told by the clock, and where."""
        silences = self._silences(sources, "loaded_at", expected_from)
        return [(due, source) for due, _, source, _ in silences]

    def _silences(
        self, sources: Iterable[Any], by: Clock | None, expected_from: int
    ) -> Iterator[tuple[int, AbsenceRule, Any, int]]:
        """Yield silences nobody was told of: when they are long enough, and since when they are."""
        for rule in self._definitions.of_absence:
            shortest = max(rule.min_duration, self._definitions.gap_of(rule.category))
            for source in sources:
                state = self.states[source]
                _, since = state.periods.get(rule.category, (None, None))
                if since is None or state.absent.get(rule.name) == since:
                    continue
                due = since + shortest // _MICROSECOND
                heard = state.heard.get(rule.category)
                was_expected = by is None or (
                    heard is not None and heard.last_at == since and getattr(heard, by) < due
                )
                if was_expected and due >= expected_from:
                    yield due, rule, source, since

    def _is_due(self, alert: Found) -> bool:
        if not self._cooldown:
            return True
        alerted = self.states[alert.source].alerted
        before = alerted.get(alert.rule_name)
        if before is not None and alert.triggered_at - before < self._cooldown:
            return False
        alerted[alert.rule_name] = alert.triggered_at
        return True


def _found(
    rule: Rule,
    batch: Batch,
    at: NDArray[np.int64],
    started: NDArray[np.int64],
    triggered: NDArray[np.int64],
) -> list[Found]:
    return [
        Found(triggered_at, source, rule.name, rule.category, started_at)
        for source, started_at, triggered_at in zip(
            batch.source[at].tolist(), started.tolist(), triggered.tolist(), strict=True
        )
    ]
