"""Loaders, runs of dbt and crashes, all at once: nothing of it shows in the marts."""

import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from psycopg import Connection, IsolationLevel
from psycopg.rows import TupleRow

from loader.database.connection import connect
from loader.database.schema import ensure_schema
from loader.server.cluster import Cluster
from tests.support.dbt import BUILD, Dbt
from tests.support.forks import FORKS
from tests.support.ledger import Ledger
from tests.support.oracle import LIVE_VIEWS, MARTS, Oracle
from tests.support.processes import PAUSE, Processes
from tests.support.scenarios import BASE, Event
from tests.support.waits import PATIENCE

from .conftest import DATABASE

LOADERS = 4
ROUNDS = int(os.environ.get("KILLED_ROUNDS", "2"))
CANNOT_CONNECT = 5


@pytest.mark.built
def test_loaders_and_killed_runs_two_at_a_time_leave_everything_exact(
    conn: Connection[TupleRow],
    processes: Processes,
    dbt: Dbt,
    ledger: Ledger,
    generator: random.Random,
) -> None:
    oracle = Oracle(conn=conn)
    # A run to which nothing is new has fewer of them.
    ledger.load([Event("gate", BASE, "car")])
    moments = processes.dbt("run").moments
    loaders = [processes.start_loader(generator.randrange(2**32)) for _ in range(LOADERS)]
    failures, reads = [], 0
    for number in range(ROUNDS):
        killed_at = [generator.randrange(1, moments), generator.choice([0, moments // 2])]
        runs = [processes.start_dbt("run", moment=moment) for moment in killed_at]
        # The pause leaves something of two cores to dbt.
        while not all(run.wait(PAUSE) for run in runs):
            assert live_differences(oracle) == {}, f"round {number}, read {reads}"
            reads += 1
        failures += [run.failure for run in runs if run.failure is not None]
    assert reads >= ROUNDS
    processes.stop_loaders(loaders)
    dbt("run")
    assert oracle.differences(MARTS | LIVE_VIEWS) == {}
    oracle.keep_copies(MARTS)
    dbt("run", "--full-refresh")
    assert oracle.changes_since_copies(MARTS) == {}
    assert failures == []


@pytest.mark.built
def test_two_runs_of_a_model_at_the_same_moment_take_each_load_once(
    conn: Connection[TupleRow], dsn: str, processes: Processes, dbt: Dbt, ledger: Ledger
) -> None:
    ledger.load([Event("gate", BASE, "car")])
    # Both get to where a run looks how far the ledger goes, or wait for each other before.
    with connect(dsn) as other, other.transaction():
        other.execute("lock table raw.load_counter")
        selected = ("run", "--select", "fct_activity_periods", "fct_hourly_detections")
        runs = [processes.start_dbt(*selected) for _ in range(2)]
        while number_of_waiting(conn) < 4:
            assert not any(run.wait(timeout=0.05) for run in runs)
    assert all(run.wait() for run in runs)
    assert [run.failure for run in runs] == [None, None]
    dbt("run")
    assert Oracle(conn=conn).differences(MARTS | LIVE_VIEWS) == {}


@pytest.mark.built
def test_a_run_is_not_in_the_way_of_one_that_has_not_cleaned_up(
    conn: Connection[TupleRow], dsn: str, processes: Processes
) -> None:
    # dbt looks for the old table of an earlier swap at its start, and drops its own at its end.
    with connect(dsn) as other, other.transaction():
        other.execute("select 1 from analytics_internal.model_progress for update")
        run = processes.start_dbt("run", "--select", "dim_event_types")
        while number_of_waiting(conn) < 1:
            assert not run.wait(timeout=0.05)
        conn.execute("create table analytics.dim_event_types__dbt_backup ()")
    assert run.wait()
    assert run.failure is None, run.failure


def test_two_first_builds_at_once_leave_nothing_to_repair(
    conn: Connection[TupleRow], processes: Processes, dbt: Dbt, ledger: Ledger
) -> None:
    ledger.load([Event("gate", BASE, "car"), Event("gate", BASE, "pedestrian")])
    runs = [processes.start_dbt(*BUILD) for _ in range(2)]
    # Each may find that the other one has just created what it wants to create.
    assert all(run.wait() for run in runs)
    ledger.load([Event("gate", BASE, "bicycle")])
    dbt("build", "--exclude-resource-type", "unit_test")
    assert Oracle(conn=conn).differences(MARTS | LIVE_VIEWS) == {}


@pytest.mark.built
def test_an_incremental_run_beside_a_full_refresh_is_exact(
    conn: Connection[TupleRow], processes: Processes, dbt: Dbt, ledger: Ledger
) -> None:
    ledger.load([Event("gate", BASE, "car")])
    dbt("run")
    ledger.load([Event("gate", BASE, "pedestrian")])
    runs = [processes.start_dbt("run", *options) for options in ([], ["--full-refresh"])]
    assert all(run.wait() for run in runs)
    assert [run.failure for run in runs] == [None, None]
    assert Oracle(conn=conn).differences(MARTS | LIVE_VIEWS) == {}


def number_of_waiting(conn: Connection[TupleRow]) -> int:
    """Count the connections of dbt that wait for a lock."""
    row = conn.execute(
        "select count(*) from pg_stat_activity where datname = current_database()"
        " and application_name = 'dbt' and wait_event_type = 'Lock'"
    ).fetchone()
    assert row is not None
    return int(row[0])


def live_differences(oracle: Oracle) -> dict[str, list[TupleRow]]:
    """Compare the live views with the events of the same moment."""
    oracle.conn.isolation_level = IsolationLevel.REPEATABLE_READ
    try:
        with oracle.conn.transaction():
            return oracle.differences(LIVE_VIEWS)
    finally:
        oracle.conn.isolation_level = None


class TestServer:
    """A server of the test's own, which it may kill."""

    @pytest.fixture
    def cluster(self, make_cluster: Callable[[], Cluster]) -> Cluster:
        cluster = make_cluster()
        # What a commit has promised must be there after the crash.
        cluster = replace(cluster, settings={**cluster.settings, "synchronous_commit": "on"})
        cluster.start()
        return cluster

    @pytest.fixture
    def database(self, cluster: Cluster) -> str:
        cluster.ensure_database(DATABASE)
        with connect(cluster.dsn(DATABASE)) as conn:
            ensure_schema(conn)
        return DATABASE

    def test_after_a_crash_of_the_server_the_same_commands_succeed(
        self,
        cluster: Cluster,
        dsn: str,
        dbt: Dbt,
        processes: Processes,
        ledger: Ledger,
        tmp_path: Path,
        generator: random.Random,
    ) -> None:
        dbt("seed")
        dbt("run")
        ledger.load([Event("gate", BASE, "car")])
        moments = processes.dbt("run").moments
        seeds = [generator.randrange(2**32) for _ in range(2)]
        loaders = [processes.start_loader(seed, withdraws=False) for seed in seeds]
        now, gone = FORKS.Event(), FORKS.Event()
        ledger.load([Event("gate", BASE, "van")])
        # Not when all is done: a run has some more or fewer.
        moment = generator.randrange(1, moments * 3 // 4)
        run = processes.start_dbt("run", moment=moment, at_moment=now, go_on=gone)
        assert now.wait(PATIENCE)
        cluster.stop("immediate")
        gone.set()
        for loader in loaders:
            loader.join(PATIENCE)
        assert [loader.exitcode for loader in loaders] == [CANNOT_CONNECT] * len(loaders)
        assert run.wait()
        assert run.failure is not None

        cluster.start()
        inboxes = sorted(tmp_path.glob("inbox-*"))
        assert processes.load(*inboxes) == 0
        dbt("run")
        with connect(dsn) as conn:
            written = sum(
                len(path.read_text().splitlines()) - 1
                for inbox in inboxes
                for path in inbox.iterdir()
            )
            counted = conn.execute("select sum(event_count) from analytics.dim_sources").fetchone()
            assert counted == (written + 2,)
            assert Oracle(conn=conn).differences(MARTS | LIVE_VIEWS) == {}
