"""Seeds with a slip in them are refused before they replace what readers see."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from dbt.contracts.graph.nodes import SeedNode
from psycopg import Connection
from psycopg.rows import TupleRow

from loader.database.connection import connect
from tests.support.dbt import Dbt, copy_project, messages, read_manifest
from tests.support.ledger import Ledger
from tests.support.oracle import LIVE_VIEWS, MARTS, Oracle
from tests.support.scenarios import Event

NOON = datetime(2024, 5, 13, 12, tzinfo=UTC)
DOUBLED = "event_type,category\npedestrian,people\ncar,vehicles\nvan,vehicles\ncar,vehicles\n"
LABELLED = "category,label,event_type,weight\npeople,a,pedestrian,1\nvehicles,b,car,2\n"
# All that a seed could change for its readers: relations, by their identity, rights, rows, marks.
STATE = """
select
    (select jsonb_agg(jsonb_build_array(oid, relname, relacl, relkind) order by oid)
     from pg_class where relnamespace::regnamespace::text in ('analytics', 'analytics_internal')),
    (select jsonb_agg(types order by event_type) from analytics_internal.event_types as types),
    (select jsonb_agg(rules order by rule_name) from analytics_internal.alert_rules as rules),
    (select jsonb_agg(marks order by model_name) from analytics_internal.model_progress as marks)
"""


# dbt's reader warns of columns that are not there, and goes on.
@pytest.mark.filterwarnings("ignore:.*does not match the name of any column:RuntimeWarning")
def test_a_seed_with_a_slip_is_refused_and_one_with_more_columns_taken(
    tmp_path: Path, dsn: str, conn: Connection[TupleRow], dbt: Dbt, ledger: Ledger
) -> None:
    ledger.load([Event("gate", NOON, "car"), Event("gate", NOON, "pedestrian")])
    some = with_own_seeds(dbt, copy_project(tmp_path / "project"))
    types, rules = (
        some.project / "seeds" / f"{name}.csv" for name in ("event_types", "alert_rules")
    )
    good_types, good_rules = types.read_text(), rules.read_text()
    odd_rules = good_rules + "misspelt,consecutive,peopel,2,\nnever,presence,people,,0 minutes\n"

    types.write_text(DOUBLED)
    assert "line 5, event_type" in refused(some, "seed")
    found = conn.execute("select to_regclass('analytics_internal.event_types')").fetchone()
    assert found == (None,)
    types.write_text(good_types)
    some.build()

    before = conn.execute(STATE.encode()).fetchone()
    types.write_text("\ufeff")
    assert "it needs the columns event_type, category; it has none" in refused(
        replace(some, manifest=None), "seed", "--select", "alert_rules"
    )
    for text, arguments, slip in (
        (DOUBLED, ["seed"], 'line 5, event_type: "car" is on line 3 already'),
        (DOUBLED, ["seed", "--full-refresh"], 'line 5, event_type: "car" is on line 3 already'),
        ("Event_Type,Category\ncar,vehicles\n", ["build", "--select", "event_types"],
         "it needs the columns event_type, category; it has Event_Type, Category"),
    ):  # fmt: skip
        types.write_text(text)
        rules.write_text(odd_rules)
        said = refused(some, *arguments)
        assert slip in said
        if arguments[0] == "seed":
            assert 'line 4, misspelt, category: "peopel"' in said
            assert "line 5, never, min_duration: " in said
        assert conn.execute(STATE.encode()).fetchone() == before

    # Rows are replaced beside a transaction that reads them, columns not: that one is waited for.
    rules.write_text(good_rules)
    impatient = replace(some, variables={"lock_patience": "1 second"})
    with connect(dsn) as reader, reader.transaction():
        reader.execute("select count(*) from analytics.stg_video_events__events")
        types.write_text(good_types)
        some("seed")
        types.write_text(LABELLED)
        said = refused(impatient, "seed", "--select", "event_types")
        holder = f"pid {reader.info.backend_pid} (postgres, "
        assert f"event_types waited 1 second (var lock_patience) for {holder}" in said
        assert conn.execute(STATE.encode()).fetchone() == before

    # A category and its first rule may come at once, whichever seed is the first.
    types.write_text(LABELLED + "animals,c,dog,3\n")
    rules.write_text(good_rules + "a_dog,consecutive,animals,1,\n")
    views = view_ids(conn)
    some("seed")
    assert view_ids(conn) == views
    assert conn.execute(
        "select label, weight from analytics_internal.event_types where category = 'animals'"
    ).fetchall() == [("c", 3)]
    conn.execute("create view public.labels as select label from analytics_internal.event_types")
    types.write_text(good_types)
    assert "gets other columns" in refused(some, "seed")
    conn.execute("drop view public.labels")
    rules.write_text(good_rules)
    some("seed", "--full-refresh")
    assert conn.execute(STATE.encode()).fetchone() == before

    check_doubled_table(some, conn, ledger)


def with_own_seeds(dbt: Dbt, project: Path) -> Dbt:
    """Return dbt on a copy of the project of which only the rows of seeds are to change."""
    manifest = read_manifest(dbt.parsed())
    for node in manifest.nodes.values():
        if isinstance(node, SeedNode):
            node.root_path = str(project)
    return replace(dbt, project=project, manifest=manifest)


def check_doubled_table(dbt: Dbt, conn: Connection[TupleRow], ledger: Ledger) -> None:
    """Check that no model is built on a seed that an older version, or a hand, has doubled."""
    conn.execute("drop index analytics_internal.event_types_event_type_key")
    conn.execute("insert into analytics_internal.event_types values ('car', 'vehicles')")
    ledger.load([Event("gate", NOON, "car")])
    for flags in ([], ["--full-refresh"]):
        said = refused(dbt, "run", "--select", "fct_activity_periods", *flags)
        assert "the seed event_types has more than one row for car" in said
    dbt.build()
    assert Oracle(conn=conn).differences(MARTS | LIVE_VIEWS) == {}


def refused(dbt: Dbt, *arguments: str) -> str:
    """Run a dbt command that must fail, and return what it says."""
    result = dbt.attempt(*arguments)
    assert not result.success
    return messages(result)


def view_ids(conn: Connection[TupleRow]) -> Any:
    """Return the identities of all views of the models: one that was made anew has another one."""
    return conn.execute(
        "select oid from pg_class where relkind = 'v'"
        " and relnamespace::regnamespace::text in ('analytics', 'analytics_internal') order by oid"
    ).fetchall()
