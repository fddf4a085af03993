"""Servers that are killed and started again."""

import os
import random
import signal
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg

from loader.errors import ServerError
from loader.server.cluster import Cluster
from tests.support.waits import wait_until

from .killed import Death, kill_backend, kill_process


def durable_database(cluster: Cluster) -> str:
    """Create a database where a commit is on disk when it is answered, as with usual settings."""
    cluster.ensure_database("crashes")
    with psycopg.connect(cluster.dsn(), autocommit=True) as conn:
        conn.execute("alter database crashes set synchronous_commit = on")
    return "crashes"


def postmaster(cluster: Cluster) -> int:
    """Return the process id of a server."""
    return int((cluster.data_dir / "postmaster.pid").read_text().split()[0])


def kill_server(cluster: Cluster) -> None:
    """Kill the server as a failure of power does, and start it again."""
    os.kill(postmaster(cluster), signal.SIGKILL)
    revive(cluster)


def is_answering(dsn: str) -> bool:
    """Tell whether somebody can connect."""
    try:
        psycopg.connect(dsn).close()
    except psycopg.OperationalError:
        return False
    return True


def revive(cluster: Cluster) -> None:
    """Start a server that has died, or wait until it has recovered by itself."""

    def is_alive() -> bool:
        if is_answering(cluster.dsn()):
            return True
        # Some process of the old server may not have noticed yet that it is dead.
        with suppress(ServerError):
            cluster.start()
        return False

    wait_until(is_alive)


@dataclass
class Dying:
    """What is known of a server at the end: whether it was killed at all."""

    is_killed: bool = True


@contextmanager
def dying(cluster: Cluster) -> Iterator[Dying]:
    """Wait at the end until the server has died, unless nobody killed it, and revive it."""
    with psycopg.connect(cluster.dsn(), autocommit=True) as canary:
        server = Dying()
        yield server
        if not server.is_killed:
            return

        def is_dead() -> bool:
            with suppress(psycopg.OperationalError):
                canary.execute("select 1")
            return canary.closed

        wait_until(is_dead)
    revive(cluster)


def server_death(cluster: Cluster, generator: random.Random) -> Death:
    """Choose which process of a server is killed: the first one, or that of the connection."""
    deaths: list[Death] = [kill_backend, partial(kill_process, postmaster(cluster))]
    return generator.choice(deaths)


def write_noise(path: Path, rows: int) -> None:
    """Write events with 600 characters that cannot be compressed: they fill a disk or a log."""
    generator = random.Random(1)
    noises = (b64encode(generator.randbytes(450)).decode() for _ in range(rows))
    lines = "".join(f"2024-05-13T12:00:00Z,car,gate,{noise}\n" for noise in noises)
    path.write_text("time,type,source,noise\n" + lines)
