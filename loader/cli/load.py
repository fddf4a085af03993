"""``loader load``."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
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
from loader.delivery.delivery import Delivery
from loader.delivery.destinations import Destination
from loader.delivery.outcomes import Missing, Outcome, describe_incomplete
from loader.loading.load import LoadResult
from loader.loading.observer import Observer
from loader.loading.options import MAX_NEW_TYPES, MAX_SOURCES, LoadOptions
from loader.reading.inputs import expand
from loader.settings import Settings
from loader.terminal import echo


@click.command("load")
@click.argument("paths", nargs=-1, required=True, type=click.Path(), metavar="PATH... | -")
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
    outcomes: list[Outcome] = []
    with _alerts(destinations[0], options, given) as observers:
        delivery = Delivery(
            destinations,
            mapping,
            options,
            observers=observers,
            show_progress=partial(show_progress, quiet=given["quiet"]),
        )
        delivery.begin()
        for an_input in inputs:
            for outcome in delivery.bring(an_input):
                outcomes.append(outcome)
                _report(outcome, options, given)
    if given["json_"]:
        # Nothing is said of an input that the only database could not be given.
        shown = [one for one in outcomes if isinstance(one, LoadResult) or one.destination]
        if len(inputs) != 1 or len(destinations) != 1:
            echo(as_json(shown))
        elif shown:
            echo(as_json(shown[0]))
    for line in describe_incomplete(outcomes):
        echo(f"loader: {line}", err=True)
    return exit_code_of(outcomes)


def _report(outcome: Outcome, options: LoadOptions, given: dict[str, Any]) -> None:
    if isinstance(outcome, Missing):
        echo(f"loader: {outcome}", err=True)
    else:
        print_load(outcome, dry_run=options.dry_run, quiet=given["quiet"], err=given["json_"])


def _alerts(
    database: Destination, options: LoadOptions, given: dict[str, Any]
) -> AbstractContextManager[Sequence[Observer]]:
    if options.dry_run:
        return nullcontext(())
    return begin_alerts(database.settings, database.dsn(create=True), given)
