"""``loader consume``."""

from typing import Any

import click

from loader.cli_alerts import begin_alerts, with_alerts
from loader.cli_batches import batching, with_batches
from loader.cli_options import mapping_of, with_dsn, with_mapping, with_workers
from loader.kafka.client import Client, read_options
from loader.kafka.consumer import TopicConsumer
from loader.kafka.options import ConsumeOptions
from loader.load import LoadResult
from loader.pipeline import LoadOptions
from loader.settings import Settings


@click.command("consume")
@click.option("--topic", required=True, metavar="T", help="The topic to load.")
@click.option(
    "--brokers", metavar="HOST:PORT,...", help="Default: LOADER_KAFKA_BROKERS, localhost:9092."
)
@click.option(
    "--group",
    default="video-events",
    show_default=True,
    metavar="NAME",
    help="Each group loads all.",
)
@with_batches
@click.option(
    "--max-rows",
    type=click.IntRange(1),
    default=1_000_000,
    show_default=True,
    metavar="N",
    help="Load earlier when so many messages wait, or 256 MiB of them.",
)
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
    help="When the topic was deleted and made anew: stop with exit code 4, or load the new one.",
)
@click.option(
    "--lost",
    type=click.Choice(["stop", "skip"]),
    default="stop",
    show_default=True,
    help="When messages were deleted before they were loaded: exit code 4, or say so and go on.",
)
@click.option(
    "--kafka-option",
    multiple=True,
    metavar="KEY=VALUE",
    help="An option of librdkafka; repeatable. Secrets: LOADER_KAFKA_OPTIONS.",
)
@with_mapping
@with_workers
@with_alerts
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

    with (
        batching(settings, given) as batches,
        begin_alerts(settings, batches.dsn, given) as early_alerts,
    ):

        def loaded(result: LoadResult) -> None:
            batches.loaded(result)
            batches.build()

        consumer = TopicConsumer(
            dsn=batches.dsn,
            client=client,
            topic=topic,
            mapping=mapping,
            load_options=LoadOptions(workers=given["workers"], partition_by=settings.partition_by),
            options=ConsumeOptions(
                every=given["every"].total_seconds(),
                max_rows=given["max_rows"],
                once=given["once"],
                begin=given["begin"],
                new_topic=given["new_topic"],
                lost=given["lost"],
            ),
            early_alerts=early_alerts,
            loaded=loaded,
            say=batches.say,
        )
        consumer.run(batches.must_stop)
    return batches.exit_code
