"""The page on backups, followed: its commands in a shell, on servers of the test's own."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from loader.database.connection import connect
from loader.server.cluster import Cluster
from loader.server.private import as_user
from tests.support.waits import wait_until

Run = Callable[..., Any]
Write = Callable[..., Path]

PAGE = Path(__file__).parents[2] / "docs/howto/back-up-and-restore.md"
OLD_BIN = Path("/usr/lib/postgresql/15/bin")
STATE = (
    "select load_id, load_seq, withdrawn_seq, rows_loaded,"
    " (select count(*) from raw.events where events.load_id = loads.load_id)"
    " from raw.loads order by load_id"
)


def commands(word: str) -> str:
    """The commands that the page shows, those with a word in them."""
    shown = re.findall(r"^```bash\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (found,) = (block for block in shown if word in block)
    return str(found)


@dataclass(frozen=True, kw_only=True)
class Shell:
    """A shell of the user that runs the servers."""

    cluster: Cluster
    folder: Path

    def run(self, script: str, **variables: str | Path) -> None:
        environment = {
            "PATH": f"{self.cluster.bin_dir}:{os.environ['PATH']}",
            "PGHOST": str(self.cluster.socket_dir),
            "PGPORT": "5432",
            "PGUSER": "postgres",
            "PGDATABASE": "video",
            "BACKUPS": str(self.folder),
            **{name: str(value) for name, value in variables.items()},
        }
        done = subprocess.run(
            ["bash", "-euo", "pipefail"], input=f"cd {self.folder}\n{script}", env=environment,
            check=False, capture_output=True, text=True, **as_user(self.cluster.run_as),
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def folder(make_cluster: Callable[[], Cluster]) -> Iterator[Path]:
    """A folder that the user who runs the servers can enter."""
    path = Path(tempfile.mkdtemp(prefix="video-events-backups-", dir="/tmp"))
    run_as = make_cluster().run_as
    if run_as is not None:
        shutil.chown(path, run_as)
    yield path
    shutil.rmtree(path)


def state(dsn: str) -> list[Any]:
    with connect(dsn, purpose="test") as conn:
        return conn.execute(STATE).fetchall()


def test_a_dump_and_any_moment(
    make_cluster: Callable[[], Cluster],
    folder: Path,
    run_loader: Run,
    write_events: Write,
) -> None:
    made = make_cluster()
    log = {
        "archive_mode": "on",
        "archive_command": f"cp %p {folder}/log/%f",
        "wal_level": "replica",
    }
    cluster = replace(made, settings={**made.settings, **log})
    shell = Shell(cluster=cluster, folder=folder)
    shell.run("mkdir log")
    cluster.start()
    cluster.ensure_database("video")
    dsn = cluster.dsn("video")
    files = [write_events(f"{n}.csv", count=n, start=f"2024-0{n}-01T00") for n in range(1, 6)]
    for path in files[:2]:
        assert run_loader("load", path, "--dsn", dsn).exit_code == 0
    shell.run(commands("pg_dump"))
    shell.run(commands("pg_basebackup"))
    assert run_loader("load", files[2], "--dsn", dsn).exit_code == 0
    with connect(dsn) as conn:
        before = state(dsn)
        (moment,) = conn.execute("select clock_timestamp()::text").fetchone() or ("",)
        assert run_loader("load", files[3], "--dsn", dsn).exit_code == 0
        assert run_loader("withdraw", "1", "--dsn", dsn).exit_code == 0
        (last,) = conn.execute("select pg_walfile_name(pg_switch_wal())").fetchone() or ("",)
        wait_until((folder / "log" / last).exists)

    shell.run(commands("pg_restore"))
    dumped = cluster.dsn("restored")
    assert [row[0] for row in state(dumped)] == [1, 2]

    run = folder / "run"
    restored = folder / "restored"
    shell.run(
        f"mkdir {run}\n{commands('recovery_target_time')}",
        RESTORED=restored,
        MOMENT=moment,
        SERVER_OPTIONS=f"-c listen_addresses= -k {run}",
    )
    try:
        there = dsn.replace(str(cluster.socket_dir), str(run))
        with psycopg.connect(there, autocommit=True) as conn:
            wait_until(lambda: not in_recovery(conn))
        assert state(there) == before
        for where in (dumped, there):
            goes_on(run_loader, where, files)
    finally:
        shell.run("pg_ctl --pgdata=$RESTORED --mode=immediate stop", RESTORED=restored)


def in_recovery(conn: Connection) -> bool:
    row = conn.execute("select pg_is_in_recovery()").fetchone()
    assert row is not None
    return bool(row[0])


def goes_on(run_loader: Run, dsn: str, files: list[Path]) -> None:
    """What came before is known; what came since, and new, can be loaded; everything fits."""
    known = len(state(dsn))
    outcome = run_loader("load", "--dsn", dsn, *files)
    assert outcome.exit_code == 0, outcome.stderr
    assert outcome.stdout.count("already loaded") == known
    assert run_loader("withdraw", "1", "--dsn", dsn).exit_code == 0
    assert run_loader("maintain", "--dsn", dsn).exit_code == 0
    assert run_loader("status", "--dsn", dsn).stderr == ""
    rows = [(row[0], row[3], row[4]) for row in state(dsn)]
    events = list(range(1, len(files) + 1))
    assert [row[1] for row in rows][: len(files)] == events
    assert sum(row[2] for row in rows) == sum(events) - 1


def column_options(dsn: str) -> list[str]:
    """What a server writes down with each column, without being asked."""
    with psycopg.connect(dsn) as conn:
        rows = conn.execute(
            "select distinct split_part(unnest(attoptions), '=', 1) from pg_attribute"
            " where attrelid = 'raw.loads'::regclass"
        ).fetchall()
    return [str(name) for (name,) in rows]


def is_known(options: list[str], dsn: str) -> bool:
    """Tell whether a server takes such options."""
    with psycopg.connect(dsn) as conn:
        conn.execute("create temporary table asked (a int)")
        try:
            for name in options:
                conn.execute(f"alter table asked alter a set ({name} = 1)".encode())
        except psycopg.errors.InvalidParameterValue:
            return False
    return True


def test_from_15_to_18(
    make_cluster: Callable[[], Cluster],
    folder: Path,
    run_loader: Run,
    write_events: Write,
) -> None:
    new = make_cluster()
    if not (OLD_BIN / "initdb").exists() or new.bin_dir == OLD_BIN:
        pytest.skip("moves from the system's PostgreSQL 15 to the embedded one")
    old = replace(make_cluster(), bin_dir=OLD_BIN)
    old.start()
    old.ensure_database("video")
    dsn = old.dsn("video")
    files = [write_events(f"{n}.csv", count=n, start=f"2024-0{n}-01T00") for n in range(1, 5)]
    for path in files[:2]:
        assert run_loader("load", path, "--dsn", dsn).exit_code == 0
    before = state(dsn)
    new.start()
    new_bin = {"PATH": f"{new.bin_dir}:{os.environ['PATH']}"}
    shell = Shell(cluster=old, folder=folder)
    shell.run(commands("pg_dump"))
    shell.run(commands("pg_restore"), **new_bin, PGHOST=new.socket_dir)
    assert state(new.dsn("restored")) == before
    goes_on(run_loader, new.dsn("restored"), files)
    if not is_known(column_options(dsn), new.dsn("restored")):
        pytest.skip("the release of PostgreSQL 18 is older than that of 15: pg_upgrade refuses it")

    old.stop()
    upgraded = make_cluster()
    shell.run(f"mkdir --mode=700 {upgraded.home}")
    shell.run(
        commands("pg_upgrade"),
        **new_bin,
        NEW_DATA=upgraded.data_dir,
        OLD_DATA=old.data_dir,
        NEW_BIN=new.bin_dir,
        OLD_BIN=OLD_BIN,
        INITDB_OPTIONS="--encoding=UTF8 --locale=C --no-data-checksums --auth=trust",
    )
    upgraded.start()
    assert state(upgraded.dsn("video")) == before
    goes_on(run_loader, upgraded.dsn("video"), files)
