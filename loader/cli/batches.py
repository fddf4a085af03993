"""What the commands share that load micro-batches until they are stopped."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

import click

from loader.cli.builds import Builds
from loader.cli.options import SOME_ROWS_REJECTED, destinations_of
from loader.cli.report import Output, as_json, print_load
from loader.cli.typed import read_by, with_options
from loader.database.connection import redact
from loader.database.conninfo import with_connection
from loader.delivery.destinations import Destination
from loader.errors import InputError
from loader.loading.result import LoadResult
from loader.process.signals import StopRequest, stopping_gently
from loader.process.terminal import echo
from loader.settings import Settings
from loader.settings.durations import read_duration


def _read_every(text: str) -> float:
    if seconds := read_duration(text).total_seconds():
        return seconds
    raise ValueError("must be longer than nothing")


# ``every`` and ``once`` are fields of what the command is given as its own; ``build`` is beside it.
with_batches = with_options(
    click.option(
        "--every",
        default="5m",
        callback=read_by(_read_every),
        metavar="DURATION",
        help="Between two batches: 30s, 5m, 1h.",
    ),
    click.option("--once", is_flag=True, help="Load what is there now, then stop."),
    click.option(
        "--build", is_flag=True, help="Run dbt build after each batch; if it fails, go on."
    ),
)


@dataclass(kw_only=True, eq=False, repr=False)
class Batching:
    """Reports what is loaded, has the models built, and knows when to stop; see ``batching``."""

    destinations: Sequence[Destination]
    output: Output
    must_stop: StopRequest
    once: bool
    dry_run: bool
    builds: Builds | None = None

    def __post_init__(self) -> None:
        self.first = self.destinations[0]
        # Destinations that models are behind in; None for the only database.
        self._changed: set[str | None] = set()
        self._rejected = 0
        self._unusable = 0

    def say(self, text: str) -> None:
        """Tell the user of what is neither a result nor the end."""
        echo(f"loader: {redact(' '.join(text.split()), self.first.settings)}", err=True)

    def loaded(self, result: LoadResult) -> None:
        """Report a load."""
        if not result.already_loaded:
            self._rejected += result.rows_rejected
        self._changed.add(result.destination)
        if self.output.json:
            echo(as_json(result))
        print_load(result, self.output, dry_run=self.dry_run)

    def unusable(self, message: str) -> None:
        """Report an input of which nothing was loaded."""
        self._unusable += 1
        self.say(message)

    def build(self) -> None:
        """Bring the models up to date, if the user wants that."""
        while self.builds is not None and self._changed:
            # Several threads may be at it.
            with suppress(KeyError):
                self.builds.ask(self._changed.pop())

    @property
    def exit_code(self) -> int:
        """What ``loader load`` would end with; 0 for a command that runs until it is stopped.

        Who runs it for good learns of rejects from each load, and its end is no failure.
        """
        if not self.once:
            return 0
        if self._unusable:
            return InputError.exit_code
        return SOME_ROWS_REJECTED if self._rejected else 0


@contextmanager
def batching(
    settings: Settings,
    to: Sequence[str],
    output: Output,
    *,
    once: bool,
    build: bool,
    dry_run: bool = False,
) -> Iterator[Batching]:
    """Give what such a command needs; its end waits for the models that are being built."""
    destinations = destinations_of(settings, to, needs_dsn=not dry_run)
    with ExitStack() as stack:
        parts = Batching(
            destinations=destinations,
            output=output,
            must_stop=stack.enter_context(stopping_gently()),
            once=once,
            dry_run=dry_run,
        )
        if build:
            environments = {
                one.name: with_connection(one.settings.variables, one.dsn(create=True))
                for one in destinations
            }
            parts.builds = Builds(parts.first.settings.project_dir, parts.say, environments)
            stack.callback(parts.builds.close)
        yield parts
