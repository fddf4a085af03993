"""Models on the nodes of a Citus cluster: row for row what they are on one machine."""

import json
import os
import random
import re
from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow

from loader.database.citus import between_commits
from tests.conftest import Outcome
from tests.support.dbt import Dbt
from tests.support.forks import FORKS
from tests.support.ledger import Ledger
from tests.support.nodes import death
from tests.support.oracle import LIVE_VIEWS, MARTS, REPORTS, Oracle
from tests.support.processes import Processes
from tests.support.scenarios import rounds, scenario

from .test_law import prove

SCENARIOS = int(os.environ.get("CITUS_SCENARIOS", "120"))
RUNS = int(os.environ.get("CITUS_RUNS", "2"))
KILLS = int(os.environ.get("CITUS_KILLS", "4"))
FUNCTIONS = (
    "activity_periods_between('5 minutes', '2024-03-30', '2024-04-30')",
    "events_between('2024-03-30', '2024-04-30')",
    "activity_periods_as_of(2, '2024-03-30', '2024-04-30')",
    "category_activity_periods_as_of(2, '2024-03-30', '2024-04-30')",
    "alerts_as_of(2, '2024-03-30', '2024-04-30')",
    "alerts_of_change_as_of("
    "2, array(select source_id from raw.sources), '2024-03-30', '2024-04-30')",
    "hourly_detections_as_of(2, '2024-03-30', '2024-04-30')",
)


@pytest.fixture
def dsn(citus_dsn: str) -> Iterator[str]:
    """The DSN of a coordinator's database; what tests keep there is gone afterwards."""
    yield citus_dsn
    with psycopg.connect(citus_dsn, autocommit=True) as admin:
        admin.execute("drop schema if exists analytics_by_source cascade")
        admin.execute("drop role if exists test_guard")
        for (name,) in admin.execute(
            "select relname from pg_class where relname like 'copy\\_of\\_%'"
        ).fetchall():
            admin.execute(f"drop table public.{name}".encode())


