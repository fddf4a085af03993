"""``loader load``."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import click

from loader.cli.alerts import begin_alerts, with_alerts
from loader.cli.destinations import destinations_of, with_destinations
from loader.cli.options import (
    exit_code_of,
    mapping_of,
    with_dsn,
    with_files,
    with_mapping,
    with_workers,
)
from loader.cli.progress import show_progress
from loader.cli.report import as_json, print_load
from loader.delivery.delivery import couriers, deliver
from loader.delivery.destinations import Destination
from loader.delivery.outcomes import Missing, Outcome, describe_incomplete
from loader.errors import InputError, LoaderError
from loader.loading.load import LoadResult, ProgressCallback, load_input
from loader.loading.observer import Observer
from loader.loading.options import MAX_NEW_TYPES, MAX_SOURCES, LoadOptions
from loader.reading.inputs import Input, expand
from loader.reading.mapping import Mapping
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
    help="keep: they grow with every row; rebuild: the large ones of new partitions come last; "
    "auto: where many rows come.",
)
@click.option("--dry-run", is_flag=True, help="Read and check everything, write nothing.")
@click.option("--json", "json_", is_flag=True, help="Print the result as JSON.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
@with_alerts
@with_destinations
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
        indexing=given["indexes"],
        dry_run=given["dry_run"],
    )
    destinations = destinations_of(settings, given)
    inputs = expand(paths, mapping)
    if destinations[0].name is None:
        return _load(destinations[0], inputs, mapping, options, given)
    return _deliver(destinations, inputs, mapping, options, given)


def _load(
    database: Destination,
    inputs: list[Input],
    mapping: Mapping,
    options: LoadOptions,
    given: dict[str, Any],
) -> int:
    """Load into the only database there is."""
    dsn = "" if options.dry_run else database.prepare()
    results: list[LoadResult] = []
    failures: list[LoaderError] = []
    with _alerts(database, dsn, options, given) as observers:
        for an_input in inputs:
            try:
                with show_progress(an_input.label, quiet=given["quiet"]) as progress:
                    result = load_input(
                        dsn, an_input, mapping, options, progress, observers=observers
                    )
            except InputError as error:
                # The other inputs may be good; those that were loaded stay loaded.
                failures.append(error)
                click.echo(f"loader: {an_input.explain(error)}", err=True)
            else:
                results.append(result)
                _print(result, options, given)
    if given["json_"] and len(inputs) != 1:
        click.echo(as_json(results))
    elif given["json_"] and results:
        click.echo(as_json(results[0]))
    return InputError.exit_code if failures else exit_code_of(results)


def _deliver(
    destinations: tuple[Destination, ...],
    inputs: list[Input],
    mapping: Mapping,
    options: LoadOptions,
    given: dict[str, Any],
) -> int:
    """Load into each of some databases what it lacks."""
    first = destinations[0]
    has_bar = len(destinations) == 1

    def show(label: str, name: str) -> AbstractContextManager[ProgressCallback]:
        return show_progress(f"{name}: {label}", quiet=given["quiet"], has_bar=has_bar)

    def report(outcome: Outcome) -> None:
        if isinstance(outcome, Missing):
            click.echo(f"loader: {outcome}", err=True)
        else:
            _print(outcome, options, given)

    dsn = "" if options.dry_run else first.dsn()
    with _alerts(first, dsn, options, given) as observers:
        outcomes = deliver(
            couriers(destinations, mapping, options, observers),
            inputs,
            show_progress=show,
            report=report,
        )
    if given["json_"]:
        is_list = len(inputs) != 1 or len(destinations) != 1
        click.echo(as_json(outcomes if is_list else outcomes[0]))
    for line in describe_incomplete(outcomes):
        click.echo(f"loader: {line}", err=True)
    return exit_code_of(outcomes)


def _alerts(
    database: Destination, dsn: str, options: LoadOptions, given: dict[str, Any]
) -> AbstractContextManager[Sequence[Observer]]:
    return nullcontext(()) if options.dry_run else begin_alerts(database.settings, dsn, given)


def _print(result: LoadResult, options: LoadOptions, given: dict[str, Any]) -> None:
    print_load(result, dry_run=options.dry_run, quiet=given["quiet"], err=given["json_"])
