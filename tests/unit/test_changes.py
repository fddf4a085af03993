"""What a load changed: which of the stretches of before and after belong together."""

from datetime import UTC, datetime, timedelta

import pytest

from loader.database.changes import _changes, _Row


@pytest.mark.parametrize(
    ("rule", "spans", "changes"),
    [
        # Minutes from, to, and whether it is one of after.
        (None, [(0, 5, False), (0, 9, True), (6, 9, False)], ["joined"]),
        (None, [(0, 5, False), (5, 9, True)], ["changed"]),
        (None, [(0, 0, False), (0, 5, True)], ["changed"]),
        (None, [(0, 5, False), (6, 9, True)], ["removed", "made"]),
        # Of two unusual hours that follow each other one is as usual now.
        ("odd", [(0, 60, False), (60, 120, False), (60, 120, True)], ["removed", "changed"]),
        # An event divides a silence.
        ("nobody", [(0, 60, False), (0, 30, True), (30, 60, True)], ["split"]),
    ],
)
def test_what_overlaps_belongs_together(
    rule: str | None, spans: list[tuple[int, int, bool]], changes: list[str]
) -> None:
    start = datetime(2024, 5, 13, tzinfo=UTC)
    rows = [
        _Row(
            rule_name=rule,
            source_name="gate",
            category="people",
            event_count=1,
            started_at=start + timedelta(minutes=since),
            ended_at=start + timedelta(minutes=until),
            triggered_at=None,
            is_after=is_after,
        )
        for since, until, is_after in spans
    ]
    assert [change.change for change in _changes(rows)] == changes
