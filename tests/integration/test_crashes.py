"""Loaders that are killed, servers that go away: the same command again makes it good."""

import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from loader.database import ledger
from loader.database.connection import connect
from loader.server.cluster import Cluster
from tests.conftest import Outcome
from tests.support.cut import Cut, When
from tests.support.killed import OPTIONS, Killed
from tests.support.servers import write_noise

Run = Callable[..., Outcome]
Write = Callable[..., Path]
Scalar = Callable[[str], object]

RANDOM_KILLS = int(os.environ.get("CRASH_KILLS", "100"))
KILLS_PER_CHECK = 12
LACK_AN_INDEX = (
    "select count(*) from pg_inherits where inhparent = 'raw.event_chunks'::regclass"
    " and (select count(*) from pg_index where indrelid = inhrelid) <> 2"
)

NO_LOADER_IS_CONNECTED = (
    "select count(*) = 0 from pg_stat_activity where datname = current_database()"
    " and application_name like 'video-events loader%' and pid <> pg_backend_pid()"
    " and application_name not like '%(test)'"
)


@pytest.fixture
def killed(dsn: str, tmp_path: Path) -> Killed:
    return Killed(dsn=dsn, directory=tmp_path)


@pytest.fixture
def all_is_made_good(
    killed: Killed,
    run_loader: Run,
    conn: Connection[TupleRow],
    wait_for: Callable[[str], None],
    nothing_left: Callable[[], None],
) -> Callable[..., None]:
    """Run the same command for every new file again, and check every trace of what was killed."""
    good = 0

    def check(*options: str) -> None:
        nonlocal good
        wait_for(NO_LOADER_IS_CONNECTED)
        new, good = killed.files[good:], len(killed.files)
        if new:
            outcome = run_loader("load", *OPTIONS, *options, *new)
            assert outcome.exit_code in (0, 3), outcome.stderr
        assert killed.differences(conn) == {"missing": {}, "too many": {}}
        assert killed.accounts(conn) == killed.expected_accounts()
        nothing_left()
        assert conn.execute(LACK_AN_INDEX.encode()).fetchone() == (0,)

    return check


WAYS = [(), ("--dedupe", "exact"), ("--indexes", "rebuild")]
# All steps of the two last ones are also those of both at once.
STEPPED = (
    WAYS if "CRASH_KILLS" in os.environ else [(), ("--dedupe", "exact", "--indexes", "rebuild")]
)


@pytest.mark.parametrize("options", STEPPED, ids=" ".join)
def test_a_loader_killed_at_any_step_leaves_nothing_that_the_next_does_not_mend(
    killed: Killed, all_is_made_good: Callable[..., None], options: tuple[str, ...]
) -> None:
    steps = killed.steps(*options)
    deaths = 0
    for step in range(1, steps + 1):
        deaths += killed.kill_at_step(step, *options)
        if step % KILLS_PER_CHECK == 0:
            all_is_made_good(*options)
    all_is_made_good(*options)
    # Two connections that copy at once make some steps more or less, and ANALYZE is not always due.
    assert deaths > max(50, steps - 20)


def test_a_loader_killed_at_any_moment_leaves_nothing_that_the_next_does_not_mend(
    killed: Killed, all_is_made_good: Callable[..., None], generator: random.Random
) -> None:
    begun = time.monotonic()
    killed.steps()
    whole = time.monotonic() - begun
    for number in range(RANDOM_KILLS):
        killed.kill_after(generator.uniform(0, whole), *generator.choice(WAYS))
        if number % KILLS_PER_CHECK == 0:
            all_is_made_good()
    all_is_made_good()


@pytest.fixture
def cut(
    cluster: Cluster,
    database: str,
    run_loader: Run,  # noqa: ARG001 - first, it clears the environment
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., Cut]]:
    """Lead the loader to the server over a connection that is cut when it publishes."""
    # A short path: sockets take no other.
    directory = Path(tempfile.mkdtemp(prefix="cut-"))
    cuts: list[Cut] = []

    def make(when: When, *, is_final: bool = False) -> Cut:
        server = cluster.socket_dir / ".s.PGSQL.5432"
        one = Cut(server=server, directory=directory, when=when, is_final=is_final)
        cuts.append(one)
        monkeypatch.setenv("LOADER_DSN", one.dsn(database))
        return one

    yield make
    for one in cuts:
        one.close()
    shutil.rmtree(directory)


