"""An account that may see some sources only: its rows, its reports, and nothing of the others."""

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from dbt.adapters.sql.connections import SQLConnectionManager
from psycopg import Connection, errors
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from tests.conftest import Outcome
from tests.support.checkouts import blocks
from tests.support.dbt import Dbt
from tests.support.ledger import Ledger
from tests.support.oracle import LIVE_VIEWS, MARTS, REPORTS, Oracle
from tests.support.scenarios import Event

FAILURES = int(os.environ.get("SHARE_FAILURES", "6"))
MONDAY = datetime(2024, 5, 13, 12, tzinfo=UTC)
SHARED = {
    **{name: query for name, query in MARTS.items() if name not in (
        "fct_category_activity_periods", "dim_event_types",
    )},
    **REPORTS,
    **{name: query for name, query in LIVE_VIEWS.items() if "category" not in name},
}  # fmt: skip


@pytest.fixture
def account(
    dsn: str,
    conn: Connection[TupleRow],
    run_loader: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[str]:
    """The DSN of an account that may see the sources gate and yard, and dbt as a transformer."""
    assert run_loader("roles").exit_code == 0
    conn.execute("reset role")
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute("create role a_transformer login in role transformer")
        admin.execute("alter role a_transformer set role = 'transformer'")
        admin.execute("create role source_reader")
        admin.execute("create role tenant login in role source_reader")
        monkeypatch.setenv("PGUSER", "a_transformer")
        yield make_conninfo(dsn, user="tenant")
        for role in ("tenant", "loader", "transformer", "reader", "source_reader"):
            admin.execute(f"drop owned by {role} cascade".encode())
        admin.execute("drop role tenant, a_transformer, source_reader, loader, transformer, reader")


def events(*sources: str, week: int = 0) -> list[Event]:
    """Return events of one week: people that stay, some vehicles."""
    return [
        Event(
            source,
            MONDAY + timedelta(weeks=week, days=day, seconds=25 * number + place),
            "car" if number % 11 == 10 else "pedestrian",
        )
        for place, source in enumerate(sources)
        for day in (0, 1, 3)
        for number in range(40)
    ]


def permitted(account: Connection[TupleRow]) -> set[str]:
    """Return every relation outside of the catalog that an account may read."""
    rows = account.execute(
        "select relnamespace::regnamespace || '.' || relname from pg_class"
        " where relkind in ('r', 'p', 'v', 'm') and relnamespace::regnamespace::text"
        " not in ('pg_catalog', 'information_schema')"
        " and has_schema_privilege(relnamespace, 'usage')"
        " and has_table_privilege(oid, 'select, insert, update, delete')"
    )
    return {name for (name,) in rows}


def check(account: str, conn: Connection[TupleRow], *sources: str) -> None:
    """Check that the account sees what there would be if these were the only sources."""
    names = ", ".join(f"'{name}'" for name in sources)
    conn.execute(
        "create or replace view public.of_these as select * from raw.events where source_id in ("
        f"select source_id from raw.sources where source_name in ({names}))".encode()
    )
    oracle = Oracle(
        conn=conn, events="public.of_these", shown_in="analytics_by_source", shown_to="tenant"
    )
    assert oracle.differences(SHARED) == {}
    with psycopg.connect(account, autocommit=True) as tenant:
        assert permitted(tenant) == {f"analytics_by_source.{name}" for name in SHARED}
        for name in SHARED:
            found = tenant.execute(f"select * from analytics_by_source.{name}".encode())
            columns = [column.name for column in found.description or []]
            rows = found.fetchall()
            assert rows, name
            if "source_name" in columns:
                assert {row[columns.index("source_name")] for row in rows} <= set(sources), name
        for statement in (
            "select * from analytics.fct_alerts",
            "select * from analytics.alerts_live",
            "select * from raw.events",
            "select analytics.activity_periods_between('1 minute', '2024-01-01', '2025-01-01')",
            "select * from analytics_by_source.source_access",
            "insert into analytics_by_source.source_access values ('tenant', 'roof')",
            "update analytics_by_source.dim_sources set source_name = 'roof'",
            "set role reader",
            "set role transformer",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                tenant.execute(statement.encode())
        # A function of its own, cheap enough to be asked first, is not asked about other rows.
        tenant.execute(
            "create function pg_temp.tell(text) returns boolean language plpgsql cost 0.0000001"
            " as $$ begin raise notice '%', $1; return true; end $$"
        )
        told: list[str] = []
        tenant.add_notice_handler(lambda notice: told.append(notice.message_primary or ""))
        for name in ("dim_sources", "fct_activity_periods", "rpt_source_activity", "alerts_live"):
            tenant.execute(
                f"select * from analytics_by_source.{name} where pg_temp.tell(source_name)".encode()
            )
        assert told
        assert set(told) <= set(sources)


def shared(conn: Connection[TupleRow]) -> list[TupleRow]:
    """Return all that there is in the schema of the account: definitions, rights and comments."""
    return conn.execute(
        "select relname, relowner, relacl::text, reloptions, pg_get_viewdef(oid),"
        " array(select col_description(oid, number) from generate_series(0, relnatts) as number)"
        " from pg_class where relnamespace = to_regnamespace('analytics_by_source')"
        " union all select nspname, nspowner, nspacl::text, null, null, null"
        " from pg_namespace where nspname = 'analytics_by_source' order by 1"
    ).fetchall()


def check_all_or_nothing(dbt: Dbt, conn: Connection[TupleRow], generator: random.Random) -> None:
    """Check that nothing is changed when a statement fails: the first, the last, some between."""
    before = shared(conn)
    add_query = SQLConnectionManager.add_query
    sent = fails_at = 0

    def fail(manager: SQLConnectionManager, statement: str, *more: Any, **options: Any) -> Any:
        nonlocal sent
        sent += 1
        failing = "select 1 / 0;" if sent == fails_at else ""
        return add_query(manager, failing + statement, *more, **options)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(SQLConnectionManager, "add_query", fail)
        dbt("run-operation", "share_by_source")
        statements = sent
        assert statements > len(SHARED)
        assert shared(conn) == before
        between = generator.sample(range(2, statements), k=min(FAILURES, statements - 2))
        for fails_at in (1, *between, statements):
            sent = 0
            assert not dbt.attempt("run-operation", "share_by_source").success, fails_at
            assert shared(conn) == before, fails_at


def check_waiting(account: str, dbt: Dbt, conn: Connection[TupleRow]) -> None:
    """Check that who has left a transaction open is named, and waited for no longer than said."""
    before = shared(conn)
    impatient = replace(dbt, variables={"lock_patience": "1 second"})
    with psycopg.connect(account) as tenant:
        tenant.execute("select count(*) from analytics_by_source.dim_sources")
        assert not impatient.attempt("run-operation", "share_by_source").success
        named = f"(var lock_patience) for pid {tenant.info.backend_pid} (tenant, "
        assert any(named in error for error in impatient.errors), impatient.errors
    assert shared(conn) == before


def test_an_account_sees_its_sources_as_if_there_were_no_others(
    account: str,
    conn: Connection[TupleRow],
    dbt: Dbt,
    ledger: Ledger,
    generator: random.Random,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = ledger.load([*events("gate", "yard"), *events("roof", week=1)])
    dbt.build()
    assert not dbt.attempt("run-operation", "share_by_source", "--args", "{role: nobody}").success
    assert shared(conn) == []
    # However the search path of a role is set: names in the reports are written with their schema.
    conn.execute("alter role a_transformer set search_path = analytics, public")
    dbt("run-operation", "share_by_source")
    check_all_or_nothing(dbt, conn, generator)
    with psycopg.connect(account, autocommit=True) as tenant:
        for name in SHARED:
            found = tenant.execute(f"select 1 from analytics_by_source.{name}".encode())
            assert found.fetchone() is None, name
    conn.execute(
        "insert into analytics_by_source.source_access values"
        " ('tenant', 'gate'), ('tenant', 'yard'), ('tenant', 'to come'), ('other', 'roof')"
    )
    check(account, conn, "gate", "yard")

    ledger.load([*events("gate", "roof", week=2), *events("to come", week=2)])
    ledger.withdraw(first)
    ledger.load(events("yard", "roof"))
    live = Oracle(
        conn=conn, events="public.of_these", shown_in="analytics_by_source", shown_to="tenant"
    )
    conn.execute(
        "create or replace view public.of_these as select * from raw.events where source_id <> ("
        "select source_id from raw.sources where source_name = 'roof')"
    )
    assert live.differences({name: LIVE_VIEWS[name] for name in LIVE_VIEWS if name in SHARED}) == {}
    for options in ([], ["--full-refresh"]):
        dbt.build(*options)
        check(account, conn, "gate", "yard", "to come")

    check_waiting(account, dbt, conn)

    # A report that reads more than dbt knows of: somebody has replaced it by hand.
    before = shared(conn)
    conn.execute("create table public.elsewhere as table analytics.rpt_source_activity")
    conn.execute("create or replace view analytics.rpt_source_activity as table public.elsewhere")
    assert not dbt.attempt("run-operation", "share_by_source").success
    assert shared(conn) == before
    check(account, conn, "gate", "yard", "to come")
    dbt("run", "--select", "rpt_source_activity")
    conn.execute("delete from analytics_by_source.source_access where source_name = 'yard'")
    dbt("run-operation", "share_by_source")
    check(account, conn, "gate", "to come")

    # Woken by nothing but that there is something, and by a forgery, its program sees its alerts.
    ((_, listen),) = blocks(Path("docs/howto/early-alerts.md"), "python")
    with subprocess.Popen(
        [sys.executable, "-c", listen, "analytics_by_source.alerts_live"],
        env={**os.environ, "PGUSER": "tenant"}, stdout=subprocess.PIPE, text=True,
    ) as listener:  # fmt: skip
        assert listener.stdout is not None
        assert "person_in_5_consecutive_events" in listener.stdout.readline()
        conn.execute("select pg_notify('video_events_alerts', 'the roof is on fire')")
        ledger.load(events("roof", "gate", week=9), "--alert", "--alert-to", "wake")
        for line in listener.stdout:
            assert "roof" not in line
            if "2024-07-15" in line:
                break
        else:
            pytest.fail("the program ended before it had shown its alerts")
        listener.kill()

    # A stranger's table would decide who sees what.
    conn.execute("alter schema analytics_by_source owner to tenant")
    before = shared(conn)
    assert not dbt.attempt("run-operation", "share_by_source").success
    assert shared(conn) == before
    monkeypatch.setenv("PGUSER", "postgres")
    assert not dbt.attempt("run-operation", "share_by_source").success
    assert shared(conn) == before
