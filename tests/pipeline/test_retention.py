"""Retention: old raw events go, and the marts stay what they would be, had nothing gone."""

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

from psycopg import Connection
from psycopg.rows import TupleRow

from loader.database.maintain import Maintenance, maintain
from loader.database.partitions import set_partition_by
from loader.settings import PARTITION_SIZES
from tests.support.dbt import Dbt, messages
from tests.support.killed import maintain_until
from tests.support.ledger import Ledger
from tests.support.oracle import LIVE_VIEWS, MARTS, Oracle
from tests.support.scenarios import Event

SOURCES = 120
LOADS_PER_ROUND = 3
GAP = "6 hours"
VARS = ("--vars", f"activity_gap: {GAP}")
# After which round is dropped what is before which bound; the round after that brings loads, and
# the one after that withdraws some of them.
DROPS = {0: datetime(2024, 4, 1, tzinfo=UTC), 2: datetime(2024, 5, 1, tzinfo=UTC)}
ROUNDS = 5
AGE = "13 months"
KILLS = 2
STEPS_OF_MAINTENANCE = 33
# With such steps periods and runs go over the bound of a month and on, past the day after it.
STEPS = [
    *[timedelta(hours=6, microseconds=more) for more in (-1, 0, 1)],
    *[timedelta(hours=hours) for hours in (0, 2, 5, 5, 5, 12, 50)],
]
TYPES = [("pedestrian",), ("pedestrian", "bicycle"), ("pedestrian", "pedestrian", "car"), ("car",)]


def slots(generator: random.Random) -> list[list[Event]]:
    """Return the loads of all rounds: of each source, events around a bound.

    Those that would be too old later come before the drop, but for a few, which are rejected.
    """
    loads: list[list[Event]] = [[] for _ in range(ROUNDS * LOADS_PER_ROUND)]
    for number in range(SOURCES):
        dropped_after, bound = generator.choice(list(DROPS.items()))
        types = generator.choice(TYPES)
        steps = generator.choice([STEPS, STEPS[3:8], STEPS[:1] + STEPS[5:8]])
        time = bound - timedelta(hours=generator.randint(1, 60))
        first_late = (dropped_after + 1) * LOADS_PER_ROUND
        early = range(first_late)
        late = generator.choices(
            range(first_late, first_late + LOADS_PER_ROUND + 1), k=generator.choice([1, 3])
        )
        for _ in range(generator.randint(3, 40)):
            time += generator.choice(steps)
            is_early = time < bound + timedelta(days=1) and generator.random() < 0.98
            event = Event(f"source {number}", time, generator.choice(types))
            loads[generator.choice(early if is_early else late)].append(event)
    return loads


def after_age(bound: datetime) -> datetime:
    """Return when it is 13 months and a bit later, but not a day."""
    return bound.replace(year=bound.year + 1, month=bound.month + 1) + timedelta(hours=12)


def drop_before(bound: datetime, conn: Connection[TupleRow]) -> Maintenance:
    """Maintain as if it were 13 months and a bit later."""
    return maintain(conn, 0, age=AGE, now=after_age(bound))


def test_marts_keep_what_raw_events_have_lost(
    conn: Connection[TupleRow],
    dsn: str,
    dbt: Dbt,
    ledger: Ledger,
    generator: random.Random,
    tmp_path: Path,
) -> None:
    oracle = Oracle(conn=conn, gap=GAP, events="public.accepted")
    conn.execute("create table public.accepted as table raw.events with no data")
    loads = slots(generator)
    dbt("seed")
    visible: list[list[int]] = []
    for number in range(ROUNDS):
        # Of another size now and then, so that weeks go over a bound. By the week, what is old
        # would end within a month that is there, and nothing would be dropped.
        sizes = PARTITION_SIZES if number not in DROPS else ("month", "day")
        set_partition_by(conn, generator.choice(sizes))
        batch = loads[number * LOADS_PER_ROUND :][:LOADS_PER_ROUND]
        visible.append([load(ledger, ledger.write(events)) for events in batch])
        conn.execute(
            "insert into public.accepted select * from raw.events where load_id = any(%s)",
            [visible[number]],
        )
        if number in (2, 4):
            # Loads that all models know, and that reach to the day after the bound.
            for load_id in generator.sample(visible[number - 1], k=2):
                ledger.withdraw(load_id)
            outcome = ledger.run_loader("withdraw", str(visible[0][0]))
            assert "cannot be withdrawn any more" in outcome.stderr
            assert oracle.differences(LIVE_VIEWS) == {}, f"live, round {number}"
        if number == 2:
            done = drop_before(DROPS[number], conn)
            assert not done.dropped_partitions
            assert "take note" in str(done.drop_waits_for)
        if number == 3:
            # As an earlier version has left the table, and with it the view that reads it.
            conn.execute(
                "alter table analytics_internal.int_event_runs drop first_event_times cascade"
            )
        dbt("run", *VARS)
        if number in DROPS:
            # Killed wherever they are, those before leave nothing that is not exact.
            for step in generator.sample(range(1, STEPS_OF_MAINTENANCE), k=KILLS):
                maintain_until(dsn, tmp_path, AGE, after_age(DROPS[number]), step)
                assert oracle.differences(MARTS | LIVE_VIEWS) == {}, f"killed at step {step}"
            drop_before(DROPS[number], conn)
            assert_dropped(DROPS[number], conn)
        assert oracle.differences(MARTS | LIVE_VIEWS) == {}, f"round {number}"
    result = dbt.attempt("run", "--full-refresh", *VARS)
    assert not result.success
    assert "allow_history_loss: true" in messages(result)
    assert oracle.differences(MARTS) == {}
    # One after the other: rebuilding two tables that one view reads may deadlock.
    forced = f"{{activity_gap: {GAP}, allow_history_loss: true}}"
    dbt("run", "--full-refresh", "--threads", "1", "--vars", forced)
    assert Oracle(conn=conn, gap=GAP).differences(MARTS | LIVE_VIEWS) == {}


def assert_dropped(bound: datetime, conn: Connection[TupleRow]) -> None:
    """Check that raw events begin at a bound, or where the week begins that it is in."""
    assert conn.execute(
        "select min(event_time) >= max(dropped_before), max(dropped_before) <= %(bound)s,"
        " max(dropped_before) >= date_trunc('week', %(bound)s) from raw.events, raw.retention",
        {"bound": bound},
    ).fetchone() == (True, True, True)


def load(ledger: Ledger, path: Path) -> int:
    """Load a file of which rows may be rejected, and return the load's id."""
    outcome = ledger.run_loader("load", path, "--json", "--quiet")
    assert outcome.exit_code in (0, 3), outcome.stderr
    return int(json.loads(outcome.stdout)["load_id"])