@pytest.mark.parametrize("source", ["file", "standard input"])
def test_a_commit_without_an_answer_is_looked_up(
    cut: Callable[..., Cut], run_loader: Run, write_events: Write, scalar: Scalar,
    nothing_left: Callable[[], None], source: str, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    file = write_events(count=10)
    one = cut("after")

    def load() -> Outcome:
        if source == "file":
            return run_loader("load", file)
        with file.open() as opened:
            monkeypatch.setattr("sys.stdin", opened)
            return run_loader("load", "-", "--format", "csv")

    outcome = load()
    assert one.cuts == 1
    assert (outcome.exit_code, outcome.stderr) == (0, "")
    assert "10 rows loaded" in outcome.stdout
    assert "already loaded" in load().stdout
    assert scalar("select count(*) from raw.events") == 10
    nothing_left()


def test_a_commit_that_the_server_never_heard_of_is_none(
    cut: Callable[..., Cut], run_loader: Run, write_events: Write, dsn: str, scalar: Scalar,
    nothing_left: Callable[[], None], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    file = write_events(count=10, bad=2)
    cut("before")
    outcome = run_loader("load", file)
    assert outcome.exit_code == 5
    assert outcome.stderr == (
        "loader: the server went away before load 1 was visible, and it never will be; "
        "run the same command again\n"
    )
    assert scalar("select count(*) from raw.events") == 0
    nothing_left()
    monkeypatch.setenv("LOADER_DSN", dsn)
    assert run_loader("load", file).exit_code == 3
    assert scalar("select count(*) from raw.events") == 10


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_commit_that_cannot_be_looked_up_is_said_to_be_unknown(
    cut: Callable[..., Cut], run_loader: Run, write_events: Write, dsn: str, scalar: Scalar,
    nothing_left: Callable[[], None], monkeypatch: pytest.MonkeyPatch, when: When,
    wait_for: Callable[[str], None],
) -> None:  # fmt: skip
    file = write_events(count=10)
    monkeypatch.setattr(ledger, "PATIENCE_SECONDS", 0)
    cut(when, is_final=True)
    outcome = run_loader("load", file)
    assert outcome.exit_code == 5
    assert "does not tell whether it is visible; run the same command again" in outcome.stderr
    assert outcome.stderr.count("\n") == 1
    # Until the server has noticed, the load counts as one that is worked on.
    wait_for("select count(*) = 0 from pg_stat_activity where application_name like '%(main)'")
    monkeypatch.setenv("LOADER_DSN", dsn)
    outcome = run_loader("load", file)
    assert outcome.exit_code == 0
    assert ("already loaded" in outcome.stdout) == (when == "after")
    assert scalar("select count(*) from raw.events") == 10
    nothing_left()


@pytest.fixture
def copying_loader(
    start_loader: Callable[..., "subprocess.Popen[str]"], wait_for: Callable[[str], None]
) -> "subprocess.Popen[str]":
    """A loader in the middle of its COPY, which waits for the rest of its input."""
    process = start_loader("load", "-", "--format", "csv")
    assert process.stdin is not None
    process.stdin.write("time,type,source\n" + "2024-05-13T15:00:00Z,car,gate\n" * 400_000)
    process.stdin.flush()
    wait_for("select count(*) > 0 from pg_stat_activity where application_name like '%(copy%'")
    return process


def test_a_terminated_load_leaves_nothing(
    copying_loader: "subprocess.Popen[str]",
    nothing_left: Callable[[], None],
    scalar: Scalar,
) -> None:
    copying_loader.send_signal(signal.SIGTERM)
    _, stderr = copying_loader.communicate()
    assert (copying_loader.returncode, stderr) == (143, "loader: terminated\n")
    assert scalar("select count(*) from raw.events") == 0
    assert scalar(LACK_AN_INDEX) == 0
    nothing_left()


def test_a_lost_main_connection_leaves_nothing(
    copying_loader: "subprocess.Popen[str]",
    conn: Connection[TupleRow],
    nothing_left: Callable[[], None],
) -> None:
    conn.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where application_name like '%loader (main)'"
    )
    _, stderr = copying_loader.communicate("2024-05-13T15:00:00Z,car,gate\n")
    assert copying_loader.returncode == 5
    assert stderr.startswith("loader: the server went away")
    assert stderr.count("\n") == 1
    nothing_left()


@pytest.fixture
def small_disk(cluster: Cluster) -> Iterator[Path]:
    """A directory of the server's on a file system of 24 MB."""
    directory = Path(tempfile.mkdtemp(prefix="small-disk-"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(directory)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    if mounted.returncode != 0:
        directory.rmdir()
        pytest.skip(f"cannot mount a small file system: {mounted.stderr.strip()}")
    if cluster.run_as is not None:
        shutil.chown(directory, cluster.run_as)
    yield directory
    subprocess.run(["umount", str(directory)], check=True)
    directory.rmdir()


def test_a_full_disk_is_said_so_and_leaves_nothing_visible(
    cluster: Cluster, small_disk: Path, run_loader: Run, tmp_path: Path
) -> None:
    file = tmp_path / "events.csv"
    write_noise(file, 60_000)
    load = ("load", "--quiet", "--attributes", "noise", file)
    with connect(cluster.dsn()) as admin:
        admin.execute(f"create tablespace small location '{small_disk}'".encode())
        admin.execute("create database full_disk tablespace small template template0")
    try:
        dsn = cluster.dsn("full_disk")
        failed = run_loader("--dsn", dsn, *load)
        assert failed.exit_code == 1
        assert failed.stderr.startswith("loader: the disk of the server is full: ")
        assert failed.stderr.count("\n") == 1
        with connect(dsn) as conn:
            for table in ("events", "rejected_events", "loads"):
                assert conn.execute(f"select count(*) from raw.{table}".encode()).fetchone() == (0,)
        subprocess.run(["mount", "-o", "remount,size=200m", str(small_disk)], check=True)
        assert run_loader("--dsn", dsn, *load).exit_code == 0
        with connect(dsn) as conn:
            assert conn.execute("select count(*) from raw.events").fetchone() == (60_000,)
    finally:
        with connect(cluster.dsn()) as admin:
            admin.execute("drop database full_disk with (force)")
            admin.execute("drop tablespace small")


def test_limits_that_are_meant_for_queries_do_not_end_a_load(
    dsn: str, database: str, conn: Connection[TupleRow]
) -> None:
    names = [
        "statement_timeout",
        "lock_timeout",
        "idle_in_transaction_session_timeout",
        "idle_session_timeout",
    ]
    if conn.info.server_version >= 170000:
        names.append("transaction_timeout")
    for name in names:
        conn.execute(f"alter database {database} set {name} = '1h'".encode())
    with connect(dsn) as limited:
        for name in names:
            expected = "10min" if name == "lock_timeout" else "0"
            assert limited.execute(f"show {name}".encode()).fetchone() == (expected,), name
