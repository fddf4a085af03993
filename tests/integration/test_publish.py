import json
import re
import signal
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection, errors

from loader.database.connection import connect
from loader.database.ledger import (
    begin_load,
    find_visible,
    list_loads,
    publish,
    remove_crashed_loads,
    remove_load,
    withdraw,
)
from loader.database.locks import show_life
from loader.errors import UsageError
from loader.reading.batch import Totals
from loader.server.cluster import Cluster
from tests.support.waits import wait_until

Run = Callable[..., Any]
Start = Callable[..., "subprocess.Popen[str]"]
Write = Callable[..., Path]
Scalar = Callable[[str], object]
Wait = Callable[[str], None]

ROWS_ARE_COMMITTED = "select count(*) > 0 from raw.events"
SOMEBODY_WAITS = "select count(*) > 0 from pg_locks where not granted and locktype = 'advisory'"

WAITING = (
    "select count(*) from pg_stat_activity"
    " where datname = current_database() and wait_event_type = 'Lock'"
)


def one_event(conn: Connection, load_id: int) -> None:
    conn.execute("create table if not exists raw.any_chunks partition of raw.event_chunks default")
    conn.execute(
        "insert into raw.event_chunks values (now(), now(), %s, 1, 1, array[now()], '{1}')",
        [load_id],
    )


def test_load_seq_is_gapless_and_in_commit_order(dsn: str, conn: Connection) -> None:
    def publish_some(count: int) -> list[int]:
        with connect(dsn) as own:
            return [publish(own, begin_load(own, "x", {}), Totals(), None) for _ in range(count)]

    with ThreadPoolExecutor(4) as pool:
        sequences = list(pool.map(publish_some, [25] * 4))
    assert sorted(chain.from_iterable(sequences)) == list(range(1, 101))
    assert all(numbers == sorted(numbers) for numbers in sequences)
    assert conn.execute(
        "select bool_and(published_at >= before) from (select published_at, lag(published_at)"
        " over (order by load_seq) as before from raw.loads) as published where before is not null"
    ).fetchone() == (True,)


def test_a_publish_that_fails_takes_no_number(conn: Connection) -> None:
    load_id = begin_load(conn, "x", {})
    with pytest.raises(errors.CheckViolation):
        publish(conn, load_id, Totals(rows_read=2, rows_loaded=1), None)
    assert publish(conn, load_id, Totals(), None) == 1


def test_a_load_is_published_once(conn: Connection) -> None:
    load_id = begin_load(conn, "x", {})
    assert publish(conn, load_id, Totals(), None) == 1
    with pytest.raises(UsageError):
        publish(conn, load_id, Totals(), None)
    assert conn.execute("select load_seq from raw.load_counter").fetchone() == (1,)


def test_the_ledger_refuses_to_show_an_input_twice(conn: Connection) -> None:
    publish(conn, begin_load(conn, "x", {}), Totals(), "same")
    with pytest.raises(errors.UniqueViolation):
        publish(conn, begin_load(conn, "x", {}), Totals(), "same")
    assert publish(conn, begin_load(conn, "x", {}), Totals(), "other") == 2


def test_two_loaders_with_the_same_file_load_it_once(
    start_loader: Start, write_events: Write, conn: Connection, dsn: str, wait_for: Wait
) -> None:
    file = write_events(count=10)
    with connect(dsn) as blocker, blocker.transaction():
        blocker.execute("update raw.load_counter set load_seq = load_seq")
        first = start_loader("load", file, "--json")
        wait_for(ROWS_ARE_COMMITTED)
        second = start_loader("load", file, "--json")
        wait_for(SOMEBODY_WAITS)
    results = [json.loads(process.communicate()[0]) for process in (first, second)]
    assert [result["already_loaded"] for result in results] == [False, True]
    assert {result["load_id"] for result in results} == {1}
    assert conn.execute("select count(*) from raw.events").fetchone() == (10,)


def test_what_a_killed_loader_left_is_removed_by_the_next(
    start_loader: Start,
    run_loader: Run,
    write_events: Write,
    dsn: str,
    scalar: Scalar,
    wait_for: Wait,
    nothing_left: Callable[[], None],
) -> None:
    file = write_events(count=10, bad=2)
    with connect(dsn) as blocker, blocker.transaction():
        blocker.execute("update raw.load_counter set load_seq = load_seq")
        process = start_loader("load", file)
        wait_for(ROWS_ARE_COMMITTED)
        process.send_signal(signal.SIGKILL)
        process.wait()
    wait_for("select count(*) = 0 from pg_stat_activity where application_name like '%loader (m%'")
    assert scalar("select count(*) from raw.events") == 10
    assert scalar("select count(*) from raw.rejected_events") == 2
    assert scalar("select count(*) from raw.loads where load_seq is null") == 1
    assert run_loader("load", file).exit_code == 3
    assert scalar("select count(*) from raw.events") == 10
    nothing_left()


def test_a_load_that_is_worked_on_is_not_taken_for_crashed(
    dsn: str, conn: Connection, wait_for: Wait
) -> None:
    with connect(dsn) as working:
        load_id = begin_load(working, "x", {})
        one_event(conn, load_id)
        assert remove_crashed_loads(conn) == []
        # Its main connection dies, and one that copies still lives.
        with connect(dsn) as copying:
            show_life(copying, load_id)
            working.close()
            assert remove_crashed_loads(conn) == []
    # The server notices a little later that they are gone.
    wait_for("select count(*) = 0 from pg_locks where locktype = 'advisory' and granted")
    assert remove_crashed_loads(conn) == [load_id]
    assert conn.execute("select count(*) from raw.events").fetchone() == (0,)


