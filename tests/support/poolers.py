"""PgBouncer in front of the server of the tests."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from loader.server.cluster import Cluster
from tests.conftest import is_root
from tests.support.servers import is_answering
from tests.support.waits import wait_until

# All that one client of a pool could leave to the next one, but for statistics.
STATE = (
    # Those of plpgsql are there when somebody has called a function.
    "select name, setting from pg_settings where name not like 'plpgsql%'",
    "select current_user, session_user",
    "select name from pg_prepared_statements",
)
SETTINGS = """
[databases]
{database} = host={host} port=5432 user=postgres

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
{more}
"""


@contextmanager
def pooler(cluster: Cluster, database: str, mode: str, more: str = "") -> Iterator[str]:
    """Start PgBouncer in a mode; give how to connect to the database through it."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.skip("no pgbouncer here: apt-get install pgbouncer")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    home = Path(tempfile.mkdtemp())
    file = home / "pgbouncer.ini"
    file.write_text(
        SETTINGS.format(database=database, host=cluster.socket_dir, port=port, mode=mode, more=more)
    )
    # It refuses to run as root.
    user = pwd.getpwnam(cluster.run_as) if is_root() and cluster.run_as else None
    if user is not None:
        os.chown(home, user.pw_uid, user.pw_gid)
    process = subprocess.Popen(
        [program, "-q", file],
        user=None if user is None else user.pw_uid,
        group=None if user is None else user.pw_gid,
        extra_groups=None if user is None else [],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    dsn = f"host=127.0.0.1 port={port} user=postgres dbname={database}"

    try:
        wait_until(lambda: is_answering(dsn))
        yield dsn
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(home)


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
