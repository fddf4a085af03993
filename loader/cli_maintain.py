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
@with_dsn
@click.pass_obj
def maintain(
    settings: Settings, /, ahead: int, retain: str | None, json_: bool, quiet: bool
) -> None:
    """Analyze, index, create partitions, remove what is withdrawn; as often as you like."""
    with connect(database_dsn(settings), purpose="maintain") as conn:
        done = maintain_database(conn, ahead, age=retain, partition_by=settings.partition_by)
    if json_:
        click.echo(report.as_json(done))
    elif not quiet:
        report.print_maintenance(done)
