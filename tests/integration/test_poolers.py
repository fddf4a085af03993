"""Poolers: in session mode all is as without one; where sessions are shared out, nothing begins."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from loader.database.connection import connect
from loader.database.locks import FINGERPRINT, unlock
from loader.errors import UsageError
from loader.server.cluster import Cluster

from .poolers import pooler

# All that one client of a pool could leave to the next one, but for statistics.
STATE = (
    "select name, setting from pg_settings",
    "select current_user, session_user",
    "select name from pg_prepared_statements",
)
LOCKS = "select count(*) from pg_locks where locktype = 'advisory' and database ="
LOCKS += " (select oid from pg_database where datname = current_database())"
COMMANDS = (
    ["load", "events.csv"],
    ["load", "events.csv", "--dedupe", "exact"],
    ["withdraw", "1"],
    ["status"],
    ["maintain"],
)


def plain(dsn: str) -> Connection:
    # With a name: a client without one has that of the client before it, whoever that was.
    return psycopg.connect(
        dsn, autocommit=True, prepare_threshold=None, application_name="another client"
    )


def what_others_see(dsn: str, mode: str) -> dict[int, list[Any]]:
    """The state of the server's sessions that the pool has, as its next clients see it."""
    clients = [plain(dsn) for _ in range(8)]
    found = {}
    for one in clients:
        if mode != "statement":
            # So that each has another one.
            one.execute("begin")
        row = one.execute("select pg_backend_pid()").fetchone()
        assert row is not None
        found[row[0]] = [sorted(one.execute(query.encode()).fetchall()) for query in STATE]
    for one in clients:
        one.rollback()
        one.close()
    return found


def check_unchanged(before: dict[int, list[Any]], after: dict[int, list[Any]]) -> None:
    """Whichever of its sessions the pool took: some were seen before, and all are as new."""
    assert set(before) & set(after)
    new = next(iter(before.values()))
    for state in after.values():
        assert [set(now) - set(then) for now, then in zip(state, new, strict=True)] == [set()] * 3


@contextmanager
def noise(dsn: str) -> Iterator[None]:
    """Other clients of the pool, at work."""
    must_stop = threading.Event()

    def work() -> None:
        with plain(dsn) as conn:
            while not must_stop.is_set():
                with conn.transaction():
                    conn.execute("select pg_sleep(0.003)")

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        must_stop.set()
        for thread in threads:
            thread.join()


@pytest.fixture
def in_its_folder(
    write_events: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_events()
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("mode", "more"),
    [("transaction", ""), ("transaction", "server_round_robin = 1"), ("statement", "")],
)
@pytest.mark.usefixtures("in_its_folder")
def test_a_pool_that_shares_sessions_out_is_refused_before_anything_changes(
    cluster: Cluster,
    database: str,
    conn: Connection,
    run_loader: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    more: str,
) -> None:
    conn.execute("drop schema raw cascade")
    with pooler(cluster, database, mode, more) as dsn:
        before = what_others_see(dsn, mode)
        monkeypatch.setenv("LOADER_DSN", dsn)
        for command in COMMANDS:
            outcome = run_loader(*command)
            assert outcome.exit_code == 2, outcome
            assert "the database is behind a pooler" in outcome.stderr
            assert "session mode, or to the server's own port" in outcome.stderr
            assert outcome.stderr.count("\n") == 1
        if mode == "transaction":
            with noise(dsn):
                for _ in range(30):
                    with pytest.raises(UsageError):
                        connect(dsn)
        after = what_others_see(dsn, mode)
        check_unchanged(before, after)
        assert conn.execute(LOCKS.encode()).fetchone() == (0,)
    assert conn.execute("select to_regnamespace('raw')").fetchone() == (None,)


@pytest.mark.usefixtures("in_its_folder")
def test_a_session_goes_back_to_its_pool_as_it_came(
    cluster: Cluster,
    database: str,
    conn: Connection,
    run_loader: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Another role than the one that logs in, so that the loader acts as that one.
    conn.execute("create role pooled_owner superuser")
    conn.execute("alter schema raw owner to pooled_owner")
    setting = "server_reset_query =\nserver_round_robin = 1"
    with pooler(cluster, database, "session", setting) as dsn:
        before = what_others_see(dsn, "session")
        monkeypatch.setenv("LOADER_DSN", dsn)
        with noise(dsn):
            for command in COMMANDS:
                outcome = run_loader(*command)
                assert outcome.exit_code == 0, outcome
        after = what_others_see(dsn, "session")
        check_unchanged(before, after)
        assert conn.execute(LOCKS.encode()).fetchone() == (0,)
    conn.execute("reassign owned by pooled_owner to postgres")
    conn.execute("drop role pooled_owner")


def test_a_lock_that_is_not_there_any_more_is_noticed(conn: Connection) -> None:
    with pytest.raises(UsageError, match="behind a pooler"):
        unlock(conn, FINGERPRINT, "nobody's")
