"""PgBouncer in front of the server of the tests."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from loader.server.cluster import Cluster
from tests.conftest import is_root
from tests.waits import wait_until

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

    def answers() -> bool:
        try:
            psycopg.connect(dsn).close()
        except psycopg.OperationalError:
            return False
        return True

    try:
        wait_until(answers)
        yield dsn
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(home)
