"""Whoever reads the marts while they are built and rebuilt: no error, nothing half built."""

import itertools
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from psycopg import Connection, sql
from psycopg.rows import TupleRow

from loader.database.connection import connect
from tests.support.dbt import Dbt
from tests.support.ledger import Ledger
from tests.support.oracle import LIVE_VIEWS, MARTS, Oracle
from tests.support.processes import Processes
from tests.support.scenarios import BASE, Event

READERS = 20
SECONDS = int(os.environ.get("READERS_SECONDS", "15"))
PAUSE = 2
LOADERS = 2


@pytest.mark.built
def test_readers_see_whole_marts_and_no_error_while_all_is_rebuilt(
    conn: Connection[TupleRow], dsn: str, processes: Processes, dbt: Dbt, ledger: Ledger
) -> None:
    ledger.load([Event("gate", BASE, "car"), Event("gate", BASE, "pedestrian")])
    dbt("run")
    conn.execute("create view analytics.of_an_analyst as select * from analytics.fct_alerts")
    loaders = [processes.start_loader(seed, withdraws=False) for seed in range(LOADERS)]
    stop = threading.Event()
    builds = 0
    waits: list[list[float]] = [[] for _ in range(READERS)]
    with ThreadPoolExecutor(READERS) as pool:
        readers = [pool.submit(read_until, stop, dsn, *one) for one in enumerate(waits)]
        try:
            end = time.monotonic() + SECONDS
            for options in itertools.cycle([[], ["--full-refresh"]]):
                # A second run beside it: their swaps and views must not wait in a circle.
                beside = processes.start_dbt("run")
                dbt("seed", *options)
                dbt("run", *options)
                assert beside.wait()
                assert beside.failure is None, beside.failure
                builds += 1
                # Twice at least, on a slow machine too; a reader that ends tells of an error.
                is_enough = builds > 1 and all(waits) and time.monotonic() > end
                if is_enough or any(reader.done() for reader in readers):
                    break
        finally:
            stop.set()
        for reader in readers:
            reader.result()
    told = sorted(itertools.chain.from_iterable(waits))
    shown = (told[len(told) * share // 100] for share in (50, 95, 99))
    print("seconds of a query, half, 95 % and 99 % of them:", *(f"{s:.3f}" for s in shown))  # noqa: T201
    processes.stop_loaders(loaders)
    dbt("run")
    assert Oracle(conn=conn).differences(MARTS | LIVE_VIEWS) == {}


@pytest.mark.built
def test_a_transaction_left_open_delays_what_is_replaced_and_no_other_reader(
    conn: Connection[TupleRow], dsn: str, processes: Processes, dbt: Dbt, ledger: Ledger
) -> None:
    ledger.load([Event("gate", BASE, "car"), Event("gate", BASE, "pedestrian")])
    held = [
        "alerts_live", "fct_activity_periods", "fct_hourly_detections", "rpt_dwell_times",
        "of_an_analyst",
    ]  # fmt: skip
    rebuild = ["run", "--full-refresh", "--select"]
    with connect(dsn) as reader:
        dbt("run")
        # One view that is replaced by the next run, and one that is dropped with another on it.
        for statement in (
            "do $$ begin execute 'create or replace view analytics.rpt_dwell_times as '"
            " || rtrim(pg_get_viewdef('analytics.rpt_dwell_times'), ';') || ' limit 9'; end $$",
            "drop view analytics.rpt_weekly_changes",
            "create view analytics.rpt_weekly_changes as select 1 as changed",
            "create view analytics.of_an_analyst as select * from analytics.rpt_weekly_changes",
        ):
            conn.execute(statement.encode())
        with conn.transaction():
            for name in held:
                conn.execute(f"select count(*) from analytics.{name}".encode())
            views = ["rpt_dwell_times", "rpt_weekly_changes"]
            waiting = [processes.start_dbt(*rebuild, "fct_activity_periods")]
            waiting.append(processes.start_dbt("run", "--select", *views))
            # They try it less often once they have said for whom they wait.
            while reader.execute(
                "select count(*) from pg_stat_activity"
                " where query like '%$patiently$%pause constant double precision := 1;%'"
                " and pid <> pg_backend_pid()"
            ).fetchone() != (3,):
                assert not any(run.wait(0.1) for run in waiting)
            # Who waits here waits for the end of this transaction.
            reader.execute("set statement_timeout = '60s'")
            for name in held * 3:
                reader.execute(f"select count(*) from analytics.{name}".encode())
            gives_up = processes.start_dbt(
                *rebuild, "fct_hourly_detections", "--vars", "lock_patience: 1 second"
            )
            assert gives_up.wait()
            assert gives_up.failure is not None
            assert "waited 1 second (var lock_patience) for pid" in gives_up.failure
        said = [gives_up.failure]
        for run in waiting:
            assert run.wait()
            assert run.failure is None, run.failure
            said += run.said
        assert all(f"pid {conn.info.backend_pid} (postgres, " in line for line in said)
        assert {line.split()[0] for line in said[1:]} == {
            "fct_activity_periods", "rpt_dwell_times", "rpt_weekly_changes",
        }  # fmt: skip
        dbt("run")
        assert Oracle(conn=conn).differences(MARTS | LIVE_VIEWS) == {}


def read_until(stop: threading.Event, dsn: str, number: int, seconds: list[float]) -> None:
    """Read all marts and live views again and again, and note how long each query took.

    Events are only added here, so no relation may ever count fewer of them than before.
    """
    relations = sorted({*MARTS, *LIVE_VIEWS} - {"dim_event_types", "int_event_runs"})
    relations = relations[number % len(relations) :] + relations[: number % len(relations)]
    counted = dict.fromkeys(relations, 0)
    with connect(dsn) as conn:
        while True:
            for relation in relations:
                if stop.wait(PAUSE):
                    return
                began = time.monotonic()
                query = sql.SQL("select coalesce(sum(event_count), 0)::bigint from analytics.{}")
                row = conn.execute(query.format(sql.Identifier(relation))).fetchone()
                seconds.append(time.monotonic() - began)
                assert row is not None
                count = int(row[0])
                if relation in ("fct_alerts", "alerts_live"):
                    continue
                assert count > 0, relation
                assert count >= counted[relation], relation
                counted[relation] = count
            conn.execute("select count(*) from analytics.of_an_analyst")
