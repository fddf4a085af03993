"""``dbt build`` beside the loader, one at a time."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loader.errors import UsageError
from loader.settings import how_to_install


@dataclass(eq=False, repr=False)
class Builds:
    """Runs ``dbt build`` in processes of its own, so that consuming goes on meanwhile.

    What is asked for during a build is done by one more build after it. ``environments`` are, by
    the names of databases (None for the only one), those in which dbt finds them.
    """

    project_dir: Path
    say: Callable[[str], None]
    environments: Mapping[str | None, Mapping[str, str]]

    def __post_init__(self) -> None:
        if importlib.util.find_spec("dbt") is None:
            raise UsageError(f"--build needs dbt: {how_to_install('dbt')}")
        if not (self.project_dir / "dbt_project.yml").is_file():
            raise UsageError("--build: there is no dbt_project.yml here or above")
        self._waiting: set[str | None] = set()
        self._pool = ThreadPoolExecutor(1, "dbt build")

    def ask(self, name: str | None) -> None:
        """Have the models of a database built, now or after the build that runs."""
        if name not in self._waiting:
            self._waiting.add(name)
            self._pool.submit(self._build, name)

    def close(self) -> None:
        """Wait for what was asked for."""
        self._pool.shutdown()

    def _build(self, name: str | None) -> None:
        """Build into a database; when that fails, tell why."""
        # What is asked for from here on needs another build.
        self._waiting.discard(name)
        try:
            done = subprocess.run(
                [sys.executable, "-m", "loader.cli.builds"],
                cwd=self.project_dir,
                env=dict(self.environments[name]),
                check=False,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                # Ctrl-C ends the consumption, and not the build that is under way.
                process_group=0,
            )
        except OSError as error:
            reason = str(error)
        else:
            said = (done.stdout.strip() or done.stderr.strip()).splitlines()
            reason = said[-1] if said else f"it ended with exit code {done.returncode}"
            if done.returncode == 0:
                return
        where = "" if name is None else f"{name}: "
        self.say(f"{where}dbt build failed: {reason}; the events are loaded, going on")


def _reason(result: Any) -> str:
    nodes = getattr(result.result, "results", [])
    failed = [node for node in nodes if str(node.status) in ("error", "fail")]
    if not failed:
        return " ".join(str(result.exception).split())
    first = f"{failed[0].node.name}: {' '.join(str(failed[0].message).split())}"
    return first if len(failed) == 1 else f"{first} (and {len(failed) - 1} more)"


def main() -> int:
    """Build the project in the current directory; print why that failed."""
    from dbt.cli.main import dbtRunner  # noqa: PLC0415 - an extra

    result = dbtRunner().invoke(["--log-level", "none", "build", "--project-dir", str(Path.cwd())])
    if result.success:
        return 0
    print(_reason(result))  # noqa: T201 - for whoever started this process
    return 1


if __name__ == "__main__":
    sys.exit(main())
