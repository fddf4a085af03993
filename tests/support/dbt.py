"""dbt in this process, as tests run it."""

import contextlib
import fcntl
import hashlib
import json
import os
import pickle
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dbt.cli.main import dbtRunner, dbtRunnerResult
from dbt.contracts.graph.manifest import Manifest
from dbt_common.events.base_types import EventMsg

from tests.support.shortcuts import kept_sessions, unheard

PROJECT = Path(__file__).parents[2]
BUILD = ("build", "--exclude-resource-type", "test", "unit_test")


@dataclass
class Dbt:
    """Runs dbt in this process, on the database that the environment names.

    Attributes:
        profiles: the directory of the profile.
        target: where dbt writes.
        manifests: the directory of what was parsed already.
        manifest: the parsed project; None to parse with the next command.
        variables: the vars of all commands.
        project: the project; only that of this checkout is parsed once for all tests.
        errors: what went wrong in operations, whose results do not say so.
        statements: what the database was asked.
        connects_anew: whether each node has a session of its own, as without tests.
    """

    profiles: Path
    target: Path
    manifests: Path
    manifest: Manifest | None = field(default=None, repr=False)
    variables: dict[str, Any] = field(default_factory=dict)
    project: Path = PROJECT
    errors: list[str] = field(default_factory=list, repr=False)
    statements: set[str] = field(default_factory=set, repr=False)
    connects_anew: bool = False

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
        if self.manifest is None:
            is_shared = self.project == PROJECT
            self.manifest = read_manifest(self.parsed()) if is_shared else self._parse()
        with (
            contextlib.redirect_stdout(None),
            unheard(at_statement=self.statements.add),
            contextlib.nullcontext() if self.connects_anew else kept_sessions(),
        ):
            command, *rest = arguments
            runner = dbtRunner(manifest=self.manifest, callbacks=[self._note])
            return runner.invoke([command, *self.options(), *rest])

    def options(self) -> list[str]:
        """Return the options of every command."""
        variables = json.dumps(self.variables)
        return [*dbt_options(self.profiles, self.target, self.project), "--vars", variables]

    def parsed(self) -> Path:
        """Return a file with the parsed project: the first one to ask makes it."""
        names = [os.environ.get(name, "") for name in ("PGDATABASE", "DBT_SCHEMA")]
        names.append(str(self.project))
        # The only var that is read then, in expressions of semantic models.
        names.append(str(self.variables.get("report_timezone")))
        key = hashlib.sha256("\n".join(names).encode()).hexdigest()
        file = self.manifests / key
        with file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not file.exists():
                # Its own way to be pickled forgets fixtures; what finds nodes in it is made anew.
                kept = {
                    name: value for name, value in vars(self._parse()).items() if name[0] != "_"
                }
                file.write_bytes(pickle.dumps(kept))
        return file

    def _parse(self) -> Manifest:
        parsed = dbtRunner().invoke(["parse", *self.options(), "--no-partial-parse"])
        assert parsed.success, parsed.exception
        assert isinstance(parsed.result, Manifest)
        return parsed.result

    def _note(self, event: EventMsg) -> None:
        # The result of an operation does not say what went wrong.
        if event.info.level == "error":
            self.errors.append(str(getattr(event.info, "msg", "")))


def read_manifest(file: Path) -> Manifest:
    """Read what was parsed."""
    manifest = Manifest()
    vars(manifest).update(pickle.loads(file.read_bytes()))  # noqa: S301 - our own
    return manifest


def dbt_options(profiles: Path, target: Path, project: Path = PROJECT) -> list[str]:
    """Return the options of every dbt command: quiet, strict, and writing only to ``target``.

    What was parsed, and what happened, is written there with ``--write-json`` after these only: it
    takes as long as a small model.
    """
    return [
        "--project-dir", str(project),
        "--profiles-dir", str(profiles),
        "--target-path", str(target),
        "--log-path", str(target),
        "--no-send-anonymous-usage-stats",
        "--no-version-check",
        "--no-write-json",
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
