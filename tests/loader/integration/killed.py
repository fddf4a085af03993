"""Loaders in processes of their own, killed at a step or at a moment; and what must be left then.

A step is anything that a loader waits for the server for: a statement, a piece of a COPY, a commit.
"""

import os
import signal
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow

from loader import inputs
from loader.limits import Limits
from tests.forks import FORKS, TIMEOUT, loader_on

FORKS.set_forkserver_preload([__name__])
# So that a file of some lines is read in several batches, and copied over several connections.
BLOCK_BYTES = 400
EVENTS = 40
REJECTS = 3
OPTIONS = ("--quiet", "--attributes", "note", "--workers", "2")


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
        process.join(TIMEOUT)
        return process.exitcode == -signal.SIGKILL

    def kill_after(self, seconds: float, *options: str) -> None:
        """Kill a loader some time after it was started."""
        process = self._start(self.write(), options, 0)
        process.join(seconds)
        process.kill()
        process.join(TIMEOUT)

    def steps(self, *options: str) -> int:
        """Count the steps of a load that nobody disturbs."""
        process = self._start(self.write(), options, 0)
        process.join(TIMEOUT)
        return int((self.directory / "steps").read_text())

    def _start(self, path: Path, options: Iterable[str], step: int) -> ForkServerProcess:
        arguments = (self.dsn, self.directory / "steps", step, (*OPTIONS, *options, str(path)))
        process = FORKS.Process(target=_load, args=arguments, daemon=True)
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


def _load(dsn: str, steps_file: Path, step: int, arguments: tuple[str, ...]) -> None:
    vars(inputs)["Limits"] = partial(Limits, block_bytes=BLOCK_BYTES)
    numbers = die_at_step(step)
    exit_code = loader_on(dsn)("load", *arguments).exit_code
    steps_file.write_text(str(next(numbers) - 1))
    raise SystemExit(exit_code)


def die_at_step(last: int) -> Iterator[int]:
    """Number what this process waits for the server for, and let it die at one of them.

    Args:
        last: where to die; 0 for nowhere.
    """
    numbers = count(1)
    wait = Connection.wait

    def counted(conn: Connection[Any], generator: Any, *others: Any, **more: Any) -> Any:
        if next(numbers) == last:
            # What is to be sent is sent, and its answer never read.
            with suppress(StopIteration, psycopg.Error):
                next(generator)
            os.kill(os.getpid(), signal.SIGKILL)
        return wait(conn, generator, *others, **more)

    Connection.wait = counted  # type: ignore[method-assign, assignment]
    return numbers
