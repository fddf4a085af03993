"""``loader consume``."""

import signal
import threading
from contextlib import ExitStack
from typing import Any

import click

from loader.builds import Builds
from loader.cli_options import (
    SOME_ROWS_REJECTED,
    mapping_of,
    some_duration,
    with_dsn,
    with_mapping,
    with_workers,
)
from loader.connection import database_dsn, redact
from loader.kafka.client import Client, read_options
from loader.kafka.consumer import ConsumeOptions, TopicConsumer
from loader.load import LoadResult
from loader.pipeline import LoadOptions
from loader.report import as_json, describe_load
from loader.settings import Settings
from loader.signals import handling


@click.command("consume")
@click.option("--topic", required=True, metavar="T", help="The topic to load.")
@click.option("--brokers", metavar="HOST:PORT,...", help="Default: LOADER_KAFKA_BROKERS.")
@click.option("--group", default="video-events", show_default=True, help="The consumer group.")
@click.option(
    "--every", default="5m", show_default=True, callback=some_duration, help="Between two loads."
)
@click.option(
    "--max-rows",
    type=click.IntRange(1),
    default=1_000_000,
    show_default=True,
    help="Load earlier when so many messages wait.",
)
@click.option("--once", is_flag=True, help="Load what is there now, then stop.")
@click.option("--build", is_flag=True, help="Run dbt build after each load.")
@click.option(
    "--from",
    "begin",
    type=click.Choice(["beginning", "end"]),
    default="beginning",
    show_default=True,
    help="Where a group starts that is new to the topic.",
)
@click.option(
    "--new-topic",
    type=click.Choice(["stop", "restart"]),
    default="stop",
    show_default=True,
    help="When the topic was deleted and made anew.",
)
@click.option(
    "--lost",
    type=click.Choice(["stop", "skip"]),
    default="stop",
    show_default=True,
    help="When the broker has deleted messages before they were loaded.",
)
@click.option(
    "--kafka-option",
    multiple=True,
    metavar="KEY=VALUE",
    help="An option of librdkafka; repeatable. Secrets: LOADER_KAFKA_OPTIONS.",
)
@with_mapping
@with_workers
@click.option("--json", "json_", is_flag=True, help="Print each load as a line of JSON.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
@with_dsn
@click.pass_obj
def consume(settings: Settings, /, topic: str, **given: Any) -> int:
    """Load the messages of a Kafka topic, each exactly once, until it is stopped.

    SIGTERM or Ctrl-C loads what is buffered, and ends it.
    """
    mapping = mapping_of(given | {"format": "ndjson", "delimiter": ",", "columns": None})
    client = Client(
        brokers=given["brokers"] or settings.kafka_brokers,
        group=given["group"],
        options=read_options(given["kafka_option"], settings.kafka_options),
    )

    def say(text: str) -> None:
        click.echo(f"loader: {redact(' '.join(text.split()), settings)}", err=True)

    with ExitStack() as stack:
        must_stop = threading.Event()
        stack.enter_context(handling(must_stop.set, signal.SIGTERM, signal.SIGINT))
        dsn = database_dsn(settings)
        builds: Builds | None = None
        rejected = 0

        def loaded(result: LoadResult) -> None:
            nonlocal rejected
            rejected += result.rows_rejected
            if given["json_"]:
                click.echo(as_json(result))
            if not given["quiet"]:
                click.echo(describe_load(result, dry_run=False), err=given["json_"])
            if builds is not None:
                builds.ask()

        consumer = TopicConsumer(
            dsn=dsn,
            client=client,
            topic=topic,
            mapping=mapping,
            load_options=LoadOptions(workers=given["workers"]),
            options=ConsumeOptions(
                every=given["every"].total_seconds(),
                max_rows=given["max_rows"],
                once=given["once"],
                begin=given["begin"],
                new_topic=given["new_topic"],
                lost=given["lost"],
            ),
            loaded=loaded,
            say=say,
        )
        if given["build"]:
            builds = Builds(dsn, settings.project_dir, say)
            stack.callback(builds.close)
        consumer.run(must_stop)
    # Who runs it for good learns of rejects from each load, and its end is no failure.
    return SOME_ROWS_REJECTED if given["once"] and rejected else 0
