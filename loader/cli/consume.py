"""``loader consume``."""

from dataclasses import replace
from functools import partial

import click

from loader.cli.alerts import AlertOptions, with_alerts
from loader.cli.batches import batching, with_batches
from loader.cli.options import with_destinations, with_mapping, with_output, with_workers
from loader.cli.report import Output
from loader.cli.typed import options_as, options_of
from loader.delivery.destinations import Destination
from loader.kafka.client import Topic, read_options
from loader.kafka.consumer import ConsumeOptions, TopicConsumer
from loader.kafka.sessions import run_sessions
from loader.loading.options import LoadOptions
from loader.loading.result import LoadResult
from loader.process.signals import StopRequest
from loader.reading.mapping import Mapping
from loader.settings import Settings

_option = options_of(ConsumeOptions)


@click.command("consume")
@click.option("--topic", required=True, metavar="T", help="The topic to load.")
@click.option(
    "--brokers", metavar="HOST:PORT,...", help="Default: LOADER_KAFKA_BROKERS, localhost:9092."
)
@click.option("--group", default="video-events", metavar="NAME", help="Each group loads all.")
@options_as(
    "consuming",
    ConsumeOptions,
    with_batches,
    with_output("Print each load as a line of JSON."),
    _option("--max-rows", "Load earlier when so many messages wait, or 256 MiB of them."),
    _option("--from", "Where a group starts that is new to the topic.", name="begin"),
    _option(
        "--new-topic",
        "When the topic was deleted and made anew: stop with exit code 4, or load the new one.",
    ),
    _option(
        "--lost",
        "When messages were deleted before they were loaded: exit code 4, or say so and go on.",
    ),
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
@with_destinations
def consume(
    settings: Settings,
    *,
    topic: str,
    brokers: str | None,
    group: str,
    consuming: ConsumeOptions,
    kafka_option: tuple[str, ...],
    mapping: Mapping,
    options: LoadOptions,
    alerts: AlertOptions,
    build: bool,
    output: Output,
    to: tuple[str, ...],
) -> int:
    """Load the messages of a Kafka topic, each exactly once, until it is stopped.

    SIGTERM or Ctrl-C loads what is buffered, and ends it.
    """
    kafka_options = read_options(kafka_option, settings.kafka_options)
    with (
        batching(settings, to, output, once=consuming.once, build=build) as batches,
        alerts.begin(batches.first, is_patient=not consuming.once) as observers,
    ):

        def consume_into(destination: Destination, must_stop: StopRequest) -> None:
            name = destination.name

            def loaded(result: LoadResult) -> None:
                batches.loaded(replace(result, destination=name))
                batches.build()

            TopicConsumer(
                dsn=destination.prepare(),
                topic=Topic(
                    name=topic,
                    brokers=brokers or settings.kafka_brokers,
                    group=group,
                    member_of=None if name is None else f"{group}.{name}",
                    options=kafka_options,
                ),
                mapping=destination.mapping(replace(mapping, format="ndjson")),
                load_options=destination.options(options),
                options=consuming,
                observers=observers if destination is batches.first else (),
                loaded=loaded,
                say=batches.say if name is None else lambda text: batches.say(f"{name}: {text}"),
            ).run(must_stop)

        if batches.first.name is None:
            consume_into(batches.first, batches.must_stop)
            return batches.exit_code
        sessions = {str(one.name): partial(consume_into, one) for one in batches.destinations}
        failure = run_sessions(sessions, batches.must_stop, once=consuming.once, say=batches.say)
    return batches.exit_code if failure is None else failure.exit_code
