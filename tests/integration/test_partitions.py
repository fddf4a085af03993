import json
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from psycopg import Connection

from loader.database.connection import connect
from loader.database.partitions import (
    PORTION,
    Partitions,
    read_partitions,
    set_partition_by,
)
from loader.settings import PARTITION_SIZES
from tests.support.waits import PATIENCE

Scalar = Callable[[str], object]

INDEXES = (
    "select count(*) from pg_index join pg_inherits on inhrelid = indrelid"
    " where inhparent = 'raw.event_chunks'::regclass"
)
# Of 3,000 events of one source and two days.
CHUNKS = 18
PARTITIONS = "select count(*) from pg_inherits where inhparent = 'raw.event_chunks'::regclass"


def times(*values: str) -> Any:
    return np.array(values, dtype="datetime64[us]").astype(np.int64)


def test_several_loaders_create_the_same_partitions_once(dsn: str, scalar: Scalar) -> None:
    months = [f"20{year}-{month:02d}-01" for year in (23, 24) for month in range(1, 13)]

    def create(_: int) -> int:
        with connect(dsn) as own:
            partitions = Partitions(own)
            partitions.prepare(times(*months))
            return len(partitions.written)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(create, range(4))) == [24] * 4
    assert scalar(PARTITIONS) == 24
    assert scalar(INDEXES) == 24 * 2


