"""dbt on the database of a test."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
from dbt.cli.main import dbtRunner, dbtRunnerResult
from dbt.contracts.graph.manifest import Manifest

PROJECT = Path(__file__).parents[2]


@dataclass
class Dbt:
    """Runs dbt in this process, on the database that the environment names.

    The project is parsed once per database; every later command reuses that.
    """

    profiles: Path
    target: Path
    manifest: Manifest | None = field(default=None, repr=False)

    def __call__(self, *arguments: str) -> dbtRunnerResult:
        """Run a dbt command, and fail the test when it fails."""
        result = self.attempt(*arguments)
        assert result.success, messages(result)
        return result

    def attempt(self, *arguments: str) -> dbtRunnerResult:
        """Run a dbt command that may fail."""
        if self.manifest is None:
            parsed = dbtRunner().invoke(["parse", *self._options(), "--no-partial-parse"])
            assert parsed.success, parsed.exception
            assert isinstance(parsed.result, Manifest)
            self.manifest = parsed.result
        with contextlib.redirect_stdout(None):
            return dbtRunner(manifest=self.manifest).invoke([*arguments, *self._options()])

    def _options(self) -> list[str]:
        return [
            "--project-dir", str(PROJECT),
            "--profiles-dir", str(self.profiles),
            "--target-path", str(self.target),
            "--log-path", str(self.target),
            "--no-send-anonymous-usage-stats",
            "--log-level", "none",
            "--log-level-file", "none",
            "--warn-error",
        ]  # fmt: skip


def messages(result: dbtRunnerResult) -> str:
    """Return what went wrong in a dbt command."""
    nodes = getattr(result.result, "results", [])
    failed = [f"{n.node.name}: {n.message}" for n in nodes if str(n.status) in ("error", "fail", "warn")]
    return "\n".join(failed) or str(result.exception)


@pytest.fixture
def dbt(
    pg_environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Dbt:
    """dbt on the new database."""
    for name, value in pg_environment.items():
        if name.startswith("PG"):
            monkeypatch.setenv(name, value)
    monkeypatch.delenv("DBT_SCHEMA", raising=False)
    profiles = tmp_path / "profiles"
    profiles.mkdir()
    example = (PROJECT / "profiles.example.yml").read_text()
    (profiles / "profiles.yml").write_text(example)
    return Dbt(profiles=profiles, target=tmp_path / "target")
