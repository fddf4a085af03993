"""The board is what a browser shows of the marts: the same numbers, and no error.

``BOARD_PICTURES=DIRECTORY`` keeps pictures of it, for the documentation: ``make pictures``.
"""

import html
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

import pytest
from psycopg import Connection

from tests.conftest import Outcome
from tests.support.dbt import PROJECT, Dbt
from tests.support.waits import PATIENCE

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
WIDE, PHONE = (1440, 1840), (390, 2260)
NOTHING = "There is nothing to show."
TOTALS = {
    "event_total": "select sum(event_count) from analytics.rpt_source_activity",
    "period_total": "select sum(period_count) from analytics.rpt_source_activity",
    "alert_total": "select sum(alert_count) from analytics.rpt_daily_alerts",
}
# What a chart says of each of its bars or cells.
MARKS = {
    "busiest_sources": (
        "select source_name, category, 'events: ' || to_char(sum(event_count), 'FM999,999')"
        " from analytics.fct_hourly_detections group by source_name, category"
    ),
    "dwell": (
        "select bucket_name, category, 'periods: ' || to_char(sum(period_count), 'FM999,999')"
        " from analytics.rpt_dwell_distribution group by bucket, bucket_name, category"
        " having sum(period_count) > 0"
    ),
    "busy_hours": (
        "select left(weekday_name, 3), lpad(hour_of_day::text, 2, '0'),"
        " 'Events: ' || trim_scale(round(sum(events_per_hour)::numeric, 1))"
        " from analytics.rpt_busy_hours group by weekday_name, hour_of_day"
    ),
}
LAST_DAY = """
    select count(*) from analytics.fct_activity_periods
    where started_at >= (
        select date_trunc('day', max(started_at), 'UTC') from analytics.fct_activity_periods
    )
"""


@dataclass(frozen=True, kw_only=True)
class Board:
    """A served board, and the browser to look at it with."""

    browser: str
    address: str
    directory: Path

    def open(self, form: str, size: tuple[int, int], picture: Path) -> str:
        """Open one form of it, and return what the page has become when all scripts have run.

        It fails the test if the page wrote anything to the console.
        """
        done = subprocess.run(
            [
                self.browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                "--disable-background-networking", "--enable-logging=stderr",
                f"--user-data-dir={self.directory / 'browser'}",
                f"--window-size={size[0]},{size[1]}", f"--screenshot={picture}",
                "--dump-dom", f"{self.address}/{form}/",
            ],
            check=True, capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip
        console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        assert not console, console
        return done.stdout

    def filtered(self, form: str, **filters: object) -> str:
        """Return the page with some filters set."""
        query = "&".join(f"{name}={quote(json.dumps(value))}" for name, value in filters.items())
        with urlopen(f"{self.address}/{form}/?{query}") as page:  # noqa: S310 - its own server
            return str(page.read().decode())


@pytest.fixture
def browser(request: pytest.FixtureRequest) -> str:
    """A Chromium; .ci/run installs one if it can."""
    if request.config.getoption("--postgres") != "embedded":
        pytest.skip("the board is drawn from the marts, whatever the server")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"the board was not opened: none of {', '.join(BROWSERS)} is installed")
    return found


