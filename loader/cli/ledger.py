"""Commands that show what is in the database, and ``loader withdraw``."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click
from psycopg import Connection

from loader.cli import report
from loader.cli.options import with_one_destination
from loader.cli.typed import Decorator, options_as, read_by
from loader.database.activity import Alert, Period, periods_by_category, read_activity
from loader.database.changes import explain_load
from loader.database.connection import connect
from loader.database.ledger import list_loads
from loader.database.ledger import withdraw as withdraw_load
from loader.database.rejects import count_unkept, export_rejects, read_options, read_rejects
from loader.database.schema import require_schema
from loader.database.status import find_problems, ledger_status, models_status
from loader.errors import UsageError
from loader.process.terminal import echo
from loader.reading.known import load_command, options_again
from loader.server.embedded import database_dsn
from loader.settings import Settings

_with_schema = click.option(
    "--schema", metavar="NAME", help="dbt's target schema; else DBT_SCHEMA, analytics."
)


@click.command()
@click.option("--json", "json_", is_flag=True, help="Print the status as JSON.")
@with_one_destination
def status(settings: Settings, json_: bool) -> None:
    """Show what is loaded, and how far behind the models are."""
    with _database(settings) as conn:
        ledger, models = ledger_status(conn), models_status(conn)
        problems = find_problems(conn, models)
    if json_:
        parts = {
            "ledger": ledger,
            "models": models.found,
            "unreadable_models": list(models.unreadable),
            "problems": problems,
        }
        echo(report.as_json(parts))
    else:
        report.print_status(ledger, models)
        for problem in problems:
            echo(f"loader: {problem}", err=True)


@click.command()
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the newest N.")
@click.option("--json", "json_", is_flag=True, help="Print the ledger as JSON.")
@with_one_destination
def loads(settings: Settings, limit: int | None, json_: bool) -> None:
    """Show the ledger, newest first."""
    with _database(settings) as conn:
        rows = list_loads(conn, limit)
    if json_:
        echo(report.as_json(rows))
    else:
        report.print_loads(rows)


@click.command()
@click.argument("load_id", type=click.IntRange(1))
@with_one_destination
def withdraw(settings: Settings, load_id: int) -> None:
    """Withdraw a load: its events become invisible at once."""
    with _database(settings, as_owner=True) as conn:
        row = withdraw_load(conn, load_id)
    echo(f"load {load_id} is withdrawn, by ledger row {row}; to update: dbt build")


@click.command()
@click.argument("load_id", type=click.IntRange(1))
@_with_schema
@click.option("--json", "json_", is_flag=True, help="Print the changes as JSON.")
@with_one_destination
def explain(settings: Settings, load_id: int, schema: str | None, json_: bool) -> None:
    """Show which periods and alerts a load, or a withdrawal, made, joined, split or removed.

    Of a load that was withdrawn, what it did when it came; its withdrawal has a number of its own.
    """
    with _database(settings) as conn:
        found: dict[str, None] = {}
        changes = explain_load(conn, schema or settings.dbt_schema, load_id, found.setdefault)
    for text in found:
        echo(f"loader: {text}", err=True)
    if json_:
        echo(report.as_json(changes))
    else:
        report.print_changes(changes, load_id)


@click.command()
@click.option("--load", "load_id", type=click.IntRange(1), metavar="ID", help="Only of this load.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the first N.")
@click.option(
    "--export",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the rows as they stood in the input, to be mended and loaded again.",
)
@with_one_destination
def rejects(
    settings: Settings, load_id: int | None, limit: int | None, export: Path | None
) -> None:
    """Show rejected rows, with the reason of each."""
    with _database(settings) as conn:
        unkept = count_unkept(conn, load_id)
        if export is None:
            report.print_rejects(read_rejects(conn, load_id, limit))
            report.print_unkept(unkept)
            return
        if load_id is None:
            raise UsageError("--export needs --load ID: rows of one input belong in one file")
        options, origin = read_options(conn, load_id)
        count, left_out = export_rejects(conn, load_id, options, export, limit)
    again = load_command(str(export), options_again(options, origin))
    echo(f"{export}: {count:,} rows; mend them, then: {again}")
    if left_out:
        echo(f"{left_out:,} rows are too long to be kept whole and not in it", err=True)
    report.print_unkept(unkept)


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    since: datetime | None = None
    until: datetime | None = None
    schema: str | None = None


def _read_moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f'"{text}" is not a time such as 2024-05-13T15:00:00Z') from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _with_wanted(*, since: str, until: str) -> Decorator:
    moment = read_by(_read_moment)
    return options_as(
        "wanted",
        _Wanted,
        click.option("--since", metavar="TIME", callback=moment, help=since),
        click.option("--until", metavar="TIME", callback=moment, help=until),
        _with_schema,
    )


@click.command()
@_with_wanted(since="Only periods that end then or later.", until="Only periods that start before.")
@click.option("--json", "json_", is_flag=True, help="Print start and end times by category.")
@with_one_destination
def periods(settings: Settings, wanted: _Wanted, json_: bool) -> None:
    """Show the periods of activity per category, up to the last load."""
    with _database(settings) as conn:
        schema = wanted.schema or settings.dbt_schema
        found = read_activity(conn, Period, schema, wanted.since, wanted.until)
    if json_:
        echo(json.dumps(periods_by_category(found)))
    else:
        report.print_periods(found)


@click.command()
@_with_wanted(since="Only alerts triggered then or later.", until="Only alerts triggered before.")
@click.option("--json", "json_", is_flag=True, help="Print the alerts as JSON.")
@with_one_destination
def alerts(settings: Settings, wanted: _Wanted, json_: bool) -> None:
    """Show the alerts, up to the last load."""
    with _database(settings) as conn:
        schema = wanted.schema or settings.dbt_schema
        found = read_activity(conn, Alert, schema, wanted.since, wanted.until)
    if json_:
        echo(report.as_json(found))
    else:
        report.print_alerts(found)


@contextmanager
def _database(settings: Settings, *, as_owner: bool = False) -> Iterator[Connection]:
    """Connect to a database that was loaded into before."""
    with connect(database_dsn(settings), as_owner=as_owner) as conn:
        require_schema(conn)
        yield conn
