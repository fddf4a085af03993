"""The rules for alerts and the categories of event types, as the seeds of the project have them."""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from loader.durations import read_duration
from loader.errors import UsageError

# Of event types that no seed lists, as in the models.
CATCH_ALL = "other"
DEFAULT_GAP = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class ConsecutiveRule:
    """So many events of a category in a row at one source."""

    name: str
    category: str
    threshold: int


@dataclass(frozen=True, kw_only=True)
class PresenceRule:
    """A period of a category at one source that lasts so long."""

    name: str
    category: str
    min_duration: timedelta


Rule = ConsecutiveRule | PresenceRule


@dataclass(frozen=True, kw_only=True)
class Definitions:
    """What alerts mean.

    Attributes:
        rules: in the order of the seed.
        categories: the category of each event type; all others are of the category ``other``.
        gap: events of a category less than this apart belong to one period.
    """

    rules: tuple[Rule, ...]
    categories: Mapping[str, str] = field(default_factory=dict)
    gap: timedelta = DEFAULT_GAP


def read_definitions(project: Path, seeds: Path | None = None) -> Definitions:
    """Read ``alert_rules.csv`` and ``event_types.csv``, and the gap of ``dbt_project.yml``.

    Args:
        project: the directory of the dbt project.
        seeds: the directory with the two files, ``seeds`` of the project unless given.

    Raises:
        UsageError: a file is not there, or does not say what it should.
    """
    directory = project / "seeds" if seeds is None else seeds
    rules = [
        _rule(row, f"{directory / 'alert_rules.csv'} line {number}")
        for number, row in _rows(directory / "alert_rules.csv", "rule_name", "kind", "category")
    ]
    types = _rows(directory / "event_types.csv", "event_type", "category")
    return Definitions(
        rules=tuple(rules),
        categories={row["event_type"]: row["category"] for _, row in types},
        gap=_gap(project / "dbt_project.yml"),
    )


def _rule(row: dict[str, str], where: str) -> Rule:
    name, category = row["rule_name"], row["category"]
    try:
        if row["kind"] == "consecutive":
            threshold = int(row.get("threshold") or "")
            if threshold < 1:
                raise ValueError
            return ConsecutiveRule(name=name, category=category, threshold=threshold)
        if row["kind"] == "presence":
            duration = read_duration(row.get("min_duration") or "")
            return PresenceRule(name=name, category=category, min_duration=duration)
    except ValueError:
        raise UsageError(
            f"{where}: the rule needs a threshold (consecutive) or a min_duration (presence) "
            "such as 5 or 10 minutes"
        ) from None
    raise UsageError(f'{where}: kind "{row["kind"]}" is neither consecutive nor presence')


def _rows(path: Path, *columns: str) -> list[tuple[int, dict[str, str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise UsageError(
            f"cannot read {path}: {reason}; alerts need the rules of the project: run the command "
            "in its directory, or name the directory of the two seeds with --rules"
        ) from None
    missing = [name for name in columns if rows and rows[0].get(name) is None]
    if missing:
        raise UsageError(f"{path}: there is no column {', '.join(missing)}")
    return list(enumerate(rows, start=2))


def _gap(path: Path) -> timedelta:
    """Read the one value we need; a parser of YAML would be a package more."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return DEFAULT_GAP
    found = re.search(r"^\s+activity_gap:\s*(['\"]?)([^'\"#\n]+)\1", text, re.MULTILINE)
    try:
        return read_duration(found[2].strip()) if found else DEFAULT_GAP
    except ValueError as error:
        raise UsageError(f"{path}: activity_gap: {error}") from None
