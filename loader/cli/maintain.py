"""``loader maintain``."""

import json
import logging
from dataclasses import asdict
from typing import Any

import click
import psycopg

from loader.cli import report
from loader.cli.options import destinations_of, with_destinations, with_output
from loader.cli.report import Output
from loader.cli.typed import read_by
from loader.database.connection import connect
from loader.database.maintain import Maintenance
from loader.database.maintain import maintain as maintain_database
from loader.database.waiting import LOGGER
from loader.delivery.delivery import explained
from loader.delivery.destinations import Destination
from loader.errors import LoaderError
from loader.process.terminal import echo
from loader.settings import Settings
from loader.settings.durations import read_age


@click.command()
@click.option(
    "--ahead",
    type=click.IntRange(0, 120),
    default=2,
    metavar="N",
    help="For how many months (weeks, days) to come there shall be partitions.",
)
@click.option(
    "--retain",
    metavar="AGE",
    callback=read_by(read_age),
    help="Drop partitions of events that ended longer ago, old early alerts too: 90d, 13months.",
)
@click.option(
    "--migrate",
    "is_migration",
    is_flag=True,
    help="First bring events that an older loader stored, each in a row, into chunks.",
)
@with_output("Print what was done as JSON.")
@with_destinations
def maintain(
    settings: Settings,
    ahead: int,
    retain: str | None,
    *,
    is_migration: bool,
    output: Output,
    to: tuple[str, ...],
) -> int:
    """Analyze, create partitions, remove what is withdrawn; as often as you like.

    Each destination in loader.toml keeps what it says there, unless --retain says otherwise.
    """
    # What takes long tells how far it is.
    LOGGER.setLevel(logging.WARNING if output.quiet else logging.INFO)
    destinations = destinations_of(settings, to)
    done: list[dict[str, Any]] = []
    exit_code = 0
    for one in destinations:
        try:
            found = _maintain(one, ahead, retain or one.retain, is_migration=is_migration)
        except (psycopg.Error, LoaderError) as error:
            if one.name is None:
                raise
            # The next one is none the worse for it.
            known = explained(error, one)
            echo(f"loader: {one.name}: {known}", err=True)
            done.append({"destination": one.name, "error": str(known)})
            exit_code = max(exit_code, known.exit_code)
            continue
        done.append(asdict(found) | ({} if one.name is None else {"destination": one.name}))
        if not (output.json or output.quiet):
            report.print_maintenance(found, name=one.name)
    if output.json:
        echo(json.dumps(done if len(destinations) > 1 else done[0]))
    return exit_code


def _maintain(
    destination: Destination, ahead: int, retain: str | None, *, is_migration: bool
) -> Maintenance:
    with connect(destination.dsn(create=True), purpose="maintain") as conn:
        return maintain_database(
            conn,
            ahead,
            age=retain,
            partition_by=destination.settings.partition_by,
            is_migration=is_migration,
        )
