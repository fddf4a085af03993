import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from loader.errors import ServerError
from loader.server.cluster import Cluster


def postmaster_pid(cluster: Cluster) -> int:
    return int((cluster.data_dir / "postmaster.pid").read_text().split("\n")[0])


def test_starts_once_however_many_processes_try(make_cluster: Callable[[], Cluster]) -> None:
    cluster = make_cluster()
    with ThreadPoolExecutor(4) as pool:
        started = list(pool.map(lambda _: cluster.start(), range(4)))
    assert sorted(started) == [False, False, False, True]
    assert cluster.is_running()
    assert cluster.stop()
    assert not cluster.is_running()
    assert not cluster.stop()


def test_starts_after_a_crash_although_its_process_id_is_in_use_again(
    make_cluster: Callable[[], Cluster],
) -> None:
    cluster = make_cluster()
    cluster.start()
    os.kill(postmaster_pid(cluster), signal.SIGKILL)
    while cluster.is_running():
        time.sleep(0.05)
    for name in ("data/postmaster.pid", "run/.s.PGSQL.5432.lock"):
        file = cluster.home / name
        file.write_text("\n".join([str(os.getpid()), *file.read_text().split("\n")[1:]]))
    assert cluster.start()
    with psycopg.connect(cluster.dsn()) as conn:
        assert conn.execute("show timezone").fetchone() == ("UTC",)


def test_the_socket_of_a_project_with_a_long_path_is_short(tmp_path: Path) -> None:
    cluster = Cluster(bin_dir=tmp_path, home=tmp_path / ("x" * 120))
    assert len(str(cluster.socket_dir)) < 90
    assert cluster.socket_dir != Cluster(bin_dir=tmp_path, home=tmp_path / "y").socket_dir


def test_nobody_but_the_owner_can_enter(cluster: Cluster) -> None:
    for directory in (cluster.home, cluster.socket_dir, cluster.data_dir):
        assert directory.stat().st_mode & 0o077 == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a directory of another user")
def test_a_directory_of_another_user_is_refused(
    make_cluster: Callable[[], Cluster],
) -> None:
    cluster = make_cluster()
    cluster.home.mkdir()
    os.chown(cluster.home, 65534, 65534)
    with pytest.raises(ServerError, match="belongs to another user"):
        cluster.start()


def test_the_environment_can_be_evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A directory below pytest's, which the user that runs root's server cannot enter.
    monkeypatch.setenv("LOADER_SERVER_DIR", str(tmp_path / "it's a dir"))
    loader = [sys.executable, "-m", "loader"]
    try:
        printed = subprocess.run([*loader, "db", "env"], check=True, capture_output=True, text=True)
        shown = subprocess.run(
            ["sh", "-c", f'{printed.stdout}\necho "$PGHOST|$PGPORT|$PGUSER|$PGDATABASE"'],
            check=True, capture_output=True, text=True,
        ).stdout.strip().split("|")  # fmt: skip
        assert shown[1:] == ["5432", "postgres", "video_events"]
        with psycopg.connect(host=shown[0], user=shown[2], dbname=shown[3]) as conn:
            assert conn.execute("select 1").fetchone() == (1,)
    finally:
        subprocess.run([*loader, "db", "reset", "--yes"], check=True, capture_output=True)
