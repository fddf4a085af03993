"""Consumers of one group in processes of their own, which are killed and started again."""

import os
import random
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from loader.errors import DatabaseError
from tests.support.forks import FORKS, loader_on
from tests.support.waits import PATIENCE

from .killed import die_at_step

OPTIONS = ("--every", "1s", "--workers", "1", "--quiet")
# A member that is killed holds its partitions for so long; and there are many loads to die in.
RESTLESS = (
    "--kafka-option", "session.timeout.ms=1500",
    "--kafka-option", "heartbeat.interval.ms=200",
    "--max-rows", "20",
)  # fmt: skip
# Enough to start, and for some loads.
STEPS = 80


@dataclass(kw_only=True)
class Consumers:
    """So many consumers, some of which die at a step by themselves.

    Attributes:
        dsn: the database.
        arguments: of ``loader consume``.
        directory: where they write what they say at their end.
        generator: decides who dies when.
        kills: how many were killed, or killed themselves.
        gave_up: how many ended because the server or the broker did not answer at their start.
    """

    dsn: str
    arguments: tuple[str, ...]
    directory: Path
    generator: random.Random
    kills: int = 0
    gave_up: int = 0
    _running: list[ForkServerProcess] = field(default_factory=list)
    _numbers: "count[int]" = field(default_factory=count)

    def start(self, number: int, *, are_mortal: bool, are_restless: bool = True) -> None:
        """Start some; every second one is to die at a step, when they are mortal."""
        options = (*OPTIONS, *(RESTLESS if are_restless else ()))
        for _ in range(number):
            step = self.generator.choice([0, self.generator.randint(1, STEPS)])
            process = FORKS.Process(
                target=_consume,
                args=(
                    self.dsn,
                    ("consume", *self.arguments, *options),
                    step if are_mortal else 0,
                    self.directory / f"consumer-{next(self._numbers)}",
                ),
                daemon=True,
            )
            process.start()
            self._running.append(process)

    def kill_one(self) -> None:
        """Kill one of them at once."""
        self.generator.choice(self._running).kill()

    def bury(self, seconds: float) -> int:
        """Wait so long, or until one has died; return how many have died."""
        wait([process.sentinel for process in self._running], seconds)
        dead = [process for process in self._running if not process.is_alive()]
        for process in dead:
            process.join()
            self._running.remove(process)
            if process.exitcode == -signal.SIGKILL:
                self.kills += 1
            else:
                assert process.exitcode == DatabaseError.exit_code, self.said()
                self.gave_up += 1
        return len(dead)

    def kill_all(self) -> None:
        """Kill all of them."""
        for process in self._running:
            process.kill()
        while self._running:
            self.bury(PATIENCE)

    def stop(self) -> None:
        """Stop all of them gently, and see them end well."""
        for process in self._running:
            assert process.pid is not None
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)
        for process in self._running:
            process.join(PATIENCE)
            assert process.exitcode == 0, self.said()
        self._running.clear()

    def said(self) -> str:
        """Return what those have said that have ended by themselves."""
        return "\n".join(path.read_text() for path in sorted(self.directory.glob("consumer-*")))


def _consume(dsn: str, arguments: tuple[str, ...], step: int, said: Path) -> None:
    die_at_step(step)
    outcome = loader_on(dsn)(*arguments)
    said.write_text(f"{said.name} ended with {outcome.exit_code}\n{outcome.stderr}")
    raise SystemExit(outcome.exit_code)
