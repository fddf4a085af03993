"""``loader load``."""

from collections.abc import Sequence

import click

from loader.cli.alerts import AlertOptions, with_alerts
from loader.cli.options import (
    DEDUPE,
    DRY_RUN,
    MAX_REJECTS,
    SOME_ROWS_REJECTED,
    WORKERS,
    destinations_of,
    loading,
    with_destinations,
    with_files,
    with_mapping,
    with_output,
)
from loader.cli.progress import show_progress
from loader.cli.report import Output, as_json, print_load
from loader.cli.typed import options_as
from loader.delivery.delivery import Delivery, Missing, Outcome, describe_incomplete, show_nothing
from loader.loading.options import LoadOptions
from loader.loading.result import LoadResult
from loader.process.terminal import echo
from loader.reading.inputs import expand
from loader.reading.mapping import Mapping
from loader.settings import Settings


@click.command("load")
@click.argument("paths", nargs=-1, required=True, type=click.Path(), metavar="PATH... | -")
@with_files
@with_mapping
@options_as(
    "options",
    LoadOptions,
    DEDUPE,
    WORKERS,
    loading(
        "--shard-by",
        "What decides which connection an event goes over; none: only whose turn it is.",
    ),
    MAX_REJECTS,
    loading(
        "--max-new-partitions",
        "Partitions that the load may begin; rows of further months (weeks, days) without "
        "events are rejected. Default: 120 months, 520 weeks or 1,100 days.",
    ),
    loading("--max-new-types", "Rows of further types that are new are rejected."),
    loading("--max-sources", "Rows of further sources are rejected."),
    loading(
        "--indexes",
        "Without effect: to build indexes of chunks afterwards takes 0.94 to 1.04 times as long.",
        name="indexing",
    ),
    DRY_RUN,
)
@with_output("Print the result as JSON.")
@with_alerts
@with_destinations
def load(
    settings: Settings,
    *,
    paths: tuple[str, ...],
    mapping: Mapping,
    options: LoadOptions,
    alerts: AlertOptions,
    output: Output,
    to: tuple[str, ...],
) -> int:
    """Load files, directories, globs or standard input (-).

    Loading the same input again changes nothing. Exit code 3: some rows were rejected.
    """
    destinations = destinations_of(settings, to, needs_dsn=not options.dry_run)
    if options.dry_run:
        alerts = AlertOptions()
    inputs = expand(paths, mapping)
    outcomes: list[Outcome] = []
    with alerts.begin(destinations[0]) as observers:
        delivery = Delivery(
            destinations,
            mapping,
            options,
            observers=observers,
            show_progress=show_nothing if output.quiet else show_progress,
        )
        delivery.begin()
        for an_input in inputs:
            for outcome in delivery.bring(an_input):
                outcomes.append(outcome)
                if isinstance(outcome, Missing):
                    echo(f"loader: {outcome}", err=True)
                else:
                    print_load(outcome, output, dry_run=options.dry_run)
    if output.json:
        # Nothing is said of an input that the only database could not be given.
        shown = [one for one in outcomes if isinstance(one, LoadResult) or one.destination]
        if len(inputs) != 1 or len(destinations) != 1:
            echo(as_json(shown))
        elif shown:
            echo(as_json(shown[0]))
    for line in describe_incomplete(outcomes):
        echo(f"loader: {line}", err=True)
    return _exit_code(outcomes)


def _exit_code(outcomes: Sequence[Outcome]) -> int:
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
