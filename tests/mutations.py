"""Breaks what ``mutations.toml`` names, one place at a time, and sees whether its test notices.

    python -m tests.mutations [TEXT ...]    only with one of these texts in what breaks, or the test

The files are changed where they are, and put back; what git has not stored yet could be lost by a
crash, so it refuses to begin.
"""

import os
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

from loader.process.terminal import echo

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """A place to break.

    Attributes:
        breaks: what does not hold any more then.
        file: where, from the root of the project.
        was: what stands there once.
        now: what stands there instead.
        test: the test that notices, as pytest names it.
    """

    breaks: str
    file: str
    was: str
    now: str
    test: str


def mutations() -> list[Mutation]:
    """Return them in the order of the file."""
    text = Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
    return [Mutation(**one) for one in tomllib.loads(text)["mutation"]]


def is_noticed(mutation: Mutation) -> bool:
    """Break a place and run its test; the file is as before afterwards."""
    path = ROOT / mutation.file
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(mutation.was, mutation.now), encoding="utf-8")
    try:
        # 1 means that tests failed; anything else, that none was run.
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", mutation.test]
        found = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "PATIENCE": "45"},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        path.write_text(text, encoding="utf-8")
    if found.returncode > 1:
        raise SystemExit(f"{mutation.test} did not run:\n{found.stdout[-3000:]}")
    return found.returncode == 1


def main(texts: list[str]) -> int:
    """Go through them; return how many nobody noticed."""
    changed = ["git", "status", "--porcelain", "--", *{one.file for one in mutations()}]
    if subprocess.run(changed, cwd=ROOT, capture_output=True, check=True).stdout:
        raise SystemExit("commit first: these files are changed, and put back as they were")
    survivors = 0
    for one in mutations():
        if texts and not any(text in f"{one.breaks} {one.test}" for text in texts):
            continue
        begun = time.monotonic()
        noticed = is_noticed(one)
        survivors += not noticed
        what = "noticed " if noticed else "SURVIVED"
        echo(f"{what} {time.monotonic() - begun:4.0f} s  {one.breaks}  [{one.test}]")
    return survivors


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) > 0)
