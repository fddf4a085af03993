"""``--to``: which of the databases in ``loader.toml`` a command is about."""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import click

from loader.delivery.destinations import Destination, find_destination, find_destinations
from loader.settings import Settings

_Function = TypeVar("_Function", bound=Callable[..., Any])

with_destinations = click.option(
    "--to",
    multiple=True,
    metavar="NAME",
    help="A destination in loader.toml; repeatable. Default: all of them.",
)


def destinations_of(settings: Settings, given: dict[str, Any]) -> tuple[Destination, ...]:
    """Return the destinations that ``with_destinations`` and the file say, or the one database.

    Args:
        settings: the environment.
        given: the values of the options.
    """
    found = find_destinations(settings, given["to"], needs_dsn=not given.get("dry_run", False))
    _keep_secret(found[0].settings)
    return found


def with_one_destination(command: _Function) -> _Function:
    """Give a command ``--to``, and settings that are those of the database that it names."""

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

    return wrapped  # type: ignore[return-value]


def _keep_secret(settings: Settings) -> None:
    """Have whatever is reported at the end show none of the connection strings."""
    root = click.get_current_context().find_root()
    if isinstance(root.obj, Settings):
        root.obj = replace(root.obj, other_dsns=(settings.dsn or "", *settings.other_dsns))
