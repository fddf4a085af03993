"""Marts that were restored alone, to a moment before: they catch up, or say that they cannot."""

import random
import subprocess

from psycopg import Connection
from psycopg.rows import TupleRow

from loader.database.connection import connect
from loader.server.cluster import Cluster
from tests.conftest import new_database
from tests.support.dbt import Dbt, messages
from tests.support.ledger import Ledger
from tests.support.oracle import LIVE_VIEWS, MARTS, Oracle
from tests.support.scenarios import rounds

from .test_roles import CALLS


def test_a_database_may_be_restored_under_another_name(cluster: Cluster, built: str) -> None:
    with new_database(cluster, "renamed", built) as name, connect(cluster.dsn(name)) as conn:
        for call in CALLS:
            conn.execute(f"select * from analytics.{call}".encode())


def test_marts_that_were_restored_alone(
    conn: Connection[TupleRow],
    dsn: str,
    cluster: Cluster,
    dbt: Dbt,
    ledger: Ledger,
    generator: random.Random,
) -> None:
    oracle = Oracle(conn=conn)
    (batch,) = rounds(20, generator, count=1, loads=4)
    dbt("seed")
    before = [ledger.load(events) for events in batch[:3]]
    dbt("run")
    command = [str(cluster.bin_dir / "pg_dump"), "--schema=analytics*", f"--dbname={dsn}"]
    dump = subprocess.run(command, check=True, capture_output=True).stdout

    def restore() -> None:
        conn.execute("drop schema analytics, analytics_internal cascade")
        command = [
            str(cluster.bin_dir / "psql"),
            "--quiet",
            "--set=ON_ERROR_STOP=1",
            f"--dbname={dsn}",
        ]
        subprocess.run(command, input=dump, check=True, capture_output=True)

    ledger.load(batch[3])
    ledger.withdraw(before[1])
    restore()
    assert oracle.differences(LIVE_VIEWS) == {}
    dbt("run")
    assert oracle.differences(MARTS | LIVE_VIEWS) == {}

    # A table without its mark, then a mark without its table: one may be of another moment.
    parted = "do not belong together"
    make_anew(conn, "analytics.fct_daily_activity")
    assert parted in messages(dbt.attempt("run", "--select", "fct_daily_activity"))
    make_anew(conn, "analytics_internal.model_progress")
    result = dbt.attempt("run", "--select", "fct_daily_activity", "int_event_runs")
    assert '"int_event_runs" and its mark in' in messages(result)
    assert messages(result).count(parted) == 1

    ledger.purge()
    restore()
    assert "rows are gone by now" in ledger.run_loader("status").stderr
    result = dbt.attempt("run")
    assert not result.success
    assert f"has not taken note of load {before[1]} or of its withdrawal" in messages(result)
    dbt("run", "--full-refresh")
    assert oracle.differences(MARTS | LIVE_VIEWS) == {}
    assert ledger.run_loader("status").stderr == ""

    # Nothing is gone, but what the models know and what they do not stands together.
    dump = subprocess.run(command, check=True, capture_output=True).stdout
    newer = ledger.load(batch[1])
    conn.execute("update analytics_internal.model_progress set load_seq = load_seq + 1")
    ledger.purge()
    restore()
    assert "not apart from others" in ledger.run_loader("status").stderr
    assert f"has not taken note of load {newer}" in messages(dbt.attempt("run"))

    # A schema raw of before, as a dump of it may bring one.
    conn.execute("alter table raw.event_chunks rename column load_ids to of_another_version")
    assert "Bring them up to date: loader maintain" in messages(dbt.attempt("run"))


def make_anew(conn: Connection[TupleRow], table: str) -> None:
    """Leave a table with the same rows that is another one, as ``pg_restore`` does."""
    schema, name = table.split(".")
    conn.execute(f"create table {schema}.restored (like {table} including all)")
    conn.execute(f"insert into {schema}.restored select * from {table}")
    conn.execute(f"drop table {table} cascade")
    conn.execute(f"alter table {schema}.restored rename to {name}")
