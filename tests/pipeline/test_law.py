"""The law: after any loads and withdrawals, every mart equals a full refresh."""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

import psycopg
import pytest
from psycopg import Connection, errors
from psycopg.rows import TupleRow

from loader.database.connection import connect
from loader.database.schema import ensure_schema
from loader.server.cluster import Cluster
from tests.support.dbt import Dbt
from tests.support.ledger import Ledger
from tests.support.oracle import LIVE_VIEWS, MARTS, REPORTS, Oracle
from tests.support.refused import refused
from tests.support.scenarios import late_week, rounds
from tests.support.settings import ZONES, set_oddly

from .conftest import DATABASE

SCENARIOS = 300
ROUNDS = 6
LOADS_PER_ROUND = 5


@pytest.fixture
def database(cluster: Cluster) -> Iterator[str]:
    """A new database with odd settings that sorts as a dictionary does, where the server can."""
    with psycopg.connect(cluster.dsn(), autocommit=True) as admin:
        create = f"create database {DATABASE} template template0 encoding 'UTF8'"
        try:
            admin.execute(f"{create} locale_provider icu icu_locale 'de'".encode())
        except errors.FeatureNotSupported:
            admin.execute(create.encode())
        set_oddly(cluster.dsn(DATABASE), 0)
        with connect(cluster.dsn(DATABASE)) as conn:
            ensure_schema(conn)
        yield DATABASE
        admin.execute(f"drop database {DATABASE} with (force)".encode())


def test_incremental_equals_recomputation_and_full_refresh(
    dsn: str, conn: Connection[TupleRow], dbt: Dbt, ledger: Ledger, generator: random.Random
) -> None:
    """Whatever the settings of those who load, build and read; with gaps of a minute and a day."""
    prove(conn, dbt, ledger, generator, set_up=lambda number: set_oddly(dsn, number))


def prove(
    conn: Connection[TupleRow],
    dbt: Dbt,
    ledger: Ledger,
    generator: random.Random,
    *,
    set_up: Callable[[int], None],
    scenarios: int = SCENARIOS,
) -> None:
    """Compare each relation with what it must hold, after each of some rounds of loads."""
    oracle = Oracle(conn=conn)
    dbt("seed")
    # Other gaps of their own, on the lattice of the events.
    conn.execute(
        "update analytics_internal.categories set activity_gap = '2 min'"
        " where category = 'vehicles'"
    )
    conn.execute("insert into analytics_internal.categories values ('other', '30 s', false)")
    conn.execute(
        "insert into analytics_internal.alert_rules"
        " values ('a', 'absence', 'people', null, '2 min'),"
        " ('b', 'absence', 'vehicles', null, '1 s'), ('never', 'consecutive', 'other', 1, null),"
        " ('long', 'consecutive', 'people', 12, null),"
        " ('odd', 'unusual', 'people', null, null)"
    )
    dbt("run")
    visible: list[int] = []
    batches = rounds(scenarios, generator, count=ROUNDS, loads=LOADS_PER_ROUND)
    for number, batch in enumerate(batches):
        set_up(number)
        for events in late_week()[number : number + 1]:
            ledger.load(events)
        for events in batch:
            visible.append(ledger.load(events))
            if generator.random() < 0.25 and len(visible) > 1:
                ledger.withdraw(visible.pop(generator.randrange(len(visible))))
        # What is in the form for clusters gives the same everywhere.
        dbt.variables["cluster_form"] = bool(number % 2)
        dbt.statements.clear()
        reader = replace(oracle, clock=ZONES[number % 3])
        assert reader.differences(LIVE_VIEWS) == {}, f"live, round {number}"
        if number == ROUNDS // 2:
            oracle = replace(oracle, gap="1 day", zone="Europe/Berlin")
            dbt.variables |= {"activity_gap": oracle.gap, "report_timezone": oracle.zone}
            dbt("run", "--full-refresh")
        else:
            dbt("run")
        if number % 2:
            assert any("fct_alerts" in text for text in dbt.statements)
            assert {found for text in dbt.statements for found in refused(text)} == set()
            ledger.purge()
        assert oracle.differences(MARTS | LIVE_VIEWS) == {}, f"round {number}"

    # Purging brings chunks together too, of which some were withdrawn since.
    has_all = conn.execute(
        "select bool_or(load_ids is not null), bool_or(load_ids is null) from raw.event_chunks"
    ).fetchone() == (True, True)
    assert has_all or scenarios < SCENARIOS
    assert oracle.differences(REPORTS) == {}
    # What the report shows a rule alerts of, also where nothing came later yet.
    *has_all_kinds, missing = conn.execute(
        """
        with odd as materialized (select * from analytics.alerts_live where rule_name = 'odd')
        select
            count(*) filter (where ended_at is not null) > 9,
            count(*) filter (where ended_at is null) > 0,
            count(*) filter (where event_count = 0) > 0,
            array(
                select (source_id, hour_started_at_local)::text from analytics.rpt_unusual_hours
                where is_unusual and category = 'people'
                except all
                select (source_id, started_at at time zone 'Europe/Berlin')::text from odd
            )
        from odd
        """
    ).fetchall()[0]
    assert all(has_all_kinds) or scenarios < SCENARIOS
    assert missing == []
    oracle.keep_copies(MARTS)
    dbt.variables["cluster_form"] = False
    dbt("run", "--full-refresh")
    assert oracle.changes_since_copies(MARTS) == {}
