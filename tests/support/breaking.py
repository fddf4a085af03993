"""Breaks what each data test of the project looks at, and tells which tests do not notice."""

from collections.abc import Iterator
from typing import Any

from dbt.contracts.graph.manifest import Manifest
from psycopg import Connection, Rollback, sql
from psycopg.rows import TupleRow

COUNTED = ("fct_hourly_detections", "fct_daily_activity", "fct_activity_periods",
           "fct_category_activity_periods", "dim_sources")  # fmt: skip

# Each statement must be noticed by itself.
SINGULAR: dict[str, list[str]] = {
    "assert_marts_count_the_same_events": [
        *(f"truncate analytics.{mart}" for mart in COUNTED),
        *(f"update analytics.{mart} set event_count = event_count + 1" for mart in COUNTED),
        "update analytics.fct_hourly_detections set event_type = 'x' || event_type",
        "update analytics.fct_daily_activity set activity_date = activity_date + 1",
        *(f"truncate {mart}" for mart in [", ".join(f"analytics.{mart}" for mart in COUNTED)]),
    ],
    "assert_source_periods_are_a_gap_apart": [
        "insert into analytics.fct_activity_periods (activity_period_id, source_id, source_name,"
        " category, event_count, started_at, ended_at, duration, duration_seconds)"
        " select 'x' || activity_period_id, source_id, source_name, category, 1,"
        " ended_at + interval '59 seconds', ended_at + interval '59 seconds', interval '0', 0"
        " from analytics.fct_activity_periods",
    ],
    "assert_category_periods_are_a_gap_apart": [
        "insert into analytics.fct_category_activity_periods (category_activity_period_id,"
        " category, source_ids, source_count, event_count, started_at, ended_at, duration,"
        " duration_seconds, source_names)"
        " select 'x' || category_activity_period_id, category, source_ids, source_count, 1,"
        " ended_at + interval '59 seconds', ended_at + interval '59 seconds', interval '0', 0, ''"
        " from analytics.fct_category_activity_periods",
    ],
    "assert_zone_of_reports_has_whole_hours": [
        "update analytics.fct_hourly_detections set hour_started_at = hour_started_at + '30 min'"
    ],
    "assert_alerts_meet_their_rule": [
        "update analytics.fct_alerts set triggered_at = started_at - interval '1 second'",
        "update analytics.fct_alerts set triggered_at = ended_at + interval '1 second'",
        "update analytics.fct_alerts set category = 'none'",
        "update analytics.fct_alerts set rule_name = 'none'",
        "update analytics.fct_alerts set event_count = 1",
        "update analytics_internal.alert_rules set min_duration = '1 year'",
    ],
    "assert_alerts_are_complete": [
        "delete from analytics.fct_alerts where first_event_type = ''",
        "delete from analytics.fct_alerts where first_event_type <> ''",
    ],
    "assert_ledger_has_no_gaps": [
        "update raw.loads set load_seq = load_seq + 9 where load_seq = 2",
        "update raw.load_counter set load_seq = load_seq + 1",
        "delete from raw.load_counter",
        "update raw.loads set load_seq = null",
    ],
    "assert_event_types_have_a_category": ["delete from analytics_internal.event_types"],
}
VALUES = {"text": "'no such value'", "integer": "-1", "smallint": "-1", "bigint": "-1"}


def unnoticed(conn: Connection[TupleRow], manifest: Manifest, tests: list[Any]) -> list[str]:
    """Return, of data tests that were run, those that notice nothing, and how.

    Args:
        manifest: the project's.
        tests: nodes of the tests, compiled. What they look at holds some rows.
    """
    found = []
    for test in tests:
        failures = sql.SQL("select count(*) from ({}) as failures").format(
            sql.SQL(test.compiled_code)
        )
        breaks = list(_breaks(conn, manifest, test))
        if not breaks:
            found.append(f"{test.name}: nothing breaks its data")
        for statement in ["", *breaks]:
            with conn.transaction():
                if statement:
                    conn.execute(statement.encode())
                (count,) = conn.execute(failures).fetchone() or (0,)
                if bool(count) != bool(statement):
                    found.append(f"{test.name}: {count} failures after: {statement or 'nothing'}")
                raise Rollback
    return found


def _breaks(conn: Connection[TupleRow], manifest: Manifest, test: Any) -> Iterator[str]:
    """Yield statements each of which breaks what a test looks at."""
    if not hasattr(test, "test_metadata"):
        yield from SINGULAR.get(test.name, [])
        return
    node = {**manifest.nodes, **manifest.sources}[test.attached_node or test.depends_on.nodes[0]]
    relation = f"{node.schema}.{node.identifier}"
    columns = conn.execute(
        "select attname, format_type(atttypid, null) from pg_attribute"
        " where attrelid = %s::regclass and attnum > 0 and not attisdropped order by attnum",
        [relation],
    ).fetchall()
    types = {str(name): str(type_) for name, type_ in columns}
    column = str(test.test_metadata.kwargs["column_name"])
    rows = f"select * from {node.schema}.kept"
    match test.test_metadata.name:
        case "unique":
            rows += f" union all {rows}"
        case "not_null":
            rows = rows.replace("*", _replaced(types, column, f"null::{types[column]}"))
        case "accepted_values" | "relationships":
            rows = rows.replace("*", _replaced(types, column, VALUES[types[column]]))
        case _:
            return
    # A view in its place, because constraints of a table keep some data from being broken.
    yield f"alter table {relation} rename to kept; create view {relation} as {rows}"


def _replaced(types: dict[str, str], column: str, value: str) -> str:
    return ", ".join(f"{value} as {name}" if name == column else name for name in types)
