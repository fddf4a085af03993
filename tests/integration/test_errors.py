import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from loader import UsageError, load_files, periods
from loader.cli import ledger as cli_ledger
from loader.database.schema import ensure_schema
from loader.server.cluster import Cluster

Run = Callable[..., Any]

PASSWORD = "s3cret-pass"  # noqa: S105


@pytest.mark.parametrize(
    "dsn",
    [
        f"postgresql://me:{PASSWORD}@127.0.0.1:1/db",
        f"host=127.0.0.1 port=1 user=me password={PASSWORD}",
        f"postgresql://me:{PASSWORD}@no-such-host.invalid/db",
    ],
)
def test_a_server_that_cannot_be_reached(
    run_loader: Run, write_events: Callable[..., Path], dsn: str
) -> None:
    for arguments in (["load"], ["--debug", "load"]):
        outcome = run_loader(*arguments, write_events(), LOADER_DSN=dsn)
        assert outcome.exit_code == 5
        assert "loader: cannot connect" in outcome.stderr
        assert PASSWORD not in outcome.stdout + outcome.stderr


@pytest.mark.parametrize(
    "dsn",
    [
        f"postgresql://me:{PASSWORD}@x@127.0.0.1:1/db",
        f"postgresql://me:x/{PASSWORD}@127.0.0.1:1/db",
        f"postgresql://me:x#{PASSWORD}@127.0.0.1:1/db",
        f"host=127.0.0.1 {PASSWORD}",
        f"postgresql://me:x y{PASSWORD}@127.0.0.1/db",
        PASSWORD,
    ],
)
def test_a_dsn_that_cannot_be_read_is_not_shown(run_loader: Run, dsn: str) -> None:
    for debug in ((), ("--debug",)):
        given = run_loader(*debug, "--dsn", dsn, "status")
        assert "the connection string of --dsn cannot be read; " in given.stderr
        kept = run_loader(*debug, "status", LOADER_DSN=dsn)
        assert "the connection string of LOADER_DSN cannot be read; " in kept.stderr
        for outcome in (given, kept):
            assert outcome.exit_code == 2
            assert PASSWORD not in outcome.stdout + outcome.stderr


@pytest.mark.parametrize(
    ("dsn", "form"),
    [
        (f"postgresql+psycopg2://me:{PASSWORD}@db:5432/events", "the form of SQLAlchemy"),
        (f"postgres+asyncpg://me:{PASSWORD}@db/events", "the form of SQLAlchemy"),
        (f"jdbc:postgresql://db/events?user=me&password={PASSWORD}", "the form of JDBC"),
        (f"mysql://me:{PASSWORD}@db/events", "none of PostgreSQL"),
    ],
)
def test_a_dsn_of_another_library_is_told_the_form_that_works(
    run_loader: Run, dsn: str, form: str
) -> None:
    given = run_loader("--dsn", dsn, "status")
    assert form in given.stderr
    assert given.stderr.endswith("what works is: postgresql://USER@HOST:PORT/DATABASE\n")
    kept = run_loader("status", LOADER_DSN=dsn)
    assert form in kept.stderr
    assert "what works is: postgresql://USER@HOST:PORT/DATABASE, with a colon and" in kept.stderr
    for outcome in (given, kept):
        assert (outcome.exit_code, outcome.stderr.count("\n")) == (2, 1)
        assert PASSWORD not in outcome.stderr


def test_the_server_of_another_user_is_told_how_to_reach_it(run_loader: Run, dsn: str) -> None:
    outcome = run_loader("status", LOADER_DSN=f"{dsn} requirepeer=somebody")
    assert (outcome.exit_code, outcome.stderr.count("\n")) == (5, 1)
    assert outcome.stderr.endswith("if that is what you want: unset PGREQUIREPEER\n")


def test_a_program_is_told_of_its_own_arguments(
    write_events: Callable[..., Path], dsn: str
) -> None:
    with pytest.raises(UsageError, match=r"of dsn cannot be read.*percent-encoded password"):
        periods(dsn="mysql://db/events")
    with pytest.raises(UsageError, match=r"^dsn and to both say which database"):
        load_files([write_events()], dsn=dsn, to="archive")


def test_a_wrong_database_is_a_connection_error(run_loader: Run, cluster: Cluster) -> None:
    outcome = run_loader("--dsn", cluster.dsn("nowhere"), "status")
    assert outcome.exit_code == 5
    assert outcome.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "variable",
    [{"PGCONNECT_TIMEOUT": "soon"}, {"PGOPTIONS": "-c video_events.lock_timeout=soon"}],
)
def test_a_variable_that_makes_no_sense_is_told(run_loader: Run, variable: dict[str, str]) -> None:
    outcome = run_loader("status", **variable)
    assert (outcome.exit_code, outcome.stderr.count("\n")) == (5, 1)
    assert '"soon"' in outcome.stderr.replace("'", '"')


