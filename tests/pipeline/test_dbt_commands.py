"""Each command of dbt does what the reference says: the lines of its tables are run, in order."""

import re
import shlex
import shutil
import socketserver
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from dbt.cli.main import dbtRunner, dbtRunnerResult
from psycopg import Connection
from psycopg.rows import TupleRow

from tests.support.dbt import PROJECT, Dbt, dbt_options, messages
from tests.support.ledger import Ledger
from tests.support.oracle import LIVE_VIEWS, MARTS, Oracle
from tests.support.scenarios import Event

PAGE = PROJECT / "docs/reference/dbt-commands.md"
ROW = re.compile(r"^\| `dbt ([^`]+)` \| (works|stops) \| (.*?) ?\|$", re.MULTILINE)
NOON = datetime(2024, 5, 13, 12, tzinfo=UTC)
SNAPSHOT = {
    "name": "sources_over_time",
    "relation": "ref('dim_sources')",
    "config": {"unique_key": "source_id", "strategy": "check", "check_cols": ["event_count"]},
}
SELECTOR = {"name": "periods", "definition": "+fct_daily_activity"}


@dataclass(kw_only=True)
class Bench:
    """Where the commands are run: a copy of the project, and a database.

    Attributes:
        dbt: dbt on the target of production.
        dev: dbt on another target.
        state: a folder for the manifest of production.
        loads: how many files were loaded.
        result: what the command returned.
        kept: what a case wants to know after the command.
    """

    dbt: Dbt
    dev: Dbt
    state: Path
    ledger: Ledger
    conn: Connection[TupleRow]
    loads: int = 0
    result: dbtRunnerResult = field(default_factory=lambda: dbtRunnerResult(success=False))
    kept: Any = None

    def load(self) -> None:
        """Load some events: before, after and between those that are there."""
        self.loads += 1
        sign = (-1) ** self.loads
        self.ledger.load(
            Event("gate", NOON + timedelta(seconds=sign * self.loads + 47 * sign * n), kind)
            for n, kind in enumerate(["car", *["pedestrian"] * 5, "van"] * 2)
        )

    def run(self, command: str) -> dbtRunnerResult:
        """Run a line of the tables."""
        words = [str(self.state) if word == "STATE" else word for word in shlex.split(command)]
        dbt = self.dev if "--target dev" in command else self.dbt
        options = dbt_options(dbt.profiles, dbt.target, dbt.project)
        if words[0] in ("deps", "debug"):
            at = options.index("--target-path")
            return dbtRunner().invoke([*words, *options[:at], *options[at + 2 :]])
        if words[0] in ("docs", "source"):
            return dbtRunner(manifest=dbt.manifest).invoke([*words, *options])
        # What was parsed, for the lines with STATE.
        kept = ["--write-json"] if words[0] == "build" else []
        return dbt.attempt(*words, *kept)

    @property
    def found(self) -> Any:
        """Return what the command gave: results, or a catalogue."""
        return self.result.result

    def rows(self, query: str) -> list[TupleRow]:
        """Return what a query gives."""
        return self.conn.execute(query.encode()).fetchall()

    def everything(self) -> list[TupleRow]:
        """Return what differs when anything was changed: relations, their files, marks."""
        relations = self.rows(
            "select oid, relfilenode, relname, xmin::text from pg_class"
            " where relnamespace::regnamespace::text !~ '^pg_' order by oid"
        )
        is_built = self.rows("select to_regclass('analytics_internal.model_progress') is not null")
        return [
            *relations,
            *(self.rows("table analytics_internal.model_progress") if is_built[0][0] else []),
        ]


def nothing(bench: Bench) -> None:
    """Leave all as it is."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What belongs to a line: what comes before it, and what is demanded after it."""

    before: Callable[[Bench], None] = Bench.load
    check: Callable[[Bench], object]


def succeeded(bench: Bench) -> None:
    """Demand no more than that the command succeeds, which is demanded of all."""


