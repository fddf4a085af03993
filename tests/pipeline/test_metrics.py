"""The metrics: what ``mf query`` answers is what SQL says of the visible events."""

import csv
import json
import math
import random
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from tests.support.dbt import PROJECT, Dbt
from tests.support.ledger import Ledger
from tests.support.oracle import ALERTS, EVENTS, PERIODS
from tests.support.scenarios import scenario

# Clocks change in the night after the first events, and summer days begin at 22:00 UTC.
ZONE = "Europe/Berlin"
# What `mf` runs, many times in one process: most of its time goes into imports.
RUN_MF = """
import json, sys
from dbt_metricflow.cli.cli_configuration import CLIConfiguration
from dbt_metricflow.cli.main import cli
configuration = CLIConfiguration()
for arguments in json.load(sys.stdin):
    cli.main(arguments, obj=configuration, standalone_mode=False)
"""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked of MetricFlow, and the SQL of the same answer."""

    metrics: str
    group_by: str
    sql: str
    options: tuple[str, ...] = ()


QUESTIONS = [
    Question(
        metrics="events",
        group_by="category,metric_time__week",
        sql="""
            select category, date_trunc('week', t at time zone '{zone}') as metric_time__week,
                   count(*) as events
            from visible group by 1, 2
        """,
    ),
    Question(
        metrics="events",
        group_by="event_type,metric_time__hour",
        options=("--where", "{{ Entity('category') }} <> 'people'"),
        sql="""
            select event_type, date_trunc('hour', t at time zone '{zone}') as metric_time__hour,
                   count(*) as events
            from visible where category <> 'people' group by 1, 2
        """,
    ),
    Question(
        metrics="periods,mean_dwell_seconds,median_dwell_seconds,longest_dwell_seconds",
        group_by="source,metric_time__month",
        sql="""
            select source_name as source,
                   date_trunc('month', started_at at time zone '{zone}') as metric_time__month,
                   count(*) as periods,
                   avg(extract(epoch from ended_at - started_at)) as mean_dwell_seconds,
                   percentile_cont(0.5) within group (
                       order by extract(epoch from ended_at - started_at)
                   ) as median_dwell_seconds,
                   max(extract(epoch from ended_at - started_at)) as longest_dwell_seconds
            from periods group by 1, 2
        """,
    ),
    Question(
        metrics="events_per_period",
        group_by="category",
        sql="""
            select category, e.events / p.periods::double precision as events_per_period
            from (select category, count(*) as events from visible group by 1) e
            join (select category, count(*) as periods from periods group by 1) p using (category)
        """,
    ),
    Question(
        metrics="active_seconds,occupancy",
        group_by="category,metric_time__day",
        sql="""
            select category, day as metric_time__day,
                   sum(active) as active_seconds, sum(active) / sum(length) as occupancy
            from active_days group by 1, 2
        """,
    ),
    Question(
        metrics="occupancy",
        group_by="source",
        sql="""
            select source_name as source, sum(active) / sum(length) as occupancy
            from active_days group by 1
        """,
    ),
    Question(
        metrics="alerts",
        group_by="rule,metric_time__day",
        sql="""
            select rule_name as rule,
                   date_trunc('day', triggered_at at time zone '{zone}') as metric_time__day,
                   count(*) as alerts
            from ({alerts}) found group by 1, 2
        """.replace("{alerts}", ALERTS),
    ),
    Question(
        metrics="unusual_hours",
        group_by="source,metric_time__day",
        sql="""
            select source_name as source,
                   date_trunc('day', hour_started_at_local) as metric_time__day,
                   count(*) filter (where is_unusual) as unusual_hours
            from analytics.rpt_unusual_hours group by 1, 2
        """,
    ),
    Question(
        metrics="late_events",
        group_by="source",
        sql="""
            select source_name as source, late_event_count as late_events
            from analytics.rpt_source_health
        """,
    ),
    Question(
        metrics="events_change",
        group_by="category,metric_time__day",
        sql="""
            select category, day as metric_time__day,
                   (coalesce(now.events, 0) - before.events) / before.events::double precision
                       as events_change
            from (
                select category, date_trunc('day', t at time zone '{zone}') as day,
                       count(*) as events
                from visible group by 1, 2
            ) now
            full join (
                select category, count(*) as events,
                       date_trunc('day', t at time zone '{zone}') + interval '7 days' as day
                from visible group by 1, 3
            ) before using (category, day)
            where day <= (select max(t at time zone '{zone}') from visible)
        """,
    ),
]
# Every day of every category of every source, cut by the bounds of the day in the zone.
ACTIVE_DAYS = """
    active_days as (
        select s.source_name, s.category, s.day,
               extract(epoch from s.until - s.since) as length,
               coalesce((
                   select sum(extract(epoch from
                       least(p.ended_at, s.until) - greatest(p.started_at, s.since)
                   ))
                   from periods p
                   where p.source_id = s.source_id and p.category = s.category
                     and p.started_at < s.until and p.ended_at > s.since
               ), 0) as active
        from (
            select seen.*, day, day at time zone '{zone}' as since,
                   (day + interval '1 day') at time zone '{zone}' as until
            from (select distinct source_id, source_name, category from visible) seen
            join (
                select source_id, generate_series(
                    date_trunc('day', min(t) at time zone '{zone}'),
                    (select max(t) at time zone '{zone}' from visible), interval '1 day'
                ) as day
                from visible group by 1
            ) days using (source_id)
        ) s
    )
