"""Nothing is waited for without a word, nor for ever: locks, and networks that are gone."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import Connection
from psycopg.conninfo import make_conninfo

from loader.database.connection import connect, explain
from loader.database.locks import FINGERPRINT, SCHEMA, lock, lock_key
from loader.database.waiting import Watch
from loader.server.cluster import Cluster
from tests.conftest import Outcome
from tests.support.deaf import Deaf
from tests.support.waits import PATIENCE

Write = Callable[..., Path]
StartLoader = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def stranger(dsn: str) -> Iterator[Connection]:
    with psycopg.connect(dsn, autocommit=True, application_name="a stranger's psql") as conn:
        yield conn


@pytest.mark.parametrize(
    "statement",
    [
        # An advisory lock, and a row.
        f"select pg_advisory_xact_lock({lock_key(SCHEMA)})",
        "select * from raw.load_counter for update",
    ],
)
def test_who_holds_a_lock_is_told_and_the_load_goes_on_when_it_is_free(
    stranger: Connection, start_loader: StartLoader, write_events: Write, statement: str
) -> None:
    stranger.execute("begin")
    stranger.execute(statement.encode())
    process = start_loader("load", write_events(), "--quiet")
    assert process.stderr is not None
    told = process.stderr.readline()
    stranger.rollback()
    stdout, stderr = process.communicate(timeout=PATIENCE)
    assert (process.returncode, stderr) == (0, ""), stdout
    assert told.startswith("loader: waiting for a lock that others hold: pid ")
    assert f"pid {stranger.info.backend_pid} " in told
    assert 'user "postgres", a stranger\'s psql, idle in transaction since 20' in told


def test_no_lock_is_waited_for_for_ever(
    database: str,
    conn: Connection,
    stranger: Connection,
    run_loader: Callable[..., Outcome],
    write_events: Write,
    nothing_left: Callable[[], None],
) -> None:
    conn.execute(f"alter database {database} set video_events.lock_timeout = '2800ms'".encode())
    path = write_events()
    stranger.execute("begin")
    stranger.execute("select * from raw.load_counter for update")
    outcome = run_loader("load", path)
    assert outcome.exit_code == 5, outcome
    said = outcome.stderr.splitlines()
    assert len(said) == 2
    assert said[1].startswith("loader: others hold a lock for too long: pid ")
    assert f"pid {stranger.info.backend_pid} " in said[1]
    assert "run the same command again" in said[1]
    stranger.rollback()
    nothing_left()
    assert run_loader("load", path).exit_code == 0


def test_a_lock_of_another_loader_is_named_with_its_work(
    conn: Connection, dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    lock(conn, FINGERPRINT, "a file")
    with connect(dsn, purpose="copy, load 7") as waiting:
        waiting.execute("set lock_timeout = '2500ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable) as caught:
            lock(waiting, FINGERPRINT, "a file")
    assert "video-events loader (test), idle since" in str(explain(caught.value))
    (record,) = caplog.records
    assert f"pid {conn.info.backend_pid} " in record.getMessage()


@pytest.mark.parametrize("is_for_all", [True, False])
def test_a_network_that_goes_silent_is_given_up(
    cluster: Cluster,
    database: str,
    dsn: str,
    run_loader: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
    write_events: Write,
    *,
    is_for_all: bool,
) -> None:
    way = Deaf(
        server=cluster.socket_dir / ".s.PGSQL.5432",
        word=b"update raw.load_counter",
        is_for_all=is_for_all,
    )
    path = write_events()
    silent = make_conninfo(way.dsn(database), connect_timeout=8, tcp_user_timeout=3000)
    monkeypatch.setenv("LOADER_DSN", silent)
    outcome = run_loader("load", path)
    way.close()
    assert outcome.exit_code == 5, outcome
    assert "loader: the server does not answer (" in outcome.stderr
    monkeypatch.setenv("LOADER_DSN", dsn)
    again = run_loader("load", path)
    assert (again.exit_code, again.stdout.count("3 rows loaded")) == (0, 1), again


@pytest.mark.parametrize(
    ("said", "is_answer"),
    [
        ("", True),
        ("connection to server on socket failed: 致命错误:  客户端连接过多", True),
        ("connection to server on socket failed: No such file\n\tIs the server running?", False),
        ("connection timeout expired", False),
    ],
)
def test_a_server_without_room_has_answered_in_any_language(
    cluster: Cluster, said: str, is_answer: bool
) -> None:
    def reconnect() -> Connection:
        if said:
            raise psycopg.OperationalError(said)
        return psycopg.connect(cluster.dsn("nowhere"))

    watch = Watch(pid=1, patience=1, reconnect=reconnect, break_off=lambda: None)
    assert (watch._look() is None) is is_answer


def test_the_server_is_to_notice_that_a_loader_is_gone(conn: Connection) -> None:
    found = conn.execute(
        "select name from pg_settings where source = 'session' and"
        " (name like 'tcp%' or name = 'client_connection_check_interval') order by name"
    ).fetchall()
    # Over a socket file they are set, and have no effect.
    assert [name for (name,) in found] == [
        "client_connection_check_interval",
        "tcp_keepalives_count",
        "tcp_keepalives_idle",
        "tcp_keepalives_interval",
        "tcp_user_timeout",
    ]


def test_what_the_connection_string_says_of_the_network_counts(dsn: str) -> None:
    with connect(f"{dsn} keepalives_idle=7") as ours:
        found = ours.info.get_parameters()
    assert (found["keepalives_idle"], found["keepalives_count"]) == ("7", "4")
    assert found["tcp_user_timeout"] == "900000"
