"""Maintenance that is killed, or loses its server, at any step: one more makes all exact."""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from loader.database.connection import connect
from loader.server.cluster import Cluster
from tests.conftest import Outcome
from tests.support.killed import Death, die, maintain_until, was_reached
from tests.support.servers import durable_database, dying, server_death

Run = Callable[..., Outcome]

AGE = "2 months"
KILLS_PER_CHECK = 4
SERVER_KILLS = max(3, int(os.environ.get("CRASH_KILLS", "0")) // 20)
# What maintenance looks at before anything goes: how far every model is.
PROGRESS = (
    "create schema analytics; create table analytics.model_progress"
    " (model_name text primary key, load_seq bigint, definition jsonb, updated_at timestamptz);"
    " insert into analytics.model_progress values ('fct')"
)


def month(number: int) -> datetime:
    """The beginning of a month, counted from January 2000."""
    return datetime(2000 + number // 12, number % 12 + 1, 1, tzinfo=UTC)


@dataclass(kw_only=True)
class Months:
    """Months of events, of which each maintenance drops the next one.

    Each gets a load whose events go over its end, and another one that was withdrawn.
    """

    dsn: str
    run_loader: Run
    directory: Path
    number: int = -1
    last: dict[str, datetime] = field(default_factory=dict)
    kept: list[tuple[datetime, str]] = field(default_factory=list)

    def load_next(self) -> None:
        self.number += 1
        begin = month(self.number)
        end = month(self.number + 1)
        times = [
            moment + timedelta(days=9, hours=hour) for moment in (begin, end) for hour in (1, 2)
        ]
        good = [(time, f"camera {(self.number + at) % 3}") for at, time in enumerate(times)]
        dropped = [event for event in [*self.kept, *good] if event[0] < end]
        for time, source in dropped:
            self.last[source] = max(self.last.get(source, time), time)
        self.kept = [event for event in good if event[0] >= end]
        wrong = [(time + timedelta(hours=5), source) for time, source in good]
        paths = []
        for name, events in (("good", good), ("wrong", wrong)):
            path = self.directory / f"{name}-{self.number}.csv"
            rows = [f"{time.isoformat()},car,{source}\n" for time, source in events]
            path.write_text("time,type,source\n" + "".join(rows))
            paths.append(path)
        outcome = self.run_loader("load", "--quiet", *paths)
        assert outcome.exit_code == 0, outcome.stderr
        with connect(self.dsn) as conn:
            row = conn.execute("select max(load_id) from raw.loads where kind = 'load'").fetchone()
            assert row is not None
            outcome = self.run_loader("withdraw", str(row[0]))
            assert outcome.exit_code == 0, outcome.stderr
            conn.execute(
                "update analytics.model_progress set load_seq = load_counter.load_seq"
                " from raw.load_counter"
            )

    def maintain(self, step: int = 0, death: Death = die) -> int | None:
        """Drop the last month but one, and purge."""
        now = month(self.number + 3) + timedelta(seconds=1)
        return maintain_until(self.dsn, self.directory, AGE, now, step, death)

    def check_halfway(self, conn: Connection[TupleRow]) -> None:
        """Whatever was done: nothing that is kept is missing, and what was dropped is known."""
        assert self._visible(conn, month(self.number + 1)) == sorted(self.kept)
        assert conn.execute(
            "select (select min(relname) from pg_inherits join pg_class on oid = inhrelid"
            " where inhparent = 'raw.event_chunks'::regclass)"
            " = to_char(dropped_before, '\"event_chunks\"_YYYY_MM') from raw.retention"
        ).fetchone() == (True,)
        assert conn.execute(
            "select count(*) from raw.events join raw.loads using (load_id)"
            " where purged_at is not null"
        ).fetchone() == (0,)

    def check(self, conn: Connection[TupleRow]) -> None:
        """Check everything that a maintenance which nobody disturbed leaves."""
        end = month(self.number + 1)
        assert self._visible(conn, month(0)) == sorted(self.kept)
        assert conn.execute("select count(*) from raw.events").fetchone() == (len(self.kept),)
        assert conn.execute(
            "select dropped_before, retained_from from raw.retention"
        ).fetchone() == (
            end,
            end + timedelta(days=1),
        )
        assert (
            dict(
                conn.execute(
                    "select source_name, last_event_at from raw.dropped_sources"
                    " join raw.sources using (source_id)"
                ).fetchall()
            )
            == self.last
        )
        assert conn.execute(
            "select min(relname) from pg_inherits join pg_class on oid = inhrelid"
            " where inhparent = 'raw.event_chunks'::regclass"
        ).fetchone() == (f"event_chunks_{end:%Y_%m}",)
        assert conn.execute(
            "select count(*) filter (where (purged_at is null) = (withdrawn_seq is null)),"
            " count(*), bool_and(load_seq is not null) from raw.loads"
        ).fetchone() == (3 * (self.number + 1), 3 * (self.number + 1), True)
        assert conn.execute(
            "select count(*) from pg_index where not indisvalid or not indisready"
        ).fetchone() == (0,)

    def _visible(self, conn: Connection[TupleRow], since: datetime) -> list[tuple[datetime, str]]:
        return conn.execute(
            "select event_time, source_name from raw.events join raw.sources using (source_id)"
            " join raw.loads using (load_id) where withdrawn_seq is null and event_time >= %s"
            " order by event_time, source_name",
            [since],
        ).fetchall()


@pytest.fixture
def months(dsn: str, run_loader: Run, tmp_path: Path) -> Months:
    with connect(dsn) as conn:
        conn.execute(PROGRESS)
    return Months(dsn=dsn, run_loader=run_loader, directory=tmp_path)


def steps_of(months: Months) -> int:
    # The first one also does what is done once.
    for _ in range(2):
        months.load_next()
        assert months.maintain() == 0
    return int((months.directory / "steps").read_text())


def test_maintenance_killed_at_any_step_is_made_good_by_the_next(
    months: Months, conn: Connection[TupleRow]
) -> None:
    steps = steps_of(months)
    months.check(conn)
    deaths = 0
    for step in range(1, steps + 1):
        months.load_next()
        deaths += months.maintain(step) != 0
        months.check_halfway(conn)
        if step % KILLS_PER_CHECK == 0 or step == steps:
            assert months.maintain() == 0
            months.check(conn)
    assert deaths >= steps - 2


class TestServer:
    """A server of the test's own, which it may kill."""

    @pytest.fixture
    def cluster(self, make_cluster: Callable[[], Cluster]) -> Cluster:
        cluster = make_cluster()
        cluster.start()
        return cluster

    @pytest.fixture
    def dsn(self, cluster: Cluster) -> str:
        return cluster.dsn(durable_database(cluster))

    def test_maintenance_that_loses_its_server_is_made_good_by_the_next(
        self, months: Months, cluster: Cluster, dsn: str, generator: random.Random
    ) -> None:
        steps = steps_of(months)
        for _ in range(SERVER_KILLS):
            months.load_next()
            death = server_death(cluster, generator)
            step = generator.randint(1, steps)
            with dying(cluster) as server:
                months.maintain(step, death)
                server.is_killed = was_reached(step, months.directory)
            with connect(dsn) as conn:
                months.check_halfway(conn)
                assert months.maintain() == 0
                months.check(conn)
