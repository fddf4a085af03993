"""``loader generate``."""

from contextlib import suppress
from typing import BinaryIO

import click

from loader.cli.typed import options_as, options_of
from loader.errors import LoaderError
from loader.generate import GenerateOptions, write
from loader.reading.mapping import FORMATS, Format

_option = options_of(GenerateOptions)


@click.command()
@options_as(
    "options",
    GenerateOptions,
    _option("--events", "Rows in all."),
    _option("--sources", "Cameras."),
    _option("--days", "How many days, from 2024-05-13 on."),
    _option("--late", "Share of the events that come late, by up to a month."),
    _option("--duplicates", "Share of the rows that come twice."),
    _option("--seed", "Another seed, other events; the same options give the same bytes."),
)
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
def generate(options: GenerateOptions, format_: Format, output: BinaryIO) -> None:
    """Write synthetic events to standard output."""
    try:
        write(options, output, format_)
        output.flush()
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        # Otherwise click tries to, and it fails once more.
        with suppress(OSError):
            output.close()
        raise LoaderError(
            f"{output.name}: cannot be written, and is not complete: {error.strerror}"
        ) from error
