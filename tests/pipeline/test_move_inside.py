"""A database of an earlier version, which had everything in one schema, is brought up to date."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from psycopg import Connection, errors
from psycopg.rows import TupleRow

from tests.conftest import Outcome
from tests.support.dbt import Dbt, messages, read_manifest
from tests.support.ledger import Ledger
from tests.support.oracle import LIVE_VIEWS, MARTS, Oracle
from tests.support.scenarios import Event

NOON = datetime(2024, 5, 13, 12, tzinfo=UTC)
SPAN = "'2024-05-13', '2024-05-14'"
FUNCTIONS = (
    f"activity_periods_between('1 min', {SPAN})",
    f"events_between({SPAN})",
    f"activity_periods_as_of(1, {SPAN})",
    f"hourly_detections_as_of(1, {SPAN})",
)
# What is inside: each relation with its identity; then the marks, and what was built from scratch.
INSIDE = (
    "select oid, relname from pg_class where relnamespace = %s::regnamespace and relname = any(%s)"
)
NAMES = (
    "model_progress", "int_event_runs", "event_types", "alert_rules", "stg_video_events__loads",
    "stg_video_events__event_history", "stg_video_events__event_chunks",
    "stg_video_events__daily_events", "stg_video_events__event_types",
    "stg_video_events__alert_rules",
)  # fmt: skip


def make_earlier(conn: Connection[TupleRow]) -> None:
    """Have everything in one schema, and a stranger's table that has the name of a seed."""
    for name in NAMES:
        conn.execute(f"alter table analytics_internal.{name} set schema analytics".encode())
    functions = "from pg_proc where pronamespace = 'analytics'::regnamespace"
    for (definition,) in conn.execute(f"select pg_get_functiondef(oid) {functions}".encode()):
        conn.execute(str(definition).replace('"analytics_internal".', '"analytics".').encode())
    conn.execute("create table analytics.categories (category text, liked_by text)")


def inside(conn: Connection[TupleRow], schema: str) -> set[TupleRow]:
    """Return the identities of the building blocks that are in a schema."""
    return set(conn.execute(INSIDE.encode(), [schema, list(NAMES)]).fetchall())


@pytest.mark.built
def test_what_readers_do_not_read_is_moved_by_the_next_run(
    conn: Connection[TupleRow],
    dbt: Dbt,
    ledger: Ledger,
    run_loader: Callable[..., Outcome],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_earlier(conn)
    before = inside(conn, "analytics")
    assert len(before) == len(NAMES)
    ledger.load(Event("gate", NOON + timedelta(seconds=n), "pedestrian") for n in range(9))
    # To build anything from scratch is refused now.
    conn.execute("update raw.retention set dropped_before = '2020-01-01'")
    shown = run_loader("status", "--json").stdout

    check_refusals(conn, dbt, monkeypatch)
    assert inside(conn, "analytics") == before
    refused = dbt.attempt("build", "--empty")
    assert "--empty would make tables that lack events" in messages(refused)
    assert inside(conn, "analytics") == before

    dbt("run", "--select", "dim_event_types")
    assert inside(conn, "analytics_internal") == before
    moved = run_loader("status", "--json").stdout
    assert moved.count("analytics.") == shown.count("analytics.") - 1
    assert moved.count("analytics_internal.int_event_runs") == 1
    for function in FUNCTIONS:
        found = conn.execute(f"select count(*) > 0 from analytics.{function}".encode())
        assert found.fetchone() == (True,), function
    live = {name: query for name, query in LIVE_VIEWS.items() if name != "alerts_live"}
    assert Oracle(conn=conn).differences(live) == {}

    dbt.build("--write-json")
    assert inside(conn, "analytics_internal") == before
    assert Oracle(conn=conn).differences(MARTS | LIVE_VIEWS) == {}
    stays = conn.execute("select count(liked_by) from analytics.categories").fetchone()
    assert stays == (0,)
    state = shutil.copytree(dbt.target, tmp_path / "state")
    check_earlier_version_after_this_one(conn, dbt, str(state))


def check_refusals(conn: Connection[TupleRow], dbt: Dbt, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check what is said where somebody has the name already, or may not move anything."""
    conn.execute("create view analytics_internal.int_event_runs as select 1 as mine")
    refused = dbt.attempt("seed")
    assert '"int_event_runs" are both there' in messages(refused)
    conn.execute("drop view analytics_internal.int_event_runs")

    conn.execute("create role carl login")
    conn.execute("grant usage on schema raw, analytics to carl")
    conn.execute("grant select on all tables in schema raw to carl")
    with monkeypatch.context() as environment:
        environment.setenv("PGUSER", "carl")
        said = messages(dbt.attempt("run", "--select", "dim_event_types"))
        assert "is to be moved to schema analytics_internal, and carl may not do that" in said
        assert "grant usage, create on schema analytics_internal to carl" in said
        conn.execute("alter schema analytics_internal rename to hidden")
        said = messages(dbt.attempt("seed"))
        assert "there is no schema analytics_internal in database events, and this user" in said
        assert "create schema analytics_internal authorization carl" in said
    conn.execute("create schema analytics_internal authorization carl")
    said = messages(dbt.attempt("seed"))
    assert "schema analytics_internal belongs to carl" in said
    conn.execute("drop schema analytics_internal; drop owned by carl; drop role carl")
    conn.execute("alter schema hidden rename to analytics_internal")


def check_earlier_version_after_this_one(conn: Connection[TupleRow], dbt: Dbt, state: str) -> None:
    """Check that an earlier version is told so, and what is said where it got through."""
    with pytest.raises(errors.CheckViolation, match="a newer version of this project: update"):
        conn.execute(
            "insert into analytics.model_progress (model_name) values ('fct_alerts')"
            " on conflict do nothing"
        )
    conn.execute("drop table analytics.model_progress")
    conn.execute("create table analytics.model_progress as table analytics_internal.model_progress")
    said = messages(dbt.attempt("run", "--select", "dim_event_types"))
    assert '"analytics_internal"."model_progress" are both there' in said
    clone = ("clone", "--full-refresh", "--select", "dim_event_types", "--state", state)
    said = messages(dbt.attempt(*clone))
    assert "Schema analytics is one of an earlier version of this project" in said


@pytest.mark.parametrize("schema", ["a" * 55, "é" * 28, "mine_internal"])
def test_a_schema_that_cannot_have_one_beside_it_is_refused(
    schema: str, dbt: Dbt, monkeypatch: pytest.MonkeyPatch
) -> None:
    dbt.manifest = read_manifest(dbt.parsed())
    monkeypatch.setenv("DBT_SCHEMA", schema)
    said = messages(dbt.attempt("run", "--select", "dim_event_types"))
    assert "choose a DBT_SCHEMA of at most 54 bytes that does not end so" in said
