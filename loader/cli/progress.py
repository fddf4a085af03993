"""Progress on standard error: a bar on a terminal, a line now and then elsewhere."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from loader.database.waiting import now_and_then
from loader.loading.load import ProgressCallback
from loader.process.terminal import echo, printable
from loader.reading.batch import Totals
from loader.reading.inputs import Reading


@contextmanager
def show_progress(name: str) -> Iterator[ProgressCallback]:
    """Give the callback that shows how far the load of one input is."""
    if sys.stderr.isatty():
        with _bar(name) as callback:
            yield callback
    else:
        yield _lines(name)


@contextmanager
def _bar(name: str) -> Iterator[ProgressCallback]:
    # Imported only here: without a terminal a load would wait for nothing.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[rows]:,} rows"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as progress:
        task = progress.add_task(printable(name), total=None, rows=0)

        def show(reading: Reading, totals: Totals) -> None:
            progress.update(
                task,
                total=reading.bytes_total,
                completed=reading.bytes_read,
                rows=totals.rows_read,
            )

        yield show


def _lines(name: str) -> ProgressCallback:
    tell = now_and_then(partial(echo, err=True))

    def show(reading: Reading, totals: Totals) -> None:
        share = f" ({reading.bytes_read / reading.bytes_total:.0%})" if reading.bytes_total else ""
        tell(f"{name}: {totals.rows_read:,} rows{share}")

    return show
