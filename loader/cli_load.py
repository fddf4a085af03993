"""``loader load``."""

from contextlib import nullcontext
from typing import Any

import click

from loader.cli_alerts import begin_alerts, with_alerts
from loader.cli_options import (
    SOME_ROWS_REJECTED,
    mapping_of,
    with_dsn,
    with_files,
    with_mapping,
    with_workers,
)
from loader.connection import database_dsn
from loader.early_alerts import EarlyAlerts
from loader.errors import InputError, LoaderError
from loader.inputs import Input, expand
from loader.load import LoadResult, load_input, prepare_database
from loader.mapping import Mapping
from loader.pipeline import MAX_NEW_TYPES, MAX_SOURCES, LoadOptions
from loader.progress import show_progress
from loader.report import as_json, describe_load
from loader.settings import Settings


@click.command("load")
@click.argument("paths", nargs=-1, required=True, metavar="PATH... | -")
@with_files
@with_mapping
@click.option(
    "--dedupe",
    type=click.Choice(["none", "exact"]),
    default="none",
    show_default=True,
    help="exact: drop, and count, rows equal in source, time and type to one already loaded.",
)
@with_workers
@click.option(
    "--shard-by",
    type=click.Choice(["source", "type", "none"]),
    default="source",
    show_default=True,
    help="What decides which connection an event goes over; none: only whose turn it is.",
)
@click.option(
    "--max-rejects",
    type=click.IntRange(0),
    metavar="N",
    help="More rejected rows than that: nothing is loaded, exit 4.",
)
@click.option(
    "--max-new-partitions",
    type=click.IntRange(0),
    metavar="N",
    help="Partitions that the load may begin; rows of further months (weeks, days) without events "
    "are rejected. Default: 120 months, 520 weeks or 1,100 days.",
)
@click.option(
    "--max-new-types",
    type=click.IntRange(0),
    default=MAX_NEW_TYPES,
    show_default=True,
    metavar="N",
    help="Rows of further types that are new are rejected.",
)
@click.option(
    "--max-sources",
    type=click.IntRange(1),
    default=MAX_SOURCES,
    show_default=True,
    metavar="N",
    help="Rows of further sources are rejected.",
)
@click.option(
    "--indexes",
    type=click.Choice(["auto", "keep", "rebuild"]),
    default="auto",
    show_default=True,
    help="keep: they grow with every row; rebuild: those of new partitions come last; auto: keep.",
)
@click.option("--dry-run", is_flag=True, help="Read and check everything, write nothing.")
@click.option("--json", "json_", is_flag=True, help="Print the result as JSON.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
@with_alerts
@with_dsn
@click.pass_obj
def load(settings: Settings, /, paths: tuple[str, ...], **given: Any) -> int:
    """Load files, directories, globs or standard input (-).

    Loading the same input again changes nothing. Exit code 3: some rows were rejected.
    """
    mapping = mapping_of(given)
    options = LoadOptions(
        dedupe=given["dedupe"] == "exact",
        workers=given["workers"],
        shard_by=given["shard_by"],
        max_rejects=given["max_rejects"],
        max_new_partitions=given["max_new_partitions"],
        max_new_types=given["max_new_types"],
        max_sources=given["max_sources"],
        partition_by=settings.partition_by,
        rebuilds_indexes=given["indexes"] == "rebuild",
        dry_run=given["dry_run"],
    )
    inputs = expand(paths, mapping)
    dsn = ""
    if not options.dry_run:
        dsn = database_dsn(settings)
        prepare_database(dsn, options.partition_by)
    results: list[LoadResult] = []
    failures: list[LoaderError] = []
    alerts = nullcontext() if options.dry_run else begin_alerts(settings, dsn, given)
    with alerts as early_alerts:
        for an_input in inputs:
            try:
                results.append(
                    _load_one(dsn, an_input, mapping, options, given, early_alerts=early_alerts)
                )
            except InputError as error:
                # The other inputs may be good; those that were loaded stay loaded.
                failures.append(error)
                click.echo(f"loader: {an_input.explain(error)}", err=True)
    if given["json_"]:
        _print_json(results, is_list=len(inputs) != 1)
    if failures:
        return InputError.exit_code
    return SOME_ROWS_REJECTED if any(_is_incomplete(result) for result in results) else 0


def _is_incomplete(result: LoadResult) -> bool:
    return result.rows_rejected > 0 and not result.already_loaded


def _load_one(
    dsn: str,
    an_input: Input,
    mapping: Mapping,
    options: LoadOptions,
    given: dict[str, Any],
    *,
    early_alerts: EarlyAlerts | None,
) -> LoadResult:
    with show_progress(an_input.label, quiet=given["quiet"]) as progress:
        result = load_input(dsn, an_input, mapping, options, progress, early_alerts=early_alerts)
    if not given["quiet"]:
        click.echo(describe_load(result, dry_run=options.dry_run), err=given["json_"])
    return result


def _print_json(results: list[LoadResult], *, is_list: bool) -> None:
    if is_list:
        click.echo(as_json(results))
    elif results:
        click.echo(as_json(results[0]))