def exact(bench: Bench) -> None:
    """Demand that marts and live views hold all that is visible."""
    assert Oracle(conn=bench.conn).differences(MARTS | LIVE_VIEWS) == {}


def exact_with_two_minutes(bench: Bench) -> None:
    """Demand the same with another gap."""
    assert Oracle(conn=bench.conn, gap="2 minutes").differences(MARTS | LIVE_VIEWS) == {}


def unchanged(bench: Bench) -> None:
    """Demand that nothing was changed."""
    assert bench.everything() == bench.kept


def shows_as_many_events_as_there_are(bench: Bench) -> None:
    """Demand of ``dbt show`` the numbers of all that is visible, without the loads twice."""
    results = {found.node.name: found for found in bench.found.results}
    shown = results.get("fct_activity_periods") or results["inline_query"]
    events = sum(int(row["event_count"]) for row in shown.agate_table.rows)
    assert [(events,)] == bench.rows("select sum(rows_loaded) from raw.loads")


def no_stored_rows(bench: Bench) -> None:
    """Demand SQL of a build from scratch."""
    compiled = {found.node.name: found.node.compiled_code for found in bench.found.results}
    assert '"fct_activity_periods"' not in compiled["fct_activity_periods"]


def is_fresh(bench: Bench) -> None:
    """Demand that the age of the ledger was found, and that it is no matter."""
    statuses = {found.node.name: str(found.status) for found in bench.found.results}
    assert statuses["loads"] == "pass"


def hide_raw(bench: Bench) -> None:
    """Make the database one that nothing was ever loaded into."""
    bench.conn.execute("alter schema raw rename to hidden")


def show_raw(bench: Bench) -> None:
    """Undo it."""
    assert bench.rows("select count(*) from analytics_internal.event_types") > [(0,)]
    bench.conn.execute("alter schema hidden rename to raw")


def hide_chunks(bench: Bench) -> None:
    """Make the database one of an older loader."""
    bench.conn.execute("alter table raw.event_chunks rename to events_in_rows")


def show_chunks(bench: Bench) -> None:
    """Undo it."""
    unchanged(bench)
    bench.conn.execute("alter table raw.events_in_rows rename to event_chunks")


def make_older(bench: Bench) -> None:
    """Have a table lack a column that its model has now."""
    bench.conn.execute(
        "alter table analytics_internal.int_event_runs rename event_count to mislaid"
    )


def make_newer(bench: Bench) -> None:
    """Undo it."""
    unchanged(bench)
    bench.conn.execute(
        "alter table analytics_internal.int_event_runs rename mislaid to event_count"
    )


def hide_seed(bench: Bench) -> None:
    """Make the target one that was never seeded."""
    bench.conn.execute("alter table analytics_internal.event_types rename to mislaid")


def show_seed(bench: Bench) -> None:
    """Undo it."""
    unchanged(bench)
    bench.conn.execute("alter table analytics_internal.mislaid rename to event_types")


def keep_state(bench: Bench) -> None:
    """Keep the manifest of the first build."""
    shutil.copy(bench.dbt.target / "manifest.json", bench.state)
    exact(bench)


def fail_to_run(bench: Bench) -> None:
    """Let a run fail, and mend its cause."""
    bench.load()
    bench.conn.execute("alter table raw.retention rename to mislaid")
    # What went wrong is written down for the retry.
    assert not bench.dbt.attempt("run", "--full-refresh", "--write-json").success
    bench.conn.execute("alter table raw.mislaid rename to retention")


def failures_are_stored(bench: Bench) -> None:
    """Demand the tables that failures are kept in."""
    there = "to_regnamespace('analytics_dbt_test__audit')"
    assert bench.rows(f"select count(*) from pg_class where relnamespace = {there}") > [(0,)]


