"""The lock files agree with each other, and name no registry."""

import re
from pathlib import Path

REQUIREMENTS = Path(__file__).parents[2] / "requirements"


def pins(name: str) -> set[str]:
    text = (REQUIREMENTS / name).read_text()
    return set(re.findall(r"^([\w.-]+==[^\s;]+)", text, re.MULTILINE))


def test_the_demo_and_the_tests_run_on_the_same_versions() -> None:
    assert len(pins("runtime.txt")) > 20
    assert pins("runtime.txt") <= pins("dev.txt")


def test_no_registry_is_written_down() -> None:
    for file in REQUIREMENTS.iterdir():
        assert "://" not in file.read_text(), file.name
