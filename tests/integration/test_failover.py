"""Servers that take no writes: a standby, until it is promoted."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from loader.database.connection import connect, explain, may_pass
from loader.database.schema import ensure_schema
from loader.errors import DatabaseError
from loader.server.cluster import Cluster
from tests.conftest import Outcome
from tests.support.waits import PATIENCE, wait_until

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def standby(make_cluster: Callable[[], Cluster]) -> Cluster:
    """A standby of a server that has one load, and has gone."""
    primary, standby = make_cluster(), make_cluster()
    primary.start()
    with connect(primary.dsn()) as conn:
        ensure_schema(conn)
    standby.home.mkdir(mode=0o700)
    if primary.run_as is not None:
        shutil.chown(standby.home, primary.run_as, primary.run_as)
    subprocess.run(
        [primary.bin_dir / "pg_basebackup", "-h", primary.socket_dir, "-U", "postgres",
         "-D", standby.data_dir, "-R", "-X", "stream", "-c", "fast"],
        user=primary.run_as, group=primary.run_as, check=True, capture_output=True, cwd="/",
    )  # fmt: skip
    (standby.data_dir / "postmaster.pid").unlink(missing_ok=True)
    primary.stop()
    standby.start()
    return standby


def test_a_standby_can_be_read_and_is_loaded_into_when_it_is_promoted(
    standby: Cluster,
    run_loader: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
    start_loader: Callable[..., "subprocess.Popen[str]"],
    write_events: Write,
    tmp_path: Path,
) -> None:
    dsn = standby.dsn()
    monkeypatch.setenv("LOADER_DSN", dsn)
    for command in (["status"], ["loads"], ["rejects"], ["periods"], ["alerts"]):
        read = run_loader(*command)
        # The models were never built.
        assert read.exit_code == (2 if command[0] in ("periods", "alerts") else 0), read
        assert "standby" not in read.stderr
    path = write_events()
    for arguments in (["load", str(path)], ["maintain"], ["withdraw", "1"]):
        refused = run_loader(*arguments)
        assert refused.exit_code == 5, refused
        assert "it is a standby, or was made read-only" in refused.stderr
        assert "target_session_attrs=read-write" in refused.stderr
        assert refused.stderr.count("\n") == 1
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    process = start_loader(
        "watch", inbox, "--every", "0.1s", "--settle", "0s", "--quiet", LOADER_DSN=dsn
    )
    assert process.stderr is not None
    # At once, though there is no file yet.
    complaint = process.stderr.readline()
    assert "it is a standby" in complaint
    assert complaint.endswith("trying again in 1 s\n")
    path.rename(inbox / "1.csv")
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("select pg_promote()")
        wait_until((inbox / "done" / "1.csv").exists)
        assert conn.execute("select count(*) from raw.events").fetchone() == (3,)
    process.terminate()
    _, said = process.communicate(timeout=PATIENCE)
    assert "it works again" in said


@pytest.mark.parametrize(
    ("state", "expected"),
    [("08006", True), ("25006", True), ("40001", True), ("40P01", True), ("53100", True),
     ("53200", True), ("53300", True), ("55006", True), ("55P03", True), ("57014", True),
     ("57P01", True), ("57P03", True), ("58030", True), ("XX000", True),
     ("22003", False), ("42501", False), ("42P01", False), ("XX001", False)],
)  # fmt: skip
def test_what_another_attempt_may_cure(state: str, expected: bool) -> None:
    assert may_pass(psycopg.errors.lookup(state)("oh")) is expected


def test_what_has_no_state() -> None:
    assert may_pass(psycopg.OperationalError("server closed the connection"))
    assert may_pass(DatabaseError("cannot connect"))
    assert not may_pass(psycopg.ProgrammingError("two statements"))
    read_only: Any = psycopg.errors.ReadOnlySqlTransaction("oh")
    assert explain(read_only).exit_code == 5
    assert str(explain(MemoryError())).startswith("there is not enough memory")
