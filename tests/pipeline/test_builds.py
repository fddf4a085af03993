"""``--build``: the models are brought up to date beside the loads, wherever these go."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import Connection

from tests.conftest import Outcome
from tests.support.brokers import running_broker
from tests.support.ledger import Ledger
from tests.support.scenarios import Event

NOON = datetime(2024, 5, 13, 12, tzinfo=UTC)
# Of a project that is parsed sooner than ours; it can be broken in one database.
MODEL = """
{{ config(materialized="table") }}
select count(*) as event_count, 1 / (to_regclass('public.is_broken') is null)::int as is_whole
from raw.events
"""
COUNTED = "select event_count from analytics.counted"


@pytest.fixture
def small_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "counted.sql").write_text(MODEL)
    (tmp_path / "dbt_project.yml").write_text("{name: small, profile: video_events}")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("builds", "small_project")
def test_consume_builds_after_its_batches(
    run_loader: Callable[..., Outcome], conn: Connection
) -> None:
    with running_broker() as broker:
        broker.create("cars")
        broker.produce(
            "cars",
            (
                json.dumps({"time": f"2024-05-13T12:00:{at:02}Z", "type": "car", "source": "gate"})
                .encode()
                for at in range(6)
            ),
        )  # fmt: skip
        outcome = run_loader(
            "consume", "--topic", "cars", "--brokers", broker.address,
            "--once", "--max-rows", "4", "--quiet", "--build",
        )  # fmt: skip
    assert (outcome.exit_code, outcome.stderr) == (0, "")
    assert conn.execute("select count(*) from raw.loads").fetchone() == (2,)
    assert conn.execute(COUNTED).fetchone() == (6,)


@pytest.mark.usefixtures("builds", "small_project")
def test_each_destination_is_built(
    run_loader: Callable[..., Outcome],
    ledger: Ledger,
    dsn: str,
    archive_dsn: str,
    conn: Connection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each from what it has; where that fails the events are there still, and it is said where."""
    (tmp_path / "loader.toml").write_text(
        '[destinations.realtime]\ndsn_env = "REALTIME_DSN"\n'
        '[destinations.archive]\ndsn_env = "ARCHIVE_DSN"\ntypes = ["car"]\n'
    )
    monkeypatch.delenv("LOADER_DSN")
    monkeypatch.setenv("REALTIME_DSN", dsn)
    monkeypatch.setenv("ARCHIVE_DSN", archive_dsn)
    watch = ("watch", ledger.inbox, "--once", "--settle", "0s", "--quiet", "--build")
    ledger.write([Event("gate", NOON, "car"), Event("gate", NOON, "pedestrian")])
    outcome = run_loader(*watch)
    assert (outcome.exit_code, outcome.stderr) == (0, "")
    with psycopg.connect(archive_dsn, autocommit=True) as archive:
        built = [one.execute(COUNTED).fetchone() for one in (conn, archive)]
        assert built == [(2,), (1,)]
        archive.execute("create table public.is_broken ()")
        ledger.write([Event("gate", NOON + timedelta(hours=1), "car")])
        outcome = run_loader(*watch)
        built = [one.execute(COUNTED).fetchone() for one in (conn, archive)]
        assert built == [(3,), (1,)]
        assert archive.execute("select count(*) from raw.events").fetchone() == (2,)
    assert outcome.exit_code == 0
    (said,) = outcome.stderr.splitlines()
    assert said.startswith("loader: archive: dbt build failed: counted: ")
    assert said.endswith("; the events are loaded, going on")
