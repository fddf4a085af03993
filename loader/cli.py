"""The command line: parse, wire, report."""

import sys
import traceback
from collections.abc import Sequence

import click

from loader import __version__
from loader.cli_db import db
from loader.errors import LoaderError
from loader.settings import Settings, read_settings


@click.group("loader", context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="loader")
@click.option("--dsn", help="The database; else LOADER_DSN, PG* variables, the embedded server.")
@click.option("--debug", is_flag=True, help="Show tracebacks (also: LOADER_DEBUG=1).")
@click.pass_context
def cli(context: click.Context, dsn: str | None, debug: bool) -> None:
    """Load detector events into PostgreSQL, and look after them."""
    context.obj = read_settings(dsn=dsn, debug=debug)


cli.add_command(db)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    context: click.Context | None = None
    try:
        with cli.make_context("loader", list(sys.argv[1:] if arguments is None else arguments)) as (
            context
        ):
            result = cli.invoke(context)
            return result if isinstance(result, int) else 0
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("loader: interrupted", err=True)
        return 130
    except LoaderError as error:
        return _report(context, f"{error}", error.exit_code)
    except Exception as error:  # the last resort of every command: one line, exit code 1
        text = f"unexpected {type(error).__name__}: {error}; for details: loader --debug ..."
        return _report(context, text, 1)


def _report(context: click.Context | None, message: str, exit_code: int) -> int:
    settings = None if context is None else context.obj
    if isinstance(settings, Settings) and settings.debug:
        traceback.print_exc()
    click.echo(f"loader: {message}", err=True)
    return exit_code
