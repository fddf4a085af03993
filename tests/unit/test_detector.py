"""The detector beside a plain recomputation, event by event, of what fct_alerts says."""

import json
from datetime import timedelta
from itertools import groupby, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loader.alerting.detector import Detector, Found
from loader.alerting.rules import (
    AbsenceRule,
    ConsecutiveRule,
    Definitions,
    PresenceRule,
    Rule,
    read_definitions,
)
from loader.alerting.states import SourceState
from loader.errors import UsageError

SECOND = 1_000_000
DEFINITIONS = Definitions(
    rules=(
        ConsecutiveRule(name="three people", category="people", threshold=3),
        ConsecutiveRule(name="two unknown", category="other", threshold=2),
        PresenceRule(name="long people", category="people", min_duration=timedelta(seconds=5)),
        PresenceRule(name="any vehicle", category="vehicles", min_duration=timedelta(0)),
        AbsenceRule(name="no people", category="people", min_duration=timedelta(seconds=4)),
        AbsenceRule(name="no vehicle", category="vehicles", min_duration=timedelta(seconds=1)),
    ),
    categories={"pedestrian": "people", "bicycle": "people", "car": "vehicles"},
    gap=timedelta(seconds=3),
)
TYPES = ["pedestrian", "car", "bicycle", "Zebra"]
Event = tuple[int, int, str]

# Few sources and short steps, so that runs and periods cross the batches and times are equal.
STEPS = st.lists(
    st.tuples(st.sampled_from([0, 0, 1, 1, 2, 3, 4]), st.integers(1, 2), st.sampled_from(TYPES)),
    max_size=40,
)


def in_order(steps: list[tuple[int, int, str]]) -> list[Event]:
    now, events = 0, []
    for step, source, kind in steps:
        now += step * SECOND
        events.append((now, source, kind))
    return sorted(events)


def expected(events: list[Event]) -> set[Found]:
    """What fct_alerts says, as its definition reads."""
    found = set()
    for source in {event[1] for event in events}:
        own = sorted((t, kind) for t, s, kind in events if s == source)
        categories = [(t, DEFINITIONS.categories.get(kind, "other")) for t, kind in own]
        for rule in DEFINITIONS.rules:
            if isinstance(rule, ConsecutiveRule):
                for category, run in groupby(categories, key=lambda pair: pair[1]):
                    times = [t for t, _ in run]
                    if category == rule.category and len(times) >= rule.threshold:
                        found.add(alert(rule, source, times[0], times[rule.threshold - 1]))
            else:
                shortest = rule.min_duration // timedelta(microseconds=1)
                periods: list[list[int]] = []
                for t in (t for t, category in categories if category == rule.category):
                    if periods and t - periods[-1][-1] < DEFINITIONS.gap.total_seconds() * SECOND:
                        periods[-1].append(t)
                    else:
                        periods.append([t])
                if isinstance(rule, AbsenceRule):
                    # From the end of a period to the start of the next.
                    periods = [[a[-1], b[0]] for a, b in pairwise(periods)]
                for times in periods:
                    if times[-1] - times[0] >= shortest:
                        found.add(alert(rule, source, times[0], times[0] + shortest))
    return found


def alert(rule: Rule, source: int, started: int, at: int) -> Found:
    return Found(
        triggered_at=at, source=source, rule_name=rule.name, category=rule.category,
        started_at=started,
    )  # fmt: skip


def look(detector: Detector, events: list[Event], names: list[str] = TYPES) -> list[Found]:
    return detector.look(
        np.array([e[0] for e in events], dtype=np.int64),
        np.array([e[1] for e in events], dtype=np.int32),
        np.array([names.index(e[2]) for e in events], dtype=np.int64),
        names,
    )


def restarted(detector: Detector, cooldown: timedelta = timedelta(0)) -> Detector:
    """A new detector, with the states as they come back from JSON."""
    new = Detector(DEFINITIONS, cooldown)
    for source, state in detector.states.items():
        new.states[source] = SourceState.from_json(json.loads(json.dumps(state.as_json())))
    return new


@given(STEPS, st.lists(st.integers(1, 9)), st.data())
def test_in_order_it_finds_what_fct_alerts_says(
    steps: list[tuple[int, int, str]], sizes: list[int], data: st.DataObject
) -> None:
    events = in_order(steps)
    detector, found, rest = Detector(DEFINITIONS), [], events
    for size in [*sizes, len(events)]:
        # Within a batch the order is free; between them the detector forgets all but its states.
        batch = data.draw(st.permutations(rest[:size]))
        rest = rest[size:]
        found += look(detector, batch, data.draw(st.permutations(TYPES)))
        detector = restarted(detector)
    assert len(found) == len(set(found))
    assert set(found) == expected(events)


@given(STEPS, st.integers(0, 40), st.lists(st.tuples(st.integers(0, 40), st.integers(1, 2))))
def test_late_events_change_nothing(
    steps: list[tuple[int, int, str]], cut: int, late: list[tuple[int, int]]
) -> None:
    events = in_order(steps)
    detector, other = Detector(DEFINITIONS), Detector(DEFINITIONS)
    assert look(detector, events[:cut]) == look(other, events[:cut])
    last = {source: t for t, source, _ in events[:cut]}
    old = [(t * SECOND, s, "bicycle") for t, s in late if t * SECOND < last.get(s, 0)]
    assert look(detector, old) == []
    assert look(detector, [*events[cut:], *old]) == look(other, events[cut:])


