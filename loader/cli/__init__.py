"""The command line: parse, wire, report."""

import importlib
import io
import logging
import os
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, cast

import click
import psycopg

from loader import __version__
from loader.cli.concealment import conceal_dsn
from loader.database.connection import explain, redact
from loader.errors import LoaderError
from loader.settings import Settings, read_settings
from loader.signals import handling

# As a shell reports them: 128 and the number of the signal.
INTERRUPTED = 130
TERMINATED = 143


class _Terminated(KeyboardInterrupt):
    """SIGTERM; it ends a command as Ctrl-C does."""


# The commands in the order of ``loader --help``, and the module that each is in.
COMMANDS: Mapping[str, str] = {
    "load": "load",
    "consume": "consume",
    "watch": "watch",
    "status": "ledger",
    "loads": "ledger",
    "withdraw": "ledger",
    "rejects": "ledger",
    "periods": "ledger",
    "alerts": "ledger",
    "generate": "generate",
    "maintain": "maintain",
    "roles": "roles",
    "db": "db",
}


class _Commands(click.Group):
    """Imports a command when it is asked for: what all of them need would delay each of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module: Any = importlib.import_module(f"loader.cli.{COMMANDS[cmd_name]}")
        return cast("click.Command", getattr(module, cmd_name))


@click.group("loader", cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="loader")
@click.option("--dsn", help="The database; else LOADER_DSN, PG* variables, the embedded server.")
@click.option("--debug", is_flag=True, help="Show tracebacks (also: LOADER_DEBUG=1).")
@click.pass_context
def cli(context: click.Context, dsn: str | None, debug: bool) -> None:
    """Load detector events into PostgreSQL, and look after them."""
    context.obj = read_settings(dsn=dsn, debug=debug)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    # It warns about what follows from an error that we report; without a handler, on stderr.
    logging.getLogger("psycopg").addHandler(logging.NullHandler())
    if arguments is None:
        conceal_dsn()
    given = list(sys.argv[1:] if arguments is None else arguments)
    context: click.Context | None = None
    try:
        with handling(_terminate, signal.SIGTERM), cli.make_context("loader", given) as context:
            result = cli.invoke(context)
            return result if isinstance(result, int) else 0
    except click.exceptions.Exit as done:
        return done.exit_code
    except BrokenPipeError:
        # Whoever read our output, such as head, has had enough of it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (Exception, KeyboardInterrupt) as error:  # the last resort of every command
        settings = context.obj if context is not None else None
        return _report(error, settings if isinstance(settings, Settings) else None)


def _terminate() -> None:
    raise _Terminated


def _report(error: BaseException, settings: Settings | None) -> int:
    """Print an error as one line and return the exit code that goes with it."""
    if isinstance(error, psycopg.Error):
        error = explain(error, settings)
    if isinstance(error, click.ClickException):
        shown = io.StringIO()
        error.show(shown)
        click.echo(redact(shown.getvalue(), settings), err=True, nl=False)
        return error.exit_code
    if isinstance(error, _Terminated):
        message, exit_code = "terminated", TERMINATED
    elif isinstance(error, KeyboardInterrupt | click.Abort):
        message, exit_code = "interrupted", INTERRUPTED
    elif isinstance(error, LoaderError):
        message, exit_code = str(error), error.exit_code
    else:
        message = f"unexpected {type(error).__name__}: {error}; for details: loader --debug ..."
        exit_code = LoaderError.exit_code
    if settings is not None and settings.debug:
        click.echo(redact(traceback.format_exc(), settings), err=True)
    click.echo(f"loader: {redact(' '.join(message.split()), settings)}", err=True)
    return exit_code