def is_snapshot(bench: Bench) -> None:
    """Demand a snapshot of what the mart holds, beside the one of the first build."""
    columns = "select source_id, source_name, event_count from analytics"
    now = bench.rows(f"{columns}.sources_over_time where dbt_valid_to is null")
    assert now == bench.rows(f"{columns}.dim_sources") != []
    assert bench.rows("select count(*) from analytics.sources_over_time") > [(1,)]


def is_documented(bench: Bench) -> None:
    """Demand the pages of dbt, with what is in the database."""
    assert "model.video_events.fct_activity_periods" in bench.found.nodes


def is_copied(bench: Bench) -> None:
    """Demand tables with the rows and marks of production, and views that show what it shows."""
    inside = (f"_internal.{name}" for name in ("int_event_runs", "event_types"))
    for name in (*(f".{name}" for name in (*MARTS, *LIVE_VIEWS)), *inside):
        production, copy = (
            bench.rows(f"select * from {schema}{name} as relation order by relation::text")
            for schema in ("analytics", "dev")
        )
        assert copy == production != [], name
    marks = "select model_name, load_seq, definition from {}_internal.model_progress order by 1"
    assert bench.rows(marks.format("dev")) == bench.rows(marks.format("analytics"))
    keep_dev_file(bench)


def keep_dev_file(bench: Bench) -> None:
    """Note which table the periods of the other target are: built anew, they are another one."""
    bench.kept = bench.rows("select 'dev.fct_activity_periods'::regclass::oid")


def load_only(bench: Bench) -> None:
    """Load, and note which table is there."""
    bench.load()
    keep_dev_file(bench)


def goes_on(bench: Bench) -> None:
    """Demand exact tables of the other target that were not built from scratch."""
    assert Oracle(conn=bench.conn, shown_in="dev").differences(MARTS | LIVE_VIEWS) == {}
    assert bench.rows("select 'dev.fct_activity_periods'::regclass::oid") == bench.kept


def run_production(bench: Bench) -> None:
    """Bring production further than the other target."""
    bench.load()
    bench.dbt("run")


def alerts_are_exact(bench: Bench, schema: str = "analytics") -> None:
    """Demand exact alerts."""
    alerts = {"fct_alerts": MARTS["fct_alerts"]}
    assert Oracle(conn=bench.conn, shown_in=schema).differences(alerts) == {}


def days_are_exact(bench: Bench) -> None:
    """Demand an exact daily activity."""
    days = {"fct_daily_activity": MARTS["fct_daily_activity"]}
    assert Oracle(conn=bench.conn).differences(days) == {}


def make_logs(bench: Bench) -> None:
    """Have something to be removed."""
    (bench.dbt.project / "logs").mkdir()


def is_clean(bench: Bench) -> None:
    """Demand that what dbt wrote into the project is gone."""
    assert not (bench.dbt.project / "logs").exists()


