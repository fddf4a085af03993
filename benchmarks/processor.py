"""Seconds of the processor, which other work on the machine spoils less than those of the clock."""

import os
import resource
from contextlib import suppress
from pathlib import Path

from loader.server.cluster import Cluster

_TICKS = os.sysconf("SC_CLK_TCK")


def children_seconds() -> float:
    """Return what processes that were started here, and have ended, took of the processor."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def server_seconds(server: Cluster) -> float:
    """Return what a PostgreSQL server has taken: backends, once ended, are its children."""
    return postmaster_seconds(int((server.data_dir / "postmaster.pid").read_text().split()[0]))


def postmaster_seconds(postmaster: int) -> float:
    """Return what a PostgreSQL server has taken, by the id of its first process."""
    while True:
        # A backend that ends meanwhile would be counted twice or not at all: read again.
        with suppress(FileNotFoundError, ProcessLookupError):
            running = children(postmaster)
            ended = seconds(postmaster, has_children=True)
            return ended + sum(map(seconds, running))


def children(pid: int) -> list[int]:
    """Return the processes that a process has started, and that run."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def seconds(pid: int, *, has_children: bool = False) -> float:
    """Return what a process, and its children that have ended, took of the processor."""
    # The name of the program, in brackets, may hold anything.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11 : 15 if has_children else 13])) / _TICKS
