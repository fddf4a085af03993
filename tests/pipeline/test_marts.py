"""From a file to the marts, as a user goes."""

import json
import os
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection, errors
from psycopg.rows import TupleRow

from loader.database.connection import connect
from loader.server.cluster import Cluster
from tests.conftest import Outcome
from tests.support.breaking import unnoticed
from tests.support.dbt import Dbt, messages
from tests.support.ledger import Ledger
from tests.support.oracle import LIVE_VIEWS, MARTS, REPORTS, Oracle
from tests.support.scenarios import UNLISTED, Event, scenario

LOADS = int(os.environ.get("RANDOM_LOADS", "3"))
NOON = datetime(2024, 5, 13, 12, tzinfo=UTC)


@pytest.mark.usefixtures("builds")
def test_worked_example(run_loader: Callable[..., Outcome], ledger: Ledger) -> None:
    path = ledger.inbox / "cars.csv"
    times = ["30:30", "31:00", "31:30", "35:00", "35:30", "36:00", "37:30", "38:00"]
    rows = [f"gate 1;2024-05-13 18:{time};automobile" for time in times]
    path.write_text("\n".join(["Camera;Seen at;What", *rows]))
    watched = run_loader(
        "watch", ledger.inbox, "--once", "--settle", "0s", "--build",
        "--delimiter", ";", "--time-column", "Seen at", "--type-column", "What",
        "--source-column", "Camera", "--type-map", "automobile=car", "--timezone", "UTC",
    )  # fmt: skip
    assert (watched.exit_code, watched.stderr) == (0, "")
    outcome = run_loader("periods", "--json")
    assert outcome.exit_code == 0, outcome.stderr
    assert json.loads(outcome.stdout) == {
        "people": [],
        "vehicles": [
            ["2024-05-13T18:30:30Z", "2024-05-13T18:31:30Z"],
            ["2024-05-13T18:35:00Z", "2024-05-13T18:36:00Z"],
            ["2024-05-13T18:37:30Z", "2024-05-13T18:38:00Z"],
        ],
    }


def test_the_gap_is_exclusive(conn: Connection[TupleRow], dbt: Dbt, ledger: Ledger) -> None:
    next_day = NOON + timedelta(days=1)
    ledger.load(
        [
            *(Event("gate", NOON + timedelta(microseconds=n), "car") for n in (0, 60_000_000)),
            *(Event("gate", next_day + timedelta(microseconds=n), "car") for n in (0, 59_999_999)),
        ]
    )
    dbt.build("--select", "+fct_category_activity_periods")
    for relation in ("fct_activity_periods", "fct_category_activity_periods"):
        found = conn.execute(
            f"select event_count from analytics.{relation} order by started_at".encode()
        ).fetchall()
        assert found == [(1,), (1,), (2,)], relation


