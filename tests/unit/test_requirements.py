"""The lock files agree with each other, and name no registry."""

import os
import re
import subprocess
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).parents[2] / "requirements"


def pins(name: str) -> set[str]:
    text = (REQUIREMENTS / name).read_text()
    return set(re.findall(r"^([\w.-]+==[^\s;]+)", text, re.MULTILINE))


def test_the_demo_and_the_tests_run_on_the_same_versions() -> None:
    assert len(pins("runtime.txt")) > 20
    assert pins("runtime.txt") <= pins("dev.txt")


def make(place: Path, target: str) -> subprocess.CompletedProcess[str]:
    """Run it as if no other one had started these tests."""
    command = ["make", "-f", str(REQUIREMENTS.parent / "Makefile"), target]
    env = {name: text for name, text in os.environ.items() if "MAKE" not in name}
    return subprocess.run(command, cwd=place, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["it's", "a$b", 'a"b', "a`b"])
def test_a_path_that_pip_does_not_work_in_is_told_before(tmp_path: Path, name: str) -> None:
    place = tmp_path / name
    place.mkdir()
    done = make(place, ".venv/created")
    assert done.returncode != 0
    assert done.stderr.startswith(
        f"pip works in no folder with a quote or a $ in its path: move {place}"
    )
    assert not list(place.iterdir())


@pytest.mark.parametrize("place", [None, "/nowhere/a b/.venv"])
def test_a_folder_that_was_moved_is_told(tmp_path: Path, place: str | None) -> None:
    (tmp_path / ".venv").mkdir()
    cfg = f"home = /usr/bin\ncommand = /usr/bin/python3 -m venv {place or tmp_path / '.venv'}\n"
    (tmp_path / ".venv/pyvenv.cfg").write_text(cfg)
    done = make(tmp_path, "help")
    told = f".venv was made as {place}, and its programs run nowhere else"
    assert (done.returncode != 0, told in done.stderr) == (place is not None,) * 2
    for folder in ("loader", "tests"):
        (tmp_path / folder).mkdir()
    assert make(tmp_path, "clean").returncode == 0
    assert not (tmp_path / ".venv").exists()


def test_no_registry_is_written_down() -> None:
    for file in REQUIREMENTS.iterdir():
        assert "://" not in file.read_text(), file.name


def test_actions_are_named_by_their_commits() -> None:
    for workflow in (REQUIREMENTS.parent / ".github/workflows").iterdir():
        used = re.findall(r"uses: (.*)", workflow.read_text())
        assert used, workflow
        for action in used:
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


def test_every_requirement_has_its_reason() -> None:
    """A comment before it, or before those it goes with."""
    for name in ("dev.in", "audit.in"):
        text = (REQUIREMENTS / name).read_text()
        for block in re.split(r"^#.*\n(?=[^#])", text, flags=re.MULTILINE):
            packages = [line for line in block.splitlines() if line and line[0] not in "#-"]
            assert len(packages) <= 2, (name, packages)


@pytest.mark.xdist_group("together")
def test_what_belongs_together_goes_to_one_worker(request: pytest.FixtureRequest) -> None:
    """Otherwise each worker prepares what one could, and nothing says so."""
    if not getattr(request.config.option, "loadgroup", False):
        pytest.skip("tests are not spread by groups here")
    assert request.node.nodeid.endswith("@together")
