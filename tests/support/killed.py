"""Loaders in processes of their own, killed at a step or at a moment; and what must be left then.

A step is anything that a loader waits for the server for: a statement, a piece of a COPY, a commit.
Who dies there may also be the server.
"""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import count
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow

from loader.database import migrate, retention
from loader.database.connection import connect
from loader.database.maintain import maintain
from loader.reading import inputs
from loader.reading.limits import Limits
from tests.support.forks import FORKS, loader_on, preload
from tests.support.waits import PATIENCE

# Commands import what they need when they are run, and Arrow pandas with its first array.
preload(__name__, "loader.cli.load", "loader.cli.maintain", "pandas", "pyarrow.pandas_compat")
# So that a file of some lines is read in several batches, and copied over several connections.
BLOCK_BYTES = 400
EVENTS = 40
REJECTS = 3
OPTIONS = ("--quiet", "--attributes", "note", "--workers", "2")

# Ends a process; gets the connection that waits.
Death = Callable[[Connection[Any]], None]


def die(_: Connection[Any]) -> None:
    """Kill the process itself."""
    os.kill(os.getpid(), signal.SIGKILL)


def kill_backend(conn: Connection[Any]) -> None:
    """Kill the server's process that serves this connection: the whole server then recovers."""
    os.kill(conn.info.backend_pid, signal.SIGKILL)


def kill_process(pid: int, _: Connection[Any]) -> None:
    """Kill some process."""
    os.kill(pid, signal.SIGKILL)


@dataclass(frozen=True, kw_only=True)
class Killed:
    """Starts loaders on one database, kills them, and compares what is visible with the files."""

    dsn: str
    directory: Path
    files: list[Path] = field(default_factory=list)

    def write(self) -> Path:
        """Write a file of events that no other has, in a month that no other has."""
        number = len(self.files)
        path = self.directory / f"events-{number}.csv"
        month = f"{1970 + number // 12}-{number % 12 + 1:02d}"
        rows = [
            f"{month}-{1 + row % 28:02d}T00:00:{row:02d}Z,{('car', 'bus')[row % 2]},"
            f"camera {number % 7},{row}\n"
            for row in range(EVENTS)
        ]
        rows[5:5] = ["never,car,camera,x\n"] * REJECTS
        path.write_text("time,type,source,note\n" + "".join(rows))
        self.files.append(path)
        return path

    def kill_at_step(self, step: int, *options: str) -> bool:
        """Let a loader die when it has sent its step; False if it ended before."""
        process = self._start(self.write(), options, step)
        process.join(PATIENCE)
        return process.exitcode == -signal.SIGKILL

    def lose_server_at_step(self, step: int, death: Death, *options: str) -> tuple[int, str]:
        """Kill the server when a loader has sent its step; what becomes of that one."""
        process = self._start(self.write(), options, step, death)
        process.join(PATIENCE)
        assert process.exitcode is not None
        return process.exitcode, (self.directory / "said").read_text()

    def kill_after(self, seconds: float, *options: str) -> None:
        """Kill a loader some time after it was started."""
        process = self._start(self.write(), options, 0)
        process.join(seconds)
        process.kill()
        process.join(PATIENCE)

    def steps(self, *options: str) -> int:
        """Count the steps of a load that nobody disturbs."""
        process = self._start(self.write(), options, 0)
        process.join(PATIENCE)
        return int((self.directory / "steps").read_text())

    def _start(
        self, path: Path, options: Iterable[str], step: int, death: Death = die
    ) -> ForkServerProcess:
        command = ("load", *OPTIONS, *options, str(path))
        arguments = (self.dsn, self.directory, command, step, death)
        process = FORKS.Process(target=_run, args=arguments, daemon=True)
        process.start()
        return process

    def differences(self, conn: Connection[TupleRow]) -> dict[str, Counter[Any]]:
        """Compare visible events, one by one, with the lines of all files."""
        written: Counter[Any] = Counter()
        for path in self.files:
            for line in path.read_text().splitlines()[1:]:
                moment, event_type, source, note = line.split(",")
                if moment != "never":
                    written[moment, event_type, source, note] += 1
        found = Counter(
            conn.execute(
                'select to_char(events.event_time, \'YYYY-MM-DD"T"HH24:MI:SS"Z"\'),'
                " event_types.event_type, sources.source_name, events.attributes ->> 'note'"
                " from raw.events join raw.loads using (load_id) join raw.sources using (source_id)"
                " join raw.event_types using (event_type_id)"
                " where loads.load_seq is not null and loads.withdrawn_seq is null"
            ).fetchall()
        )
        return {"missing": written - found, "too many": found - written}

    def accounts(self, conn: Connection[TupleRow]) -> TupleRow:
        """Return what the ledger must say: loads, rows read, loaded, rejected, kept rejects."""
        row = conn.execute(
            "select count(*), sum(rows_read), sum(rows_loaded), sum(rows_rejected),"
            " (select count(*) from raw.rejected_events), max(load_seq),"
            " (select load_seq from raw.load_counter) from raw.loads"
        ).fetchone()
        assert row is not None
        return row

    def expected_accounts(self) -> TupleRow:
        """Return the same, worked out from the files."""
        number = len(self.files)
        rejects = number * REJECTS
        return (
            number, number * EVENTS + rejects, number * EVENTS, rejects, rejects, number, number,
        )  # fmt: skip


