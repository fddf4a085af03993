"""``dbt build`` beside the loader, one at a time."""

import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from loader.database.conninfo import connection_variables
from loader.errors import UsageError
from loader.settings import export, how_to_install


class Builds:
    """Runs ``dbt build`` in a thread, so that consuming goes on meanwhile.

    What is asked for during a build is done by one more build after it.
    """

    def __init__(
        self,
        dsn: str,
        project_dir: Path,
        say: Callable[[str], None],
        environments: Mapping[str, Mapping[str, str]],
    ) -> None:
        """Prepare to build the project into a database, or into several.

        Args:
            dsn: the database.
            project_dir: the project.
            say: tells the user of a build that failed.
            environments: of named databases, those in which each is found. They are built by
                processes of their own: this one has one environment.

        Raises:
            UsageError: dbt is not installed, or there is no project.
        """
        try:
            from dbt.cli.main import dbtRunner  # noqa: PLC0415 - an extra
        except ImportError:
            raise UsageError(f"--build needs dbt: {how_to_install('dbt')}") from None
        if not (project_dir / "dbt_project.yml").is_file():
            raise UsageError("--build: there is no dbt_project.yml here or above")
        self._environments = environments
        if not self._environments:
            export(connection_variables(dsn))
        self._runner = dbtRunner
        self._project_dir = project_dir
        self._say = say
        self._wanted = threading.Condition()
        # In the order in which they were asked for.
        self._names: dict[str | None, None] = {}
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name="dbt build")
        self._thread.start()

    def ask(self, name: str | None) -> None:
        """Have the models built, now or after the build that runs.

        Args:
            name: of the database; None for the only one.
        """
        with self._wanted:
            self._names[name] = None
            self._wanted.notify()

    def close(self) -> None:
        """Wait for what was asked for."""
        with self._wanted:
            self._is_closed = True
            self._wanted.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._wanted:
                self._wanted.wait_for(lambda: self._names or self._is_closed)
                if not self._names:
                    return
                name = next(iter(self._names))
                del self._names[name]
            try:
                reason = self._build(name)
            except BaseException as error:  # nothing of dbt may end the consumption
                reason = str(error)
            if reason is not None:
                where = "" if name is None else f"{name}: "
                self._say(f"{where}dbt build failed: {reason}; the events are loaded, going on")

    def _build(self, name: str | None) -> str | None:
        """Build into a database; return why that failed, None if it did not."""
        if name is None:
            return _build(self._runner, self._project_dir)
        done = subprocess.run(
            [sys.executable, "-m", "loader.cli.builds"],
            cwd=self._project_dir,
            env=dict(self._environments[name]),
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode == 0:
            return None
        return (done.stdout.strip() or done.stderr.strip()).splitlines()[-1]


def _build(runner: Any, project_dir: Path) -> str | None:
    """Build in this process; return why that failed, None if it did not."""
    arguments = ["--log-level", "none", "build", "--project-dir", str(project_dir)]
    result = runner().invoke(arguments)
    return None if result.success else _reason(result)


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

    reason = _build(dbtRunner, Path.cwd())
    if reason is None:
        return 0
    print(reason)  # noqa: T201 - for whoever started this process
    return 1


if __name__ == "__main__":
    sys.exit(main())
