"""Options and types that several commands share."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from loader.settings import Settings

_Function = TypeVar("_Function", bound=Callable[..., Any])


def read_moment(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> datetime | None:
    """Read a time in ISO 8601, in UTC unless it has an offset; the callback of an option."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value.strip())
    except ValueError:
        raise click.BadParameter(
            f'"{value}" is not a time such as 2024-05-13T15:00:00Z', context, parameter
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def with_dsn(command: _Function) -> _Function:
    """Let ``--dsn`` stand behind the name of the command too."""

    def remember(context: click.Context, _: click.Parameter, value: str | None) -> None:
        root = context.find_root()
        if value and isinstance(root.obj, Settings):
            root.obj = context.obj = replace(root.obj, dsn=value, dsn_origin="--dsn")

    option = click.option(
        "--dsn", expose_value=False, is_eager=True, callback=remember, help="The database."
    )
    return option(command)