def test_equal_times_stand_in_the_order_of_their_types() -> None:
    # As they come, the car is between two and two people; in order, only between one and three.
    kinds = ["pedestrian", "pedestrian", "car", "bicycle"]
    events = [*((0, 1, kind) for kind in kinds), (SECOND, 1, "pedestrian")]
    found = look(Detector(DEFINITIONS), events)
    assert [(f.rule_name, f.started_at, f.triggered_at) for f in found] == [
        ("any vehicle", 0, 0),
        ("three people", 0, SECOND),
    ]


@pytest.mark.parametrize(("apart", "periods"), [(3 * SECOND, 2), (3 * SECOND - 1, 1)])
def test_exactly_one_gap_after_the_last_batch_begins_a_period(apart: int, periods: int) -> None:
    detector = Detector(DEFINITIONS)
    first = look(detector, [(0, 1, "car")])
    found = first + look(restarted(detector), [(apart, 1, "car")])
    names = ["any vehicle", "no vehicle", "any vehicle"]
    assert [alert.rule_name for alert in found] == names[: 2 * periods - 1]


def test_a_silence_is_told_once_as_soon_as_it_is_long_enough() -> None:
    detector = Detector(DEFINITIONS)
    look(detector, [(0, 1, "pedestrian")])
    assert detector.absences(4 * SECOND - 1, [1]) == []
    first = Found(4 * SECOND, 1, "no people", "people", 0)
    assert detector.absences(4 * SECOND, [1]) == [first]
    detector = restarted(detector)
    assert detector.absences(9 * SECOND, [1]) == []
    assert look(detector, [(9 * SECOND, 1, "bicycle")]) == []
    second = Found(13 * SECOND, 1, "no people", "people", 9 * SECOND)
    assert second in look(detector, [(20 * SECOND, 1, "bicycle")])


@pytest.mark.parametrize(
    ("loaded_at", "expected_from", "is_told"),
    [
        (4 * SECOND - 1, 0, True),
        # Long enough already when it came: history.
        (4 * SECOND, 0, False),
        (SECOND, 4 * SECOND, True),
        (SECOND, 4 * SECOND + 1, False),
        # Nobody knows when: as of a loader that knew nothing of it.
        (None, 0, False),
    ],
)
def test_the_clock_tells_of_silences_that_were_to_come(
    loaded_at: int | None, expected_from: int, is_told: bool
) -> None:
    detector = Detector(DEFINITIONS)
    look(detector, [(0, 1, "pedestrian")])
    if loaded_at is not None:
        detector.hear(loaded_at, [1])
    detector = restarted(detector)
    look(detector, [(SECOND, 1, "car")])
    detector.hear(9 * SECOND, [1])
    if loaded_at is None:
        detector.states[1].heard.clear()
    told = [Found(4 * SECOND, 1, "no people", "people", 0)] if is_told else []
    due = [(4 * SECOND, 1)] if is_told else []
    assert detector.expected([1], expected_from) == due
    assert detector.absences(4 * SECOND - 1, [1], by="loaded_at") == []
    found = detector.absences(4 * SECOND, [1], by="loaded_at", expected_from=expected_from)
    assert found == told
    assert detector.expected([1], expected_from) == []


def test_a_rule_that_comes_back_knows_nothing_of_the_time_between() -> None:
    detector = Detector(DEFINITIONS)
    look(detector, [(0, 1, "pedestrian"), (0, 1, "car"), (0, 2, "pedestrian")])
    detector.hear(SECOND, [1, 2])
    # Loaded by other rules, or before somebody has put the old ones back.
    others = Detector(Definitions(rules=(), categories=DEFINITIONS.categories))
    others.states = detector.states
    look(others, [(9 * SECOND, 1, "bicycle"), (9 * SECOND, 2, "Zebra")])
    detector = restarted(others)
    told = detector.absences(10 * SECOND, [1, 2], by="loaded_at")
    # What the others have not met is as it was.
    assert [(one.source, one.category) for one in told] == [(1, "vehicles"), (2, "people")]
    later = [(at * SECOND, 1, "bicycle") for at in (13, 17)]
    silences = [one for one in look(detector, later) if one.rule_name == "no people"]
    assert [one.started_at for one in silences] == [13 * SECOND]


def test_the_cooldown_is_kept_per_rule_and_source() -> None:
    cooldown = timedelta(seconds=100)
    detector = Detector(DEFINITIONS, cooldown)
    found = []
    for start in (0, 50, 99, 100, 199, 200):
        # Away from each other, and a car between the runs of people.
        events = [((start + i) * SECOND, s, "pedestrian") for s in (1, 2) for i in (0, 0, 0)]
        found += look(detector, [*events, *((t, s, "Zebra") for t, s, _ in events[::3])])
        detector = restarted(detector, cooldown)
    people = [f for f in found if f.rule_name == "three people"]
    assert [(f.triggered_at // SECOND, f.source) for f in people] == [
        (0, 1), (0, 2), (100, 1), (100, 2), (200, 1), (200, 2),
    ]  # fmt: skip


def test_the_seeds_of_the_project(request: pytest.FixtureRequest) -> None:
    definitions = read_definitions(request.config.rootpath)
    assert definitions.gap == timedelta(minutes=1)
    assert definitions.categories["bicycle"] == "people"
    assert [type(rule) for rule in definitions.rules] == [ConsecutiveRule, PresenceRule]


def test_rules_that_are_not_there(request: pytest.FixtureRequest) -> None:
    missing = request.config.rootpath / "no such seeds"
    with pytest.raises(UsageError, match=r"event_types\.csv: No such file.*--rules"):
        read_definitions(request.config.rootpath, missing)
