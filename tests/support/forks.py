"""Processes that are forked from a server which has imported everything already.

The time that Python needs for its imports would otherwise be most of what tests with many processes
take. What is imported is up to the modules that use them: ``preload``.
"""

import contextlib
import io
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

from loader.cli import main
from tests.conftest import Outcome

FORKS = multiprocessing.get_context("forkserver")
_preloaded: list[str] = []


def preload(*modules: str) -> None:
    """Have the server import modules before it forks, beside those that others have asked for."""
    _preloaded.extend(modules)
    FORKS.set_forkserver_preload(_preloaded)


def loader_on(dsn: str) -> Callable[..., Outcome]:
    """Return what runs a ``loader`` command, in this process, on a database."""
    os.environ["LOADER_DSN"] = dsn

    def run(*arguments: str | Path) -> Outcome:
        stdout, stderr = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            exit_code = main([str(argument) for argument in arguments])
        return Outcome(exit_code=exit_code, stdout=stdout.getvalue(), stderr=stderr.getvalue())

    return run
