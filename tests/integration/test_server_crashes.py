"""Servers that die at any step of a load, or find no room: the same command makes it good."""

import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from loader.database.connection import connect
from loader.server.cluster import Cluster
from tests.conftest import Outcome
from tests.support.killed import OPTIONS, Killed, was_reached
from tests.support.servers import durable_database, dying, revive, server_death, write_noise
from tests.support.waits import wait_until

Run = Callable[..., Outcome]

SERVER_KILLS = max(6, int(os.environ.get("CRASH_KILLS", "0")) // 10)


@pytest.fixture
def cluster(make_cluster: Callable[[], Cluster]) -> Cluster:
    """A server of the test's own, which it may kill."""
    cluster = make_cluster()
    cluster.start()
    return cluster


@pytest.fixture
def database(cluster: Cluster) -> str:
    """A database that goes away with its server."""
    return durable_database(cluster)


def check(killed: Killed, conn: Connection[TupleRow]) -> None:
    """Check that what is visible is what the files hold, and that nothing else is there."""
    assert killed.differences(conn) == {"missing": {}, "too many": {}}
    assert killed.accounts(conn) == killed.expected_accounts()
    for table in ("events", "rejected_events"):
        assert conn.execute(
            f"select count(*) from raw.{table} where load_id not in"
            " (select load_id from raw.loads where load_seq is not null)".encode()
        ).fetchone() == (0,)
    assert conn.execute(
        "select count(*) from pg_class where relname like 'staging%'"
    ).fetchone() == (0,)


def test_a_server_that_dies_at_any_step_is_said_so_and_the_next_load_makes_it_good(
    cluster: Cluster, dsn: str, run_loader: Run, tmp_path: Path, generator: random.Random
) -> None:
    killed = Killed(dsn=dsn, directory=tmp_path)
    steps = killed.steps()
    for _ in range(SERVER_KILLS):
        death = server_death(cluster, generator)
        options = generator.choice([(), ("--dedupe", "exact")])
        step = generator.randint(1, steps)
        with dying(cluster) as server:
            exit_code, said = killed.lose_server_at_step(step, death, *options)
            server.is_killed = was_reached(step, tmp_path)
        # What was done already when the server died is done.
        assert exit_code in (3, 5), said
        if exit_code == 5:
            assert said.startswith("loader: ")
            assert "Traceback" not in said
            assert said.count("\n") == 1
        if exit_code == 3:
            with connect(dsn) as conn:
                assert conn.execute(
                    "select count(load_seq) from raw.loads where origin = %s",
                    [str(killed.files[-1])],
                ).fetchone() == (1,)
        outcome = run_loader("load", *OPTIONS, *options, *killed.files)
        assert outcome.exit_code in (0, 3), outcome.stderr
        with connect(dsn) as conn:
            check(killed, conn)


@pytest.fixture
def small_log(cluster: Cluster) -> Iterator[Path]:
    """The write-ahead log of the server, on a file system of 48 MB: it takes segments of 16 MB."""
    log = cluster.data_dir / "pg_wal"
    elsewhere = Path(tempfile.mkdtemp(prefix="small-log-"))
    cluster.stop()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(elsewhere)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    if mounted.returncode != 0:
        elsewhere.rmdir()
        pytest.skip(f"cannot mount a small file system: {mounted.stderr.strip()}")
    shutil.copytree(log, elsewhere, dirs_exist_ok=True)
    shutil.rmtree(log)
    log.symlink_to(elsewhere)
    if cluster.run_as is not None:
        for path in (elsewhere, *elsewhere.rglob("*")):
            shutil.chown(path, cluster.run_as, cluster.run_as)
    elsewhere.chmod(0o700)
    cluster.start()
    yield elsewhere
    cluster.stop("immediate")
    subprocess.run(["umount", str(elsewhere)], check=True)
    elsewhere.rmdir()


def test_a_log_without_room_stops_the_server_and_the_next_load_makes_it_good(
    cluster: Cluster, dsn: str, small_log: Path, run_loader: Run, tmp_path: Path
) -> None:
    first, second = tmp_path / "1.csv", tmp_path / "2.csv"
    assert run_loader("generate", "--events", "1000", "--output", first).exit_code == 0
    write_noise(second, 100_000)
    options = ("--attributes", "noise")
    assert run_loader("load", "--quiet", first).exit_code == 0

    failed = run_loader("load", "--quiet", *options, second)
    assert failed.exit_code == 5, failed.stderr
    assert failed.stderr.startswith("loader: the server went away")
    assert failed.stderr.count("\n") == 1
    assert "PANIC" in cluster.log_file.read_text()

    wait_until(lambda: not cluster.is_running())
    subprocess.run(["mount", "-o", "remount,size=2g", str(small_log)], check=True)
    revive(cluster)
    assert "already loaded" in run_loader("load", first).stdout
    again = run_loader("load", "--quiet", *options, second)
    assert again.exit_code == 0, again.stderr
    with connect(dsn) as conn:
        assert conn.execute("select count(*) from raw.events").fetchone() == (101_000,)
        assert conn.execute(
            "select array_agg(load_seq order by load_seq), sum(rows_loaded) from raw.loads"
        ).fetchone() == ([1, 2], 101_000)
