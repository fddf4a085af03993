"""``loader maintain``."""

import click

from loader import report
from loader.cli_options import with_dsn
from loader.connection import connect, database_dsn
from loader.durations import read_age
from loader.maintain import maintain as maintain_database
from loader.settings import Settings


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
    metavar="MONTHS",
    help="For how many months to come there shall be partitions.",
)
@click.option(
    "--retain",
    metavar="AGE",
    callback=_age,
    help="Drop raw events of months that ended longer ago, and old early alerts: 90d, 13months.",
)
@click.option("--json", "json_", is_flag=True, help="Print what was done as JSON.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
@with_dsn
@click.pass_obj
def maintain(
    settings: Settings, /, ahead: int, retain: str | None, json_: bool, quiet: bool
) -> None:
    """Analyze, index, create partitions, remove what is withdrawn; as often as you like."""
    with connect(database_dsn(settings), purpose="maintain") as conn:
        done = maintain_database(conn, ahead, age=retain)
    if json_:
        click.echo(report.as_json(done))
    elif not quiet:
        report.print_maintenance(done)