"""


@pytest.fixture
def metricflow(dbt: Dbt, tmp_path: Path) -> Path:
    """A directory in which ``mf`` finds what dbt has parsed, once that is in its target."""
    directory = tmp_path / "metricflow"
    directory.mkdir()
    shutil.copy(PROJECT / "dbt_project.yml", directory)
    shutil.copy(dbt.profiles / "profiles.yml", directory)
    dbt.target = directory / "target"
    dbt.variables = {"report_timezone": ZONE}
    return directory


def ask(directory: Path, environment: dict[str, str], questions: list[Question]) -> list[Path]:
    """Let MetricFlow check the metrics, then answer questions into CSV files."""
    answers = [directory / f"answer-{number}.csv" for number in range(len(questions))]
    commands = [
        [
            "query", "--metrics", question.metrics, "--group-by", question.group_by,
            *question.options, "--csv", str(answer), "--quiet",
        ]
        for question, answer in zip(questions, answers, strict=True)
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", RUN_MF],
        input=json.dumps([*commands, ["validate-configs"]]),
        cwd=directory, env=environment, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return answers


def plain(value: object) -> object:
    """Return a value as both sides can be compared: numbers as floats, times as times."""
    text = "" if value is None else str(value)
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return text


def is_same(one: object, other: object) -> bool:
    """Compare values; numbers up to what is lost by adding them up in another order.

    Rounded ones would differ where that falls on both sides of a half.
    """
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-12, abs_tol=1e-9)
    return one == other


def test_metricflow_answers_what_sql_says(
    conn: Connection[TupleRow], dbt: Dbt, ledger: Ledger, metricflow: Path,
    pg_environment: dict[str, str], generator: random.Random,
) -> None:  # fmt: skip
    events = [event for number in range(30) for event in scenario(number, generator)]
    # The same week again, without some sources; a week of silence; and a day of it once more.
    later = [
        type(event)(event.source, event.time + timedelta(days=days), event.type)
        for days, sources in ((7, 20), (21, 6))
        for event in events
        if int(event.source.split()[-1]) < sources
    ]
    ledger.load(events)
    dbt.build()
    ledger.load(later)
    dbt.build("--write-json")
    # What is asked for must not depend on the zone of the session: 31 March has no midnight there.
    answers = ask(metricflow, {**pg_environment, "PGTZ": "Asia/Beirut"}, QUESTIONS)
    for question, answer in zip(QUESTIONS, answers, strict=True):
        with answer.open() as file:
            header, *found = list(csv.reader(file))
        columns = ", ".join(header)
        query = f"with {EVENTS}, {PERIODS}, {ACTIVE_DAYS} select {columns} from ({question.sql}) q"
        settings = {"schema": "analytics", "gap": "1 minute", "events": "raw.events", "zone": ZONE}
        expected = conn.execute(query.format_map(settings).encode()).fetchall()
        assert len(expected) > 1, question
        answered, wanted = (
            sorted([plain(value) for value in row] for row in rows) for rows in (found, expected)
        )
        assert len(answered) == len(wanted), question
        for mine, theirs in zip(answered, wanted, strict=True):
            assert all(map(is_same, mine, theirs)), (question, mine, theirs)
