"""dbt in this process, as tests run it."""

import contextlib
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from dbt.cli.main import dbtRunner, dbtRunnerResult
from dbt.contracts.graph.manifest import Manifest
from dbt_common.events.base_types import EventMsg

PROJECT = Path(__file__).parents[2]
BUILD = ("build", "--exclude-resource-type", "test", "unit_test")


@dataclass
class Dbt:
    """Runs dbt in this process, on the database that the environment names.

    The project is parsed once per database; every later command reuses that.
    """

    profiles: Path
    target: Path
    manifest: Manifest | None = field(default=None, repr=False)
    variables: str = "{}"
    project: Path = PROJECT
    errors: list[str] = field(default_factory=list, repr=False)

    def __call__(self, *arguments: str) -> dbtRunnerResult:
        """Run a dbt command, and fail the test when it fails."""
        result = self.attempt(*arguments)
        assert result.success, messages(result)
        return result

    def build(self, *options: str) -> dbtRunnerResult:
        """Build all but the tests."""
        return self(*BUILD, *options)

    def attempt(self, *arguments: str) -> dbtRunnerResult:
        """Run a dbt command that may fail."""
        options = dbt_options(self.profiles, self.target, self.project)
        options += ["--vars", self.variables]
        if self.manifest is None:
            parsed = dbtRunner().invoke(["parse", *options, "--no-partial-parse"])
            assert parsed.success, parsed.exception
            assert isinstance(parsed.result, Manifest)
            self.manifest = parsed.result
        with contextlib.redirect_stdout(None):
            command, *rest = arguments
            runner = dbtRunner(manifest=self.manifest, callbacks=[self._note])
            return runner.invoke([command, *options, *rest])

    def _note(self, event: EventMsg) -> None:
        # The result of an operation does not say what went wrong.
        if event.info.level == "error":
            self.errors.append(str(getattr(event.info, "msg", "")))


def dbt_options(profiles: Path, target: Path, project: Path = PROJECT) -> list[str]:
    """Return the options of every dbt command: quiet, strict, and writing only to ``target``."""
    return [
        "--project-dir", str(project),
        "--profiles-dir", str(profiles),
        "--target-path", str(target),
        "--log-path", str(target),
        "--no-send-anonymous-usage-stats",
        "--no-version-check",
        "--log-level", "none",
        "--log-level-file", "none",
        "--warn-error",
    ]  # fmt: skip


def messages(result: dbtRunnerResult) -> str:
    """Return what went wrong in a dbt command."""
    nodes = getattr(result.result, "results", [])
    failed = [
        f"{node.node.name}: {node.message}"
        for node in nodes
        if str(node.status) in ("error", "fail", "warn")
    ]
    return "\n".join(failed) or str(result.exception)


def copy_project(directory: Path) -> Path:
    """Copy what dbt reads of the project, for a test that changes it."""
    for name in ("models", "macros", "seeds", "functions", "tests/dbt", "charts"):
        shutil.copytree(PROJECT / name, directory / name)
    shutil.copy(PROJECT / "dbt_project.yml", directory)
    return directory
