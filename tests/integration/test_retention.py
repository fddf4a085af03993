import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection

from loader.database.connection import connect
from loader.database.ledger import begin_load, remove_load
from loader.database.maintain import Maintenance, maintain
from loader.database.partitions import Partitions
from loader.database.retention import _drop_portion, retained_from
from loader.server.cluster import Cluster
from tests.support.waits import wait_until

Run = Callable[..., Any]
Write = Callable[..., Path]
Scalar = Callable[[str], object]
Retain = Callable[[], Maintenance]

PROGRESS = (
    "create schema analytics; create table analytics.model_progress"
    " (model_name text primary key, load_seq bigint, definition jsonb, updated_at timestamptz)"
)
OLD = "select count(*) from raw.events where event_time < '2024-05-01Z'"


@pytest.fixture
def retain(conn: Connection) -> Retain:
    """Drop what is before May 2024."""

    def run() -> Maintenance:
        return maintain(conn, 0, age="2 months", now=datetime(2024, 7, 1, 0, 0, 1, tzinfo=UTC))

    return run


@pytest.fixture
def two_months(run_loader: Run, write_events: Write) -> None:
    """Load 1 has events of April, load 2 of May."""
    assert run_loader("load", write_events("1.csv", start="2024-04-30T23")).exit_code == 0
    assert run_loader("load", write_events("2.csv", start="2024-05-02T00")).exit_code == 0


