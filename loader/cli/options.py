"""Options that several commands share."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import click
from click.core import ParameterSource

from loader.cli.report import Output
from loader.cli.typed import Decorator, options_as, options_of, with_options
from loader.database.conninfo import check_option
from loader.delivery.destinations import (
    Destination,
    find_destination,
    find_destinations,
    known_options,
)
from loader.errors import UsageError
from loader.loading.options import LoadOptions
from loader.reading.known import OPTIONS, mapping_of
from loader.reading.mapping import Mapping
from loader.reading.selection import Selection
from loader.settings import Settings

# The exit code of a command that loaded something, but not all.
SOME_ROWS_REJECTED = 3


def _read_renamings(
    _context: click.Context, _parameter: click.Parameter, texts: Sequence[str]
) -> dict[str, str]:
    found = {}
    for text in texts:
        raw, equals, renamed = text.partition("=")
        if not equals:
            raise UsageError(f'--type-map "{text}" is not RAW=TYPE')
        found[raw.strip()] = renamed.strip()
    return found


def _with_dsn(command: Any) -> Any:
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


with_destinations = with_options(
    click.option(
        "--to",
        multiple=True,
        metavar="NAME",
        help="A destination in loader.toml; repeatable. Default: all of them.",
    ),
    _with_dsn,
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

    @_with_dsn
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


# Options of how to load, and of how to read.
loading, _reading, _selecting = map(options_of, (LoadOptions, Mapping, Selection))

DEDUPE = click.option(
    "--dedupe",
    type=click.Choice(["none", "exact"]),
    default="none",
    callback=lambda _context, _parameter, value: value == "exact",
    help="exact: drop, and count, rows equal in source, time and type to one already loaded.",
)

MAX_REJECTS = loading("--max-rejects", "More rejected rows than that: nothing is loaded, exit 4.")
DRY_RUN = loading("--dry-run", "Read and check everything, write nothing.")
WORKERS = loading(
    "--workers",
    "Connections to copy over, at most: another one is opened when the server cannot keep up.",
)

with_workers = options_as("options", LoadOptions, WORKERS)

# What a file looks like; the command has ``with_mapping`` too.
with_files = with_options(
    _reading("--format", "Default: from the name, before .gz or so."),
    _reading("--delimiter", "Between the fields of CSV. Default: a comma, a tab in .tsv.", "C"),
    _reading(
        "--encoding", "Of text without a mark: cp1252, latin-1, utf-16-le, ... Default: UTF-8."
    ),
    _reading(
        "--skip-lines",
        "Lines of CSV above the header, or above the first row where there is none.",
    ),
    _reading("--columns", "Column names of CSV without a header.", "A,B,C"),
    _reading(
        "--source-from-path",
        "The source is a part of the path: {source}/* its folder, cam_{source}_*.csv some of its "
        "name.",
        "PATTERN",
    ),
)

_with_mapping_options = with_options(
    click.option(
        "--as",
        "known",
        metavar="NAME",
        help="A known format, such as frigate; other options override it. See: loader formats.",
    ),
    _reading("--time-column", "When it was seen; date,time where that is in two columns."),
    _reading("--type-column", "What was seen."),
    _reading("--source-column", "Who saw it."),
    _reading("--type", "One type for the whole input."),
    _reading("--source", "One source for the whole input."),
    _reading(
        "--type-pattern",
        "The type is what its ( ) finds in the column: '(.*?)/' what stands before a slash.",
        "REGEX",
    ),
    _reading("--source-pattern", "The same for the source.", "REGEX"),
    _reading(
        "--time-format", "iso, epoch_s, epoch_ms, epoch_us, epoch_ns or a strptime format.", "F"
    ),
    _reading(
        "--timezone", "Zone of times without an offset, or +02:00; else these are rejected.", "ZONE"
    ),
    _reading("--repeated-hour", "What times are that the clocks of the zone show twice."),
    click.option(
        "--type-map",
        multiple=True,
        callback=_read_renamings,
        metavar="RAW=TYPE",
        help="Rename a type; repeatable.",
    ),
    _reading("--attributes", "Extra columns to keep as JSON."),
    _selecting(
        "--types", "Only these types, as they are loaded; other rows are left out, and counted."
    ),
    _selecting("--sources", "Only these sources."),
    _selecting("--since", "Only events at that time or later.", "TIME"),
    _selecting("--until", "Only events before that time.", "TIME"),
    click.option(
        "--where",
        multiple=True,
        metavar="COLUMN>=VALUE",
        help="Only rows of which that is true; =, !=, <, <=, > or >=. Repeatable: all must be.",
    ),
)


def with_mapping(command: Callable[..., Any]) -> Any:
    """Give a command the options that say how to read, and what they say as ``mapping``."""

    @functools.wraps(command)
    def wrapped(*arguments: Any, known: str | None, **values: Any) -> Any:
        context = click.get_current_context()
        options = {name: values.pop(name) for name in OPTIONS if name in values}
        given = {
            name: value
            for name, value in options.items()
            if context.get_parameter_source(name) is not ParameterSource.DEFAULT
        }
        mapping = mapping_of(known_options(context.find_root().obj, known), given)
        return command(*arguments, **values, mapping=mapping)

    return _with_mapping_options(wrapped)


def with_output(meaning_of_json: str) -> Decorator:
    """Give a command ``--json`` and ``--quiet``."""
    return options_as(
        "output",
        Output,
        click.option("--json", is_flag=True, help=meaning_of_json),
        click.option("--quiet", is_flag=True, help="Print nothing but errors."),
    )