@pytest.fixture
def pg_environment(dsn: str) -> dict[str, str]:
    """The environment in which dbt and the loader find the coordinator."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "LOADER_", "DBT_"))}
    given = conninfo_to_dict(dsn)
    names = {"PGHOST": "host", "PGPORT": "port", "PGUSER": "user", "PGPASSWORD": "password"}
    names["PGDATABASE"] = "dbname"
    return {**kept, **{name: str(given[key]) for name, key in names.items() if key in given}}


def test_the_law_holds_on_a_cluster(
    run_loader: Callable[..., Outcome],
    conn: Connection[TupleRow],
    dbt: Dbt,
    ledger: Ledger,
    generator: random.Random,
) -> None:
    """From scratch, after batches and withdrawals, in live views and reports."""
    assert run_loader("cluster", "init").exit_code == 0
    prove(conn, dbt, ledger, generator, set_up=lambda _: None, scenarios=SCENARIOS)


def test_a_database_that_moves_keeps_its_models(
    run_loader: Callable[..., Outcome],
    conn: Connection[TupleRow],
    dbt: Dbt,
    ledger: Ledger,
    generator: random.Random,
) -> None:
    """Tables move with the next run, and functions, tests and views say what they said before."""
    first, second = rounds(30, generator, count=2, loads=2)
    for events in first:
        ledger.load(events)
    dbt.build()
    before = _answers(conn, run_loader)
    assert run_loader("cluster", "init").exit_code == 0
    for events in second:
        ledger.load(events)
    ledger.withdraw(1)
    # All of it, with tests and unit tests.
    dbt("build", "--exclude", "assert_event_types_have_a_category")
    assert conn.execute(
        "select count(*) from pg_dist_partition where partmethod = 'h'"
        " and logicalrelid::text like 'analytics%'"
    ).fetchone() == (6,)
    # As to a node that is added, or from one that is taken away.
    conn.execute(
        "select citus_move_shard_placement("
        "shards.shardid, shards.nodename, shards.nodeport, others.nodename, others.nodeport)"
        " from (select * from citus_shards where table_name = 'raw.event_chunks'::regclass limit 1)"
        " as shards inner join pg_dist_node as others"
        " on others.shouldhaveshards and others.nodeport <> shards.nodeport limit 1"
    )
    assert Oracle(conn=conn).differences(MARTS | LIVE_VIEWS | REPORTS) == {}
    after = _answers(conn, run_loader)
    # The first two are of now, and load 1 is withdrawn.
    assert after[2:] == before[2:]
    assert all(after)

    conn.execute("create role test_guard login")
    dbt("run-operation", "share_by_source", "--args", "{role: test_guard}")
    conn.execute(
        "insert into analytics_by_source.source_access values ('test_guard', 'scenario 4')"
    )
    shown = "select count(*), min(source_name), max(source_name) from analytics_by_source."
    conn.execute("set session authorization test_guard")
    for relation in ("fct_activity_periods", "alerts_live", "rpt_busy_hours"):
        rows = conn.execute((shown + relation).encode()).fetchall()
        assert rows[0][0] == 0 or rows[0][1:] == ("scenario 4", "scenario 4")
    periods = conn.execute((shown + "fct_activity_periods").encode()).fetchone()
    assert periods is not None
    assert periods[0] > 0
    conn.execute("reset session authorization")

    # Nodes are entered as whoever reads, also for what a view reads with the rights of its owner.
    roles = [f"--{name}-role=citus_test_{name}" for name in ("loader", "transformer", "reader")]
    assert run_loader("roles", *roles).exit_code == 0
    conn.execute("alter role citus_test_reader login")
    conn.execute("grant select on all tables in schema analytics to citus_test_reader")
    conn.execute("set session authorization citus_test_reader")
    with between_commits(conn, "analytics"):
        for relation in sorted(MARTS | LIVE_VIEWS | REPORTS):
            conn.execute(f"select count(*) from analytics.{relation}".encode())
    conn.execute("reset session authorization")
    as_reader = make_conninfo(conn.info.dsn, user="citus_test_reader")
    alerts = [run_loader("alerts", "--json", "--dsn", dsn) for dsn in (conn.info.dsn, as_reader)]
    assert alerts[0].stdout == alerts[1].stdout != "[]"

    # What goes to the nodes for a look at live views does not grow with the ledger.
    sent = _sent_to_nodes(conn)
    conn.execute(
        "insert into raw.loads (origin, loader_version, schema_version, load_seq, published_at)"
        " select 'test', 'test', 2, load_seq - 10000 + n, now()"
        " from (select load_seq from raw.load_counter) as counter, generate_series(1, 9000) as n"
    )
    assert _sent_to_nodes(conn) < sent + 1000


def test_runs_beside_loaders_are_exact(
    run_loader: Callable[..., Outcome],
    conn: Connection[TupleRow],
    processes: Processes,
    dbt: Dbt,
    generator: random.Random,
) -> None:
    assert run_loader("cluster", "init").exit_code == 0
    dbt.build()
    loaders = [processes.start_loader(generator.randrange(2**32)) for _ in range(2)]
    for _ in range(RUNS):
        # Two at once: one waits for the other, model by model.
        runs = [processes.start_dbt("run") for _ in range(2)]
        assert all(run.wait() for run in runs)
        assert [run.failure for run in runs] == [None, None]
        assert run_loader("maintain", "--quiet").exit_code == 0
    processes.stop_loaders(loaders)
    dbt("run")
    oracle = Oracle(conn=conn)
    assert oracle.differences(MARTS | LIVE_VIEWS) == {}
    _expect_the_same_from_scratch(dbt, oracle)


def test_nodes_die_while_models_are_built(
    run_loader: Callable[..., Outcome],
    conn: Connection[TupleRow],
    dbt: Dbt,
    ledger: Ledger,
    generator: random.Random,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Some of them between PREPARE and COMMIT; the next run has it all."""
    assert run_loader("cluster", "init").exit_code == 0
    dbt.build()
    oracle = Oracle(conn=conn)
    deaths = between = failed = 0
    visible: list[int] = []
    while deaths < KILLS:
        _load_and_withdraw(ledger, visible, generator)
        options = generator.choice([[], [], ["--full-refresh"]])
        with death(conn, generator, within=4, looks=1_000_000) as died:
            result = dbt.attempt("run", *options)
        deaths += died.is_dead
        between += died.is_dead and died.is_between
        failed += not result.success
        # Of those that were built in spite of it, and of those that were not.
        with between_commits(conn, "analytics"):
            assert oracle.differences(LIVE_VIEWS) == {}
        dbt("run")
        assert oracle.differences(MARTS | LIVE_VIEWS) == {}
    with capsys.disabled():
        print(f"{deaths} deaths, {between} between PREPARE and COMMIT, {failed} runs failed")  # noqa: T201
    _expect_the_same_from_scratch(dbt, oracle)