def test_a_new_partition_costs_no_look_at_all_the_others(
    conn: Connection, scalar: Scalar, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = Mock(wraps=read_partitions)
    monkeypatch.setattr("loader.database.partitions.read_partitions", looks)
    assert scalar(PARTITIONS) == 0
    set_partition_by(conn, "day")
    days = Partitions(conn).ensure(20_000, 20_100)
    assert scalar(PARTITIONS) == len(set(days)) == 100
    assert looks.call_count == 1 + math.ceil(100 / PORTION)


def test_the_edges_of_a_month_are_in_utc(conn: Connection, scalar: Scalar) -> None:
    partitions = Partitions(conn)
    partitions.prepare(times("2024-02-29T23:59:59.999999", "2024-03-01"))
    assert partitions.written == {"event_chunks_2024_02", "event_chunks_2024_03"}
    conn.execute("set timezone = 'America/New_York'")
    for moment in ("2024-02-29T23:59:59.999999Z", "2024-03-01T00:00:00Z"):
        conn.execute(
            "insert into raw.event_chunks"
            " select t, t, 1, 1, 1, array[t], '{1}' from cast(%s as timestamptz) as t",
            [moment],
        )
    assert scalar("select count(*) from raw.event_chunks_2024_02") == 1


def test_times_before_1970_have_their_month(conn: Connection) -> None:
    partitions = Partitions(conn)
    partitions.prepare(times("1969-12-31T23:59:59"))
    assert partitions.written == {"event_chunks_1969_12"}


@pytest.mark.parametrize("workers", [1, 3])
def test_rows_of_too_many_new_months_are_rejected(
    run_loader: Callable[..., Any], tmp_path: Path, conn: Connection, scalar: Scalar, workers: int
) -> None:
    Partitions(conn).prepare(times("2031-07-05"))
    path = tmp_path / "events.csv"
    months = [
        "1999-03",
        "2024-05",
        "1950-01",
        "2031-07",
        "2024-05",
        "2199-12",
        "1999-03",
        "2000-01",
    ]
    rows = "".join(f"{month}-05T12:00:00Z,car,gate\n" for month in months)
    path.write_text(f"time,type,source\n{rows}bad,car,gate\n")
    options = ("--max-new-partitions", "2", "--workers", workers, "--json", "--quiet")
    outcome = run_loader("load", path, *options)
    assert outcome.exit_code == 3
    result = json.loads(outcome.stdout)
    assert (result["rows_read"], result["rows_loaded"], result["rows_rejected"]) == (9, 5, 4)
    assert result["first_event_at"].startswith("1999-03-05")
    loaded = conn.execute(
        "select distinct to_char(event_time at time zone 'UTC', 'YYYY-MM')"
        " from raw.events order by 1"
    ).fetchall()
    assert loaded == [("1999-03",), ("2024-05",), ("2031-07",)]
    assert scalar(PARTITIONS) == 3
    rejected = conn.execute(
        "select line_number, column_name, raw_text, reason like '%--max-new-partitions%'"
        " from raw.rejected_events order by line_number"
    ).fetchall()
    assert rejected == [
        (4, "time", "1950-01-05T12:00:00Z,car,gate", True),
        (7, "time", "2199-12-05T12:00:00Z,car,gate", True),
        (9, "time", "2000-01-05T12:00:00Z,car,gate", True),
        (10, "time", "bad,car,gate", False),
    ]


def test_nobody_waits_for_autovacuum_and_cancels_it(
    run_loader: Callable[..., Any],
    write_events: Callable[..., Path],
    dsn: str,
    conn: Connection,
    scalar: Scalar,
) -> None:
    """Autovacuum has this lock; whoever waits for it for deadlock_timeout makes it give up."""
    Partitions(conn).prepare(times("2024-05-13"))
    with connect(dsn) as vacuum, vacuum.transaction():
        # So that a loader that waits for it fails the test, and does not hang.
        vacuum.execute("set local idle_in_transaction_session_timeout = '10s'")
        vacuum.execute("lock table raw.event_chunks_2024_05 in share update exclusive mode")
        assert run_loader("load", write_events("1.csv", count=3000)).exit_code == 0
        assert run_loader("maintain").exit_code == 0
        assert scalar("select reltuples from pg_class where relname = 'event_chunks_2024_05'") == -1
        assert scalar("select count(*) from raw.events") == 3000
    assert run_loader("maintain").exit_code == 0
    assert scalar("select reltuples from pg_class where relname = 'event_chunks_2024_05'") == CHUNKS


def test_what_was_loaded_is_analyzed(
    run_loader: Callable[..., Any], write_events: Callable[..., Path], scalar: Scalar
) -> None:
    assert run_loader("load", write_events("1.csv", count=3000)).exit_code == 0
    for table in ("event_chunks_2024_05", "event_chunks"):
        assert scalar(f"select reltuples from pg_class where relname = '{table}'") == CHUNKS
    assert run_loader("load", write_events("2.csv", count=20)).exit_code == 0
    # A few rows more change nothing that the planner would notice.
    assert scalar("select reltuples from pg_class where relname = 'event_chunks_2024_05'") == CHUNKS


def test_partitions_of_several_sizes_stand_side_by_side(
    run_loader: Callable[..., Any],
    conn: Connection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load(size: str, *days: str) -> None:
        monkeypatch.setenv("LOADER_PARTITION_BY", size)
        path = tmp_path / f"by {size}.csv"
        rows = (f"{day}T{hour:02}:00:00Z,car,gate\n" for day in days for hour in (0, 23))
        path.write_text("time,type,source\n" + "".join(rows))
        outcome = run_loader("load", path, "--json", "--quiet")
        assert outcome.exit_code == 0, outcome.stderr

    load("day", "2024-05-07", "2024-05-08")
    load("week", "2024-05-05", "2024-05-06", "2024-05-10", "2024-05-13", "2024-05-07")
    load("month", "2024-05-01", "2024-05-31", "2024-05-12", "2024-06-01")
    load("", "2024-07-04")
    found = conn.execute(
        "select relname, pg_get_expr(relpartbound, pg_class.oid) from pg_inherits"
        " join pg_class on inhrelid = pg_class.oid where inhparent = 'raw.event_chunks'::regclass"
        " order by relname"
    ).fetchall()
    assert [
        (name, *(part[:10] for part in str(expression).split("'")[1::2]))
        for name, expression in found
    ] == [
        # What the weeks have left of May, which are two pieces; a week from which days are gone.
        ("event_chunks_2024_04_29", "2024-04-29", "2024-05-06"),
        ("event_chunks_2024_05_06", "2024-05-06", "2024-05-07"),
        ("event_chunks_2024_05_07", "2024-05-07", "2024-05-08"),
        ("event_chunks_2024_05_08", "2024-05-08", "2024-05-09"),
        ("event_chunks_2024_05_09", "2024-05-09", "2024-05-13"),
        ("event_chunks_2024_05_13", "2024-05-13", "2024-05-20"),
        ("event_chunks_2024_05_20", "2024-05-20", "2024-06-01"),
        ("event_chunks_2024_06", "2024-06-01", "2024-07-01"),
        # Whoever does not say how gets what the last one said.
        ("event_chunks_2024_07", "2024-07-01", "2024-08-01"),
    ]
    rows = conn.execute(
        "select sum(event_count)::int, sum(event_count) filter (where tableoid ="
        " 'raw.event_chunks_2024_05_07'::regclass)::int from raw.event_chunks"
    ).fetchone()
    assert rows == (24, 4)
    assert run_loader("load", tmp_path, "--quiet").exit_code == 0


def test_loaders_that_want_different_sizes_meet(dsn: str, scalar: Scalar) -> None:
    """Each sets its size again and again while the others create partitions."""
    first = np.datetime64("2024-01-01", "D")
    days = [str(first + np.timedelta64(number, "D")) for number in range(120)]
    all_are_here = Barrier(3)
    # A day that is there: else who wants months may be the first one each time.
    with connect(dsn) as conn:
        set_partition_by(conn, "day")
        Partitions(conn).prepare(times(days[45]))

    def create(number: int) -> Any:
        some = np.random.default_rng(number).permutation(days)[:40]
        with connect(dsn) as own:
            all_are_here.wait(PATIENCE)
            for day in some.tolist():
                set_partition_by(own, PARTITION_SIZES[number % 3])
                Partitions(own).prepare(times(day))
        return some.astype("datetime64[D]").astype(np.int64)

    with ThreadPoolExecutor(3) as pool:
        wanted = np.concatenate(list(pool.map(create, range(3))))
    # PostgreSQL lets none overlap; each row finds its place. By months alone there were four.
    with connect(dsn) as conn:
        assert (Partitions(conn).by_day.owners(wanted) >= 0).all()
    assert scalar(PARTITIONS) > 4  # type: ignore[operator]


def test_a_size_that_is_none_is_refused(
    run_loader: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOADER_PARTITION_BY", "year")
    outcome = run_loader("maintain")
    assert outcome.exit_code == 2
    assert outcome.stderr == ('loader: LOADER_PARTITION_BY "year" is not one of month, week, day\n')


@pytest.mark.parametrize(("size", "spans"), [("month", 28 + 30 + 30), ("week", 3 * 7), ("day", 3)])
def test_maintenance_is_ahead_by_the_size(
    size: str, spans: int, run_loader: Callable[..., Any], conn: Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("LOADER_PARTITION_BY", size)
    outcome = run_loader("maintain", "--json")
    assert len(json.loads(outcome.stdout)["created_partitions"]) == 3
    by_day = Partitions(conn).by_day
    today = np.datetime64("now", "D").astype(np.int64)
    covered = np.flatnonzero(by_day.owners(np.arange(today, today + 120)) >= 0)
    assert covered[0] == 0
    assert by_day.owners(np.array(by_day.slot(int(today))[:1]))[0] >= 0
    assert len(covered) >= spans - (today - by_day.slot(int(today))[0])
    assert json.loads(run_loader("maintain", "--json").stdout)["created_partitions"] == []
