"""Alerts that wait in the database are passed on, each of them, once, and never in the way."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import Connection

from loader.alerting import relay
from loader.alerting.notify import EarlyAlert
from loader.alerting.relay import Relay
from tests.conftest import Outcome
from tests.support.waits import PATIENCE, wait_until

LEFT = "select count(*) from raw.early_alerts where passed_on_at is null"


@pytest.fixture
def load_id(conn: Connection, run_loader: Callable[..., Outcome], tmp_path: Path) -> int:
    """Publish a load, and return its id."""
    path = tmp_path / "events.csv"
    path.write_text("time,type,source\n2024-05-13T12:00:00Z,car,gate\n")
    assert run_loader("load", path).exit_code == 0
    row = conn.execute("select load_id from raw.loads").fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture
def write_alerts(conn: Connection, load_id: int) -> Callable[..., None]:
    """Write alerts of the load that nobody has passed on: so many rules, named from a number on."""

    def write(count: int, first: int = 1) -> None:
        conn.execute(
            "insert into raw.early_alerts"
            " (load_id, source_id, rule_name, category, started_at, triggered_at)"
            " select %s, source_id, 'rule ' || number, 'people', now(), now()"
            " from raw.sources, generate_series(%s::int, %s::int) as number",
            [load_id, first, first + count - 1],
        )

    return write


class Service:
    """Takes alerts when it is told to.

    Attributes:
        received: the rules, as they came.
        is_asked: set when the first ones come.
    """

    def __init__(self) -> None:
        self.received: list[str] = []
        self.is_asked = threading.Event()
        self.release = threading.Event()

    def __call__(self, alerts: Sequence[EarlyAlert]) -> None:
        """Take them."""
        self.is_asked.set()
        assert self.release.wait(PATIENCE)
        self.received += [alert.rule_name for alert in alerts]


@pytest.fixture
def service() -> Iterator[Service]:
    """Return a service that hangs until its ``release`` is set."""
    service = Service()
    yield service
    service.release.set()


def rules(first: int, last: int) -> list[str]:
    return sorted(f"rule {number}" for number in range(first, last + 1))


def test_a_service_that_hangs_holds_nothing_up(
    dsn: str, load_id: int, write_alerts: Callable[..., None], service: Service
) -> None:
    warnings: list[str] = []
    write_alerts(1)
    passing = Relay(dsn, [service], warn=warnings.append)
    begun = time.monotonic()
    for _ in range(20_000):
        passing.pass_on([load_id])
    passing.close(seconds=0.1)
    assert time.monotonic() - begun < PATIENCE / 2
    assert warnings == ["some alerts were not passed on in time; see: loader alerts"]


def test_one_destination_that_fails_keeps_nothing_from_the_others(
    dsn: str, load_id: int, write_alerts: Callable[..., None], service: Service
) -> None:
    def fail(_: Sequence[EarlyAlert]) -> None:
        raise RuntimeError("with a secret")

    warnings: list[str] = []
    service.release.set()
    passing = Relay(dsn, [fail, service], warn=warnings.append)
    for first in (1, 2):
        write_alerts(1, first)
        passing.pass_on([load_id])
        wait_until(lambda: len(service.received) == first)  # noqa: B023 - used at once
    passing.close()
    assert warnings == ["an alert could not be passed on: RuntimeError"]


def test_an_alert_that_waits_long_is_passed_on_once(
    dsn: str,
    load_id: int,
    write_alerts: Callable[..., None],
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To the next load it looks like one that a crash left, but the service has it already."""
    monkeypatch.setattr(relay, "FORGOTTEN_AFTER", timedelta(0))
    write_alerts(3)
    passing = Relay(dsn, [service])
    passing.pass_on([load_id])
    passing.pass_on([load_id + 1])
    service.release.set()
    passing.close()
    assert sorted(service.received) == rules(1, 3)
    again = Relay(dsn, [service])
    again.pass_on([load_id])
    again.close()
    assert len(service.received) == 3


def test_more_alerts_than_are_read_at_once(
    dsn: str,
    conn: Connection,
    load_id: int,
    write_alerts: Callable[..., None],
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And some that come meanwhile: none is lost, none comes twice."""
    monkeypatch.setattr(relay, "READ_AT_ONCE", 500)
    write_alerts(1200)
    passing = Relay(dsn, [service])
    passing.pass_on([load_id])
    write_alerts(50, 1201)
    service.release.set()
    passing.close(60)
    assert sorted(service.received) == rules(1, 1250)
    assert conn.execute(LEFT).fetchone() == (0,)


def test_alerts_of_other_loads_are_left_to_their_loaders(
    dsn: str, conn: Connection, load_id: int, write_alerts: Callable[..., None], service: Service
) -> None:
    """Unless they have been left for long, and their load is there to be seen."""
    service.release.set()
    write_alerts(1)
    passing = Relay(dsn, [service])
    passing.pass_on([load_id + 1])
    passing.close()
    assert service.received == []
    conn.execute("update raw.loads set published_at = now() - interval '6 minutes'")
    conn.execute(
        "with unseen as (insert into raw.loads (schema_version, origin, loader_version,"
        " published_at) select schema_version, origin, loader_version, published_at from raw.loads"
        " returning load_id)"
        " insert into raw.early_alerts (load_id, source_id, rule_name, category, started_at,"
        " triggered_at)"
        " select unseen.load_id, source_id, 'unseen', category, started_at, triggered_at"
        " from raw.early_alerts cross join unseen"
    )
    passing = Relay(dsn, [service])
    passing.pass_on([load_id + 2])
    passing.close()
    assert service.received == ["rule 1"]


def test_an_alert_that_could_not_be_noted_comes_again(
    dsn: str,
    conn: Connection,
    load_id: int,
    write_alerts: Callable[..., None],
    service: Service,
) -> None:
    """With the next load, whichever that is: nobody knows whether it was passed on."""
    warnings: list[str] = []
    write_alerts(1)
    passing = Relay(dsn, [service], warn=warnings.append)
    passing.pass_on([load_id])
    assert service.is_asked.wait(PATIENCE)
    conn.execute(
        "select pg_terminate_backend(pid, 300000) from pg_stat_activity"
        " where application_name like '%(alerts)%' and datname = current_database()"
    )
    service.release.set()
    wait_until(lambda: len(warnings) == 1)
    assert warnings[0].startswith("alerts wait, and may come again: ")
    assert conn.execute(LEFT).fetchone() == (1,)
    passing.pass_on([load_id + 1])
    passing.close()
    assert service.received == ["rule 1", "rule 1"]
    assert conn.execute(LEFT).fetchone() == (0,)


def test_without_the_database_alerts_wait(
    dsn: str, load_id: int, write_alerts: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise psycopg.OperationalError("host=secret")

    monkeypatch.setattr(relay, "connect", refuse)
    warnings: list[str] = []
    write_alerts(1)
    passing = Relay(dsn, [], warn=warnings.append)
    passing.pass_on([load_id])
    passing.close()
    assert warnings == ["alerts wait, and may come again: OperationalError"]