PERIODS = "select * from {{ ref('fct_activity_periods') }}"
STOPS = Case(check=unchanged)
SUCCEEDS = Case(before=nothing, check=succeeded)
EXACT = Case(check=exact)
CASES = {
    "build": Case(before=hide_raw, check=unchanged),
    "run --select fct_alerts": Case(before=nothing, check=unchanged),
    "seed": Case(before=nothing, check=show_raw),
    "run --select dim_sources": Case(before=hide_chunks, check=show_chunks),
    "run --select stg_video_events__event_types": Case(before=hide_seed, check=show_seed),
    "debug": SUCCEEDS,
    "deps": SUCCEEDS,
    "parse": SUCCEEDS,
    "ls --select +dim_sources": SUCCEEDS,
    "build --exclude-resource-type unit_test": Case(check=keep_state),
    "run": EXACT,
    "run --full-refresh": EXACT,
    "run --threads 2 --fail-fast --no-populate-cache --warn-error --target-path elsewhere": EXACT,
    "run --select +fct_alerts --exclude stg_video_events__events": Case(check=alerts_are_exact),
    "run --selector periods --cache-selected-only": Case(check=days_are_exact),
    "build --resource-type model function --event-time-start 2024-05-13"
    " --event-time-end 2024-05-14": EXACT,
    "build --empty": STOPS,
    'run --sample "3 days"': STOPS,
    'run --select fct_activity_periods+ --vars "activity_gap: 2 minutes"': STOPS,
    "run --select int_event_runs": Case(before=make_older, check=make_newer),
    'run --full-refresh --vars "activity_gap: 2 minutes"': Case(check=exact_with_two_minutes),
    "retry": Case(before=fail_to_run, check=exact),
    "test --select fct_activity_periods --indirect-selection cautious": SUCCEEDS,
    "test --select dim_sources --store-failures": Case(check=failures_are_stored),
    "compile --select fct_activity_periods": Case(check=no_stored_rows),
    "show --select fct_activity_periods --limit 1000": Case(
        check=shows_as_many_events_as_there_are
    ),
    f'show --inline "{PERIODS}" --limit 1000': Case(
        before=run_production, check=shows_as_many_events_as_there_are
    ),
    "snapshot": Case(before=nothing, check=is_snapshot),
    "source freshness": Case(before=nothing, check=is_fresh),
    'run-operation share_by_source --args "role: pg_monitor"': SUCCEEDS,
    "docs generate": Case(before=nothing, check=is_documented),
    "docs serve --no-browser --port 0": SUCCEEDS,
    "clone --state STATE --target dev": Case(check=is_copied),
    "run --target dev": Case(before=load_only, check=goes_on),
    "run --defer --favor-state --state STATE --target dev --select fct_alerts": Case(
        before=run_production, check=partial(alerts_are_exact, schema="dev")
    ),
    "clean": Case(before=make_logs, check=is_clean),
}


@pytest.fixture
def bench(
    conn: Connection[TupleRow],
    dbt: Dbt,
    ledger: Ledger,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Bench:
    """Return a copy of the project with a snapshot, a selector and a second target."""
    project = tmp_path / "project"
    for name in ("models", "macros", "seeds", "functions", "tests/dbt"):
        shutil.copytree(PROJECT / name, project / name)
    shutil.copy(PROJECT / "dbt_project.yml", project)
    write_yaml(project / "snapshots" / "mine.yml", {"snapshots": [SNAPSHOT]})
    write_yaml(project / "selectors.yml", {"selectors": [SELECTOR]})
    profiles = yaml.safe_load((dbt.profiles / "profiles.yml").read_text())
    outputs = profiles["video_events"]["outputs"]
    outputs["dev"] = outputs["default"] | {"schema": "dev"}
    write_yaml(dbt.profiles / "profiles.yml", profiles)
    profiles["video_events"]["target"] = "dev"
    write_yaml(tmp_path / "dev" / "profiles.yml", profiles)
    (tmp_path / "state").mkdir()
    # `dbt docs serve` would serve for ever, from a folder that it makes the current one.
    monkeypatch.setattr(socketserver.TCPServer, "serve_forever", lambda _: None)
    monkeypatch.chdir(tmp_path)
    dbt = replace(dbt, project=project)
    dev = replace(dbt, profiles=tmp_path / "dev", target=tmp_path / "dev_target")
    return Bench(dbt=dbt, dev=dev, state=tmp_path / "state", ledger=ledger, conn=conn)


def test_each_line_of_the_tables_is_as_it_says(bench: Bench) -> None:
    lines = ROW.findall(PAGE.read_text())
    assert [command for command, _, _ in lines] == list(CASES)
    for command, verdict, text in lines:
        case = CASES[command]
        case.before(bench)
        if verdict == "stops":
            bench.kept = bench.everything()
        bench.result = bench.run(command)
        said = messages(bench.result)
        assert bench.result.success == (verdict == "works"), f"{command}: {said}"
        assert verdict == "works" or text.strip("`") in said, command
        case.check(bench)


def write_yaml(path: Path, content: object) -> None:
    """Write a YAML file, and its folder."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(content))
