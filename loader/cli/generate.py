"""``loader generate``."""

from collections.abc import Callable
from typing import Any, BinaryIO, get_args

import click

from loader.generate import GenerateOptions, write
from loader.reading.mapping import Format


def _number(name: str, type_: Any, default: float, meaning: str) -> Callable[[Any], Any]:
    return click.option(
        name, type=type_, default=default, show_default=True, metavar="N", help=meaning
    )


@click.command()
@_number("--events", click.IntRange(0), 10_000, "Rows in all.")
@_number("--sources", click.IntRange(1), 3, "Cameras.")
@_number("--days", click.IntRange(1), 1, "How many days, from 2024-05-13 on.")
@_number("--late", float, 0.0, "Share of the events that come late, by up to a month: 0 to 1.")
@_number("--duplicates", float, 0.0, "Share of the rows that come twice: 0 to 1.")
@_number("--seed", int, 1, "Another seed, other events; the same options give the same bytes.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(get_args(Format)),
    default="csv",
    show_default=True,
    help="How they are written.",
)
@click.option(
    "--output", type=click.File("wb"), default="-", metavar="FILE", help="Default: standard output."
)
def generate(
    *,
    events: int,
    sources: int,
    days: int,
    late: float,
    duplicates: float,
    seed: int,
    format_: Format,
    output: BinaryIO,
) -> None:
    """Write synthetic events to standard output."""
    options = GenerateOptions(
        events=events,
        sources=sources,
        days=days,
        late=late,
        duplicates=duplicates,
        seed=seed,
    )
    write(options, output, format_)
    output.flush()
