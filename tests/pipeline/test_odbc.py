"""A spreadsheet over ODBC: through the driver that they use, as an account that may only read."""

import csv
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from loader.server.cluster import Cluster
from tests.conftest import Outcome
from tests.support.dbt import PROJECT, Dbt
from tests.support.ledger import Ledger
from tests.support.oracle import LIVE_VIEWS, MARTS, REPORTS
from tests.support.scenarios import Event

MONDAY = datetime(2024, 5, 13, 12, tzinfo=UTC)
PAGE = PROJECT / "docs/howto/query-from-a-spreadsheet.md"
Ask = Callable[[str], str]


@pytest.fixture
def ask(
    cluster: Cluster, database: str, dsn: str, run_loader: Callable[..., Outcome]
) -> Iterator[Ask]:
    """Return what asks through ODBC, with the connection string of the documentation."""
    drivers = Path("/etc/odbcinst.ini")
    if not shutil.which("isql") or "[PostgreSQL Unicode]" not in drivers.read_text():
        pytest.skip("unixODBC or psqlODBC is not installed; Debian: unixodbc odbc-postgresql")
    (shown,) = (line for line in PAGE.read_text().splitlines() if line.startswith("Driver="))
    # The test's server is reached over its socket, without a password and TLS.
    connection = (
        shown.replace("HOST", str(cluster.socket_dir))
        .replace("DATABASE", database)
        .replace("Pwd=PASSWORD;SSLmode=verify-full;", "")
    )

    def ask(question: str) -> str:
        done = subprocess.run(
            ["isql", "-k", connection, "-b", "-v", "-c", "-q", "-d,"],
            input=question, check=False, capture_output=True, text=True,
        )  # fmt: skip
        return done.stdout + done.stderr

    assert run_loader("roles").exit_code == 0
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute("create role spreadsheet login in role reader")
        yield ask
        for role in ("loader", "transformer", "reader"):
            admin.execute(f"drop owned by {role} cascade".encode())
        admin.execute("drop role spreadsheet, loader, transformer, reader")


def test_a_spreadsheet_reads_the_marts_and_cannot_write(ask: Ask, dbt: Dbt, ledger: Ledger) -> None:
    events = [
        Event("gate", MONDAY + timedelta(weeks=week, seconds=20 * number), "pedestrian")
        for week in (0, 1)
        for number in range(4 + week)
    ]
    ledger.load(events)
    dbt.build()
    offered = {row["TABLE_NAME"] for row in table(ask("help"))}
    assert {*MARTS, *REPORTS, *LIVE_VIEWS} <= offered
    weeks = table(
        ask(
            "select week_date, event_count, previous_event_count, event_count_change"
            " from analytics.rpt_weekly_changes order by week_date"
        )
    )
    assert [list(week.values()) for week in weeks] == [
        ["2024-05-13", "4", "", ""],
        ["2024-05-20", "5", "4", "0.25"],
    ]
    (period,) = table(
        ask(
            "select extract(epoch from duration) as seconds,"
            " started_at at time zone 'Europe/Berlin' as started"
            " from analytics.activity_periods_live where started_at < '2024-05-14'"
        )
    )
    assert (float(period["seconds"]), period["started"]) == (60, "2024-05-13 14:00:00")
    assert "permission denied" in ask("select * from raw.events")
    # The driver refuses it already, with ReadOnly in the connection string.
    assert "is readonly" in ask("delete from analytics.fct_activity_periods")


def table(answer: str) -> list[dict[str, str]]:
    """Return the rows of an answer."""
    return list(csv.DictReader(answer.splitlines()))
