"""A schema of one's own that has only what changed, and takes the rest from production."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from tests.support.dbt import Dbt, messages
from tests.support.ledger import Ledger
from tests.support.oracle import LIVE_VIEWS, MARTS, Oracle
from tests.support.scenarios import Event

NOON = datetime(2024, 5, 13, 12, tzinfo=UTC)
# Those that go as far as the models they are made of, or show what came after these.
CHANGED = ("fct_daily_activity", "fct_alerts", "category_activity_periods_live", "alerts_live")


def test_what_is_deferred_is_as_far_as_it_is_in_production(
    conn: Connection[TupleRow],
    dbt: Dbt,
    ledger: Ledger,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    people = [Event("gate", NOON + timedelta(seconds=30 * n), "pedestrian") for n in range(40)]
    ledger.load(people[:20])
    dbt.build("--write-json")
    oracle = Oracle(conn=conn)
    oracle.keep_copies(["fct_daily_activity", "fct_alerts"])
    late = ledger.load(people[20:])

    state = tmp_path / "state"
    state.mkdir()
    shutil.copy(dbt.target / "manifest.json", state)
    monkeypatch.setenv("DBT_SCHEMA", "dev")
    mine = replace(dbt, target=tmp_path / "mine", manifest=None)
    deferred = ("--defer", "--state", str(state))
    # The target is another one, and nothing else: so nothing is modified.
    listed = mine.attempt("ls", "--select", "state:modified", "--state", str(state))
    assert "'state:modified' does not match any enabled nodes" in messages(listed)

    there = Oracle(conn=conn, shown_in="dev")
    for _ in range(2):
        mine("run", "--select", *CHANGED, *deferred)
        found = conn.execute(
            "select oid::regclass::text from pg_class"
            " where relnamespace::regnamespace::text like 'dev%' and relkind in ('r', 'v')"
        ).fetchall()
        mine_are = {f"dev.{name}" for name in CHANGED}
        assert {name for (name,) in found} == {*mine_are, "dev_internal.model_progress"}
        assert Oracle(conn=conn, schema="dev").changes_since_copies(CHANGED[:2]) == {}
        assert there.differences({name: LIVE_VIEWS[name] for name in CHANGED[2:]}) == {}
    monkeypatch.delenv("DBT_SCHEMA")
    dbt("run")
    monkeypatch.setenv("DBT_SCHEMA", "dev")
    mine("run", "--select", *CHANGED, *deferred)
    assert there.differences({name: MARTS[name] for name in CHANGED[:2]}) == {}
    ledger.withdraw(late)
    assert there.differences({name: LIVE_VIEWS[name] for name in CHANGED[2:]}) == {}
