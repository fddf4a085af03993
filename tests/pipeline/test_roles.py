"""The roles with dbt: a user of each does the whole work, and nothing else."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import psycopg
import pytest
from dbt.cli.main import dbtRunner
from psycopg import Connection, errors
from psycopg.conninfo import make_conninfo

from tests.conftest import Outcome
from tests.support.dbt import Dbt, dbt_options, messages
from tests.support.ledger import Ledger
from tests.support.oracle import LIVE_VIEWS, MARTS, REPORTS, Oracle
from tests.support.scenarios import Event

NOON = datetime(2024, 5, 13, 12, tzinfo=UTC)
ROLES = ("loader", "transformer", "reader")
FUNCTION = "activity_periods_between(interval '5 minutes', '2024-05-13', '2024-05-14')"
# Of those that read what was, each is there twice.
SPAN = "'2024-05-13', '2024-05-14'"
AS_OF = [
    f"{what}_as_of({at}, {SPAN})"
    for what in ("activity_periods", "category_activity_periods", "alerts", "hourly_detections")
    for at in ("0::bigint", "now()")
]
CALLS = (
    FUNCTION,
    f"events_between({SPAN})",
    f"alerts_of_change_as_of(0, '{{}}', {SPAN})",
    *AS_OF,
)
HOURLY_INDEXES = (
    "select regexp_replace(indexdef, 'INDEX \\S+', '') from pg_indexes"
    " where tablename = 'fct_hourly_detections' order by 1"
)


@pytest.fixture
def dsns(
    dsn: str, run_loader: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    """The DSNs of a member of each role, on a database where an administrator has been."""
    outcome = run_loader("roles")
    assert outcome.exit_code == 0, outcome.stderr
    with psycopg.connect(dsn, autocommit=True) as admin:
        for role in ROLES:
            admin.execute(f"create role a_{role} login in role {role}".encode())
        admin.execute("alter role a_transformer set role = 'transformer'")
        dsns = {role: make_conninfo(dsn, user=f"a_{role}") for role in ROLES}
        monkeypatch.setenv("LOADER_DSN", dsns["loader"])
        yield dsns
        for role in ROLES:
            admin.execute(f"drop owned by {role}, a_{role} cascade".encode())
            admin.execute(f"drop role a_{role}, {role}".encode())


def permitted(conn: Connection, *privileges: str) -> set[str]:
    """Return to which relations of all schemas a session has one of these privileges."""
    rows = conn.execute(
        "select relnamespace::regnamespace || '.' || relname from pg_class"
        " where relkind in ('r', 'p', 'v', 'm') and relnamespace::regnamespace::text"
        " in ('raw', 'analytics', 'analytics_internal')"
        " and has_schema_privilege(relnamespace, 'usage')"
        " and has_table_privilege(oid, %s)",
        [", ".join(privileges)],
    )
    return {name for (name,) in rows}


def relations_of(conn: Connection, schema: str) -> set[str]:
    """Return what tools list: all that has rows, in a schema."""
    rows = conn.execute(
        "select relnamespace::regnamespace || '.' || relname from pg_class"
        " where relkind in ('r', 'p', 'v', 'm') and relnamespace = %s::regnamespace",
        [schema],
    )
    return {name for (name,) in rows}


def functions_of(conn: Connection, schema: str) -> set[str]:
    """Return the functions of a schema."""
    rows = conn.execute(
        "select distinct pronamespace::regnamespace || '.' || proname from pg_proc"
        " where pronamespace = %s::regnamespace",
        [schema],
    )
    return {name for (name,) in rows}


def check_reader(dsn: str) -> None:
    """Read all that is in the schema of the target, call every function, and do nothing else."""
    views = ("mart_freshness", "dim_categories")
    staging = (f"stg_video_events__{name}" for name in ("events", "sources"))
    marts = {f"analytics.{n}" for n in (*MARTS, *REPORTS, *LIVE_VIEWS, *views, *staging)}
    with psycopg.connect(dsn, autocommit=True) as conn:
        assert permitted(conn, "select") == marts == relations_of(conn, "analytics")
        assert permitted(conn, "insert", "update", "delete", "truncate", "trigger") == set()
        for relation in marts:
            conn.execute(f"select * from {relation}".encode())
        for call in CALLS:
            conn.execute(f"select * from analytics.{call}".encode())
        called = {f"analytics.{call.partition('(')[0]}" for call in CALLS}
        assert called == functions_of(conn, "analytics")
        for call in (FUNCTION, "events_between('-infinity', 'infinity')"):
            found = conn.execute(f"select distinct category from analytics.{call}".encode())
            assert ("vehicles",) in found.fetchall()
        for statement in (
            "select * from raw.events",
            "select * from analytics_internal.stg_video_events__event_history",
            "select * from analytics_internal.int_event_runs",
            "delete from analytics.fct_alerts",
            "create table analytics.mine (x int)",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                conn.execute(statement.encode())


# A composite literal is read when a view is created, and with it the check of a domain: whoever
# created this view again would run the function.
TRAP = """
create table bi.told (who text);
grant insert on bi.told to public;
create function bi.tell() returns boolean language plpgsql as $$ begin
    insert into bi.told values (current_user || ', ' || session_user);
    return true;
