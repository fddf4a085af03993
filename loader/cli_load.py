"""``loader load``."""

from typing import Any

import click

from loader.cli_options import with_dsn
from loader.connection import database_dsn
from loader.errors import InputError, LoaderError, UsageError
from loader.inputs import Input, expand
from loader.load import LoadOptions, LoadResult, load_input, prepare_database
from loader.mapping import FORMATS, Mapping
from loader.progress import show_progress
from loader.report import as_json, describe_load
from loader.settings import Settings

SOME_ROWS_REJECTED = 3


@click.command("load")
@click.argument("paths", nargs=-1, required=True, metavar="PATH... | -")
@click.option("--format", type=click.Choice(FORMATS), help="Default: from the name.")
@click.option("--delimiter", default=",", show_default=True, help="Between the fields of CSV.")
@click.option("--columns", metavar="A,B,C", help="Column names of CSV without a header.")
@click.option("--time-column", default="time", show_default=True)
@click.option("--type-column", default="type", show_default=True)
@click.option("--source-column", default="source", show_default=True)
@click.option("--source", metavar="NAME", help="One source for the whole input.")
@click.option(
    "--time-format",
    default="iso",
    show_default=True,
    help="iso, epoch_s, epoch_ms, epoch_us or a strptime format.",
)
@click.option("--timezone", metavar="ZONE", help="Zone of times that carry no offset.")
@click.option("--type-map", multiple=True, metavar="RAW=TYPE", help="Rename a type; repeatable.")
@click.option("--attributes", metavar="A,B", help="Extra columns to keep as JSON.")
@click.option(
    "--dedupe",
    type=click.Choice(["none", "exact"]),
    default="none",
    show_default=True,
    help="exact: drop rows equal in source, time and type to one already loaded.",
)
@click.option(
    "--workers", type=click.IntRange(1, 32), default=2, show_default=True, help="Connections."
)
@click.option(
    "--max-rejects",
    type=click.IntRange(0),
    metavar="N",
    help="More rejected rows than that: nothing is loaded, exit 4.",
)
@click.option(
    "--indexes",
    type=click.Choice(["auto", "keep", "rebuild"]),
    default="auto",
    show_default=True,
    help="Indexes of the partitions during the load; rebuild is not available yet.",
)
@click.option("--dry-run", is_flag=True, help="Read and check everything, write nothing.")
@click.option("--json", "json_", is_flag=True, help="Print the result as JSON.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
@with_dsn
@click.pass_obj
def load(settings: Settings, /, paths: tuple[str, ...], **given: Any) -> int:
    """Load files, directories, globs or standard input (-).

    Loading the same input again changes nothing. Exit code 3: some rows were rejected.
    """
    if given["indexes"] == "rebuild":
        raise UsageError("--indexes rebuild is not available yet; use auto or keep")
    mapping = _mapping(given)
    options = LoadOptions(
        dedupe=given["dedupe"] == "exact",
        workers=given["workers"],
        max_rejects=given["max_rejects"],
        dry_run=given["dry_run"],
    )
    inputs = expand(paths, mapping)
    dsn = ""
    if not options.dry_run:
        dsn = database_dsn(settings)
        prepare_database(dsn)
    results: list[LoadResult] = []
    failures: list[LoaderError] = []
    for an_input in inputs:
        try:
            results.append(_load_one(dsn, an_input, mapping, options, given))
        except InputError as error:
            # The other inputs may be good; those that were loaded stay loaded.
            failures.append(error)
            click.echo(f"loader: {_with_origin(an_input, error)}", err=True)
    if given["json_"]:
        _print_json(results, is_list=len(inputs) != 1)
    if failures:
        return InputError.exit_code
    return SOME_ROWS_REJECTED if any(_is_incomplete(result) for result in results) else 0


def _is_incomplete(result: LoadResult) -> bool:
    return result.rows_rejected > 0 and not result.already_loaded


def _load_one(
    dsn: str, an_input: Input, mapping: Mapping, options: LoadOptions, given: dict[str, Any]
) -> LoadResult:
    with show_progress(an_input.origin, quiet=given["quiet"]) as progress:
        result = load_input(dsn, an_input, mapping, options, progress)
    if not given["quiet"]:
        click.echo(describe_load(result, dry_run=options.dry_run), err=given["json_"])
    return result


def _print_json(results: list[LoadResult], *, is_list: bool) -> None:
    if is_list:
        click.echo(as_json(results))
    elif results:
        click.echo(as_json(results[0]))


def _mapping(given: dict[str, Any]) -> Mapping:
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


def _with_origin(an_input: Input, error: InputError) -> str:
    """Name the input, unless the message does already."""
    text = str(error)
    return text if an_input.origin in text else f"{an_input.origin}: {text}"