@contextmanager
def served(browser: str, dbt: Dbt, directory: Path) -> Iterator[Board]:
    """Serve the boards as ``make board`` does."""
    shutil.copytree(PROJECT / "charts", directory / "charts")
    # For each page dct reads these two files a hundred times, so they are short here.
    (directory / "dbt_project.yml").write_text("{name: video_events, profile: video_events}")
    (directory / "profiles.yml").write_text(json.dumps(profile()))
    (directory / "target").mkdir()
    shutil.copy(dbt.target / "manifest.json", directory / "target")
    with subprocess.Popen(
        [Path(sys.prefix) / "bin/dct", "serve", "--no-cache"],
        cwd=directory, env=os.environ | {"DO_NOT_TRACK": "1", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as server:  # fmt: skip
        assert server.stdout
        try:
            lines = iter(server.stdout.readline, "")
            running = next(line for line in lines if "running on" in line)
            address = running.split("running on ")[1].split()[0]
            yield Board(browser=browser, address=address, directory=directory)
        finally:
            server.terminate()


def profile() -> dict[str, object]:
    """What the example profile says in the environment of a test."""
    target = {
        "type": "postgres", "host": os.environ["PGHOST"], "port": int(os.environ["PGPORT"]),
        "user": os.environ["PGUSER"], "password": "", "dbname": os.environ["PGDATABASE"],
        "schema": "analytics", "threads": 4,
    }  # fmt: skip
    return {"video_events": {"target": "test", "outputs": {"test": target}}}


def chart(page: str, name: str) -> str:
    """Return the markup of one chart, or of its narrow form."""
    _, _, rest = page.partition(f'data-chart-id="{name}')
    assert rest, f"the page has no {name}"
    return rest.partition("data-chart-id=")[0]


def texts(markup: str) -> list[str]:
    """Return the texts that a chart draws."""
    return [html.unescape(text) for text in re.findall(r">([^<>\n]+)</t(?:ext|span)>", markup)]


def labels(markup: str) -> list[set[str]]:
    """Return what a chart says of each of its marks, without the control characters in between."""
    return [
        {re.sub(r"[^ -~]", "", part).strip() for part in html.unescape(label).split(";")}
        for label in re.findall(r'aria-label="([^"]+)"', markup)
    ]


def test_the_board_shows_what_is_in_the_marts(
    browser: str, dbt: Dbt, run_loader: Callable[..., Outcome], conn: Connection, tmp_path: Path
) -> None:
    def build() -> None:
        dbt.build("--select", "+marts.reports", "--write-json")

    def number(query: str) -> int:
        (found,) = conn.execute(query.encode()).fetchone() or (0,)
        return int(found)

    build()
    pictures = Path(os.environ.get("BOARD_PICTURES", tmp_path)).absolute()
    with served(browser, dbt, tmp_path / "board") as board:
        # Before anything is loaded.
        for form, size in {"activity-dark": WIDE, "activity-phone": PHONE}.items():
            page = board.open(form, size, tmp_path / "nothing.png")
            assert all("0" in texts(chart(page, total)) for total in TOTALS), form
            assert NOTHING in page
            assert 'data-chart-id="timeline"' not in page

        events = tmp_path / "events.csv"
        options = ("--events", "20000", "--days", "14", "--output", events)
        assert run_loader("generate", *options).exit_code == 0
        assert run_loader("load", events, "--quiet").exit_code == 0
        build()
        forms = {
            "activity": (WIDE, pictures / "board.png"),
            "activity-phone-dark": (PHONE, pictures / "board-phone-dark.png"),
        }
        for form, (size, picture) in forms.items():
            page = board.open(form, size, picture)
            assert NOTHING not in page
            for total, query in TOTALS.items():
                assert f"{number(query):,}" in texts(chart(page, total)), (form, total)
            for marks, query in MARKS.items():
                drawn = labels(chart(page, marks))
                for mark in conn.execute(query.encode()):
                    assert any(set(mark) <= label for label in drawn), (form, mark)
            assert chart(page, "timeline").count("<title>") == number(LAST_DAY)
            assert 20_000 < picture.stat().st_size < 300_000

        # A choice of time and category; too many periods to draw each, so slots of time.
        page = board.filtered(
            "activity", category=["vehicles"], period=["2024-05-13", "2024-05-25"]
        )
        chosen = "where category = 'vehicles' and {} < '2024-05-26'"
        for total, query in {
            "event_total": "select sum(event_count) from analytics.fct_hourly_detections "
            + chosen.format("hour_started_at"),
            "period_total": "select count(*) from analytics.fct_activity_periods "
            + chosen.format("started_at"),
        }.items():
            assert f"{number(query):,}" in texts(chart(page, total)), total
        assert "% of the time" in chart(page, "timeline")
