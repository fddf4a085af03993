"""The law: after any loads and withdrawals, every mart equals a full refresh."""

import os
import random

from psycopg import Connection
from psycopg.rows import TupleRow

from .conftest import Dbt
from .oracle import LIVE_VIEWS, MARTS, Oracle
from .scenarios import Event, rounds

SCENARIOS = 300
ROUNDS = 6
LOADS_PER_ROUND = 5


def test_incremental_equals_recomputation_and_full_refresh(
    conn: Connection[TupleRow], dbt: Dbt
) -> None:
    seed = int(os.environ.get("LAW_SEED", random.randrange(2**32)))
    print(f"LAW_SEED={seed}")
    generator = random.Random(seed)
    oracle = Oracle(conn=conn)
    dbt("seed")
    dbt("run")
    visible: list[int] = []
    for number, batch in enumerate(rounds(SCENARIOS, generator, count=ROUNDS, loads=LOADS_PER_ROUND)):
        for events in batch:
            visible.append(publish(conn, events))
            if generator.random() < 0.25 and len(visible) > 1:
                withdraw(conn, visible.pop(generator.randrange(len(visible))))
        assert oracle.differences(LIVE_VIEWS) == {}, f"live, round {number}, LAW_SEED={seed}"
        dbt("run")
        assert oracle.differences(MARTS | LIVE_VIEWS) == {}, f"round {number}, LAW_SEED={seed}"

    for mart in MARTS:
        conn.execute(f"create table public.incremental_{mart} as table analytics.{mart}".encode())
    dbt("run", "--full-refresh")
    for mart in MARTS:
        different = conn.execute(
            f"""
            (table public.incremental_{mart} except all table analytics.{mart})
            union all
            (table analytics.{mart} except all table public.incremental_{mart})
            """.encode()
        ).fetchall()
        assert different == [], f"{mart}, LAW_SEED={seed}"


def publish(conn: Connection[TupleRow], events: list[Event]) -> int:
    names = [(e.source, e.type) for e in events]
    conn.execute("insert into raw.sources (source_name) select distinct unnest(%s::text[]) on conflict do nothing", [[n[0] for n in names]])
    conn.execute("insert into raw.event_types (event_type) select distinct unnest(%s::text[]) on conflict do nothing", [[n[1] for n in names]])
    conn.execute("create table if not exists raw.events_all partition of raw.events default")
    conn.execute("create index if not exists events_all_i on raw.events_all (source_id, event_time)")
    with conn.transaction():
        load_id = conn.execute("insert into raw.loads (origin, loader_version, rows_read, rows_loaded, first_event_at, last_event_at) values ('t', '0', %(n)s, %(n)s, %(a)s, %(b)s) returning load_id", {"n": len(events), "a": min((e.time for e in events), default=None), "b": max((e.time for e in events), default=None)}).fetchone()[0]
        conn.cursor().executemany("insert into raw.events (event_time, load_id, source_id, event_type_id) select %s, %s, source_id, event_type_id from raw.sources, raw.event_types where source_name = %s and event_type = %s", [(e.time, load_id, e.source, e.type) for e in events])
        conn.execute("with next as (update raw.load_counter set load_seq = load_seq + 1 returning load_seq) update raw.loads set load_seq = next.load_seq from next where load_id = %s", [load_id])
    return load_id


def withdraw(conn: Connection[TupleRow], load_id: int) -> None:
    with conn.transaction():
        row = conn.execute("insert into raw.loads (origin, loader_version, kind, withdraws_load_id) values ('w', '0', 'withdrawal', %s) returning load_id", [load_id]).fetchone()[0]
        conn.execute("with next as (update raw.load_counter set load_seq = load_seq + 1 returning load_seq), w as (update raw.loads set load_seq = next.load_seq from next where load_id = %s) update raw.loads set withdrawn_seq = next.load_seq from next where load_id = %s", [row, load_id])