end $$;
create domain bi.checked as text check (bi.tell());
create type bi.trap as (x bi.checked);
create view bi.trapped as select source_id, '(x)'::bi.trap as trap from analytics.dim_sources;
grant usage on schema bi to public;
truncate bi.told;
"""


def check_that_a_superuser_runs_nobodys_functions(
    conn: Connection[tuple[object, ...]],
    reader: str,
    dbt: Dbt,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rebuild as a superuser, who may act for everybody, below a view that is a trap."""
    with psycopg.connect(reader, autocommit=True) as bi:
        bi.execute(TRAP.encode())
    monkeypatch.setenv("PGUSER", "postgres")
    dbt("run", "--full-refresh", "--select", "dim_sources")
    assert conn.execute("select who from bi.told").fetchall() == []
    assert conn.execute("select count(*) > 0 from bi.trapped").fetchone() == (True,)


def check_that_everybody_can_put_nothing_in_its_way(
    conn: Connection[tuple[object, ...]], dbt: Dbt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refuse to run where strangers can create what a query finds before PostgreSQL's own."""
    monkeypatch.setenv("PGUSER", "a_transformer")
    conn.execute("grant create on schema public to public")
    refused = dbt.attempt("run", "--select", "dim_sources")
    assert "everybody may create in schema public" in messages(refused)
    conn.execute("alter role a_transformer set search_path = ''")
    dbt("run", "--select", "dim_sources")
    conn.execute("grant create on schema analytics to public")
    refused = dbt.attempt("run", "--select", "dim_sources")
    assert "everybody may create in schema analytics" in messages(refused)


def check_rebuild_below_views_of_others(
    conn: Connection[tuple[object, ...]], reader: str, dbt: Dbt
) -> None:
    """Rebuild everything; the views of a role that dbt has no rights of show the new rows."""
    conn.execute("create schema bi authorization a_reader")
    with psycopg.connect(reader, autocommit=True) as bi:
        bi.execute("create view bi.sources as select * from analytics.dim_sources")
        bi.execute("create materialized view bi.hours as table analytics.fct_hourly_detections")
        bi.execute("create view bi.live as table analytics.activity_periods_live")
        expected = bi.execute("select * from bi.sources order by 1").fetchall()
        indexes = conn.execute(HOURLY_INDEXES).fetchall()
        # So that it can be seen whether the rows are new ones.
        conn.execute("delete from analytics.dim_sources")
        dbt("run", "--full-refresh", "--threads", "1")
        assert bi.execute("select * from bi.sources order by 1").fetchall() == expected != []
        bi.execute("refresh materialized view bi.hours")
        bi.execute("table bi.live")

        conn.execute("alter table analytics.dim_sources add column extra int")
        failed = dbt.attempt("run", "--full-refresh", "--select", "dim_sources")
        assert "dim_sources gets other columns" in messages(failed)
        assert "bi.sources (of a_reader)" in messages(failed)
        assert bi.execute("select * from bi.sources order by 1").fetchall() == expected
        bi.execute("drop view bi.sources")
        dbt("run", "--full-refresh", "--select", "dim_sources")
    assert conn.execute(HOURLY_INDEXES).fetchall() == indexes


@pytest.mark.parametrize("schema", ['analytics"; drop schema raw; --', "100%s"])
def test_a_schema_that_dbt_cannot_quote_is_refused(
    dbt: Dbt, monkeypatch: pytest.MonkeyPatch, schema: str
) -> None:
    monkeypatch.setenv("DBT_SCHEMA", schema)
    parsed = dbtRunner().invoke(["parse", *dbt_options(dbt.profiles, dbt.target)])
    assert "has a quotation mark or a %: choose another DBT_SCHEMA" in str(parsed.exception)


def test_each_role_does_its_work_and_nothing_else(
    dsns: dict[str, str],
    conn: Connection[tuple[object, ...]],
    dbt: Dbt,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGUSER", "a_transformer")
    conn.execute("reset role")
    oracle = Oracle(conn=conn)
    first = ledger.load([Event("gate", NOON, "car")])
    dbt("build", "--exclude-resource-type", "unit_test")
    check_reader(dsns["reader"])
    refused = ledger.run_loader("explain", str(first), "--dsn", dsns["reader"])
    assert (refused.exit_code, refused.stderr.count("\n")) == (1, 1)
    assert 'grant transformer to "a_reader"' in refused.stderr
    assert conn.execute("select distinct proconfig from pg_proc where prosecdef").fetchall() == [
        (
            [
                "search_path=pg_catalog, pg_temp",
                "jit=off",
                "plan_cache_mode=force_custom_plan",
                "max_parallel_workers_per_gather=0",
            ],
        )
    ]

    # Where an administrator makes the schemas, dbt need not be able to.
    conn.execute("revoke create on database events from transformer")
    # By hand, and so not for long: what dbt_project.yml says is the truth.
    conn.execute("grant select on analytics.dim_sources, analytics.alerts_live to a_loader")
    ledger.load([Event("gate", NOON.replace(hour=13), "pedestrian")])
    ledger.withdraw(first)
    ledger.load([Event("yard", NOON, "car")])
    dbt("run")
    check_reader(dsns["reader"])
    assert oracle.differences({**MARTS, **LIVE_VIEWS}) == {}
    ledger.purge()
    with psycopg.connect(dsns["loader"], autocommit=True) as loader:
        for statement in ("select * from analytics.dim_sources", f"select analytics.{FUNCTION}"):
            with pytest.raises(errors.InsufficientPrivilege):
                loader.execute(statement.encode())
        readable = {name for name in permitted(loader, "select") if not name.startswith("raw.")}
        assert readable == {"analytics_internal.model_progress"}

    check_rebuild_below_views_of_others(conn, dsns["reader"], dbt)
    check_reader(dsns["reader"])
    assert oracle.differences({**MARTS, **LIVE_VIEWS}) == {}
    found = conn.execute(
        "select distinct relnamespace::regnamespace::text, pg_get_userbyid(relowner) from pg_class"
        " where relnamespace::regnamespace::text in ('raw', 'analytics', 'analytics_internal')"
    ).fetchall()
    assert sorted(found) == [
        ("analytics", "transformer"),
        ("analytics_internal", "transformer"),
        ("raw", "loader"),
    ]
    check_that_a_superuser_runs_nobodys_functions(conn, dsns["reader"], dbt, monkeypatch)
    check_that_everybody_can_put_nothing_in_its_way(conn, dbt, monkeypatch)
