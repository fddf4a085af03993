"""The law: after any loads and withdrawals, every mart equals a full refresh."""

import random

from psycopg import Connection
from psycopg.rows import TupleRow

from .conftest import Dbt, Ledger
from .oracle import LIVE_VIEWS, MARTS, REPORTS, Oracle
from .scenarios import rounds

SCENARIOS = 300
ROUNDS = 6
LOADS_PER_ROUND = 5


def test_incremental_equals_recomputation_and_full_refresh(
    conn: Connection[TupleRow], dbt: Dbt, ledger: Ledger, generator: random.Random
) -> None:
    oracle = Oracle(conn=conn)
    dbt("seed")
    dbt("run")
    visible: list[int] = []
    batches = rounds(SCENARIOS, generator, count=ROUNDS, loads=LOADS_PER_ROUND)
    for number, batch in enumerate(batches):
        for events in batch:
            visible.append(ledger.load(events))
            if generator.random() < 0.25 and len(visible) > 1:
                ledger.withdraw(visible.pop(generator.randrange(len(visible))))
        assert oracle.differences(LIVE_VIEWS) == {}, f"live, round {number}"
        dbt("run")
        if number % 2:
            ledger.purge()
        assert oracle.differences(MARTS | LIVE_VIEWS) == {}, f"round {number}"

    assert oracle.differences(REPORTS) == {}
    oracle.keep_copies(MARTS)
    dbt("run", "--full-refresh")
    assert oracle.changes_since_copies(MARTS) == {}
