"""A database of the loader that stored each event in a row is converted, and nobody notices."""

import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import Connection, errors
from psycopg.rows import TupleRow

from loader.database import migrate as migration
from loader.database.connection import connect
from loader.database.migrate import migrate
from loader.errors import UsageError
from loader.server.cluster import Cluster
from tests.conftest import environment_of, new_database, new_seed
from tests.support.killed import migrate_until, was_reached
from tests.support.waits import wait_until

Run = Callable[..., Any]
Write = Callable[..., Path]
Scalar = Callable[[str], object]

_numbers = count(1)

EVENTS = (
    "select event_time, source_id, event_type_id, load_id, attributes::text from raw.events"
    " join raw.loads using (load_id) where load_seq is not null"
)
# In one statement: what the ledger says, and what is there.
MISSING = (
    "select (select sum(rows_loaded) from raw.loads where load_seq is not null"
    " and withdrawn_seq is null and kind = 'load') - (select count(*) from raw.events"
    " join raw.loads using (load_id) where load_seq is not null and withdrawn_seq is null)"
)
WRONG_CHUNKS = (
    "select count(*) from raw.event_chunks where event_count not between 1 and 180"
    " or first_event_at::date <> last_event_at::date"
    " or (event_times[1], event_times[event_count]) <> (first_event_at, last_event_at)"
    " or cardinality(event_times) <> event_count or cardinality(event_type_ids) <> event_count"
)


# What a table is made of; names of indexes of partitions are PostgreSQL's.
SHAPE = (
    "select attname, format_type(atttypid, atttypmod), attnotnull, attstattarget"
    " from pg_attribute where attrelid = to_regclass('{table}') and attnum > 0 order by attnum"
)
INDEXES = (
    "select indexdef from pg_indexes where schemaname = 'raw' and tablename = '{table}' order by 1"
)


def shape(conn: Connection[TupleRow]) -> list[object]:
    """What the chunks are made of, the parent and a partition."""
    name = "event_chunks_2024_01"
    columns = [
        conn.execute(SHAPE.format(table=f"raw.{table}").encode()).fetchall()
        for table in ("event_chunks", name)
    ]
    indexes = [
        conn.execute(INDEXES.format(table=table).encode()).fetchall()
        for table in ("event_chunks", name)
    ]
    return [columns, indexes]


def events(conn: Connection[TupleRow]) -> Counter[TupleRow]:
    return Counter(conn.execute(EVENTS).fetchall())


@pytest.fixture
def reader(conn: Connection[TupleRow]) -> Iterator[str]:
    """A role that may do nothing yet."""
    name = f"reader_{conn.info.dbname}"
    conn.execute(f"create role {name}".encode())
    yield name
    conn.execute(f"drop owned by {name}; drop role {name}".encode())


@pytest.fixture
def made_anew(run_loader: Run, write_events: Write, archive_dsn: str) -> list[object]:
    """The shape of chunks in a database that never had anything else."""
    path = write_events("new.csv", start="2024-01-01T00")
    assert run_loader("load", path, "--dsn", archive_dsn).exit_code == 0
    with connect(archive_dsn, purpose="test") as anew:
        return shape(anew)


@dataclass(frozen=True, kw_only=True)
class Old:
    """A template database of the version before.

    Attributes:
        name: its name.
        files: what was loaded into it.
        seed: what the files come of.
    """

    name: str
    files: list[Path]
    seed: int


