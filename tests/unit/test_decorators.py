"""Decorated ingest callables beside a plain recomputation of what fct_alerts says."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loader import EarlyAlert, Event, alert_on_consecutive, alert_on_presence
from loader.errors import UsageError

from .test_detector import DEFINITIONS, STEPS, expected, in_order

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CATEGORIES = DEFINITIONS.categories


def after(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)


@given(STEPS, st.lists(st.integers(1, 9)))
def test_in_order_they_find_what_fct_alerts_says(
    steps: list[tuple[int, int, str]], sizes: list[int]
) -> None:
    raised: list[EarlyAlert] = []
    ingested: list[Event] = []

    @alert_on_consecutive(
        threshold=3, rule_name="three people", on_alert=raised.append, categories=CATEGORIES
    )
    @alert_on_presence(
        min_duration=timedelta(seconds=5), rule_name="long people", on_alert=raised.append,
        categories=CATEGORIES, gap=timedelta(seconds=3),
    )  # fmt: skip
    def ingest(events: Sequence[Event]) -> int:
        ingested.extend(events)
        return len(events)

    plain = in_order(steps)
    events = [Event(time=after(t), type=kind, source=f"camera {s}") for t, s, kind in plain]
    rest = events
    for size in [*sizes, len(events)]:
        assert ingest(iter(rest[:size])) == len(rest[:size])
        rest = rest[size:]
    assert ingested == events
    assert len(raised) == len(set(raised))
    assert set(raised) == {
        EarlyAlert(
            rule_name=found.rule_name,
            source_name=f"camera {found.source}",
            category="people",
            started_at=after(found.started_at),
            triggered_at=after(found.triggered_at),
        )
        for found in expected(plain)
        if found.rule_name in ("three people", "long people")
    }


def people(*seconds: int) -> list[Event]:
    return [Event(time=after(s * 1_000_000), type="bicycle", source="gate") for s in seconds]


def test_each_remembers_for_itself_and_only_what_was_ingested() -> None:
    raised: list[str] = []
    fails = True

    def ingest(events: Sequence[Event]) -> None:
        """Put it somewhere."""
        if fails:
            raise OSError(len(events))

    decorate = alert_on_consecutive(
        threshold=2, category="people", categories=CATEGORIES,
        on_alert=lambda alert: raised.append(alert.rule_name),
    )  # fmt: skip
    one, other = decorate(ingest), decorate(ingest)
    for _ in range(2):
        with pytest.raises(OSError, match="1"):
            one(people(1))
    fails = False
    one(people(1))
    other(people(2))
    assert raised == []
    one(people(2))
    assert raised == ["2 people in a row"]
    assert one.__doc__ == "Put it somewhere."


def test_a_cooldown_keeps_them_quiet() -> None:
    raised: list[EarlyAlert] = []
    ingest = alert_on_presence(
        min_duration=timedelta(0), category="people", cooldown=timedelta(minutes=10),
        on_alert=raised.append, categories=CATEGORIES,
    )(len)  # fmt: skip
    # Two minutes apart, so each is a period of its own.
    assert ingest(people(0, 120, 240, 600)) == 4
    assert [alert.triggered_at for alert in raised] == [after(0), after(600_000_000)]


def test_without_categories_those_of_the_project_count() -> None:
    raised: list[EarlyAlert] = []
    ingest = alert_on_consecutive(threshold=1, on_alert=raised.append)(len)
    ingest(people(0))
    assert [alert.category for alert in raised] == ["people"]
    with pytest.raises(UsageError, match="threshold: 0"):
        alert_on_consecutive(threshold=0)
