"""Whoever reads the marts while they are built and rebuilt: no error, nothing half built."""

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from psycopg import Connection, sql
from psycopg.rows import TupleRow

from loader.database.connection import connect

from .conftest import Ledger
from .oracle import LIVE_VIEWS, MARTS, Oracle
from .processes import processes
from .scenarios import BASE, Event

READERS = 20
SECONDS = 60
PAUSE = 2
LOADERS = 2


def test_readers_see_whole_marts_and_no_error_while_all_is_rebuilt(
    conn: Connection[TupleRow], dsn: str, profiles: Path, tmp_path: Path, ledger: Ledger
) -> None:
    ledger.load([Event("gate", BASE, "car"), Event("gate", BASE, "pedestrian")])
    with processes(dsn, profiles, tmp_path) as some:
        some.parse()
        some.dbt("seed")
        some.dbt("run")
        conn.execute("create view analytics.of_an_analyst as select * from analytics.fct_alerts")
        loaders = [some.start_loader(seed, withdraws=False) for seed in range(LOADERS)]
        stop = threading.Event()
        builds = 0
        with ThreadPoolExecutor(READERS) as pool:
            readers = [pool.submit(read_until, stop, dsn, number) for number in range(READERS)]
            try:
                end = time.monotonic() + SECONDS
                for options in itertools.cycle([[], ["--full-refresh"]]):
                    # A second run beside it: their swaps and views must not wait in a circle.
                    beside = some.start_dbt("run")
                    some.dbt("seed", *options)
                    some.dbt("run", *options)
                    assert beside.wait()
                    assert beside.failure is None, beside.failure
                    builds += 1
                    if time.monotonic() > end or any(reader.done() for reader in readers):
                        break
            finally:
                stop.set()
        assert builds > 1
        waits = sorted(itertools.chain.from_iterable(reader.result() for reader in readers))
        assert all(reader.result() for reader in readers)
        shown = (waits[len(waits) * share // 100] for share in (50, 95, 99))
        print("seconds of a query, half, 95 % and 99 % of them:", *(f"{s:.3f}" for s in shown))  # noqa: T201
        some.stop_loaders(loaders)
        some.dbt("run")
        assert Oracle(conn=conn).differences(MARTS | LIVE_VIEWS) == {}


def read_until(stop: threading.Event, dsn: str, number: int) -> list[float]:
    """Read all marts and live views again and again, and return how long each query took.

    Events are only added here, so no relation may ever count fewer of them than before.
    """
    relations = sorted({*MARTS, *LIVE_VIEWS} - {"dim_event_types", "int_event_runs"})
    relations = relations[number % len(relations) :] + relations[: number % len(relations)]
    counted = dict.fromkeys(relations, 0)
    seconds: list[float] = []
    with connect(dsn) as conn:
        while True:
            for relation in relations:
                if stop.wait(PAUSE):
                    return seconds
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