@pytest.fixture(scope="module")
def old(
    cluster: Cluster, previous: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Old]:
    """Events of the version before: with attributes, equal ones, withdrawn, left by a crash."""
    folder, seed = tmp_path_factory.mktemp("old"), new_seed()
    generator = random.Random(seed)
    with new_database(cluster, "old", "template0") as name:
        before = {"PYTHONPATH": str(previous), "PYTHONSAFEPATH": "1"}
        environment = environment_of(cluster, name) | before

        def run(*arguments: str | Path) -> None:
            program = [sys.executable, "-m", "loader", *map(str, arguments)]
            subprocess.run(program, env=environment, check=True, capture_output=True)

        for number, note in enumerate(("", "x", "", "")):
            rows = [
                f"2024-{generator.randint(1, 2):02d}-{generator.randint(1, 2):02d}T00:"
                f"{generator.randint(0, 59):02d}:{generator.randint(0, 9):02d}Z,"
                f"{generator.choice(('car', 'bus'))},camera {generator.randint(1, 2)},"
                f"{note and generator.choice(('', 'a', 'b'))}\n"
                for _ in range(2_500)
            ]
            path = folder / f"old-{number}.csv"
            path.write_text("time,type,source,note\n" + "".join(rows))
            run("load", path, *(("--attributes", "note") if note else ()))
        run("withdraw", "3")
        with psycopg.connect(cluster.dsn(name)) as conn:
            # What a load leaves that was killed.
            conn.execute("insert into raw.loads (origin, loader_version) values ('killed', '0')")
            conn.execute("insert into raw.events values ('2024-01-01', 6, 1, 1, null)")
        yield Old(name=name, files=sorted(folder.iterdir()), seed=seed)


@pytest.fixture
def database(cluster: Cluster, old: Old) -> Iterator[str]:
    """The name of a new database of the version before."""
    print(f"TEST_SEED={old.seed}")  # noqa: T201
    with new_database(cluster, f"old_{next(_numbers)}", old.name) as name:
        yield name


def test_a_database_of_rows_is_converted(
    conn: Connection[TupleRow],
    made_anew: list[object],
    run_loader: Run,
    run_previous: Run,
    old: Old,
    scalar: Scalar,
    dsn: str,
    reader: str,
) -> None:
    conn.execute(f"grant usage on schema raw to {reader}".encode())
    conn.execute(f"grant select on raw.events, raw.loads to {reader}".encode())
    conn.execute("create schema mine")
    conn.execute(
        "create view mine.buses with (security_barrier = true) as select event_time, source_id"
        " from raw.events where event_type_id = 2 and load_id <> 3"
    )
    conn.execute(f"grant usage on schema mine to {reader}".encode())
    conn.execute(f"grant select on mine.buses to {reader}".encode())
    before, buses = events(conn), scalar("select count(*) from mine.buses")
    view = "select oid::bigint from pg_class where oid = 'mine.buses'::regclass"
    oid = scalar(view)
    assert len(before) > 500

    outcome = run_loader("maintain", "--migrate")
    assert outcome.exit_code == 0, outcome.stderr
    assert f"events brought into chunks: {sum(before.values()):,}\n" in outcome.stdout
    # Maintenance, which comes after it, purges what was withdrawn.
    assert events(conn) == {event: count for event, count in before.items() if event[3] != 3}
    assert scalar(WRONG_CHUNKS) == 0
    assert shape(conn) == made_anew
    assert (scalar(view), scalar("select count(*) from mine.buses")) == (oid, buses)
    assert scalar("select reloptions::text from pg_class where relname = 'buses'") == (
        "{security_barrier=true}"
    )
    assert (
        scalar(
            "select count(*) from pg_class where relnamespace = 'raw'::regnamespace"
            " and relname ~ '^(events_|converted)'"
        )
        == 0
    )
    with connect(dsn) as other:
        other.execute(f"set role {reader}".encode())
        assert other.execute("select count(*) from mine.buses").fetchone() == (buses,)
        assert other.execute("select count(*) from raw.events").fetchone() is not None

    # Both loaders go on as they should.
    assert "already loaded" in run_loader("load", old.files[0]).stdout
    assert run_previous("load", old.files[2])[0] == 1
    assert run_loader("load", old.files[2]).exit_code == 0
    assert run_loader("maintain", "--migrate").exit_code == 0
    assert scalar("select count(*) from raw.loads where load_seq is null") == 0
    # What was withdrawn is gone by now, as no model will ask for it.
    assert scalar(MISSING) == 0


def test_a_conversion_that_is_killed_at_any_step_is_gone_on_with(
    conn: Connection[TupleRow], dsn: str, tmp_path: Path, scalar: Scalar
) -> None:
    before = events(conn)
    kept = {event: count for event, count in before.items() if event[3] != 3}
    conn.execute("create schema mine")
    conn.execute("create view mine.days as select event_time::date from raw.events")
    step, deaths = 1, 0
    # A killed one leaves less for the next: each dies a step later than the one before.
    while (exit_code := migrate_until(dsn, tmp_path, step)) != 0:
        assert exit_code == -signal.SIGKILL
        deaths += 1
        step += 1
        if scalar("select relkind = 'p' from pg_class where oid = 'raw.events'::regclass"):
            assert events(conn) == before
        assert int(str(scalar("select count(*) from mine.days"))) >= sum(kept.values())
    assert not was_reached(step, tmp_path)
    assert deaths > 20
    assert events(conn) == kept


