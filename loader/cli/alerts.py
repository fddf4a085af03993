"""The options of early alerts, for every command that ingests events."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import click

from loader.cli.typed import options_as, read_by
from loader.delivery.destinations import Destination
from loader.loading.observer import Observer
from loader.settings.durations import read_duration


@dataclass(frozen=True, kw_only=True)
class AlertOptions:
    """Whether alerts are raised for what is loaded, and which.

    Attributes:
        alert: whether they are.
        alert_to: where they go; nothing for wherever they can.
        cooldown: no further alert of a rule at a source within this time of events.
        rules: the folder with the rules; None for that of the project.
    """

    alert: bool = False
    alert_to: tuple[str, ...] = ()
    cooldown: timedelta = timedelta(minutes=5)
    rules: Path | None = None

    @contextmanager
    def begin(
        self, database: Destination, *, is_patient: bool = False
    ) -> Iterator[Sequence[Observer]]:
        """Give what observes the loads into a database and raises alerts, if any are wanted.

        Args:
            database: the database.
            is_patient: as for ``EarlyAlerts``.
        """
        if not self.alert:
            yield ()
            return
        # Who wants none need not wait for it.
        from loader.alerting import notify  # noqa: PLC0415
        from loader.alerting.early_alerts import EarlyAlerts  # noqa: PLC0415
        from loader.alerting.rules import read_definitions  # noqa: PLC0415

        dsn, urls = database.dsn(create=True), database.settings.alert_urls
        definitions = read_definitions(database.settings.project_dir, self.rules)
        chosen = self.alert_to or ("stderr", "notify", "apprise")
        sent = {"notify": notify.payload, "wake": notify.hidden_payload}
        payloads = [sent[name] for name in sent if name in chosen]
        recipients: list[notify.Recipient] = []
        if "stderr" in chosen:
            recipients.append(notify.all_to_stderr)
        if "apprise" in self.alert_to and not urls:
            raise click.UsageError(
                "--alert-to apprise needs the URLs of services in LOADER_ALERT_URLS"
            )
        if "apprise" in chosen and urls:
            recipients.append(notify.ToServices(urls))
        with EarlyAlerts(
            dsn,
            definitions,
            recipients,
            payloads,
            cooldown=self.cooldown,
            is_patient=is_patient,
        ) as early_alerts:
            yield [early_alerts]


with_alerts = options_as(
    "alerts",
    AlertOptions,
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
        callback=read_by(read_duration),
        metavar="DURATION",
        help="No further alert of a rule at a source within this time of events.",
    ),
    click.option(
        "--rules",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Where alert_rules.csv, event_types.csv and categories.csv are. Default: seeds/ of "
        "the project.",
    ),
)
