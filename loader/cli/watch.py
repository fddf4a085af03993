"""``loader watch``."""

from functools import partial
from pathlib import Path
from typing import Any

import click

from loader.cli.alerts import begin_alerts, with_alerts
from loader.cli.batches import batching, with_batches
from loader.cli.destinations import with_destinations
from loader.cli.options import (
    duration,
    mapping_of,
    with_dsn,
    with_files,
    with_mapping,
    with_workers,
)
from loader.cli.progress import show_progress
from loader.delivery.delivery import Delivery
from loader.loading.options import LoadOptions
from loader.settings import Settings
from loader.watching.inbox import Inbox
from loader.watching.watch import Watcher, WatchOptions


@click.command("watch")
@click.argument("directory", type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "--settle",
    default="10s",
    show_default=True,
    callback=duration,
    metavar="DURATION",
    help="A file must not have changed for so long.",
)
@with_batches
@with_files
@with_mapping
@with_workers
@with_alerts
@with_destinations
@with_dsn
@click.pass_obj
def watch(settings: Settings, /, directory: Path, **given: Any) -> int:
    """Load the files that come into a directory, each once, until it is stopped.

    Files are moved into done, rejected (some rows were) or failed (not usable) in it. SIGTERM or
    Ctrl-C finishes the file that is being loaded, and ends it.
    """
    mapping = mapping_of(given)
    with (
        batching(settings, given) as batches,
        begin_alerts(batches.first.settings, batches.dsn, given) as observers,
    ):
        delivery = Delivery(
            batches.destinations,
            mapping,
            LoadOptions(workers=given["workers"]),
            observers=observers,
            show_progress=partial(show_progress, quiet=given["quiet"]),
        )
        watcher = Watcher(
            delivery=delivery,
            inbox=Inbox(directory, mapping),
            options=WatchOptions(
                every=given["every"].total_seconds(),
                settle=given["settle"].total_seconds(),
                once=given["once"],
            ),
            loaded=batches.loaded,
            batch_loaded=batches.build,
            unusable=batches.unusable,
            say=batches.say,
        )
        watcher.run(batches.must_stop)
    return batches.exit_code