def test_older_loaders_go_on_while_events_are_converted(
    dsn: str,
    run_loader: Run,
    run_previous: Run,
    write_events: Write,
    scalar: Scalar,
) -> None:
    loaded: list[int] = []
    seen: list[object] = []
    is_over = threading.Event()

    def load() -> None:
        number = 0
        while not is_over.is_set():
            number += 1
            path = write_events(f"during-{number}.csv", start=f"2024-{number % 9 + 1:02d}-05T00")
            exit_code, _ = run_previous("load", path)
            loaded.append(exit_code)
            if exit_code != 0:
                break

    def look() -> None:
        with connect(dsn, purpose="test") as reader:
            while not is_over.is_set():
                # Whoever has planned a query of the table finds a view there.
                with suppress(errors.UndefinedTable, errors.WrongObjectType):
                    row = reader.execute(MISSING.encode()).fetchone()
                    assert row is not None
                    seen.append(row[0])

    threads = [threading.Thread(target=load), threading.Thread(target=look)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: bool(loaded and seen))
        outcome = run_loader("maintain", "--migrate")
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    assert outcome.exit_code == 0, outcome.stderr
    assert set(seen) == {0}
    assert 0 in loaded
    assert scalar("select count(*) from raw.loads where load_seq is not null") == (
        5 + loaded.count(0)
    )
    assert scalar(MISSING) == 0
    assert run_loader("load", write_events("after.csv")).exit_code == 0


def test_what_older_loaders_remove_meanwhile_stays_removed(
    conn: Connection[TupleRow], dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their maintenance purges what was withdrawn, and drops what is old, of what is converted."""
    left = {event: n for event, n in events(conn).items() if event[3] != 3 and event[0].month > 1}
    swap = migration._swap

    def remove_and_swap(own: Connection[TupleRow]) -> int:
        with connect(dsn) as older:
            older.execute("delete from raw.events where load_id = 3")
            older.execute("update raw.loads set purged_at = now() where load_id = 3")
            older.execute("drop table raw.events_2024_01")
        return swap(own)

    monkeypatch.setattr(migration, "_swap", remove_and_swap)
    migrate(conn)
    assert events(conn) == left != {}


def test_what_can_only_depend_on_a_table_is_named(
    conn: Connection[TupleRow], run_loader: Run
) -> None:
    conn.execute("create schema mine")
    conn.execute("create materialized view mine.copy as select event_time from raw.events")
    outcome = run_loader("maintain", "--migrate")
    assert outcome.exit_code == 2
    assert "mine.copy" in outcome.stderr
    assert conn.execute(
        "select relkind from pg_class where oid = 'raw.events'::regclass"
    ).fetchone() == ("p",)


def test_views_that_one_may_not_replace_are_named(
    conn: Connection[TupleRow], dsn: str, reader: str, scalar: Scalar
) -> None:
    conn.execute(f"create schema theirs authorization {reader}".encode())
    conn.execute(f"grant usage on schema raw to {reader}".encode())
    conn.execute(f"grant select on raw.events to {reader}".encode())
    conn.execute(f"set role {reader}".encode())
    conn.execute("create view theirs.times as select event_time from raw.events")
    conn.execute("reset role")
    owner = f"owner_{conn.info.dbname}"
    conn.execute(f"create role {owner} login".encode())
    try:
        conn.execute(f"alter schema raw owner to {owner}".encode())
        conn.execute(f"alter table raw.events owner to {owner}".encode())
        with connect(dsn, purpose="test") as other:
            other.execute(f"set role {owner}".encode())
            with pytest.raises(UsageError, match=rf"theirs\.times \(of {reader}\)"):
                migrate(other)
        assert scalar("select to_regclass('raw.converted_chunks')") is None
    finally:
        conn.execute(f"reassign owned by {owner} to current_user; drop role {owner}".encode())
