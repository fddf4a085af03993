"""``dbt build`` beside the loader, in this process, one at a time."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from loader.errors import UsageError
from loader.settings import export_connection


class Builds:
    """Runs ``dbt build`` in a thread, so that consuming goes on meanwhile.

    What is asked for during a build is done by one more build after it.
    """

    def __init__(self, dsn: str, project_dir: Path, say: Callable[[str], None]) -> None:
        """Prepare to build the project into the database.

        Raises:
            UsageError: dbt is not installed, or there is no project.
        """
        try:
            from dbt.cli.main import dbtRunner  # noqa: PLC0415 - an extra
        except ImportError:
            raise UsageError("--build needs dbt: pip install 'video-events-loader[dbt]'") from None
        if not (project_dir / "dbt_project.yml").is_file():
            raise UsageError("--build: there is no dbt_project.yml here or above")
        export_connection(dsn)
        self._runner = dbtRunner
        self._project_dir = project_dir
        self._say = say
        self._wanted = threading.Condition()
        self._is_wanted = False
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name="dbt build")
        self._thread.start()

    def ask(self) -> None:
        """Have the models built, now or after the build that runs."""
        with self._wanted:
            self._is_wanted = True
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
                self._wanted.wait_for(lambda: self._is_wanted or self._is_closed)
                if not self._is_wanted:
                    return
                self._is_wanted = False
            try:
                self._build()
            except BaseException as error:  # nothing of dbt may end the consumption
                self._say(f"dbt build failed: {error}; the events are loaded, going on")

    def _build(self) -> None:
        directory = str(self._project_dir)
        result = self._runner().invoke(["--log-level", "none", "build", "--project-dir", directory])
        if not result.success:
            self._say(f"dbt build failed: {_reason(result)}; the events are loaded, going on")


def _reason(result: Any) -> str:
    nodes = getattr(result.result, "results", [])
    failed = [node for node in nodes if str(node.status) in ("error", "fail")]
    if not failed:
        return " ".join(str(result.exception).split())
    first = f"{failed[0].node.name}: {' '.join(str(failed[0].message).split())}"
    return first if len(failed) == 1 else f"{first} (and {len(failed) - 1} more)"
