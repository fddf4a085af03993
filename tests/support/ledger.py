"""The loader's commands, as tests of the models use them."""

import csv
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import Outcome

from .scenarios import Event


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """Loads and withdraws events as a user does: with the loader's commands."""

    run_loader: Callable[..., Outcome]
    inbox: Path

    def load(self, events: Iterable[Event], *options: str) -> int:
        """Load events from a new CSV file and return the load's id."""
        return int(self.load_file(self.write(events), *options)["load_id"])

    def write(self, events: Iterable[Event]) -> Path:
        """Write events into a new CSV file."""
        path = self.inbox / f"events-{len(list(self.inbox.iterdir()))}.csv"
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["time", "type", "source"])
            writer.writerows((e.time.isoformat(), e.type, e.source) for e in events)
        return path

    def load_file(self, path: Path, *options: str) -> dict[str, Any]:
        """Load a file and return what ``--json`` says."""
        outcome = self.run_loader("load", path, "--json", "--quiet", *options)
        assert outcome.exit_code == 0, outcome.stderr
        result: dict[str, Any] = json.loads(outcome.stdout)
        return result

    def withdraw(self, load_id: int) -> None:
        """Withdraw a load."""
        outcome = self.run_loader("withdraw", str(load_id))
        assert outcome.exit_code == 0, outcome.stderr

    def purge(self) -> None:
        """Remove the rows of all withdrawn loads; every model must have taken note of them."""
        outcome = self.run_loader("maintain", "--json")
        assert outcome.exit_code == 0, outcome.stderr
        assert json.loads(outcome.stdout)["purge_waits_for"] is None
