"""The options of early alerts, for every command that ingests events."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from loader.alerting.early_alerts import EarlyAlerts
from loader.alerting.notify import Destination, ToPostgres, ToServices, all_to_stderr
from loader.alerting.rules import read_definitions
from loader.cli.options import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from loader.loading.observer import Observer
    from loader.settings import Settings

_Function = TypeVar("_Function", bound="Callable[..., Any]")


def with_alerts(command: _Function) -> _Function:
    """Give a command ``--alert`` and what belongs to it; see ``begin_alerts``."""
    options = [
        click.option("--alert", is_flag=True, help="Raise alerts for what is loaded."),
        click.option(
            "--alert-to",
            multiple=True,
            type=click.Choice(["stderr", "notify", "wake", "apprise"]),
            help="Where alerts go; repeatable. Default: stderr, notify, and apprise if "
            "LOADER_ALERT_URLS is set. wake: NOTIFY that says only that there are some.",
        ),
        click.option(
            "--cooldown",
            default="5m",
            show_default=True,
            callback=duration,
            metavar="DURATION",
            help="No further alert of a rule at a source within this time of events.",
        ),
        click.option(
            "--rules",
            type=click.Path(path_type=Path),
            metavar="DIR",
            help="Where alert_rules.csv and event_types.csv are. Default: seeds/ of the project.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@contextmanager
def begin_alerts(
    settings: Settings, dsn: str, given: dict[str, Any]
) -> Iterator[Sequence[Observer]]:
    """Give what observes loads and raises alerts; nothing without ``--alert``.

    Args:
        settings: has the project and the URLs of services.
        dsn: the database.
        given: the values of the options of ``with_alerts``.

    Raises:
        UsageError: rules or URLs cannot be read.
    """
    if not given["alert"]:
        yield ()
        return
    definitions = read_definitions(settings.project_dir, given["rules"])
    chosen = given["alert_to"] or ("stderr", "notify", "apprise")
    destinations: list[Destination] = []
    if "stderr" in chosen:
        destinations.append(all_to_stderr)
    if "notify" in chosen:
        destinations.append(ToPostgres(dsn))
    if "wake" in chosen:
        destinations.append(ToPostgres(dsn, is_content_hidden=True))
    if "apprise" in chosen and (settings.alert_urls or "apprise" in given["alert_to"]):
        if not settings.alert_urls:
            raise click.UsageError(
                "--alert-to apprise needs the URLs of services in LOADER_ALERT_URLS"
            )
        destinations.append(ToServices(settings.alert_urls))
    with EarlyAlerts(dsn, definitions, destinations, cooldown=given["cooldown"]) as early_alerts:
        yield [early_alerts]