@pytest.mark.built
def test_a_batch_does_not_look_at_partitions_that_it_cannot_touch(
    conn: Connection[TupleRow], dbt: Dbt, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL locks what it plans for: a run would wait for the lock on last year."""
    models = ["fct_activity_periods", "fct_hourly_detections", "int_event_runs"]
    ledger.load([Event("gate", NOON - timedelta(days=365), "car"), Event("gate", NOON, "car")])
    dbt("run")
    ledger.load([Event("gate", NOON + timedelta(seconds=20), "car")])
    monkeypatch.setenv("PGOPTIONS", "-c lock_timeout=30s")
    with conn.transaction():
        conn.execute("lock table raw.event_chunks_2023_05 in access exclusive mode")
        dbt("run", "--select", *models)
    with conn.transaction():
        # One to which nothing is new looks at none.
        conn.execute("lock table raw.event_chunks in access exclusive mode")
        dbt("run", "--select", *models)
    marks = conn.execute(
        "select load_seq from analytics_internal.model_progress where model_name = any(%s)",
        [models],
    ).fetchall()
    assert marks == [(2,)] * len(models)


def test_every_look_up_of_events_is_bounded_by_source_or_load_and_time(
    cluster: Cluster, conn: Connection[TupleRow], dbt: Dbt, ledger: Ledger, dsn: str
) -> None:
    """Of a batch that brings and withdraws, of the live views and a report, of the functions.

    PostgreSQL prefers to scan all that a small table has. Where it may not, nor merge in the order
    of an index, what it scans whole is what no index helps with.
    """
    several = [
        [Event(f"gate {n % 3}", NOON + timedelta(days=60 * load, hours=6 * n), kind)
         for n, kind in enumerate(["car", "pedestrian", "bicycle", "pedestrian"] * 25)]
        for load in range(3)
    ]  # fmt: skip
    loads = [ledger.load(events) for events in several]
    (periods_from_scratch,) = (
        one.node.compiled_code
        for one in getattr(dbt.build().result, "results", ())
        if one.node.name == "fct_activity_periods"
    )
    # No parallel worker would take a part in what has one.
    plan = conn.execute(f"explain {periods_from_scratch}".encode()).fetchall()
    assert "InitPlan" not in str(plan)
    # What is looked up together stands together.
    for mart, order in (
        ("fct_activity_periods", "source_id, category, started_at"),
        ("fct_hourly_detections", "source_id, hour_started_at"),
    ):
        stored = conn.execute(f"select {order} from analytics.{mart} order by ctid".encode())
        rows = stored.fetchall()
        assert rows == sorted(rows)
        assert len(set(rows)) > 10
    assert conn.execute(
        "select count(*) from pg_indexes where tablename = 'fct_alerts'"
        " and indexdef like '%UNIQUE%(source_id, started_at, rule_name, first_event_type)'"
    ).fetchone() == (1,)
    ledger.withdraw(loads[1])
    ledger.load([replace(event, time=event.time + timedelta(seconds=5)) for event in several[0]])
    for setting in (
        "enable_seqscan = off",
        "enable_mergejoin = off",
        "session_preload_libraries = auto_explain",
        "auto_explain.log_min_duration = 0",
        "auto_explain.log_nested_statements = on",
        "auto_explain.log_format = json",
    ):
        conn.execute(f"alter database {conn.info.dbname} set {setting}".encode())
    begin = len(cluster.log_file.read_text())
    with connect(dsn, purpose="test") as reader:
        for relation in (
            *LIVE_VIEWS,
            "rpt_source_health",
            "events_between('2024-05-13Z', '2024-05-14Z')",
            "events_between('2024-05-13Z', '2024-05-14Z', 'gate 1')",
            "activity_periods_between('5 minutes', '2024-05-13Z', '2024-05-14Z')",
            "activity_periods_as_of(3, '2024-05-13Z', '2024-05-14Z')",
            "category_activity_periods_as_of(3, '2024-05-13Z', '2024-05-14Z')",
            "hourly_detections_as_of(3, '2024-05-13Z', '2024-05-14Z')",
            "alerts_as_of(3, '2024-05-13Z', '2024-05-14Z')",
        ):
            reader.execute(f"select * from analytics.{relation}".encode())
    dbt("run")
    logged = cluster.log_file.read_text()[begin:]
    plans = [json.loads(text) for text in re.findall(r"(?m) plan:\n((?:\t.*\n)+)", logged)]
    scans = [(plan["Query Text"], scan) for plan in plans for scan in scans_of_chunks(plan["Plan"])]
    assert len(scans) > 20
    unbounded = [f"{scan} in {text}" for text, scan in scans if not is_bounded(scan)]
    assert not unbounded, "\n".join(unbounded)


def scans_of_chunks(node: dict[str, Any], is_limited: bool = False) -> Iterator[dict[str, Any]]:
    """Yield the scans of chunks below a node of a plan, each with the conditions of its index."""
    parts = node.get("Plans", [])
    if node.get("Relation Name", "").startswith("event_chunks_"):
        conditions = [part.get("Index Cond", "") for part in (node, *parts)]
        yield {
            "conditions": " ".join(conditions),
            "filter": node.get("Filter", ""),
            "is_limited": is_limited,
        }
    for part in parts:
        yield from scans_of_chunks(part, is_limited or node["Node Type"] == "Limit")


def is_bounded(scan: dict[str, Any]) -> bool:
    """Tell whether a scan is of one source or load, and of some time; or stops at the first row."""
    has_time = "first_event_at" in f"{scan['conditions']} {scan['filter']}" or scan["is_limited"]
    return "load_id" in scan["conditions"] or ("source_id" in scan["conditions"] and has_time)


@pytest.mark.built
def test_what_a_period_of_many_sources_costs_follows_their_number(
    conn: Connection[TupleRow], ledger: Ledger
) -> None:
    """Each of them once took the set of all of them along: here, 36 MB instead of 12 kB."""
    ledger.load([Event(f"camera {n}", NOON, "car") for n in range(3000)])
    conn.execute("set work_mem = '8MB'")
    (found,) = conn.execute(
        "explain (analyze, format json) select * from analytics.category_activity_periods_live"
    ).fetchall()[0]
    assert found[0]["Plan"]["Temp Written Blocks"] == 0


def test_generated_events_in_random_loads(
    tmp_path: Path,
    conn: Connection[TupleRow],
    run_loader: Callable[..., Outcome],
    dbt: Dbt,
    ledger: Ledger,
    generator: random.Random,
) -> None:
    generated = tmp_path / "generated.csv"
    outcome = run_loader(
        "generate", "--events", "4000", "--sources", "3", "--days", "2", "--seed", "7",
        "--late", "0.05", "--duplicates", "0.02", "--output", generated,
    )  # fmt: skip
    assert outcome.exit_code == 0, outcome.stderr
    header, *rows = generated.read_text().splitlines()
    generator.shuffle(rows)
    oracle = Oracle(conn=conn)
    dbt("seed")
    for number in range(LOADS):
        path = tmp_path / f"part {number}.csv"
        path.write_text("\n".join([header, *rows[number::LOADS]]) + "\n")
        assert ledger.load_file(path)["rows_rejected"] == 0
        assert number == 0 or oracle.differences(LIVE_VIEWS) == {}
        dbt("run")
        assert oracle.differences(MARTS) == {}
    assert oracle.differences(REPORTS) == {}
    counted = conn.execute("select sum(event_count) from analytics.dim_sources").fetchone()
    assert counted == (len(rows),)


def test_everything_holds_with_other_vars_and_when_clocks_change(
    conn: Connection[TupleRow], dbt: Dbt, ledger: Ledger, generator: random.Random
) -> None:
    """Also the models' own tests: whoever sets a var still wants `dbt build` to pass."""
    zone, gap = "Europe/Berlin", "2 minutes"
    dbt.variables = {"report_timezone": zone, "activity_gap": gap}
    # Clocks go forward in the first night, and back in the one 210 days later.
    events = [event for number in range(12) for event in scenario(number, generator)]
    events += [Event(e.source, e.time + timedelta(days=210), e.type) for e in events]
    generator.shuffle(events)
    ledger.load(e for e in events if e.type not in UNLISTED)
    dbt("build")
    ledger.load(e for e in events if e.type in UNLISTED)
    dbt("run")
    assert Oracle(conn=conn, zone=zone, gap=gap).differences(MARTS | REPORTS) == {}


def test_build_gives_no_warning_on_an_empty_database_and_ever_after(
    dbt: Dbt, ledger: Ledger, conn: Connection[TupleRow]
) -> None:
    # Those that ask nothing of the database are the same everywhere: make models.
    dbt("build", "--exclude-resource-type", "unit_test")
    generator = random.Random(7)
    kinds = ["pedestrian", "bicycle", "car", "truck"]
    events = [
        Event(f"gate {n % 2}", NOON + timedelta(seconds=5 * n), generator.choice(kinds))
        for n in range(600)
    ]
    for first in range(0, 600, 150):
        ledger.load(events[first : first + 150], "--alert", "--cooldown", "0s")
    dbt("build", "--exclude-resource-type", "unit_test")
    # The events came in order, so what was raised at once is what the models find.
    (early, late) = (
        conn.execute(
            "select source_id, rule_name, category, started_at, triggered_at"
            f" from {table} order by source_id, rule_name, started_at".encode()
        ).fetchall()
        for table in ("raw.early_alerts", "analytics.fct_alerts")
    )
    assert early == late
    assert {row[1] for row in late} == {
        "person_in_5_consecutive_events", "person_present_for_10_minutes",
    }  # fmt: skip
    built = dbt("build", "--exclude-resource-type", "unit_test")
    assert dbt.manifest is not None
    nodes = [found.node for found in built.result.results]  # type: ignore[union-attr]
    tests = [node for node in nodes if node.resource_type == "test"]
    assert len(tests) > 30
    assert unnoticed(conn, dbt.manifest, tests) == []
    dbt("build", "--full-refresh", "--exclude-resource-type", "unit_test")


@pytest.mark.built
def test_an_unlisted_type_counts_as_other_and_warns(
    conn: Connection[TupleRow], dbt: Dbt, ledger: Ledger
) -> None:
    ledger.load([Event("gate", NOON, "a dog")])
    dbt("run")
    result = dbt.attempt("test", "--select", "assert_event_types_have_a_category")
    assert not result.success
    assert messages(result).startswith("assert_event_types_have_a_category")
    found = conn.execute("select category, event_count from analytics.fct_activity_periods")
    assert found.fetchall() == [("other", 1)]


@pytest.mark.built
def test_a_changed_definition_stops_the_run_and_a_full_refresh_takes_it(
    conn: Connection[TupleRow], dbt: Dbt, ledger: Ledger
) -> None:
    complaints = {
        "update analytics_internal.event_types set category = 'wheels' where event_type = 'car'":
            "event_types: car is now wheels, was vehicles",
        "delete from analytics_internal.event_types where event_type = 'car'":
            "event_types: car is now other, was vehicles",
        "update analytics_internal.alert_rules set threshold = 4 where kind = 'consecutive'":
            "alert_rules: person_in_5_consecutive_events is now consecutive people 4, "
            "was consecutive people 5",
        "delete from analytics_internal.alert_rules where kind = 'presence'":
            "alert_rules: person_present_for_10_minutes is gone",
    }  # fmt: skip
    ledger.load([Event("gate", NOON, "car")])
    dbt("run")
    # New types, and those that were never seen, are no change.
    ledger.load([Event("gate", NOON, "van"), Event("gate", NOON, "tram")])
    dbt("run")
    for definition, complaint in complaints.items():
        conn.execute(definition.encode())
        result = dbt.attempt("run", "--select", "fct_activity_periods", "fct_alerts")
        assert not result.success
        assert complaint in messages(result)
        assert "--full-refresh" in messages(result)
        dbt("seed")
    for number in range(2):
        # What is changed first, what is gone then.
        for definition in list(complaints)[number::2]:
            conn.execute(definition.encode())
        dbt("run", "--full-refresh")
        assert Oracle(conn=conn).differences(MARTS | LIVE_VIEWS) == {}
    dbt("run")


@pytest.mark.built
def test_another_gap_stops_the_run_and_a_full_refresh_takes_it(
    conn: Connection[TupleRow], dbt: Dbt, ledger: Ledger
) -> None:
    """Of all categories, or of one; and a database without that seed goes on."""
    ledger.load([Event("gate", NOON + timedelta(seconds=90 * n), "car") for n in range(4)])
    conn.execute("drop table analytics_internal.categories cascade")
    dbt("run")
    result = dbt.attempt("run", "--vars", "activity_gap: 2 minutes")
    assert not result.success
    assert "activity_gap: gap is now 00:02:00, was 00:01:00" in messages(result)
    dbt("run", "--vars", "activity_gap: 2 minutes", "--full-refresh")
    assert Oracle(conn=conn, gap="2 minutes").differences(MARTS | LIVE_VIEWS) == {}
    conn.execute(
        "insert into analytics_internal.categories values ('people', '2 min'), ('vehicles', '90 s')"
    )
    result = dbt.attempt("run", "--vars", "activity_gap: 2 minutes")
    # What is as the usual gap is no change.
    assert "category_gaps: vehicles is now 00:01:30, was not there)" in messages(result)
    dbt("run", "--vars", "activity_gap: 2 minutes", "--full-refresh")
    assert Oracle(conn=conn, gap="2 minutes").differences(MARTS | LIVE_VIEWS) == {}


def test_tables_of_an_earlier_version_are_completed_by_the_next_run(
    conn: Connection[TupleRow], dbt: Dbt, ledger: Ledger, generator: random.Random
) -> None:
    """They get the columns that contracts got since and primary keys, without a full refresh."""
    primary_keys = """
        select conrelid::regclass::text, conname, pg_get_constraintdef(oid) from pg_constraint
        where contype = 'p' and connamespace = 'analytics'::regnamespace
          and conrelid <> 'analytics_internal.model_progress'::regclass
    """
    events = [event for number in range(6) for event in scenario(number, generator)]
    ledger.load(events[::2])
    dbt("seed")
    dbt("run")
    keys = conn.execute(primary_keys.encode()).fetchall()
    assert {table for table, _, _ in keys} == {f"analytics.{mart}" for mart in MARTS}
    for table, name, definition in keys:
        conn.execute(f'alter table {table} drop constraint "{name}"'.encode())
        columns = definition.removeprefix("PRIMARY KEY ")
        conn.execute(f"create unique index on {table} {columns}".encode())
    for table, column in [
        ("fct_activity_periods", "duration_seconds"),
        ("fct_category_activity_periods", "duration_seconds"),
        ("fct_category_activity_periods", "source_names"),
        ("fct_daily_activity", "active_duration_seconds"),
    ]:
        conn.execute(f"alter table analytics.{table} drop column {column} cascade".encode())
    conn.execute(
        """
        create function analytics.activity_periods_between(
            gap interval, since timestamptz, until timestamptz
        ) returns table (source_id int) language sql as 'select 1'
        """
    )

    ledger.load(events[1::2])
    dbt("build", "--exclude-resource-type", "seed", "test", "unit_test")
    oracle = Oracle(conn=conn)
    assert oracle.differences(MARTS | LIVE_VIEWS | REPORTS) == {}
    completed = conn.execute(primary_keys.encode()).fetchall()
    assert {(table, key) for table, _, key in completed} == {(table, key) for table, _, key in keys}
    conn.execute(
        "select duration_seconds from analytics.activity_periods_between('1 h', now(), now())"
    )
    # Column by column as in a new table.
    oracle.keep_copies(MARTS)
    dbt("run", "--full-refresh")
    assert oracle.changes_since_copies(MARTS) == {}


def test_another_gap_can_be_tried_on_a_stretch_of_time(
    conn: Connection[TupleRow], dbt: Dbt, ledger: Ledger
) -> None:
    ledger.load([Event("gate", NOON + timedelta(seconds=90 * n), "car") for n in range(4)])
    dbt.build("--select", "+fct_activity_periods", "activity_periods_between")
    found = conn.execute(
        "select source_name, category, event_count, started_at, ended_at, duration"
        " from analytics.activity_periods_between('2 minutes', %s, %s)",
        [NOON, NOON + timedelta(seconds=270)],
    ).fetchall()
    # The fourth event stands at the end of the stretch, which does not belong to it.
    end = NOON + timedelta(seconds=180)
    assert found == [("gate", "vehicles", 3, NOON, end, timedelta(seconds=180))]
    for gap, shown in [
        (None, "null"),
        ("0", "00:00:00"),
        ("-1 h", "-01:00:00"),
        ("1 mon", "1 mon"),
    ]:
        with pytest.raises(errors.InvalidParameterValue, match=f"gap is {shown}, but must be an"):
            conn.execute(
                "select * from analytics.activity_periods_between(%s, now(), now())", [gap]
            )


@pytest.mark.built
def test_views_on_marts_outlive_a_run(conn: Connection[TupleRow], dbt: Dbt, ledger: Ledger) -> None:
    ledger.load([Event("gate", NOON, "car")])
    dbt("run")
    conn.execute("create schema bi")
    conn.execute(
        "create view bi.busy as select source_name, event_count from analytics.fct_activity_periods"
        " union all select source_name, event_count from analytics.activity_periods_live"
    )
    for number, flags in enumerate([[], ["--full-refresh"]], 2):
        ledger.load([Event("gate", NOON + timedelta(seconds=number), "van")])
        # Only this one: what depends on it is not built anew in the same run.
        dbt("run", "--select", "stg_video_events__loads", "fct_activity_periods", *flags)
        shown = [("gate", number), ("gate", number)]
        assert conn.execute("select * from bi.busy").fetchall() == shown
        assert Oracle(conn=conn).differences(LIVE_VIEWS) == {}
        dbt("run")
        assert conn.execute("select * from bi.busy").fetchall() == shown


@pytest.mark.built
def test_alerts_stay_exact_when_the_models_they_follow_stand_at_different_loads(
    conn: Connection[TupleRow], dbt: Dbt, ledger: Ledger
) -> None:
    """As when loads are published between two models of a run, or a run is killed there."""
    people = [Event("gate", NOON + timedelta(seconds=30 * n), "pedestrian") for n in range(40)]
    oracle = Oracle(conn=conn)
    ledger.load(people[:2])
    dbt("run", "--select", "int_event_runs", "fct_hourly_detections")
    assert oracle.differences(LIVE_VIEWS) == {}
    withdrawn = ledger.load(people[2:])
    dbt("run", "--select", "fct_activity_periods")
    assert oracle.differences(LIVE_VIEWS) == {}
    dbt("run", "--select", "fct_alerts")
    (mark,) = conn.execute(
        "select load_seq from analytics_internal.model_progress where model_name = 'fct_alerts'"
    ).fetchall()
    assert mark == (1,), "alerts go as far as the model that has come least far"
    assert oracle.differences(LIVE_VIEWS) == {}
    ledger.withdraw(withdrawn)
    assert oracle.differences(LIVE_VIEWS) == {}
    dbt("run")
    assert oracle.differences(MARTS | LIVE_VIEWS) == {}


def test_marts_of_another_ledger_stop_the_run_and_a_full_refresh_takes_them(
    conn: Connection[TupleRow], dbt: Dbt, ledger: Ledger, run_loader: Callable[..., Outcome]
) -> None:
    """As after schema raw alone was restored to an earlier moment, and loaded into again."""
    oracle = Oracle(conn=conn)
    dbt("seed")
    restored = "raw.event_types, raw.sources, raw.loads, raw.load_counter, raw.event_chunks_2024_05"
    conn.execute("create schema backup")
    for number in range(3):
        ledger.load([Event("gate", NOON + timedelta(hours=number), "car")])
        if number == 0:
            for table in restored.split(", "):
                copy = table.replace("raw.", "backup.")
                conn.execute(f"create table {copy} as table {table}".encode())
    dbt("run")
    conn.execute(f"truncate {restored} cascade".encode())
    for table in restored.split(", "):
        copy = table.replace("raw.", "backup.")
        conn.execute(f"insert into {table} table {copy}".encode())

    shown = run_loader("status")
    assert "2 ahead" in shown.stdout
    assert "fct_alerts holds the ledger up to 3, and that ends at 1" in shown.stderr
    for loads in range(2):
        # At first the marks are beyond the end of the ledger; then other loads have their numbers.
        result = dbt.attempt("run")
        for model in (
            "fct_activity_periods",
            "fct_hourly_detections",
            "int_event_runs",
            "dim_sources",
        ):
            assert f"{model} holds the ledger up to its load 3, and that is another" in messages(
                result
            )
        assert "dbt build --full-refresh" in messages(result)
        with pytest.raises(errors.InvalidTextRepresentation, match="holds loads that schema raw"):
            conn.execute("select * from analytics.activity_periods_live")
        for number in range(4 * (1 - loads)):
            ledger.load([Event("gate", NOON + timedelta(hours=5 + number), "van")])
    marks = conn.execute(
        "select distinct load_seq from analytics_internal.model_progress"
        " where model_name <> 'dim_event_types'"
    )
    assert marks.fetchall() == [(3,)]
    dbt("run", "--full-refresh")
    ledger.load([Event("gate", NOON, "van")])
    dbt("run")
    assert oracle.differences(MARTS | LIVE_VIEWS) == {}
