import contextlib
import io
import os
import pwd
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from loader.cli import COMMANDS, cli, main
from loader.errors import ServerError
from loader.server.cluster import Cluster
from loader.server.embedded import SYSTEM_USER, create_user_command
from loader.server.postmaster import disown_stale_files, line_of
from loader.server.private import make_private
from tests.conftest import Outcome
from tests.support.forks import FORKS
from tests.support.waits import PATIENCE, wait_until

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs things of another user")


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


def test_the_path_of_a_server_may_be_no_utf_8(tmp_path: Path) -> None:
    data_dir = tmp_path / os.fsdecode(b"b\xe4d")
    data_dir.mkdir()
    file = data_dir / "postmaster.pid"
    file.write_bytes(b"4194304\n" + os.fsencode(data_dir) + b"\n")
    assert line_of(data_dir, 1) == str(data_dir)
    disown_stale_files(data_dir, tmp_path)
    assert file.read_bytes().endswith(b"\n" + os.fsencode(data_dir) + b"\n")


def test_the_variables_of_whoever_starts_it_are_not_its_defaults(
    make_cluster: Callable[[], Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPORT", "")
    monkeypatch.setenv("PGDATESTYLE", "German")
    monkeypatch.setenv("PGCLIENTENCODING", "latin1")
    cluster = make_cluster()
    cluster.start()
    monkeypatch.undo()
    with psycopg.connect(cluster.dsn()) as conn:
        assert conn.execute("show datestyle").fetchone() == ("ISO, MDY",)
        assert conn.execute("show client_encoding").fetchone() == ("UTF8",)


def test_the_socket_of_a_project_with_a_long_path_is_short(tmp_path: Path) -> None:
    cluster = Cluster(bin_dir=tmp_path, home=tmp_path / ("x" * 120))
    assert len(str(cluster.socket_dir)) < 90
    assert cluster.socket_dir != Cluster(bin_dir=tmp_path, home=tmp_path / "y").socket_dir


def test_nobody_but_the_owner_can_enter(cluster: Cluster) -> None:
    socket_file = cluster.socket_dir / ".s.PGSQL.5432"
    for path in (cluster.home, cluster.socket_dir, cluster.data_dir, socket_file):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_directory_that_others_could_enter_is_closed(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    directory.mkdir(mode=0o755)
    directory.chmod(0o777)
    make_private(directory, None)
    assert directory.stat().st_mode & 0o7777 == 0o700


def test_a_link_is_no_private_directory(tmp_path: Path) -> None:
    ours, link = tmp_path / "ours", tmp_path / "run"
    ours.mkdir()
    ours.chmod(0o755)
    link.symlink_to(ours)
    with pytest.raises(ServerError, match="or is a link"):
        make_private(link, None)
    assert ours.stat().st_mode & 0o7777 == 0o755


def test_a_directory_with_other_things_in_it_stays_open(
    make_cluster: Callable[[], Cluster],
) -> None:
    cluster = make_cluster()
    cluster.home.mkdir(mode=0o755)
    (cluster.home / "photos").touch()
    with pytest.raises(ServerError, match="has other things in it, such as photos"):
        cluster.start()
    assert cluster.home.stat().st_mode & 0o077


@pytest.mark.parametrize("name", ["a$b", "a`b", 'a"b', "a\nb"])
def test_a_path_that_pg_ctl_cannot_take_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(ServerError, match=r"where a path has .* in it; set LOADER_SERVER_DIR"):
        Cluster(bin_dir=tmp_path, home=tmp_path / name).start()
    assert not (tmp_path / name).exists()


def test_what_a_program_failed_with_is_told_though_it_says_more(tmp_path: Path) -> None:
    initdb = tmp_path / "initdb"
    initdb.write_text("#!/bin/sh\necho FATAL: No space left\necho Removing; echo Done; exit 1\n")
    initdb.chmod(0o755)
    with pytest.raises(ServerError, match=r"initdb failed: FATAL: No space left \| Removing"):
        Cluster(bin_dir=tmp_path, home=tmp_path / "home").start()


@needs_root
def test_new_folders_above_a_server_let_its_user_pass(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        make_private(tmp_path / "new" / "server", "nobody")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o755


@needs_root
def test_a_directory_of_another_user_is_refused(
    make_cluster: Callable[[], Cluster],
) -> None:
    cluster = make_cluster()
    cluster.home.mkdir()
    os.chown(cluster.home, NOBODY, NOBODY)
    with pytest.raises(ServerError, match="belongs to another user"):
        cluster.start()
    cluster.home.rmdir()


@needs_root
def test_nothing_is_sent_to_a_socket_where_another_user_was_first(
    make_cluster: Callable[[], Cluster],
) -> None:
    cluster = make_cluster()
    # No socket can have this path; the one in /tmp can be guessed.
    cluster = replace(cluster, home=cluster.home / ("x y" * 40), private_dir=None)
    make_private(cluster.home.parent, None)
    cluster.home.parent.chmod(0o755)
    make_private(cluster.home, cluster.run_as)
    theirs = cluster.socket_dir
    theirs.mkdir()
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(theirs / ".s.PGSQL.5432"))
            listening.listen()
            listening.setblocking(False)
            os.chown(theirs, NOBODY, NOBODY)
            for use in (cluster.is_running, cluster.start):
                with pytest.raises(ServerError, match="belongs to another user"):
                    use()
            with pytest.raises(BlockingIOError):
                listening.accept()
    finally:
        shutil.rmtree(theirs)
        shutil.rmtree(cluster.home.parent)


def test_a_private_directory_is_preferred_to_a_shared_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Path("/somewhere") / ("x" * 120)
    private, shared = Path("/usr/p"), Path("/tmp")  # noqa: S108
    cluster = Cluster(bin_dir=tmp_path, home=home, private_dir=private)
    monkeypatch.setattr("os.access", lambda path, mode: path == Path("/usr"))  # noqa: ARG005
    assert cluster.socket_dir.parent == private
    assert replace(cluster, private_dir=private / "a blank").socket_dir.parent == shared
    monkeypatch.setattr("os.access", lambda path, mode: False)  # noqa: ARG005
    assert cluster.socket_dir.parent == shared


def test_libpq_sends_nothing_to_a_server_of_another_user(cluster: Cluster) -> None:
    owner = pwd.getpwuid(cluster.home.stat().st_uid).pw_name
    assert conninfo_to_dict(cluster.dsn())["requirepeer"] == owner
    with pytest.raises(psycopg.OperationalError, match="requirepeer"):
        psycopg.connect(cluster.dsn(), requirepeer="daemon")


@pytest.mark.parametrize("name", ["PGTZ", "PGCONNECT_TIMEOUT"])
def test_a_variable_that_makes_no_sense_is_told(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "nowhere")
    with pytest.raises(ServerError, match=r"cannot connect: .*nowhere"):
        cluster.ensure_database("postgres")


READING = (["status"], ["loads"], ["rejects"], ["periods"], ["alerts"], ["withdraw", "1"])


def test_commands_that_read_create_no_server(
    run_loader: Callable[..., Outcome], write_events: Callable[..., Path], tmp_path: Path
) -> None:
    place = tmp_path / "server"
    nowhere = {"LOADER_DSN": "", "LOADER_SERVER_DIR": str(place)}
    for command in READING:
        outcome = run_loader(*command, **nowhere)
        assert outcome.exit_code == 5
        assert "there is no database yet" in outcome.stderr
        assert str(place) in outcome.stderr
        assert outcome.stderr.count("\n") == 1
    assert run_loader("load", "--dry-run", write_events(), **nowhere).exit_code == 0
    for name in ("status", "stop", "reset"):
        outcome = run_loader("db", name, **nowhere)
        assert outcome.exit_code == 0
        assert outcome.stdout == f"no server yet of LOADER_SERVER_DIR: {place}\n"
    assert not place.exists()


def work_as(uid: int, commands: list[list[str]], place: str, found: Connection) -> None:
    context = cli.make_context("loader", ["status"])
    # That user may not read our modules.
    for name in COMMANDS:
        cli.resolve_command(context, [name])
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    os.chdir("/")
    os.environ |= {"LOADER_DSN": "", "LOADER_SERVER_DIR": place}
    for command in commands:
        stdout, stderr = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            exit_code = main(command)
        found.send(Outcome(exit_code=exit_code, stdout=stdout.getvalue(), stderr=stderr.getvalue()))


def loader_as(uid: int, commands: list[list[str]], place: str) -> list[Outcome]:
    """Run commands as another user, with the embedded server at a place."""
    ours, theirs = FORKS.Pipe()
    process = FORKS.Process(target=work_as, args=(uid, commands, place, theirs))
    process.start()
    outcomes = [ours.recv() for _ in commands if ours.poll(PATIENCE)]
    process.join(PATIENCE)
    return outcomes


@needs_root
def test_a_server_of_another_user_is_neither_used_nor_called_stopped(
    run_loader: Callable[..., Outcome],
) -> None:
    place = Path(tempfile.mkdtemp(prefix="video-events-test-"))
    (place / "data").mkdir()
    os.chown(place, NOBODY, NOBODY)
    commands = [
        *READING, *(["db", name] for name in ("status", "stop", "start")), ["db", "reset", "--yes"],
        ["load", os.devnull, "--format", "csv"], ["maintain"],
    ]  # fmt: skip
    try:
        as_root = [
            run_loader(*command, LOADER_DSN="", LOADER_SERVER_DIR=str(place))
            for command in commands
        ]
        as_another = loader_as(1, commands, str(place))
        for command, *outcomes in zip(commands, as_root, as_another, strict=True):
            for outcome in outcomes:
                assert outcome.exit_code == 5, command
                assert f"{place} belongs to another user (nobody)" in outcome.stderr
                assert "run the command as nobody" in outcome.stderr
        assert [path.name for path in place.iterdir()] == ["data"]
    finally:
        shutil.rmtree(place)


@needs_root
def test_a_place_that_cannot_be_written_is_told() -> None:
    (outcome,) = loader_as(NOBODY, [["db", "start"]], "/root-only")
    assert outcome.exit_code == 5
    assert "cannot create /root-only: Permission denied; set LOADER_SERVER_DIR" in outcome.stderr


def test_a_system_without_useradd_has_adduser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert create_user_command()[0] == "/usr/sbin/useradd"
    found = {"adduser": "/bin/adduser"}
    monkeypatch.setattr("shutil.which", lambda name, path=None: found.get(name))  # noqa: ARG005
    assert create_user_command() == ["/bin/adduser", "-S", "-D", "-H", "-s", "/bin/false",
                                     SYSTEM_USER]  # fmt: skip
    found.clear()
    with pytest.raises(ServerError, match="no useradd or adduser"):
        create_user_command()


def test_one_directory_is_one_server_however_it_is_spelled(
    run_loader: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Path(tempfile.gettempdir()) / f"video-events-test-{uuid.uuid4().hex[:12]}"
    place.mkdir()
    (place / "link").symlink_to(place / "server")
    monkeypatch.chdir(place)

    def loader(name: str, *command: str) -> str:
        outcome = run_loader("db", *command, LOADER_DSN="", LOADER_SERVER_DIR=name)
        assert outcome.exit_code == 0
        return outcome.stderr + outcome.stdout

    try:
        assert loader("other/../server", "start") == (
            f"loader: new PostgreSQL server of LOADER_SERVER_DIR: {place}/server\n"
            f"started: {place}/server\n"
        )
        for name in (f"{place}/server", f"{place}/other/../server", "server", "./link"):
            assert loader(name, "status") == f"running: {place}/server\n"
        assert loader("./link", "stop") == f"stopped: {place}/server\n"
        assert loader("link", "start") == f"started: {place}/server\n"
        pid = int((place / "server/data/postmaster.pid").read_text().split("\n")[0])
    finally:
        loader("other/../server", "reset", "--yes")
        shutil.rmtree(place)
    wait_until(lambda: not Path(f"/proc/{pid}").exists())


SHOW = 'echo "$PGHOST|$PGPORT|$PGUSER|$PGDATABASE|$PGREQUIREPEER"'


def test_the_environment_can_be_evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A directory below pytest's, which the user that runs root's server cannot enter.
    monkeypatch.setenv("LOADER_SERVER_DIR", str(tmp_path / "it's a dir"))
    loader = f"{shlex.quote(sys.executable)} -m loader"
    shells = {"sh": f'eval "$({loader} db env)"', "fish": f"{loader} db env | source"}
    shown: list[str] = []

    def run(shell: str, script: str) -> str:
        done = subprocess.run([shell, "-c", script], check=True, capture_output=True, text=True)
        return done.stdout

    try:
        for shell, evaluate in shells.items():
            if shutil.which(shell) is not None:
                shown.append(run(shell, f"{evaluate}\n{SHOW}").strip())
        host, *rest = shown[0].split("|")
        assert rest[:3] == ["5432", "postgres", "video_events"]
        assert set(shown) == {shown[0]}
        dsn = make_conninfo("", host=host, user=rest[1], dbname=rest[2], requirepeer=rest[3])
        with psycopg.connect(dsn) as conn:
            assert conn.execute("select 1").fetchone() == (1,)
        # A shell that has evaluated it already may come when the server has stopped.
        again = f"{shells['sh']}\n{loader} db stop\n{shells['sh']}\n{loader} db status"
        assert [line.split(":")[0] for line in run("sh", again).splitlines()] == [
            "stopped",
            "running",
        ]
    finally:
        run("sh", f"{loader} db reset --yes")


def test_pages_of_the_log_are_not_compressed(conn: psycopg.Connection) -> None:
    """That would be most of what a batch costs after a checkpoint."""
    assert conn.execute("show wal_compression").fetchone() == ("off",)
