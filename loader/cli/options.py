"""Options and types that several commands share."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click

from loader.database.conninfo import check_option
from loader.delivery.outcomes import Missing, Outcome
from loader.durations import read_duration
from loader.errors import UsageError
from loader.loading.load import LoadResult
from loader.reading.mapping import FORMATS, Mapping
from loader.settings import Settings

# The exit code of a command that loaded something, but not all.
SOME_ROWS_REJECTED = 3

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


def duration(context: click.Context, parameter: click.Parameter, value: str) -> timedelta:
    """Read a duration such as ``5m``; the callback of an option."""
    try:
        return read_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from None


def some_duration(context: click.Context, parameter: click.Parameter, value: str) -> timedelta:
    """Read a duration that is not zero; the callback of an option."""
    found = duration(context, parameter, value)
    if not found:
        raise click.BadParameter("must be longer than nothing", context, parameter)
    return found


def with_dsn(command: _Function) -> _Function:
    """Let ``--dsn`` stand behind the name of the command too."""

    def remember(context: click.Context, _: click.Parameter, value: str | None) -> None:
        root = context.find_root()
        if value and isinstance(root.obj, Settings):
            check_option(value)
            root.obj = context.obj = replace(root.obj, dsn=value, dsn_origin="--dsn")

    option = click.option(
        "--dsn", expose_value=False, is_eager=True, callback=remember, help="The database."
    )
    return option(command)


with_workers = click.option(
    "--workers",
    type=click.IntRange(1, 32),
    default=2,
    show_default=True,
    metavar="N",
    help="Connections to copy over.",
)

_FILE_OPTIONS = (
    click.option(
        "--format", type=click.Choice(FORMATS), help="Default: from the name, before .gz or .zst."
    ),
    click.option(
        "--delimiter",
        default=",",
        show_default=True,
        metavar="C",
        help="Between the fields of CSV.",
    ),
    click.option("--columns", metavar="A,B,C", help="Column names of CSV without a header."),
)

_MAPPING_OPTIONS = (
    click.option(
        "--time-column", default="time", show_default=True, metavar="NAME", help="When it was seen."
    ),
    click.option(
        "--type-column", default="type", show_default=True, metavar="NAME", help="What was seen."
    ),
    click.option(
        "--source-column", default="source", show_default=True, metavar="NAME", help="Who saw it."
    ),
    click.option("--source", metavar="NAME", help="One source for the whole input."),
    click.option(
        "--time-format",
        default="iso",
        show_default=True,
        metavar="F",
        help="iso, epoch_s, epoch_ms, epoch_us, epoch_ns or a strptime format.",
    ),
    click.option(
        "--timezone",
        metavar="ZONE",
        help="Zone of times without an offset; else these are rejected.",
    ),
    click.option(
        "--type-map", multiple=True, metavar="RAW=TYPE", help="Rename a type; repeatable."
    ),
    click.option("--attributes", metavar="A,B", help="Extra columns to keep as JSON."),
)


def exit_code_of(outcomes: Sequence[Outcome]) -> int:
    """Return what a command ends with that has loaded something, or could not."""
    missing = [one for one in outcomes if isinstance(one, Missing)]
    # A destination that can be completed matters more than an input that cannot be used.
    for one in sorted(missing, key=lambda one: one.is_unusable):
        return one.error.exit_code
    rejected = any(
        one.rows_rejected and not one.already_loaded
        for one in outcomes
        if isinstance(one, LoadResult)
    )
    return SOME_ROWS_REJECTED if rejected else 0


def with_files(command: _Function) -> _Function:
    """Give a command the options that say what a file looks like."""
    for option in reversed(_FILE_OPTIONS):
        command = option(command)
    return command


def with_mapping(command: _Function) -> _Function:
    """Give a command the options that say what an event looks like."""
    for option in reversed(_MAPPING_OPTIONS):
        command = option(command)
    return command


def mapping_of(given: dict[str, Any]) -> Mapping:
    """Return what the options of ``with_mapping`` and ``with_files`` say."""
    return Mapping(
        format=given["format"],
        delimiter=given["delimiter"],
        columns=_names(given["columns"]),
        time_column=given["time_column"],
        type_column=given["type_column"],
        source_column=given["source_column"],
        source=given["source"],
        time_format=given["time_format"],
        timezone=given["timezone"],
        type_map=dict(_renaming(text) for text in given["type_map"]),
        attributes=_names(given["attributes"]) or (),
    )


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(name.strip() for name in text.split(","))


def _renaming(text: str) -> tuple[str, str]:
    raw, equals, renamed = text.partition("=")
    if not equals:
        raise UsageError(f'--type-map "{text}" is not RAW=TYPE')
    return raw.strip(), renamed.strip()