def test_dbt_is_killed_while_models_are_built(
    run_loader: Callable[..., Outcome],
    conn: Connection[TupleRow],
    processes: Processes,
    dbt: Dbt,
    ledger: Ledger,
    generator: random.Random,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Some of them in the middle of a statement, which the server may bring to its end."""
    assert run_loader("cluster", "init").exit_code == 0
    dbt.build()
    oracle = Oracle(conn=conn)
    visible: list[int] = []
    _load_and_withdraw(ledger, visible, generator)
    moments = processes.dbt("run").moments
    kills = attempts = 0
    while kills < KILLS:
        attempts += 1
        _load_and_withdraw(ledger, visible, generator)
        options = generator.choice([[], [], ["--full-refresh"]])
        now = FORKS.Event()
        moment = generator.randrange(1, moments)
        run = processes.start_dbt("run", *options, moment=moment, at_moment=now)
        while not now.wait(0.05) and run.process.is_alive():
            pass
        # A run has some moments more or fewer, and this one may be over.
        run.process.kill()
        assert run.wait()
        kills += run.was_killed
        with between_commits(conn, "analytics"):
            assert oracle.differences(LIVE_VIEWS) == {}
        dbt("run")
        assert oracle.differences(MARTS | LIVE_VIEWS) == {}
    with capsys.disabled():
        print(f"{kills} kills of dbt in {attempts} runs")  # noqa: T201
    _expect_the_same_from_scratch(dbt, oracle)


def _expect_the_same_from_scratch(dbt: Dbt, oracle: Oracle) -> None:
    oracle.keep_copies(MARTS)
    dbt("run", "--full-refresh")
    assert oracle.changes_since_copies(MARTS) == {}


def _load_and_withdraw(ledger: Ledger, visible: list[int], generator: random.Random) -> None:
    """Publish some small loads, and at times withdraw one of those before."""
    for number in generator.sample(range(60), k=5):
        events = scenario(number, generator)
        visible.append(ledger.load(generator.choices(events, k=min(len(events), 12))))
    if generator.random() < 0.5:
        ledger.withdraw(visible.pop(generator.randrange(len(visible))))


def _sent_to_nodes(conn: Connection[TupleRow]) -> int:
    """Return how many bytes of subqueries go to the nodes for periods of sources."""
    explained = "\n".join(
        line
        for (line,) in conn.execute(
            "explain (analyze, costs off, timing off) select * from analytics.activity_periods_live"
        ).fetchall()
    )
    units = {"bytes": 1, "kB": 1000, "MB": 1000**2}
    sizes = re.findall(r"Intermediate Data Size: (\d+) (\w+)", explained)
    assert sizes, explained
    return sum(int(number) * units[unit] for number, unit in sizes)


def _answers(conn: Connection[TupleRow], run_loader: Callable[..., Outcome]) -> list[object]:
    explained = run_loader("explain", "2", "--json")
    assert explained.exit_code == 0, explained.stderr
    answers = [
        conn.execute(f"select * from analytics.{call}".encode()).fetchall() for call in FUNCTIONS
    ]
    return [*answers, json.loads(explained.stdout)]
