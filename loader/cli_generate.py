"""``loader generate``."""

from typing import BinaryIO, get_args

import click

from loader.generate import GenerateOptions, write
from loader.mapping import Format


@click.command()
@click.option("--events", type=click.IntRange(0), default=10_000, show_default=True)
@click.option("--sources", type=click.IntRange(1), default=3, show_default=True)
@click.option("--days", type=click.IntRange(1), default=1, show_default=True)
@click.option(
    "--late", type=float, default=0.0, show_default=True, help="Share that comes late, 0 to 1."
)
@click.option(
    "--duplicates", type=float, default=0.0, show_default=True, help="Share that repeats, 0 to 1."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Same seed, same events.")
@click.option("--format", "format_", type=click.Choice(get_args(Format)), default="csv")
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
