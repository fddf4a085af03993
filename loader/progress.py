"""Progress on standard error: a bar on a terminal, a line now and then elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from loader.inputs import Reading
from loader.load import ProgressCallback
from loader.totals import Totals

_SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def show_progress(name: str, *, quiet: bool) -> Iterator[ProgressCallback]:
    """Give the callback that shows how far the load of one input is."""
    console = Console(stderr=True)
    if quiet:
        yield lambda reading, totals: None  # noqa: ARG005
    elif console.is_terminal:
        with _bar(console, name) as callback:
            yield callback
    else:
        yield _lines(console, name)


@contextmanager
def _bar(console: Console, name: str) -> Iterator[ProgressCallback]:
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[rows]:,} rows"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    ) as progress:
        task = progress.add_task(name, total=None, rows=0)

        def show(reading: Reading, totals: Totals) -> None:
            progress.update(
                task,
                total=reading.bytes_total,
                completed=reading.bytes_read,
                rows=totals.rows_read,
            )

        yield show


def _lines(console: Console, name: str) -> ProgressCallback:
    last = time.monotonic()

    def show(reading: Reading, totals: Totals) -> None:
        nonlocal last
        if time.monotonic() - last >= _SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            share = (
                f" ({reading.bytes_read / reading.bytes_total:.0%})" if reading.bytes_total else ""
            )
            console.print(
                f"{name}: {totals.rows_read:,} rows{share}",
                markup=False, highlight=False, soft_wrap=True,
            )  # fmt: skip

    return show