class Ahead(datetime):
    """The clock of a machine that is wrong."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "Ahead":
        return cls(2099, 1, 1, tzinfo=tz)


def test_age_is_counted_by_the_clock_of_the_server(
    conn: Connection, run_loader: Run, write_events: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_loader("load", write_events(start=f"{datetime.now(UTC):%Y-%m-%dT%H}"))
    monkeypatch.setattr("loader.database.maintain.datetime", Ahead)
    done = maintain(conn, 0, age="13 months")
    assert (done.dropped_partitions, done.created_partitions) == ([], [])


@pytest.mark.usefixtures("two_months")
def test_whole_months_are_dropped_once(retain: Retain, scalar: Scalar) -> None:
    done = retain()
    assert (done.dropped_partitions, done.drop_waits_for) == (["event_chunks_2024_04"], None)
    assert scalar("select count(*) from raw.events") == 3
    assert scalar("select dropped_before = '2024-05-01Z' from raw.retention")
    assert scalar("select max(last_event_at) = '2024-04-30T23:00:02Z' from raw.dropped_sources")
    assert retain().dropped_partitions == []
    assert scalar("select retained_from = '2024-05-02Z' from raw.retention")


@pytest.mark.usefixtures("two_months")
def test_how_far_it_is_is_told(run_loader: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loader.database.retention.PORTION", 1)
    monkeypatch.setattr("loader.database.partitions.PORTION", 1)
    monkeypatch.setattr("loader.database.waiting.SECONDS_BETWEEN_LINES", 0)

    def said(*options: str) -> list[str]:
        lines = run_loader("maintain", *options).stderr.splitlines()
        # Not what it waits for, where it has to.
        return [line for line in lines if " removed " in line or " dropped " in line]

    run_loader("withdraw", "2")
    assert [line.rpartition(", ")[0] for line in said()] == [
        f"loader: removed {rows} rows of load 2" for rows in (0, 0, 3, 3, 3)
    ]
    run_loader("withdraw", "1")
    assert said("--quiet") == []
    assert said("--retain", "90d") == [
        "loader: dropped 1 partitions so far, the last one event_chunks_2024_04",
        "loader: dropped 2 partitions so far, the last one event_chunks_2024_05",
    ]


@pytest.mark.usefixtures("two_months")
def test_what_is_older_is_neither_loaded_nor_withdrawn(
    retain: Retain, run_loader: Run, conn: Connection, tmp_path: Path
) -> None:
    retain()
    outcome = run_loader("withdraw", "1")
    assert outcome.exit_code == 2
    assert "cannot be withdrawn any more" in outcome.stderr
    path = tmp_path / "3.csv"
    path.write_text(
        "time,type,source\n2024-05-01T23:59:59.999999Z,car,gate\n2024-05-02T00:00:00Z,car,gate\n"
    )
    assert run_loader("load", path).exit_code == 3
    rejected = conn.execute(
        "select line_number, column_name, reason like '%--retain%' from raw.rejected_events"
    ).fetchall()
    assert rejected == [(2, "time", True)]
    assert run_loader("withdraw", "3").exit_code == 0
    assert run_loader("withdraw", "2").exit_code == 0


def test_a_load_that_begins_while_retention_moves_knows_it(
    dsn: str, conn: Connection, scalar: Scalar
) -> None:
    """Or its older rows would be neither rejected nor waited for."""
    with connect(dsn) as loader, ThreadPoolExecutor(1) as pool:
        with conn.transaction():
            conn.execute("update raw.retention set retained_from = '2024-05-01Z'")
            load = pool.submit(begin_load, loader, "x", {})
            wait_until(
                lambda: (
                    load.done()
                    or scalar(
                        "select wait_event_type = 'Lock' from pg_stat_activity"
                        f" where pid = {loader.info.backend_pid}"
                    )
                    is True
                )
            )
        assert retained_from(loader, load.result()) == datetime(2024, 5, 1, tzinfo=UTC)


@pytest.mark.usefixtures("two_months")
def test_what_was_dropped_stays_dropped(
    retain: Retain, conn: Connection, scalar: Scalar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when more is to be kept from now on, and older partitions come, and go one by one."""
    retain()
    maintain(conn, 0, age="12 months", now=datetime(2024, 7, 1, tzinfo=UTC))
    assert scalar("select retained_from = '2024-05-02Z' from raw.retention")
    february = (datetime(2024, 2, 1, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).days
    Partitions(conn).ensure(february, february + 40)
    monkeypatch.setattr("loader.database.retention.PORTION", 1)
    with conn.transaction():
        assert _drop_portion(conn) == ["event_chunks_2024_02"]
    assert scalar("select dropped_before = '2024-05-01Z' from raw.retention")


@pytest.mark.usefixtures("two_months")
def test_nothing_goes_before_every_model_has_taken_note(
    retain: Retain,
    run_loader: Run,
    conn: Connection,
    dsn: str,
    scalar: Scalar,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("loader.database.locks.PATIENCE_SECONDS", 0)
    conn.execute(PROGRESS)
    run_loader("withdraw", "1")
    conn.execute("insert into analytics.model_progress values ('ahead', 3), ('behind', 2)")
    done = retain()
    assert done.dropped_partitions == []
    assert "analytics.behind to take note of loads up to 3, it is at 2" in str(done.drop_waits_for)
    for part in ('"activity_gap": {"gap": "1 day 00:00:01"}', '"category_gaps": {"a": "25:00"}'):
        conn.execute(
            "update analytics.model_progress set load_seq = 3, definition = %s", [f"{{{part}}}"]
        )
        assert "activity_gap" in str(retain().drop_waits_for)
    conn.execute("update analytics.model_progress set definition = null")
    with connect(dsn) as dbt, dbt.transaction(force_rollback=True):
        dbt.execute("insert into analytics.model_progress values ('new', null)")
        assert "dbt, which is at work" in str(retain().drop_waits_for)
    with connect(dsn) as reader, reader.transaction():
        reader.execute("select count(*) from raw.events")
        assert "raw.event_chunks" in str(retain().drop_waits_for)
    assert scalar("select dropped_before is null from raw.retention")
    assert retain().dropped_partitions == ["event_chunks_2024_04"]


@pytest.mark.usefixtures("two_months")
def test_a_load_that_began_before_is_waited_for(retain: Retain, dsn: str, scalar: Scalar) -> None:
    with connect(dsn) as loading:
        load_id = begin_load(loading, "slow", {})
        assert retain().drop_waits_for == f"load {load_id}, which began before"
        assert scalar(OLD) == 3
        remove_load(loading, load_id)
        # This one knows already what it may bring.
        begin_load(loading, "slow", {})
        assert retain().dropped_partitions == ["event_chunks_2024_04"]


def test_partitions_go_in_portions_each_of_which_leaves_all_exact(
    retain: Retain,
    run_loader: Run,
    conn: Connection,
    dsn: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("loader.database.retention.PORTION", 2)
    monkeypatch.setattr("loader.database.locks.PATIENCE_SECONDS", 0)
    days = ["2024-04-01", "2024-04-02", "2024-04-04", "2024-04-05", "2024-04-29", "2024-05-10"]
    path = tmp_path / "days.csv"
    path.write_text("time,type,source\n" + "".join(f"{day}T12:00:00Z,car,{day}\n" for day in days))
    monkeypatch.setenv("LOADER_PARTITION_BY", "day")
    assert run_loader("load", path).exit_code == 0
    state = (
        "select (select array_agg(source_name order by 1) from raw.events"
        " join raw.sources using (source_id)), (select array_agg(source_name order by 1)"
        " from raw.dropped_sources join raw.sources using (source_id)),"
        " to_char(dropped_before at time zone 'UTC', 'YYYY-MM-DD') from raw.retention"
    )
    with connect(dsn) as reader, reader.transaction():
        reader.execute("select from raw.event_chunks_2024_04_05")
        done = retain()
        assert done.dropped_partitions == ["event_chunks_2024_04_01", "event_chunks_2024_04_02"]
        assert f"process {reader.info.backend_pid} (user postgres" in str(done.drop_waits_for)
        assert conn.execute(state.encode()).fetchone() == (days[2:], days[:2], "2024-04-03")
    done = retain()
    assert len(done.dropped_partitions) == 3
    assert done.drop_waits_for is None
    assert conn.execute(state.encode()).fetchone() == (days[5:], days[:5], "2024-05-01")


def test_many_partitions_on_a_server_with_few_locks(
    cluster: Cluster, make_cluster: Callable[[], Cluster], run_loader: Run, tmp_path: Path
) -> None:
    few = {"max_locks_per_transaction": "10", "max_connections": "10", "shared_buffers": "8MB"}
    fewer = {"max_worker_processes": "1", "max_wal_senders": "0", "autovacuum_max_workers": "1"}
    small = replace(make_cluster(), settings={**cluster.settings, **few, **fewer})
    small.start()
    path = tmp_path / "days.csv"
    rows = [f"{datetime(2019, 1, 1) + timedelta(day)}Z,car,gate\n" for day in range(400)]
    path.write_text("time,type,source\n" + "".join(rows))
    with connect(small.dsn()) as conn:
        maintain(conn, 0, partition_by="day")
        day = (datetime(2019, 1, 1) - datetime(1970, 1, 1)).days
        assert len(Partitions(conn).ensure(day, day + 400)) == 400
        outcome = run_loader("load", path, "--dsn", small.dsn())
        assert outcome.exit_code == 1
        assert "set max_locks_per_transaction higher" in outcome.stderr
        assert outcome.stderr.count("\n") == 1
        done = maintain(conn, 0, age="7 days")
    assert len(done.dropped_partitions) == 400
    assert done.drop_waits_for is None


def test_the_command_says_what_it_retains(run_loader: Run, write_events: Write) -> None:
    run_loader("load", write_events("1.csv", start="2019-04-30T23"))
    assert run_loader("maintain", "--retain", "3d").exit_code == 2
    outcome = run_loader("maintain", "--retain", "13months", "--json")
    assert json.loads(outcome.stdout)["dropped_partitions"] == ["event_chunks_2019_04"]
    assert json.loads(outcome.stdout)["drop_waits_for"] is None


@pytest.mark.usefixtures("two_months")
def test_early_alerts_go_too_once_they_were_passed_on(retain: Retain, conn: Connection) -> None:
    conn.execute(
        "insert into raw.early_alerts"
        " (load_id, source_id, rule_name, category, started_at, triggered_at, passed_on_at)"
        " select 1, 1, name, 'people', now(), now(), passed_on_at"
        " from (values ('old', timestamptz '2019-01-01'), ('new', 'infinity'), ('waits', null))"
        " as alerts (name, passed_on_at)"
    )
    retain()
    left = conn.execute("select rule_name from raw.early_alerts order by rule_name").fetchall()
    assert left == [("new",), ("waits",)]


def test_what_is_dropped_is_never_a_part_of_a_partition(
    run_loader: Run, conn: Connection, tmp_path: Path
) -> None:
    """Weeks, then days: the bound of a day lies in a week, which is kept until all of it is old."""

    def load(name: str, *days: str) -> None:
        rows = "".join(f"{day}T12:00:00Z,car,gate\n" for day in days)
        (tmp_path / name).write_text("time,type,source\n" + rows)
        assert run_loader("load", tmp_path / name, "--quiet").exit_code in (0, 3)

    def drop(day: int) -> tuple[list[str], object, object]:
        now = datetime(2024, 5, day, 1, tzinfo=UTC)
        done = maintain(conn, 0, age="14 days", partition_by="day", now=now)
        row = conn.execute(
            "select to_char(retained_from at time zone 'UTC', 'MM-DD HH24'),"
            " to_char(dropped_before at time zone 'UTC', 'MM-DD HH24') from raw.retention"
        ).fetchone()
        assert row is not None
        return done.dropped_partitions, *row

    maintain(conn, 0, partition_by="week", now=datetime(2024, 5, 1, tzinfo=UTC))
    load("1.csv", "2024-04-21", "2024-04-22", "2024-04-27")
    # The 24th and what is before is old, but in one week with what is not.
    assert drop(8) == (["event_chunks_2024_04_15"], "04-25 00", "04-22 00")
    load("2.csv", "2024-04-24", "2024-04-25", "2024-04-29", "2024-04-30")
    assert conn.execute("select reason like '%--retain%' from raw.rejected_events").fetchall() == [
        (True,)
    ]
    assert drop(12) == ([], "04-29 00", "04-22 00")
    assert drop(13) == (["event_chunks_2024_04_22"], "04-30 00", "04-29 00")
    assert drop(15) == (
        ["event_chunks_2024_04_29", "event_chunks_2024_04_30"],
        "05-02 00",
        "05-01 00",
    )
    # A month, now, that begins before what was dropped: the instants never go back.
    maintain(conn, 0, partition_by="month", now=datetime(2024, 5, 15, tzinfo=UTC))
    load("3.csv", "2024-05-02")
    assert drop(20) == ([], "05-07 00", "05-01 00")
