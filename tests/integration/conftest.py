from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection

from loader.database.connection import connect
from tests.conftest import Outcome
from tests.support.brokers import Broker
from tests.support.mock_brokers import MockBrokers
from tests.support.topics import Running, Topic, start
from tests.support.waits import wait_until

HEADER = "time,type,source\n"
_numbers = count(1)
BOTH = """
[destinations.realtime]
dsn_env = "REALTIME_DSN"
{realtime}

[destinations.archive]
dsn_env = "ARCHIVE_DSN"
{archive}
"""


@pytest.fixture
def write_events(tmp_path: Path) -> Callable[..., Path]:
    """Write a CSV file of events: `count` good rows, then `bad` rows with an impossible time."""

    def write(
        name: str = "events.csv", *, count: int = 3, bad: int = 0, start: str = "2024-05-13T15"
    ) -> Path:
        rows = [
            f"{start}:{row // 60 % 60:02d}:{row % 60:02d}Z,car,camera {row % 3}\n"
            for row in range(count)
        ]
        rows += [f"bad,car,camera {row}\n" for row in range(bad)]
        path = tmp_path / name
        path.write_text(HEADER + "".join(rows))
        return path

    return write


@pytest.fixture
def wait_for(conn: Connection) -> Callable[[str], None]:
    """Wait until a query gives true."""

    def wait(query: str) -> None:
        def is_true() -> bool:
            row = conn.execute(query.encode()).fetchone()
            return row is not None and bool(row[0])

        wait_until(is_true)

    return wait


@pytest.fixture
def scalar(conn: Connection) -> Callable[[str], object]:
    """Give the first column of the first row of a query."""

    def one(query: str) -> object:
        row = conn.execute(query.encode()).fetchone()
        assert row is not None
        return row[0]

    return one


@pytest.fixture
def nothing_left(conn: Connection) -> Callable[[], None]:
    """Check that no load left anything behind."""

    def check() -> None:
        for query in (
            "select count(*) from raw.loads where load_seq is null",
            "select count(*) from raw.events where load_id not in"
            " (select load_id from raw.loads where load_seq is not null)",
            "select count(*) from raw.rejected_events where load_id not in"
            " (select load_id from raw.loads where load_seq is not null)",
            "select count(*) from raw.early_alerts where load_id not in"
            " (select load_id from raw.loads where load_seq is not null)",
            "select count(*) from pg_class where relname like 'staging%'",
        ):
            assert conn.execute(query.encode()).fetchone() == (0,), query

    return check


@pytest.fixture
def topic(broker: Broker | MockBrokers, run_loader: Callable[..., Outcome]) -> Topic:
    """A topic of two partitions, on the broker of the module."""
    name = f"events-{next(_numbers)}"
    broker.create(name, 2)
    return Topic(name=name, broker=broker, run_loader=run_loader)


@pytest.fixture
def start_consumer(dsn: str, topic: Topic) -> Iterator[Callable[..., Running]]:
    """Start a consumer in a thread; those still running at the end are stopped."""
    started: list[Running] = []

    def start_one(*, client: dict[str, str] | None = None, **options: Any) -> Running:
        started.append(start(dsn, topic, client or {}, **options))
        return started[-1]

    yield start_one
    for one in started:
        one.stop()


@pytest.fixture
def archive(archive_dsn: str) -> Iterator[Connection]:
    with connect(archive_dsn, purpose="test") as connection:
        yield connection


@pytest.fixture
def configure(
    dsn: str,
    archive_dsn: str,
    run_loader: Callable[..., Outcome],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Path]:
    """Write loader.toml, and set the variables that it names."""
    assert run_loader is not None  # it clears the environment first
    monkeypatch.delenv("LOADER_DSN")
    monkeypatch.setenv("REALTIME_DSN", dsn)
    monkeypatch.setenv("ARCHIVE_DSN", archive_dsn)
    path = tmp_path / "loader.toml"
    monkeypatch.setenv("LOADER_CONFIG", str(path))

    def write(realtime: str = "", archive: str = "", text: str = BOTH) -> Path:
        path.write_text(text.format(realtime=realtime, archive=archive))
        return path

    write()
    return write
