"""dbt on the database of a test."""

import contextlib
import csv
import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from dbt.cli.main import dbtRunner, dbtRunnerResult
from dbt.contracts.graph.manifest import Manifest
from dbt_common.events.base_types import EventMsg

from tests.conftest import Outcome

from .scenarios import Event

PROJECT = Path(__file__).parents[2]


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


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """Loads and withdraws events as a user does: with the loader's commands."""

    run_loader: Callable[..., Outcome]
    inbox: Path

    def load(self, events: Iterable[Event], *options: str) -> int:
        """Load events from a new CSV file and return the load's id."""
        return int(self.load_file(self.write(events), *options)["load_id"])

    def write(self, events: Iterable[Event]) -> Path:
        """Write events into a new CSV file."""
        path = self.inbox / f"events-{len(list(self.inbox.iterdir()))}.csv"
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["time", "type", "source"])
            writer.writerows((e.time.isoformat(), e.type, e.source) for e in events)
        return path

    def load_file(self, path: Path, *options: str) -> dict[str, Any]:
        """Load a file and return what ``--json`` says."""
        outcome = self.run_loader("load", path, "--json", "--quiet", *options)
        assert outcome.exit_code == 0, outcome.stderr
        result: dict[str, Any] = json.loads(outcome.stdout)
        return result

    def withdraw(self, load_id: int) -> None:
        """Withdraw a load."""
        outcome = self.run_loader("withdraw", str(load_id))
        assert outcome.exit_code == 0, outcome.stderr

    def purge(self) -> None:
        """Remove the rows of all withdrawn loads; every model must have taken note of them."""
        outcome = self.run_loader("maintain", "--json")
        assert outcome.exit_code == 0, outcome.stderr
        assert json.loads(outcome.stdout)["purge_waits_for"] is None


@pytest.fixture
def ledger(run_loader: Callable[..., Outcome], tmp_path: Path) -> Ledger:
    """The loader on the new database."""
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    return Ledger(run_loader=run_loader, inbox=inbox)


@pytest.fixture
def profiles(tmp_path: Path) -> Path:
    """A directory with the example profile, which reads the environment."""
    directory = tmp_path / "profiles"
    directory.mkdir()
    example = (PROJECT / "profiles.example.yml").read_text()
    (directory / "profiles.yml").write_text(example)
    return directory


@pytest.fixture
def dbt(
    run_loader: Callable[..., Outcome],  # noqa: ARG001 - first, it clears the environment
    pg_environment: dict[str, str],
    profiles: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Dbt:
    """Return dbt on the new database."""
    for name, value in pg_environment.items():
        if name.startswith("PG"):
            monkeypatch.setenv(name, value)
    monkeypatch.delenv("DBT_SCHEMA", raising=False)
    return Dbt(profiles=profiles, target=tmp_path / "target")


def copy_project(directory: Path) -> Path:
    """Copy what dbt reads of the project, for a test that changes it."""
    for name in ("models", "macros", "seeds", "functions", "tests/dbt", "charts"):
        shutil.copytree(PROJECT / name, directory / name)
    shutil.copy(PROJECT / "dbt_project.yml", directory)
    return directory


@pytest.fixture
def builds(dbt: Dbt, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the builds of the loader find profiles, and write outside of the project."""
    monkeypatch.setenv("DBT_PROFILES_DIR", str(dbt.profiles))
    monkeypatch.setenv("DBT_TARGET_PATH", str(dbt.target))
    monkeypatch.setenv("DBT_LOG_PATH", str(dbt.target))
