"""``loader watch``."""

from pathlib import Path

import click

from loader.cli.alerts import AlertOptions, with_alerts
from loader.cli.batches import batching, with_batches
from loader.cli.options import (
    DEDUPE,
    DRY_RUN,
    MAX_REJECTS,
    WORKERS,
    with_destinations,
    with_files,
    with_mapping,
    with_output,
)
from loader.cli.progress import show_progress
from loader.cli.report import Output
from loader.cli.typed import options_as, read_by
from loader.delivery.delivery import Delivery, show_nothing
from loader.loading.options import LoadOptions
from loader.reading.mapping import Mapping
from loader.settings import Settings
from loader.settings.durations import read_duration
from loader.watching.inbox import Inbox
from loader.watching.watch import Watcher, WatchOptions


@click.command("watch")
@click.argument("directory", type=click.Path(path_type=Path), metavar="DIR")
@options_as(
    "watching",
    WatchOptions,
    click.option(
        "--settle",
        default="10s",
        callback=read_by(lambda text: read_duration(text).total_seconds()),
        metavar="DURATION",
        help="A file must not have changed for so long.",
    ),
    with_batches,
)
@with_output("Print each load as a line of JSON.")
@with_files
@with_mapping
@options_as("options", LoadOptions, DEDUPE, WORKERS, MAX_REJECTS, DRY_RUN)
@with_alerts
@with_destinations
def watch(
    settings: Settings,
    *,
    directory: Path,
    watching: WatchOptions,
    mapping: Mapping,
    options: LoadOptions,
    alerts: AlertOptions,
    build: bool,
    output: Output,
    to: tuple[str, ...],
) -> int:
    """Load the files that come into a directory, each once, until it is stopped.

    Files are moved into done, rejected (some rows were) or failed (not usable) in it. SIGTERM or
    Ctrl-C finishes the file that is being loaded, and ends it.
    """
    dry_run = options.dry_run
    if dry_run:
        alerts, build = AlertOptions(), False
    with (
        batching(settings, to, output, once=watching.once, build=build, dry_run=dry_run) as batches,
        alerts.begin(batches.first, is_patient=not watching.once) as observers,
    ):
        delivery = Delivery(
            batches.destinations,
            mapping,
            options,
            observers=observers,
            show_progress=show_nothing if output.quiet else show_progress,
        )
        watcher = Watcher(
            delivery=delivery,
            inbox=Inbox(directory, mapping),
            options=watching,
            loaded=batches.loaded,
            batch_loaded=batches.build,
            unusable=batches.unusable,
            say=batches.say,
        )
        watcher.run(batches.must_stop)
    return batches.exit_code