def test_a_published_load_is_never_removed(conn: Connection) -> None:
    load_id = begin_load(conn, "x", {})
    one_event(conn, load_id)
    publish(conn, load_id, Totals(rows_read=1, rows_loaded=1), None)
    assert remove_crashed_loads(conn) == []
    # Nor by whoever took it for crashed a moment before it was published.
    remove_load(conn, load_id)
    assert conn.execute("select count(*) from raw.events").fetchone() == (1,)
    assert conn.execute("select count(*) from raw.loads").fetchone() == (1,)


def feed(process: "subprocess.Popen[str]", rows: int) -> None:
    assert process.stdin is not None
    process.stdin.write("time,type,source\n")
    process.stdin.write("2024-05-13T15:00:00Z,car,gate\n" * rows)
    process.stdin.flush()


# Of what is fed, some is in a COPY then; a connection may not even be set up when it is first seen.
COPY_RUNS = "select count(*) > 0 from pg_stat_progress_copy where datname = current_database()"


def test_an_interrupted_load_leaves_nothing(
    start_loader: Start, wait_for: Wait, nothing_left: Callable[[], None], scalar: Scalar
) -> None:
    process = start_loader("load", "-", "--format", "csv")
    feed(process, 400_000)
    wait_for(COPY_RUNS)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate()
    assert process.returncode == 130
    assert stderr == "loader: interrupted\n"
    assert scalar("select count(*) from raw.events") == 0
    nothing_left()


def test_a_lost_connection_makes_nothing_visible(
    start_loader: Start,
    wait_for: Wait,
    conn: Connection,
    nothing_left: Callable[[], None],
) -> None:
    process = start_loader("load", "-", "--format", "csv")
    feed(process, 400_000)
    wait_for(COPY_RUNS)
    conn.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where application_name like '%(copy%'"
    )
    _, stderr = process.communicate("2024-05-13T15:00:00Z,car,gate\n")
    assert process.returncode == 5
    assert re.fullmatch("loader: the server went away: .*\n", stderr)
    nothing_left()


def test_a_server_that_goes_away_makes_nothing_visible(
    make_cluster: Callable[[], Cluster], start_loader: Start, write_events: Write
) -> None:
    cluster = make_cluster()
    cluster.start()
    dsn = cluster.dsn()
    file = write_events(count=10)
    assert start_loader("load", write_events("other.csv", count=1), LOADER_DSN=dsn).wait() == 0
    with connect(dsn) as blocker, blocker.transaction():
        blocker.execute("update raw.load_counter set load_seq = load_seq")
        process = start_loader("load", file, LOADER_DSN=dsn)
        while blocker.execute("select count(*) from raw.events").fetchone() != (11,):
            pass
        cluster.stop("immediate")
        _, stderr = process.communicate()
        assert process.returncode == 5
        assert stderr.startswith("loader: the server went away")
        assert stderr.count("\n") == 1
        blocker.close()
    cluster.start()
    with connect(dsn) as conn:
        assert conn.execute(
            "select count(*) from raw.loads where load_seq is not null"
        ).fetchone() == (1,)
        again = start_loader("load", file, LOADER_DSN=dsn)
        assert again.wait() == 0
        assert conn.execute("select count(*) from raw.events").fetchone() == (11,)
        assert conn.execute("select array_agg(load_seq order by 1) from raw.loads").fetchone() == (
            [1, 2],
        )


def test_a_withdrawal_is_a_ledger_row_of_its_own(conn: Connection) -> None:
    load_id = begin_load(conn, "x", {})
    publish(conn, load_id, Totals(), "print")
    withdrawal_id = withdraw(conn, load_id)
    row = list_loads(conn)[0]
    assert (row.load_id, row.kind, row.load_seq) == (withdrawal_id, "withdrawal", 2)
    assert row.withdraws_load_id == load_id
    assert conn.execute(
        "select load_seq, withdrawn_seq from raw.loads where load_id = %s", [load_id]
    ).fetchone() == (1, 2)
    # What was withdrawn can be loaded again.
    assert find_visible(conn, "print") is None
    assert publish(conn, begin_load(conn, "x", {}), Totals(), "print") == 3


def test_only_a_visible_load_can_be_withdrawn(conn: Connection) -> None:
    unpublished = begin_load(conn, "x", {})
    with pytest.raises(UsageError, match="not published"):
        withdraw(conn, unpublished)
    with pytest.raises(UsageError, match="there is no load 99"):
        withdraw(conn, 99)
    publish(conn, unpublished, Totals(), None)
    withdrawal = withdraw(conn, unpublished)
    with pytest.raises(UsageError, match="withdrawn already"):
        withdraw(conn, unpublished)
    with pytest.raises(UsageError, match="itself a withdrawal"):
        withdraw(conn, withdrawal)
    assert conn.execute("select load_seq from raw.load_counter").fetchone() == (2,)


def test_two_withdrawals_at_once_are_one(dsn: str, conn: Connection) -> None:
    load_id = begin_load(conn, "x", {})
    publish(conn, load_id, Totals(), None)

    def try_it() -> bool:
        with connect(dsn) as own:
            try:
                withdraw(own, load_id)
            except UsageError:
                return False
            return True

    with ThreadPoolExecutor(4) as pool, connect(dsn) as watching:
        # Who looks at the load without waiting finds it visible.
        with conn.transaction():
            conn.execute("select from raw.loads where load_id = %s for update", [load_id])
            withdrawn = [pool.submit(try_it) for _ in range(4)]
            wait_until(lambda: watching.execute(WAITING).fetchone() == (4,))
        assert sorted(one.result() for one in withdrawn) == [False, False, False, True]
    assert conn.execute("select load_seq from raw.load_counter").fetchone() == (2,)
