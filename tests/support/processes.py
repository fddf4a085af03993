"""Loaders and dbt as processes of their own, which can be killed.

Python takes longer to import dbt than dbt to do what these tests are about.
"""

import contextlib
import io
import json
import marshal
import os
import random
import signal
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from multiprocessing.context import ForkServerProcess
from multiprocessing.synchronize import Event as Signal
from pathlib import Path
from typing import Any

from dbt.cli.main import dbtRunner
from dbt_common.events.base_types import EventMsg

from loader.database.conninfo import connection_variables
from loader.settings import export
from tests.support.dbt import Dbt, messages, read_manifest
from tests.support.forks import FORKS, loader_on, preload
from tests.support.ledger import Ledger
from tests.support.shortcuts import compiled, unheard
from tests.support.waits import PATIENCE

from .scenarios import scenario

preload(__name__, "dbt.adapters.postgres", "dbt.task.build", "sqlparse")
SOURCES = 300
# Seconds between two loads, and between two looks. What is loaded costs all who read until dbt has
# taken it: with more of it, a slow machine does nothing else.
PAUSE = float(os.environ.get("LOADERS_PAUSE", "1"))


@dataclass(frozen=True, kw_only=True)
class DbtProcess:
    """A dbt command in a process of its own."""

    process: ForkServerProcess
    target: Path

    def wait(self, timeout: float = PATIENCE) -> bool:
        """Wait until the process has ended; False if it still runs after that time."""
        self.process.join(timeout)
        return self.process.exitcode is not None

    @property
    def was_killed(self) -> bool:
        """Whether the process died, as opposed to ended."""
        return self.process.exitcode == -signal.SIGKILL

    @property
    def failure(self) -> str | None:
        """What went wrong; None for a command that succeeded, or was killed before its end."""
        if self.was_killed or self.process.exitcode == 0:
            return None
        return (self.target / "failure").read_text()

    @property
    def said(self) -> list[str]:
        """What the project's own macros said until the end."""
        return list(json.loads((self.target / "said").read_text()))

    @property
    def moments(self) -> int:
        """How many events dbt has reported until its end."""
        return int((self.target / "moments").read_text())


@dataclass(frozen=True, kw_only=True)
class Processes:
    """Starts processes on one database.

    Attributes:
        dsn: the database.
        commands: whose options dbt gets.
        directory: where files and targets are.
        stop: set when loaders are to end.
        started: all of them; none may outlive the test.
    """

    dsn: str
    commands: Dbt
    directory: Path
    stop: Signal = field(default_factory=FORKS.Event)
    started: list[ForkServerProcess] = field(default_factory=list)

    def dbt(self, *arguments: str) -> DbtProcess:
        """Run a dbt command to its end, and fail the test when it fails."""
        process = self.start_dbt(*arguments)
        assert process.wait()
        assert process.failure is None, process.failure
        assert not process.was_killed
        return process

    def start_dbt(
        self,
        *arguments: str,
        moment: int = 0,
        at_moment: Signal | None = None,
        go_on: Signal | None = None,
    ) -> DbtProcess:
        """Start a dbt command.

        Args:
            arguments: the command.
            moment: the number of dbt's own event at which something happens, 0 for never.
            at_moment: what to set at that moment; without it, the process dies there.
            go_on: what it then waits for, before it goes on.
        """
        # A directory of its own: dbt does not expect another one to write into its target.
        target = self.directory / f"target-{len(self.started)}"
        target.mkdir()
        command, *rest = arguments
        (target / "templates").write_bytes(marshal.dumps(compiled))
        options = [command, *replace(self.commands, target=target).options(), *rest]
        parsed = self.commands.parsed()
        signals = (at_moment, go_on)
        process = self._start(_run_dbt, options, parsed, self.dsn, target, moment, *signals)
        return DbtProcess(process=process, target=target)

    def start_loader(self, seed: int, *, withdraws: bool = True) -> ForkServerProcess:
        """Start to publish small loads one by one, and to withdraw some, until ``stop``.

        One that withdraws nothing ends with the exit code of the first load that is refused.
        """
        inbox = self.directory / f"inbox-{len(self.started)}"
        inbox.mkdir()
        work = _publish_and_withdraw if withdraws else _publish_until_refused
        return self._start(work, self.dsn, inbox, seed, self.stop)

    def load(self, *paths: Path) -> int:
        """Load files and directories, and return the exit code."""
        process = self._start(_load, self.dsn, paths)
        process.join(PATIENCE)
        assert process.exitcode is not None
        return process.exitcode

    def stop_loaders(self, loaders: list[ForkServerProcess]) -> None:
        """Let loaders finish what they do, and fail the test when one of them failed."""
        self.stop.set()
        for loader in loaders:
            loader.join(PATIENCE)
        assert [loader.exitcode for loader in loaders] == [0] * len(loaders)

    def _start(self, work: Callable[..., None], *arguments: Any) -> ForkServerProcess:
        process = FORKS.Process(target=work, args=arguments, daemon=True)
        process.start()
        self.started.append(process)
        return process


def _run_dbt(
    arguments: list[str],
    parsed: Path,
    dsn: str,
    target: Path,
    moment: int,
    at_moment: Signal | None,
    go_on: Signal | None,
) -> None:
    export(connection_variables(dsn))
    compiled.update(marshal.loads((target / "templates").read_bytes()))  # noqa: S302 - our own
    numbers = count(1)
    said: list[str] = []

    def note(event: EventMsg) -> None:
        if event.info.name == "JinjaLogInfo":
            said.append(str(getattr(event.info, "msg", "")))

    def come_to_moment() -> None:
        if next(numbers) != moment:
            return
        if at_moment is None:
            os.kill(os.getpid(), signal.SIGKILL)
        else:
            at_moment.set()
        if go_on is not None:
            go_on.wait(PATIENCE)

    with contextlib.redirect_stdout(io.StringIO()), unheard(come_to_moment):
        result = dbtRunner(manifest=read_manifest(parsed), callbacks=[note]).invoke(arguments)
    (target / "moments").write_text(str(next(numbers)))
    (target / "said").write_text(json.dumps(said))
    if not result.success:
        (target / "failure").write_text(messages(result))
        raise SystemExit(1)


def _publish_and_withdraw(dsn: str, inbox: Path, seed: int, stop: Signal) -> None:
    generator = random.Random(seed)
    ledger = Ledger(run_loader=loader_on(dsn), inbox=inbox)
    visible: list[int] = []
    # The pause leaves something of two cores to dbt.
    while not stop.wait(PAUSE):
        events = scenario(generator.randrange(SOURCES), generator)
        visible.append(ledger.load(generator.choices(events, k=min(len(events), 8))))
        match generator.choice(["keep", "keep", "withdraw one", "withdraw this one"]):
            case "withdraw one":
                ledger.withdraw(visible.pop(generator.randrange(len(visible))))
            case "withdraw this one":
                ledger.withdraw(visible.pop())


def _publish_until_refused(dsn: str, inbox: Path, seed: int, stop: Signal) -> None:
    generator = random.Random(seed)
    ledger = Ledger(run_loader=loader_on(dsn), inbox=inbox)
    while not stop.wait(PAUSE):
        path = ledger.write(scenario(generator.randrange(SOURCES), generator))
        exit_code = ledger.run_loader("load", path, "--quiet").exit_code
        if exit_code != 0:
            raise SystemExit(exit_code)


def _load(dsn: str, paths: tuple[Path, ...]) -> None:
    raise SystemExit(loader_on(dsn)("load", "--quiet", *paths).exit_code)
