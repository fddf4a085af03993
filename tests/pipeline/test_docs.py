"""What the documentation shows can be done: its commands are run, its links and tables checked."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import psycopg
import pytest

from loader.cli import cli
from tests.brokers import Broker, running_broker

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path.relative_to(ROOT) for pattern in ("*.md", "docs/**/*.md") for path in ROOT.glob(pattern)
)
EXACTNESS = Path("docs/explanation/exactness.md")
# The first one names a load by its number, so it comes before those that load something too.
HOW_TOS = sorted(
    (page for page in PAGES if page.parts[:2] == ("docs", "howto")),
    key=lambda page: (page.name != "load-your-own-files.md", page),
)


def blocks(page: Path, *languages: str) -> Iterator[tuple[str, str]]:
    """Yield the language and the text of each fenced block in one of these languages."""
    text = (ROOT / page).read_text()
    for language, block in re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        if language in languages:
            yield language, block


def demo(command: str) -> str:
    """Return a command of ``make demo`` as it stands in the Makefile."""
    makefile = (ROOT / "Makefile").read_text()
    (variable,) = re.findall(r"^rush_hour := (.*)$", makefile, re.MULTILINE)
    (line,) = re.findall(rf"^\t@({command}[^>\n]*)", makefile, re.MULTILINE)
    return str(line).replace("$(rush_hour)", variable)


@pytest.fixture(scope="module")
def project(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A copy of the project as git would clone it, after ``make demo``, with one load."""
    if request.config.getoption("--postgres") != "embedded":
        pytest.skip("the documentation is about the embedded server")
    # Short and open to the server's user, which pytest's own directories are not.
    copy = Path(tempfile.mkdtemp(prefix="video-events-docs-"))
    copy.chmod(0o755)
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\n")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    shutil.copy(copy / "profiles.example.yml", copy / "profiles.yml")
    (copy / ".venv").symlink_to(sys.prefix)
    loaded = run(
        copy,
        f"{demo('loader generate')} | loader load - --format csv --quiet\n"
        'eval "$(loader db env)"; dbt --quiet build --exclude-resource-type test unit_test',
    )
    assert loaded.returncode == 0, loaded.stdout + loaded.stderr
    yield copy
    run(copy, "loader db stop")
    shutil.rmtree(copy)


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """A broker with a topic of two messages."""
    with running_broker() as broker:
        broker.create("detections")
        detection = b'{"time": "2026-03-02T09:00:0%dZ", "type": "car", "source": "gate"}'
        broker.produce("detections", [detection % second for second in (1, 2)])
        yield broker


def run(project: Path, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a script as the reader would, in a shell that knows nothing yet."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PG", "LOADER_", "DBT_"))
    }
    environment["PATH"] = f"{Path(sys.prefix) / 'bin'}{os.pathsep}{environment['PATH']}"
    environment |= {"DO_NOT_TRACK": "1", **variables}
    return subprocess.run(
        ["bash", "-euo", "pipefail"],
        input=script, cwd=project, env=environment, check=False, capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("page", [Path("README.md"), EXACTNESS, *HOW_TOS], ids=str)
def test_every_command_shown_works(page: Path, project: Path, broker: Broker) -> None:
    commands = "".join(block for _, block in blocks(page, "sh"))
    shell = re.sub(r"^make .*\n", "", commands, flags=re.MULTILINE)
    done = run(
        project,
        f"set -x\n{shell}\nset +x\nloader db env > .env",
        LOADER_KAFKA_BROKERS=broker.address,
    )
    assert done.returncode == 0, done.stdout + done.stderr

    server = dict(re.findall(r"^export (\w+)=(.*)$", (project / ".env").read_text(), re.MULTILINE))
    with psycopg.connect(
        host=server["PGHOST"].strip("'"), user=server["PGUSER"], dbname=server["PGDATABASE"]
    ) as conn:
        for _, statement in blocks(page, "sql"):
            conn.execute(statement.encode())


@pytest.mark.parametrize("command", ["loader periods", "loader alerts"])
def test_the_readme_shows_what_the_demo_prints(command: str, project: Path) -> None:
    printed = run(project, demo(command))
    assert printed.returncode == 0, printed.stderr
    table = [line.strip() for line in printed.stdout.splitlines() if line.strip()]
    (shown,) = (block for _, block in blocks(Path("README.md"), "text") if "Periods" in block)
    assert len(table) > 3
    assert "\n".join(table) in shown


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


def test_the_tree_in_the_readme_is_the_tree() -> None:
    (tree,) = (b for _, b in blocks(Path("README.md"), "text") if b.startswith("loader/"))
    parent = Path()
    for line in tree.splitlines():
        indent, name = re.match(r"( *)(\S+)", line).groups()  # type: ignore[union-attr]
        path = parent / name if indent else Path(name)
        parent = parent if indent else path
        assert (ROOT / path).exists(), path


def commands(group: click.Group, prefix: str = "loader") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}", command


def test_the_reference_names_every_command_and_option() -> None:
    reference = (ROOT / "docs/reference/command-line.md").read_text()
    for name, command in commands(cli):
        assert name.split()[1] in reference, name
        for parameter in command.params:
            for option in parameter.opts if isinstance(parameter, click.Option) else []:
                if option.startswith("--"):
                    assert option in reference, f"{name} {option}"


def test_the_reference_names_nothing_else() -> None:
    reference = (ROOT / "docs/reference/command-line.md").read_text()
    known = {option for _, command in commands(cli) for p in command.params for option in p.opts}
    known |= {option for parameter in cli.params for option in parameter.opts} | {"--help"}
    assert set(re.findall(r"`(--[a-z-]+)", reference)) <= known
    names = {name for name, _ in commands(cli)} | {"loader db"}
    assert set(re.findall(r"`(loader [a-z]+)", reference)) <= names | {"loader COMMAND"}
