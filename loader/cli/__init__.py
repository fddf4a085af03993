"""The command line: parse, wire, report.

Nothing here imports Arrow or psycopg before a command is known: the version, the help and the
completion of a shell need neither.
"""

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

from loader import __version__
from loader.errors import UnexpectedError
from loader.process.signals import INTERRUPTED, TERMINATED, ending_at_once, handling, unless_ignored
from loader.process.terminal import echo, echo_lines, forgive_output
from loader.settings import Settings, read_settings


class _Terminated(KeyboardInterrupt):
    """SIGTERM; it ends a command as Ctrl-C does."""


# The commands in the order of ``loader --help``: the module that each is in, and what it does, as
# its own help says.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "load": ("load", "Load files, directories, globs or standard input (-)."),
    "inspect": ("formats", "Look at a file, and say how to load it."),
    "formats": ("formats", "Show the known formats, or what one of them says."),
    "consume": (
        "consume",
        "Load the messages of a Kafka topic, each exactly once, until it is stopped.",
    ),
    "watch": (
        "watch",
        "Load the files that come into a directory, each once, until it is stopped.",
    ),
    "status": ("ledger", "Show what is loaded, and how far behind the models are."),
    "loads": ("ledger", "Show the ledger, newest first."),
    "withdraw": ("ledger", "Withdraw a load: its events become invisible at once."),
    "explain": (
        "ledger",
        "Show which periods and alerts a load, or a withdrawal, made, joined, split or removed.",
    ),
    "rejects": ("ledger", "Show rejected rows, with the reason of each."),
    "periods": ("ledger", "Show the periods of activity per category, up to the last load."),
    "alerts": ("ledger", "Show the alerts, up to the last load."),
    "generate": ("generate", "Write synthetic events to standard output."),
    "maintain": (
        "maintain",
        "Analyze, create partitions, remove what is withdrawn; as often as you like.",
    ),
    "roles": (
        "roles",
        "Create the roles that load, transform and read, and give them what they need.",
    ),
    "cluster": ("cluster", "Store events on the nodes of a Citus cluster."),
    "db": ("db", "Start, stop and inspect the embedded PostgreSQL server of this project."),
    "completion": (
        "completion",
        'Print what has a shell complete commands and options: eval "$(loader completion bash)".',
    ),
}

# Set by a shell that wants to know how a line may go on.
COMPLETE_VARIABLE = "_LOADER_COMPLETE"

# What these did counts, whatever becomes of what they print.
CHANGING = ("load", "consume", "watch", "withdraw", "maintain", "roles", "cluster")


class _Commands(click.Group):
    """Imports a command when it is run: what all of them need would delay each of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return what the help and a shell need to know of a command."""
        return click.Command(cmd_name, help=COMMANDS[cmd_name][1]) if cmd_name in COMMANDS else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, found, rest = super().resolve_command(ctx, args)
        if name is not None and found is not None:
            with ending_at_once():
                module: Any = importlib.import_module(f"{__name__}.{COMMANDS[name][0]}")
            found = cast("click.Command", getattr(module, name))
        return name, found, rest


def _check_dsn(context: click.Context, _: click.Parameter, value: str | None) -> str | None:
    if value and not context.resilient_parsing:
        with ending_at_once():
            from loader.database.conninfo import check_option  # noqa: PLC0415 - see above
        check_option(value)
    return value


@click.group(
    "loader",
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.version_option(__version__, prog_name="loader")
@click.option(
    "--dsn",
    callback=_check_dsn,
    help="The database; else LOADER_DSN, PG* variables, the embedded server.",
)
@click.option("--debug", is_flag=True, help="Show tracebacks (also: LOADER_DEBUG=1).")
@click.pass_context
def cli(context: click.Context, dsn: str | None, debug: bool) -> None:
    """Load detector events into PostgreSQL, and look after them."""
    context.obj = read_settings(dsn=dsn, debug=debug)
    if context.invoked_subcommand in CHANGING:
        forgive_output()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    # It warns about what follows from an error that we report; without a handler, on stderr.
    logging.getLogger("psycopg").addHandler(logging.NullHandler())
    # What is said while something is waited for, by whichever thread.
    logging.getLogger("loader").handlers = [_ToStderr()]
    if arguments is None:
        # It ends here if a shell asks.
        cli._main_shell_completion({}, "loader", COMPLETE_VARIABLE)
    given = list(sys.argv[1:] if arguments is None else arguments)
    context: click.Context | None = None
    try:
        with (
            handling(_end, signal.SIGTERM, *unless_ignored(signal.SIGINT)),
            cli.make_context("loader", given) as context,
        ):
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


class _ToStderr(logging.Handler):
    """Prints what is told as other lines of a command are."""

    def emit(self, record: logging.LogRecord) -> None:
        from loader.database.connection import redact  # noqa: PLC0415 - imported long since

        echo(f"loader: {redact(record.getMessage(), None)}", err=True)


def _end(number: int) -> None:
    raise _Terminated if number == signal.SIGTERM else KeyboardInterrupt


def _report(error: BaseException, settings: Settings | None) -> int:
    """Print an error as one line and return the exit code that goes with it."""
    with ending_at_once():
        from loader.database.connection import explain, redact  # noqa: PLC0415 - see above
    if isinstance(error, click.ClickException):
        shown = io.StringIO()
        error.show(shown)
        echo_lines(redact(shown.getvalue(), settings), err=True)
        return error.exit_code
    if isinstance(error, _Terminated):
        message, exit_code = "terminated", TERMINATED
    elif isinstance(error, KeyboardInterrupt | click.Abort):
        message, exit_code = "interrupted", INTERRUPTED
    else:
        known = explain(error, settings)
        message, exit_code = str(known), known.exit_code
        if isinstance(known, UnexpectedError):
            message += "; for details: loader --debug ..."
    if settings is not None and settings.debug:
        echo_lines(redact(traceback.format_exc(), settings), err=True)
    echo(f"loader: {redact(' '.join(message.split()), settings)}", err=True)
    return exit_code
