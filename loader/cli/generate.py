"""``loader generate``."""

from collections.abc import Callable
from typing import Any, BinaryIO

import click

from loader.generate import GenerateOptions, write
from loader.reading.mapping import FORMATS, Format


def _number(name: str, type_: Any, default: float, meaning: str) -> Callable[[Any], Any]:
    return click.option(name, type=type_, default=default, metavar="N", help=meaning)


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
    type=click.Choice(FORMATS),
    default="csv",
    help="How they are written.",
)
@click.option(
    "--output",
    type=click.File("wb"),
    default="-",
    show_default=False,
    metavar="FILE",
    help="Default: standard output.",
)
def generate(*, format_: Format, output: BinaryIO, **options: Any) -> None:
    """Write synthetic events to standard output."""
    write(GenerateOptions(**options), output, format_)
    output.flush()