def was_reached(step: int, directory: Path) -> bool:
    """Tell whether the process that ended last came to a step: what is there takes fewer."""
    return int((directory / "steps").read_text()) >= step


def maintain_until(
    dsn: str, directory: Path, age: str, now: datetime, step: int = 0, death: Death = die
) -> int | None:
    """Maintain in a process of its own, in which something dies at a step.

    Returns:
        its exit code; the steps of one that nobody disturbs are in the file ``steps``.
    """
    arguments = (dsn, directory, age, now, step, death)
    process = FORKS.Process(target=_maintain, args=arguments, daemon=True)
    process.start()
    process.join(PATIENCE)
    return process.exitcode


def migrate_until(dsn: str, directory: Path, step: int = 0) -> int | None:
    """Convert events in rows in a process that dies at a step; return its exit code."""
    arguments = (dsn, directory, ("maintain", "--migrate"), step, die)
    process = FORKS.Process(target=_run, args=arguments, daemon=True)
    process.start()
    process.join(PATIENCE)
    return process.exitcode


def _run(dsn: str, directory: Path, command: tuple[str, ...], step: int, death: Death) -> None:
    vars(inputs)["Limits"] = partial(Limits, block_bytes=BLOCK_BYTES)
    # So that what few partitions there are go one by one.
    vars(migrate)["PORTION"] = 1
    numbers = die_at_step(step, death)
    outcome = loader_on(dsn)(*command)
    (directory / "steps").write_text(str(next(numbers) - 1))
    (directory / "said").write_text(outcome.stderr)
    raise SystemExit(outcome.exit_code)


def _maintain(dsn: str, directory: Path, age: str, now: datetime, step: int, death: Death) -> None:
    # So that what few partitions there are go one by one.
    vars(retention)["PORTION"] = 1
    numbers = die_at_step(step, death)
    try:
        with connect(dsn) as conn:
            # The command itself knows no other moment than the present.
            maintain(conn, 0, age=age, now=now)
    finally:
        (directory / "steps").write_text(str(next(numbers) - 1))


def die_at_step(last: int, death: Death = die) -> Iterator[int]:
    """Number what this process waits for the server for, and let something die at one of them.

    Args:
        last: where to die; 0 for nowhere.
        death: who dies.
    """
    numbers = count(1)
    wait = Connection.wait

    def counted(conn: Connection[Any], generator: Any, *others: Any, **more: Any) -> Any:
        if next(numbers) != last:
            return wait(conn, generator, *others, **more)
        # What is to be sent is sent, and its answer not read before somebody is dead.
        try:
            waits_for = next(generator)
        except StopIteration as ended:
            death(conn)
            return ended.value
        except psycopg.Error:
            death(conn)
            raise
        death(conn)
        return wait(conn, _again(waits_for, generator), *others, **more)

    Connection.wait = counted  # type: ignore[method-assign, assignment]
    return numbers


def _again(first: Any, generator: Any) -> Any:
    """The generator as it was before its first value was taken."""
    ready = yield first
    while True:
        try:
            waits_for = generator.send(ready)
        except StopIteration as ended:
            return ended.value
        ready = yield waits_for
