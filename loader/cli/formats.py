"""``loader formats``."""

from dataclasses import asdict

import click

from loader.cli.report import print_table
from loader.delivery.destinations import find_formats
from loader.reading.known import as_toml, find_format
from loader.settings import Settings
from loader.terminal import as_json, echo, echo_lines


@click.command()
@click.argument("name", required=False)
@click.option("--json", "json_", is_flag=True, help="Print it as JSON.")
@click.pass_obj
def formats(settings: Settings, name: str | None, json_: bool) -> None:
    """Show the known formats, or what one of them says.

    What it prints of one may stand in loader.toml, where a format of your own begins with it.
    """
    known = find_formats(settings)
    shown = list(known.values()) if name is None else [find_format(name, known)]
    if json_:
        echo(as_json([asdict(one) for one in shown], str))
    elif name is None:
        rows = [(one.name, one.about, "" if one.is_shipped else "loader.toml") for one in shown]
        print_table(("format", "what it is", "from"), rows)
    else:
        echo_lines(as_toml(shown[0]))