def test_nothing_loaded_yet_is_said_so(run_loader: Run, cluster: Cluster) -> None:
    outcome = run_loader("--dsn", cluster.dsn("postgres"), "status")
    assert outcome.exit_code == 2
    assert "loader load PATH" in outcome.stderr


def test_the_unexpected_is_one_line_without_the_password(
    run_loader: Run, monkeypatch: pytest.MonkeyPatch, dsn: str
) -> None:
    def fail(_: object) -> None:
        raise RuntimeError(f"strange\nthings with {PASSWORD}")

    monkeypatch.setattr(cli_ledger, "ledger_status", fail)
    with_password = f"{dsn} password={PASSWORD}"
    outcome = run_loader("status", LOADER_DSN=with_password)
    assert outcome.exit_code == 1
    assert outcome.stderr.count("\n") == 1
    assert "RuntimeError: strange things with ***; for details: loader --debug" in outcome.stderr
    debugged = run_loader("--debug", "status", LOADER_DSN=with_password)
    assert "Traceback" in debugged.stderr
    assert PASSWORD not in debugged.stderr


def test_what_the_database_refuses_is_no_connection_error(
    run_loader: Run, dsn: str, write_events: Callable[..., Path]
) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("create table raw.event_chunks_2024_05 (x int)")
    outcome = run_loader("load", write_events())
    assert outcome.exit_code == 1
    assert outcome.stderr == (
        'loader: the database refuses: relation "event_chunks_2024_05" already exists\n'
    )


def test_a_database_of_a_small_encoding_takes_what_it_has_a_place_for(
    run_loader: Run, cluster: Cluster, tmp_path: Path
) -> None:
    with psycopg.connect(cluster.dsn(), autocommit=True) as admin:
        admin.execute("create database small template template0 encoding 'LATIN1' locale 'C'")
        path = tmp_path / "events.csv"
        for name, exit_code in (("Straße", 0), ("東口", 1)):
            path.write_text(f"time,type,source\n2024-05-13T15:00:00Z,car,{name}\n", "utf-8")
            outcome = run_loader("--dsn", cluster.dsn("small"), "load", path)
            assert (outcome.exit_code, outcome.stderr.count("\n")) == (exit_code, exit_code)
        assert "load into a database that is created with: create database" in outcome.stderr
        with psycopg.connect(cluster.dsn("small")) as conn:
            found = conn.execute(
                "select source_name from raw.events join raw.sources using (source_id)"
            )
            assert found.fetchall() == [("Straße",)]
        admin.execute("drop database small with (force)")


def test_a_reader_that_has_enough_is_no_error(
    start_loader: Callable[..., "subprocess.Popen[str]"],
) -> None:
    process = start_loader("loads", "--json")
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait() == 0
    assert process.stderr is not None
    assert process.stderr.read() == ""


@pytest.mark.parametrize("table", ["loads", "events", "sources"])
def test_a_schema_raw_of_somebody_else_stays_as_it_is(
    run_loader: Run, write_events: Callable[..., Path], dsn: str, table: str
) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("drop schema raw cascade")
        conn.execute(f"create schema raw create table {table} (load_id int)".encode())
        for command in (["load", write_events()], ["maintain"], ["roles"]):
            outcome = run_loader(*command)
            assert (outcome.exit_code, outcome.stderr.count("\n")) == (2, 1)
            assert f"the loader did not make raw.{table}; nothing was changed" in outcome.stderr
        conn.execute("comment on schema raw is 'of another project'")
        assert f"did not make raw.{table}" in run_loader("status").stderr
        rows = "select count(*) from pg_class where relnamespace = 'raw'::regnamespace"
        assert conn.execute(rows.encode()).fetchone() == (1,)


def test_the_schema_can_be_applied_again_and_only_when_it_changed(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("alter table raw.loads rename to hidden")
        ensure_schema(conn)
        assert conn.execute("select to_regclass('raw.loads')").fetchone() == (None,)
        conn.execute("alter table raw.hidden rename to loads")
        conn.execute("comment on schema raw is 'something else'")
        ensure_schema(conn)
        ensure_schema(conn)
        assert conn.execute("select count(*) from raw.load_counter").fetchone() == (1,)
