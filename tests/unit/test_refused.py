"""Statements that Citus refuses are found by their text; those that it takes pass."""

import pytest

from tests.support.refused import refused

_LAST = "cross join lateral (select * from int_event_runs as r where r.x < b.x limit 1) as l"


@pytest.mark.parametrize(
    "statement",
    [
        "select * from fct_alerts inner join (select * from x.categories offset 0) as b on true",
        "with a as materialized (select 1) select * from a cross join lateral"
        " (select * from fct_alerts as f where f.x < a.x offset 0) as b",
        "select 1 except select 2",
        "select * from a cross join lateral generate_series(1, a.n) as n",
        "update progress set definition = (select x from stg_video_events__event_types)",
        "select current_setting('video_events.hi') from fct_alerts",
        "create table fct_alerts as (select 1)",
        "create function f(since timestamptz) as $$ select * from fct_alerts where t > since $$"
        " language sql",
        f"with buckets as materialized (select 1) select * from buckets as b {_LAST}",
        "with a as materialized (select 1), b as (select distinct x from a) "
        f"select * from b {_LAST}",
        f"select * from fct_alerts as f inner join x.alert_rules as b on true {_LAST}",
        f"select * from (select * from x.alert_rules) as b {_LAST}",
        f"with a as materialized (select 1) select * from a as b {_LAST}".replace(
            "* from int_event_runs as r where r.x < b.x limit 1",
            "count(*) from int_event_runs as r where r.x < b.x",
        ),
    ],
)
def test_what_citus_refuses(statement: str) -> None:
    """Each of the constructs."""
    assert refused(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "select generate_series(1, n) from fct_alerts",
        "create table fct_alerts as (select 1) with no data",
        "create temporary table changes as (select 1)",
        f"select * from fct_alerts as b {_LAST}",
        f"select * from fct_alerts as b {_LAST}".replace("limit 1", "offset 0"),
        "with a as materialized (select 1) select * from (select distinct * from (select distinct"
        f" c.source_id from raw.event_chunks as c) as p join a using (x)) as b {_LAST}",
        "with a as materialized (select 1) select * from a as b cross join lateral"
        " (select r.x, count(*) from int_event_runs as r where r.x < b.x group by r.x) as l",
    ],
)
def test_what_citus_takes(statement: str) -> None:
    """The forms that stand in their place."""
    assert refused(statement) == []
