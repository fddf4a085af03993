"""The board is what a browser shows of the marts: the same numbers, and no error."""

import html
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from psycopg import Connection
from psycopg.rows import scalar_row

from tests.conftest import Outcome

from .conftest import PROJECT, Dbt

BOARDS = {
    "activity": 1440,
    "activity-dark": 1440,
    "activity-phone": 390,
    "activity-phone-dark": 390,
}
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
NUMBERS = {
    "event_total": "select sum(event_count) from analytics.fct_hourly_detections",
    "period_total": "select count(*) from analytics.fct_activity_periods",
    "alert_total": "select count(*) from analytics.fct_alerts",
}
BARS = {
    "busiest_sources": (
        "select source_name, category, 'events: ' || to_char(sum(event_count), 'FM999,999')"
        " from analytics.fct_hourly_detections group by source_name, category"
    ),
    "dwell": (
        "select 'up to 10 s', category, 'periods: ' || to_char(count(*), 'FM999,999')"
        " from analytics.fct_activity_periods where duration < interval '10 seconds'"
        " group by category"
    ),
}
LAST_DAY = """
    select count(*) from analytics.fct_activity_periods
    where started_at >= (
        select date_trunc('day', max(started_at), 'UTC') from analytics.fct_activity_periods
    )
"""


@pytest.fixture(scope="session")
def browser(request: pytest.FixtureRequest) -> str:
    """A Chromium; .ci/run installs one if it can."""
    if request.config.getoption("--postgres") != "embedded":
        pytest.skip("the board is drawn from the marts, whatever the server")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"the board was not opened: none of {', '.join(BROWSERS)} is installed")
    return found


@pytest.fixture
def render(dbt: Dbt, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that brings the marts up to date and renders boards of them."""
    project = tmp_path / "project"
    shutil.copytree(PROJECT / "charts", project / "charts")
    shutil.copy(PROJECT / "dbt_project.yml", project)
    shutil.copy(dbt.profiles / "profiles.yml", project)

    def run(*boards: str) -> Path:
        dbt("build", "--exclude-resource-type", "test", "unit_test")
        (project / "target").mkdir()
        shutil.copy(dbt.target / "manifest.json", project / "target")
        done = subprocess.run(
            [
                Path(sys.prefix) / "bin/dct", "render", *(f"charts/{name}.yml" for name in boards),
                "--format", "html", "--output", "{stem}.html", "--no-cache",
            ],
            cwd=project, env=os.environ | {"DO_NOT_TRACK": "1"}, check=False,
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "ERR-" not in done.stderr
        return project

    return run


def opened(browser: str, page: Path, width: int) -> str:
    """Open a page, and return what it has become when all scripts have run.

    It fails the test if the page wrote anything to the console. A picture is kept beside it.
    """
    done = subprocess.run(
        [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            "--enable-logging=stderr", f"--user-data-dir={page.parent / 'browser'}",
            f"--window-size={width},{2400 if width < 1000 else 1900}",
            f"--screenshot={page.with_suffix('.png')}", "--dump-dom", page.as_uri(),
        ],
        check=True, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert not console, console
    return done.stdout


def chart(page: str, name: str) -> str:
    """Return the markup of one chart."""
    _, _, rest = page.partition(f'data-chart-id="{name}"')
    assert rest, f"the page has no {name}"
    return rest.partition("data-chart-id=")[0]


def texts(markup: str) -> list[str]:
    """Return the texts that a chart draws."""
    return [html.unescape(text) for text in re.findall(r">([^<>\n]+)</t(?:ext|span)>", markup)]


def labels(markup: str) -> list[set[str]]:
    """Return what a chart says of each of its bars, without the control characters in between."""
    return [
        {re.sub(r"[^ -~]", "", part).strip() for part in html.unescape(label).split(";")}
        for label in re.findall(r'aria-label="([^"]+)"', markup)
    ]


def test_the_board_shows_the_numbers_of_the_marts(
    browser: str, render: Callable[..., Path], run_loader: Callable[..., Outcome], conn: Connection,
    tmp_path: Path,
) -> None:  # fmt: skip
    generated = run_loader("generate", "--events", "4000", "--sources", "3", "--days", "40")
    events = tmp_path / "events.csv"
    events.write_text(generated.stdout)
    assert run_loader("load", events, "--quiet").exit_code == 0
    directory = render(*BOARDS)
    one = conn.cursor(row_factory=scalar_row).execute
    last_day = one(LAST_DAY).fetchone()
    assert last_day
    for name, width in BOARDS.items():
        page = opened(browser, directory / f"{name}.html", width)
        for total, query in NUMBERS.items():
            assert f"{one(query).fetchone():,}" in texts(chart(page, total)), (name, total)
        for bars, query in BARS.items():
            drawn = labels(chart(page, bars))
            for bar in conn.execute(query):
                assert any(set(bar) <= mark for mark in drawn), (name, bar)
        assert chart(page, "timeline").count("<title>") == last_day
        assert (directory / f"{name}.png").stat().st_size > 20_000
