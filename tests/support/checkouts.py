"""A copy of the project as git would clone it, in which the documentation is followed."""

import doctest
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from loader.server.embedded import find_programs

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True)
class Checkout:
    """The copy, with packages that are installed already and an embedded server of its own."""

    path: Path

    def run(self, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a script as the reader would, in a shell that knows nothing yet."""
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PG", "LOADER_", "DBT_", "MAKE"))
        }
        # With a psql at its end: that of the embedded server, where none is installed.
        places = [str(Path(sys.prefix) / "bin"), environment["PATH"], str(find_programs())]
        environment["PATH"] = os.pathsep.join(places)
        environment |= {"DO_NOT_TRACK": "1", **variables}
        return subprocess.run(
            ["bash", "-euo", "pipefail"],
            input=script, cwd=self.path, env=environment, check=False, capture_output=True,
            text=True,
        )  # fmt: skip


@contextmanager
def checkout() -> Iterator[Checkout]:
    """Make the copy; at the end stop its server and delete it."""
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
    made = Checkout(path=copy)
    try:
        yield made
    finally:
        made.run("loader db stop")
        shutil.rmtree(copy)


def blocks(page: Path, *languages: str) -> Iterator[tuple[str, str]]:
    """Yield the language and the text of each fenced block in one of these languages."""
    text = (ROOT / page).read_text()
    for language, block in re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        if language in languages:
            yield language, block


def is_as_shown(shown: str, printed: str) -> bool:
    """Tell whether a command printed what is shown, but for seconds, and what "..." stands for."""
    shown, printed = (re.sub(r"\d+\.\d+ s\b", "N s", text).strip() for text in (shown, printed))
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return doctest.OutputChecker().check_output(shown, printed, options)
