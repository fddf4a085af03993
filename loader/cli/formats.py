"""``loader inspect`` and ``loader formats``: how to load what somebody has."""

from dataclasses import asdict

import click

from loader.cli.report import as_json, print_table
from loader.delivery.destinations import find_formats, known_options
from loader.errors import InputError
from loader.process.terminal import echo, echo_lines
from loader.reading import inspect as inspecting
from loader.reading.known import as_toml, find_format, load_command
from loader.settings import Settings

_SHOWN = 60
# What only a person can decide, of options that are proposed.
_REMARKS = {
    "timezone": "Its times do not say their zone: put the one of the place instead of UTC.",
    "type": "No column seems to say what was seen: put that instead of event.",
    "source": "No column seems to say who saw it: put that as the source.",
}


@click.command()
@click.argument("file", type=click.Path())
@click.option("--json", "json_", is_flag=True, help="Print it as JSON.")
@click.pass_obj
def inspect(settings: Settings, file: str, json_: bool) -> None:
    """Look at a file, and say how to load it.

    Only its beginning is read, and nothing is written. The command that it says has been tried.
    """
    found = inspecting.inspect(file, find_formats(settings), known_options(settings, None))
    command = None if found.options is None else load_command(found.path, found.options)
    if json_:
        echo(as_json(asdict(found) | {"command": command}))
    else:
        _print(found, command)
    if command is None:
        raise InputError(f"{found.path}: no way to load it was found: {found.problem}")


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
        echo(as_json(shown))
    elif name is None:
        rows = [(one.name, one.about, "" if one.is_shipped else "loader.toml") for one in shown]
        print_table(("format", "what it is", "from"), rows)
    else:
        echo_lines(as_toml(shown[0]))


def _print(found: inspecting.Finding, command: str | None) -> None:
    what = [found.shape, *([f".{found.compression}"] if found.compression else [])]
    echo(
        f"{found.path}: {', '.join(what)}{', as ' if found.known else ''}{' or '.join(found.known)}"
    )
    rows = [
        (one.name, ", ".join(map(_short, one.examples)), " or ".join(one.may_be))
        for one in found.columns[:_SHOWN]
    ]
    print_table(("column", "such as", "may be the"), rows)
    if command is None or found.options is None:
        return
    if len(found.columns) > _SHOWN:
        echo(f"and {len(found.columns) - _SHOWN:,} more columns: --json has them")
    counts = f"{found.rows_usable:,} rows of its beginning are usable"
    if found.rows_left_out:
        counts += f", {found.rows_left_out:,} are left out"
    if found.rows_rejected:
        counts += f", {found.rows_rejected:,} not: {found.problem}"
    echo(f"To load it ({counts}):")
    echo(f"  {command}")
    for option, remark in _REMARKS.items():
        if option in found.options:
            echo(remark)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 32 else f"{text[:31]}…"
