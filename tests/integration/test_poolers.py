"""Poolers: in session mode all is as without one; where sessions are shared out, nothing begins."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection

from loader.database.connection import connect
from loader.database.locks import FINGERPRINT, unlock
from loader.errors import UsageError
from loader.server.cluster import Cluster
from tests.support.poolers import check_unchanged, noise, pooler, what_others_see

LOCKS = "select count(*) from pg_locks where locktype = 'advisory' and database ="
LOCKS += " (select oid from pg_database where datname = current_database())"
COMMANDS = (
    ["load", "events.csv"],
    ["load", "events.csv", "--dedupe", "exact"],
    ["withdraw", "1"],
    ["status"],
    ["maintain"],
)


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
