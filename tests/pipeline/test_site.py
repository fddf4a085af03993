"""The site: its tutorial can be followed to the letter, and none of its links is dead."""

import os
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.support.checkouts import ROOT, Checkout, checkout, is_as_shown

TUTORIAL = ROOT / "docs/tutorial.md"
FENCE = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
# dbt's own page: one program, whose links are not in its HTML.
MODELS = "models.html"


@pytest.fixture(scope="module")
def newcomer(request: pytest.FixtureRequest) -> Iterator[Checkout]:
    """A new checkout, with nothing loaded."""
    if request.config.getoption("--postgres") != "embedded":
        pytest.skip("the documentation is about the embedded server")
    with checkout() as made:
        yield made


def test_the_tutorial_shows_what_its_commands_print(newcomer: Checkout) -> None:
    """UPDATE_TUTORIAL=1 writes into it what they print."""
    text = TUTORIAL.read_text()
    fences = list(FENCE.finditer(text))
    examples = [number for number, fence in enumerate(fences) if fence["language"] == "sh"]
    commands = (re.sub(r"^make .*\n", "", fences[n]["text"], flags=re.M) for n in examples)
    done = newcomer.run(
        "exec 2>&1\n" + "".join(f"printf '\\036'\n{part}" for part in commands),
        # They say nothing when they pass, and are part of make test.
        DBT_EXCLUDE_RESOURCE_TYPES="test unit_test",
    )
    assert done.returncode == 0, done.stdout
    _, *outputs = done.stdout.split("\x1e")
    printed = {
        # What an example prints is the text that follows it, if any does.
        fences[number + 1]: output
        for number, output in zip(examples, outputs, strict=True)
        if fences[number + 1 : number + 2] and fences[number + 1]["language"] == "text"
    }
    assert len(printed) > 5
    if os.environ.get("UPDATE_TUTORIAL"):
        for fence, output in reversed(printed.items()):
            if not is_as_shown(fence["text"], output):
                lines = "\n".join(map(str.rstrip, output.splitlines())).strip("\n") + "\n"
                text = text[: fence.start("text")] + lines + text[fence.end("text") :]
        TUTORIAL.write_text(text)
    else:
        for fence, output in printed.items():
            assert is_as_shown(fence["text"], output), output


class Page(HTMLParser):
    """What a page of the site leads to or fetches, and where links to it can lead."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.fetched: set[str] = set()
        self.links: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value for name, value in attrs if value}
        self.anchors |= {found[name] for name in ("id", "name") if name in found}
        target = found.get("src") or found.get("href")
        if target:
            (self.links if tag == "a" else self.fetched).add(target)


@pytest.fixture(scope="module")
def site(newcomer: Checkout) -> Path:
    """The site that ``make docs`` builds; a warning would have made it fail."""
    done = newcomer.run("make -o .venv/dev docs")
    assert done.returncode == 0, done.stdout + done.stderr
    return newcomer.path / "site"


def test_no_link_of_the_site_is_dead(site: Path) -> None:
    pages = {path: Page(path) for path in site.rglob("*.html") if path.name != MODELS}
    assert {site / "index.html", site / "tutorial.html"} < pages.keys()
    checked = 0
    for path, page in pages.items():
        for target in page.links | page.fetched:
            url = urlsplit(target)
            if url.scheme or url.netloc:
                # Links may lead elsewhere, but a page is complete without a network.
                assert target in page.links or url.scheme == "data", (path, target)
                continue
            to = (path.parent / unquote(url.path)).resolve() if url.path else path
            assert to.exists(), (path, target)
            if url.fragment:
                assert unquote(url.fragment) in pages[to].anchors, (path, target)
            checked += 1
    assert checked > 500


def test_dbt_documents_the_models_in_one_page_of_the_site(site: Path) -> None:
    page = (site / MODELS).read_text()
    assert "fct_activity_periods" in page
    assert f'href="{MODELS}"' in (site / "index.html").read_text()


def test_the_reference_is_what_the_code_says(site: Path) -> None:
    """``make docs`` brings it up to date."""
    for page in sorted((ROOT / "docs/reference").glob("*.md")):
        made = site.parent / page.relative_to(ROOT)
        assert page.read_text() == made.read_text(), f"{page.name} is behind: make docs"
