"""Loaders of two versions on one database: one of them writes nothing."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection

from loader.database.connection import connect
from loader.database.schema import SCHEMA_VERSION, ensure_schema
from loader.errors import LoaderError
from tests.support.waits import PATIENCE

Run = Callable[..., Any]
Write = Callable[..., Path]
Scalar = Callable[[str], object]
Start = Callable[..., "subprocess.Popen[str]"]

NEWER = "update raw.schema_version set version = 4, loader_version = '9.9.0'"
ACCOUNTS = (
    "select count(*) filter (where kind = 'load' and withdrawn_seq is null)::int,"
    " array_agg(load_seq::int order by load_seq), (select count(*)::int from raw.events"
    " join raw.loads as visible using (load_id) where visible.withdrawn_seq is null) from raw.loads"
)


@pytest.fixture
def no_new_sources(dsn: str) -> Callable[[], AbstractContextManager[None]]:
    """Keep loads that bring new sources where they are, after their beginning."""

    @contextmanager
    def hold() -> Iterator[None]:
        with connect(dsn, purpose="test") as conn, conn.transaction():
            conn.execute("lock table raw.sources in share mode")
            yield

    return hold


def test_that_it_is_the_version_before(previous: Path) -> None:
    where = subprocess.run(
        [sys.executable, "-c", "import loader; print(loader.__file__)"],
        env={**os.environ, "PYTHONPATH": str(previous), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(where.stdout.strip()) == previous / "loader/__init__.py"


def test_a_database_of_the_version_before_is_refused_and_stays_as_it_is(
    conn: Connection,
    run_loader: Run,
    run_previous: Run,
    write_events: Write,
) -> None:
    conn.execute("drop schema raw cascade")
    assert run_previous("load", write_events("1.csv"))[0] == 0
    for arguments in (
        ("load", write_events("2.csv", start="2024-06-01T00")),
        ("withdraw", "1"),
        ("maintain",),
        ("status",),
    ):
        outcome = run_loader(*arguments)
        assert (outcome.exit_code, outcome.stderr.count("\n")) == (1, 1)
        assert "an older loader has stored the events of this database" in outcome.stderr
    assert "already loaded" in run_previous("load", write_events("1.csv"))[1]
    assert run_previous("withdraw", "1")[0] == 0
    assert conn.execute(ACCOUNTS).fetchone() == (0, [1, 2], 0)


def test_older_loaders_write_nothing_into_a_newer_schema(
    conn: Connection,
    run_loader: Run,
    run_previous: Run,
    start_loader: Start,
    write_events: Write,
    wait_for: Callable[[str], None],
    no_new_sources: Callable[[], AbstractContextManager[None]],
    nothing_left: Callable[[], None],
    tmp_path: Path,
) -> None:
    assert SCHEMA_VERSION == 3
    assert run_loader("load", write_events("1.csv")).exit_code == 0
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    watching = start_loader("watch", inbox, "--every", "1s", "--settle", "0s")
    write_events("inbox/watched.csv", start="2024-06-01T00")
    wait_for("select count(*) = 2 from raw.loads where load_seq is not null")
    with no_new_sources():
        file = write_events("8.csv", start="2024-08-01T00")
        running = start_loader("load", file, "--source", "new")
        wait_for("select count(*) = 1 from raw.loads where load_seq is null")
        conn.execute(NEWER)
    write_events("inbox/too-late.csv", start="2024-06-02T00")

    refused = "loader 9.9.0 has changed how this database stores events (schema version 4)"
    for process in (running, watching):
        _, said = process.communicate(timeout=PATIENCE)
        assert process.returncode == 1
        assert refused in said
    for arguments in (("load", write_events("2.csv", start="2024-06-03T00")), ("withdraw", "1")):
        outcome = run_loader(*arguments)
        assert (outcome.exit_code, outcome.stderr.count("\n")) == (1, 1)
        assert refused in outcome.stderr
        exit_code, said = run_previous(*arguments)
        assert exit_code == 1
        assert "needs_a_newer_loader" in said
    conn.execute("comment on schema raw is 'video-events of another version'")
    for command in ("maintain", "status"):
        outcome = run_loader(command)
        assert outcome.exit_code == 1
        assert refused in outcome.stderr
    nothing_left()
    assert conn.execute(ACCOUNTS).fetchone() == (2, [1, 2], 6)


def test_what_only_reads_asks_for_a_schema_that_it_knows(
    conn: Connection, run_loader: Run, write_events: Write
) -> None:
    assert run_loader("load", write_events("1.csv")).exit_code == 0
    conn.execute("alter table raw.partitioning drop column together_seq")
    conn.execute("update raw.schema_version set version = 2")
    conn.execute("comment on schema raw is 'video-events of before'")
    outcome = run_loader("status")
    assert (outcome.exit_code, outcome.stderr.count("\n")) == (1, 1)
    assert "bring them up to date with: loader maintain" in outcome.stderr
    assert run_loader("maintain").exit_code == 0
    assert run_loader("status").exit_code == 0


def test_a_change_of_the_schema_keeps_no_reader_waiting(
    conn: Connection, dsn: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("loader.database.schema.CHANGE_PATIENCE_SECONDS", 10)
    conn.execute("comment on schema raw is 'video-events of before'")
    with (
        connect(dsn) as reader,
        connect(dsn) as other,
        reader.transaction(),
        ThreadPoolExecutor(1) as pool,
    ):
        reader.execute("select from raw.loads")
        other.execute("set statement_timeout = '8s'")
        change = pool.submit(ensure_schema, conn)
        while not change.done():
            other.execute("select count(*) from raw.loads")
        with pytest.raises(LoaderError, match=f"process {reader.info.backend_pid} "):
            change.result()
        assert f"waiting for process {reader.info.backend_pid} " in caplog.text
        assert caplog.text.count("waiting for") == 1
    ensure_schema(conn)
