"""Nothing that a server, role or session has set for itself changes a row; bad vars are refused."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from tests.support.dbt import Dbt, messages
from tests.support.ledger import Ledger
from tests.support.oracle import LIVE_VIEWS, MARTS, REPORTS, Oracle
from tests.support.scenarios import Event
from tests.support.settings import ZONES, set_oddly

RELATIONS = (
    "select oid::regclass::text from pg_class where relkind = 'r'"
    " and relnamespace::regnamespace::text in ('analytics', 'analytics_internal')"
)


@pytest.fixture
def dsn(dsn: str) -> str:
    """The DSN of a database in Berlin, whose clocks go forward in the night to 31 March 2024."""
    set_oddly(dsn, 0)
    return dsn


def test_a_day_has_24_hours_in_every_zone(
    conn: Connection[TupleRow], dbt: Dbt, ledger: Ledger
) -> None:
    dbt.variables = {"activity_gap": "1 day"}
    oracle = Oracle(conn=conn, gap="1 day")
    dbt("seed")
    conn.execute(
        "insert into analytics_internal.alert_rules values"
        " ('stay_a_day', 'presence', 'people', null, '1 day')"
    )
    noon = datetime(2024, 3, 31, 12, tzinfo=UTC)
    begun = noon - timedelta(hours=25)
    ledger.load(
        [
            Event("late", noon - timedelta(minutes=30), "pedestrian"),
            *(Event("stay", begun + timedelta(hours=hours), "pedestrian") for hours in (0, 12, 24)),
        ]
    )
    dbt("run")
    # Less than a day before the other one, but on the day before by the clocks of Berlin.
    ledger.load([Event("late", noon - timedelta(days=1), "pedestrian")])
    for zone in ZONES:
        assert replace(oracle, clock=zone).differences(LIVE_VIEWS) == {}, zone
    dbt("run")
    assert oracle.differences(MARTS | REPORTS) == {}
    periods = conn.execute(
        "select event_count from analytics.fct_activity_periods where source_name = 'late'"
    )
    assert periods.fetchall() == [(2,)]
    alerts = conn.execute(
        "select triggered_at from analytics.fct_alerts where rule_name = 'stay_a_day'"
    )
    assert alerts.fetchall() == [(begun + timedelta(hours=24),)]


GAP = "an interval above zero and without months, such as"
ZONE = "the name of a zone whose offset is whole hours, such as"


def test_bad_vars_are_refused_before_anything_is_changed(
    conn: Connection[TupleRow], dbt: Dbt
) -> None:
    refused: list[tuple[str, Any, str]] = [
        *(
            ("activity_gap", gap, GAP)
            for gap in ("0 seconds", "-1 minute", "0.4 us", "1 month", "abc", "", None, 60, "1.5")
        ),
        *(
            ("report_timezone", zone, ZONE)
            for zone in ("Europe/Berln", "CEST", "Asia/Kolkata", "Australia/Lord_Howe", 1)
        ),
        ("full_refresh_work_mem", "lots", "an amount of memory, such as"),
        ("allow_history_loss", "no", "true or false"),
    ]
    for name, value, wanted in refused:
        dbt.variables = {name: value}
        result = dbt.attempt("seed", "--select", "event_types")
        assert not result.success, (name, value)
        assert f"{name} is {json.dumps(value)}, but must be {wanted}" in messages(result)
    assert conn.execute(RELATIONS).fetchall() == []
    dbt.variables = {"activity_gap": "1 day 12 hours", "report_timezone": "asia/tokyo"}
    dbt("seed", "--select", "event_types")
    assert conn.execute(RELATIONS).fetchall() == [("analytics_internal.event_types",)]
