"""What the documentation shows can be done: its commands are run, its links and tables checked."""

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.support.brokers import Broker, running_broker
from tests.support.checkouts import ROOT, Checkout, blocks, checkout, is_as_shown

PAGES = sorted(
    path.relative_to(ROOT) for pattern in ("*.md", "docs/**/*.md") for path in ROOT.glob(pattern)
)
TESTING = Path("docs/howto/test-your-changes.md")
EXACTNESS = Path("docs/explanation/exactness.md")
# The first one names a load by its number, so it comes before those that load something too.
HOW_TOS = sorted(
    (page for page in PAGES if page.parts[:2] == ("docs", "howto")),
    key=lambda page: (page.name != "load-your-own-files.md", page),
)


@pytest.fixture(scope="module")
def demo(request: pytest.FixtureRequest) -> Iterator[tuple[Checkout, str]]:
    """A copy of the project as git would clone it, after ``make demo``, and what that printed."""
    if request.config.getoption("--postgres") != "embedded":
        pytest.skip("the documentation is about the embedded server")
    with checkout() as made:
        done = made.run("make -o .venv/runtime demo")
        assert done.returncode == 0, done.stdout + done.stderr
        assert re.fullmatch("loader: new PostgreSQL server of the project .*\n", done.stderr)
        yield made, done.stdout


@pytest.fixture(scope="module")
def project(demo: tuple[Checkout, str]) -> Checkout:
    """A copy of the project, with one load."""
    return demo[0]


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """A broker with a topic of two messages."""
    with running_broker() as broker:
        broker.create("detections")
        detection = b'{"time": "2026-03-02T09:00:0%dZ", "type": "car", "source": "gate"}'
        broker.produce("detections", [detection % second for second in (1, 2)])
        yield broker


# In two checkouts, side by side.
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=pytest.mark.xdist_group(f"pages {number % 2}"))
        for number, page in enumerate([Path("README.md"), EXACTNESS, *HOW_TOS])
    ],
    ids=str,
)
def test_every_command_shown_works(page: Path, project: Checkout, broker: Broker) -> None:
    commands = "".join(block for _, block in blocks(page, "sh"))
    shell = re.sub(r"^make .*\n", "", commands, flags=re.MULTILINE)
    done = project.run(
        f"set -x\n{shell}\nset +x\nloader db env > .env",
        LOADER_KAFKA_BROKERS=broker.address,
        # Those of the models say the same on every page; they are part of make test.
        **({} if page == TESTING else {"DBT_EXCLUDE_RESOURCE_TYPES": "test unit_test"}),
    )
    assert done.returncode == 0, done.stdout + done.stderr

    server = dict(
        re.findall(r"^export (\w+)=(.*)$", (project.path / ".env").read_text(), re.MULTILINE)
    )
    with psycopg.connect(
        host=server["PGHOST"].strip("'"), user=server["PGUSER"], dbname=server["PGDATABASE"]
    ) as conn:
        for _, statement in blocks(page, "sql"):
            conn.execute(statement.encode())


@pytest.mark.xdist_group("pages 1")
def test_the_readme_shows_what_the_demo_prints(demo: tuple[Checkout, str]) -> None:
    project, printed = demo
    (shown,) = (block for _, block in blocks(Path("README.md"), "text") if "rows loaded" in block)
    assert is_as_shown(shown, printed), printed
    assert "camera-01" in (project.path / ".demo/board.html").read_text()


def test_every_make_target_shown_exists() -> None:
    targets = set(re.findall(r"^([a-z0-9]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        text = (ROOT / page).read_text()
        shown = re.findall(r"(?:^(?: {4})?|`)make ([a-z0-9]+)", text, re.MULTILINE)
        assert set(shown) <= targets, page


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / page).read_text()):
        if "://" not in target:
            assert (ROOT / page.parent / target).exists(), target


def test_every_test_that_the_tables_of_threats_name_is_there() -> None:
    files = [*(ROOT / "tests").glob("**/test_*.py")]
    text = "".join(path.read_text() for path in files)
    known = {*re.findall(r"^def (\w+)", text, re.MULTILINE), *(path.name for path in files)}
    page = (ROOT / "docs/explanation/security.md").read_text()
    named = re.findall(r"^\|.*\| `([\w.]+)` \|$", page, re.MULTILINE)
    assert len(named) > 15
    for name in named:
        assert any(one.endswith(name) for one in known), name


def test_the_tree_in_the_readme_is_the_tree() -> None:
    (tree,) = (b for _, b in blocks(Path("README.md"), "text") if b.startswith("loader/"))
    parent = Path()
    for line in tree.splitlines():
        indent, name = re.match(r"( *)(\S+)", line).groups()  # type: ignore[union-attr]
        path = parent / name if indent else Path(name)
        parent = parent if indent else path
        assert (ROOT / path).exists(), path


def test_the_reference_speaks_of_no_option_that_no_table_of_it_has() -> None:
    reference = (ROOT / "docs/reference/command-line.md").read_text()
    known = set(re.findall(r"^\| `(--[a-z-]+)", reference, re.MULTILINE))
    spoken_of = set(re.findall(r"`(?:loader \w+ )?(--[a-z-]+)", reference))
    assert len(known) > 30
    assert spoken_of <= known | {"--help"}
