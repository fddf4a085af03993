"""Loader and dbt of the version before go on while their events are converted, and are followed."""

import random
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from psycopg import Connection
from psycopg.rows import TupleRow

from tests.support.dbt import Dbt
from tests.support.killed import migrate_until
from tests.support.ledger import Ledger
from tests.support.oracle import LIVE_VIEWS, MARTS, Oracle
from tests.support.processes import PAUSE, DbtProcess, Processes
from tests.support.scenarios import rounds
from tests.support.waits import wait_until

SCENARIOS = 60
LOADS = 40
# Where a conversion dies, one after the other; later ones have less to do.
STEPS = (15, 25, 35)
RUNNING = (
    "select count(*) from pg_stat_activity where datname = current_database()"
    " and application_name = 'dbt' and xact_start is not null"
)


def test_the_version_before_goes_on_while_its_events_are_converted(
    conn: Connection[TupleRow],
    dsn: str,
    dbt: Dbt,
    ledger: Ledger,
    processes: Processes,
    previous: Path,
    run_previous: Callable[..., tuple[int, str]],
    tmp_path: Path,
    generator: random.Random,
) -> None:
    """Runs of dbt and conversions are killed; what the new models make of it all is exact."""
    conn.execute("drop schema raw cascade")
    files = [
        ledger.write(events)
        for loads in rounds(SCENARIOS, generator, count=1, loads=LOADS)
        for events in loads
    ]
    old = replace(processes, commands=replace(dbt, project=previous))
    for path in files[:2]:
        assert run_previous("load", path)[0] == 0
    old.dbt("seed")
    moments = old.dbt("run").moments
    loaded, is_over = [], threading.Event()

    def load() -> None:
        for number, path in enumerate(files[2:-1], start=3):
            if is_over.wait(PAUSE):
                break
            loaded.append(run_previous("load", path)[0])
            if number % 3 == 0 and not loaded[-1]:
                run_previous("withdraw", str(number - 1))

    loader = threading.Thread(target=load)
    loader.start()
    ends, failures = [], []
    try:
        for step in (*STEPS, 0):
            run = old.start_dbt("run", moment=generator.randrange(1, moments) if step else 0)
            wait_until(is_busy(conn, run))
            ends.append(migrate_until(dsn, tmp_path, step))
            assert run.wait()
            failures.append(run.failure)
    finally:
        is_over.set()
        loader.join()
    assert ends == [*[-signal.SIGKILL] * len(STEPS), 0]
    assert failures == [None] * len(ends)
    # Those that came after the view was there were refused.
    assert set(loaded) <= {0, 1}
    assert 0 in loaded
    ledger.load_file(files[-1])
    dbt.build()
    assert Oracle(conn=conn).differences(MARTS | LIVE_VIEWS) == {}


def is_busy(conn: Connection[TupleRow], run: DbtProcess) -> Callable[[], bool]:
    """Tell whether a run of dbt is in a transaction, or over."""
    return lambda: conn.execute(RUNNING).fetchone() != (0,) or run.wait(0)
