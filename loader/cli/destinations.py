"""``--to`` and ``--dsn``: which databases a command is about."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import click

from loader.cli.options import with_dsn, with_options
from loader.delivery.destinations import Destination, find_destination, find_destinations
from loader.settings import Settings

with_destinations = with_options(
    click.option(
        "--to",
        multiple=True,
        metavar="NAME",
        help="A destination in loader.toml; repeatable. Default: all of them.",
    ),
    with_dsn,
    click.pass_obj,
)


def destinations_of(
    settings: Settings, to: Sequence[str], *, needs_dsn: bool = True
) -> tuple[Destination, ...]:
    """Return the destinations that ``--to`` and the file say, or the one database."""
    found = find_destinations(settings, to, needs_dsn=needs_dsn)
    _keep_secret(found[0].settings)
    return found


def with_one_destination(command: Callable[..., Any]) -> Any:
    """Give a command ``--dsn`` and ``--to``, and settings of the database that they name."""

    @with_dsn
    @click.option(
        "--to",
        metavar="NAME",
        help="The destination in loader.toml; needed where there are several.",
    )
    @click.pass_obj
    @functools.wraps(command)
    def wrapped(settings: Settings, /, *arguments: Any, to: str | None, **given: Any) -> Any:
        destination = find_destination(settings, to)
        _keep_secret(destination.settings)
        return command(destination.settings, *arguments, **given)

    return wrapped


def _keep_secret(settings: Settings) -> None:
    """Have whatever is reported at the end show none of the connection strings."""
    root = click.get_current_context().find_root()
    if isinstance(root.obj, Settings):
        root.obj = replace(root.obj, other_dsns=(settings.dsn or "", *settings.other_dsns))
