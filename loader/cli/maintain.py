"""``loader maintain``."""

import json
from dataclasses import asdict
from typing import Any

import click
import psycopg

from loader.cli import report
from loader.cli.destinations import destinations_of, with_destinations
from loader.cli.options import with_dsn
from loader.database.connection import connect, explain, redact
from loader.database.maintain import Maintenance
from loader.database.maintain import maintain as maintain_database
from loader.delivery.destinations import Destination
from loader.durations import read_age
from loader.errors import LoaderError
from loader.settings import Settings
from loader.terminal import echo


def _age(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    try:
        return None if value is None else read_age(value)
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from None


@click.command()
@click.option(
    "--ahead",
    type=click.IntRange(0, 120),
    default=2,
    show_default=True,
    metavar="N",
    help="For how many months (weeks, days) to come there shall be partitions.",
)
@click.option(
    "--retain",
    metavar="AGE",
    callback=_age,
    help="Drop partitions of events that ended longer ago, old early alerts too: 90d, 13months.",
)
@click.option("--json", "json_", is_flag=True, help="Print what was done as JSON.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
@with_destinations
@with_dsn
@click.pass_obj
def maintain(settings: Settings, /, retain: str | None, **given: Any) -> int:
    """Analyze, index, create partitions, remove what is withdrawn; as often as you like.

    Each destination in loader.toml keeps what it says there, unless --retain says otherwise.
    """
    destinations = destinations_of(settings, given)
    done: list[dict[str, Any]] = []
    exit_code = 0
    for one in destinations:
        try:
            found = _maintain(one, given["ahead"], retain or one.retain)
        except (psycopg.Error, LoaderError) as error:
            if one.name is None:
                raise
            # The next one is none the worse for it.
            known = explain(error, one.settings) if isinstance(error, psycopg.Error) else error
            echo(redact(f"loader: {one.name}: {known}", one.settings), err=True)
            done.append({"destination": one.name, "error": redact(str(known), one.settings)})
            exit_code = max(exit_code, known.exit_code)
            continue
        done.append(asdict(found) | ({} if one.name is None else {"destination": one.name}))
        if not (given["json_"] or given["quiet"]):
            report.print_maintenance(found, name=one.name)
    if given["json_"]:
        echo(json.dumps(done if len(destinations) > 1 else done[0]))
    return exit_code


def _maintain(destination: Destination, ahead: int, retain: str | None) -> Maintenance:
    with connect(destination.dsn(create=True), purpose="maintain") as conn:
        return maintain_database(
            conn, ahead, age=retain, partition_by=destination.settings.partition_by
        )
