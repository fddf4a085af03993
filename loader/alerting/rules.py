"""The rules for alerts and the categories of event types, as the seeds of the project have them."""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TextIO

from loader.errors import UsageError
from loader.settings.durations import read_duration

# Of event types that no seed lists, as in the models.
CATCH_ALL = "other"
DEFAULT_GAP = timedelta(minutes=1)

# dbt has the same checks, which stop it before a seed replaces what readers see, in
# macros/seeds/seed_slips.sql. A test gives both the same files.
_TYPE_COLUMNS = ("event_type", "category")
_RULE_COLUMNS = ("rule_name", "kind", "category", "threshold", "min_duration")
_CATEGORY_COLUMNS = ("category", "activity_gap", "is_alerted", "colour")
_OPTIONAL = {"threshold", "min_duration", "activity_gap", "is_alerted", "colour"}
_EMPTY = ("", "null")
_HIGHEST_THRESHOLD = 1_000_000
_LONGEST = timedelta(days=3650)
_THRESHOLD = re.compile(r"0*[1-9][0-9]{0,6}")
_NUMBER = r"([0-9]{1,9}(?:[.][0-9]{1,6})?) *"
# As far as read_duration and PostgreSQL mean the same by it.
_UNITS = re.compile(
    rf"(?:{_NUMBER}(?:d|days?)(?: +|$))?(?:{_NUMBER}(?:h|hours?)(?: +|$))?"
    rf"(?:{_NUMBER}(?:m|mins?|minutes?)(?: +|$))?(?:{_NUMBER}(?:s|secs?|seconds?))?"
)
_CLOCK = re.compile(r"[0-9]{1,5}:[0-5][0-9](?::[0-5][0-9](?:[.][0-9]{1,6})?)?")


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


@dataclass(frozen=True, kw_only=True)
class AbsenceRule:
    """No event of a category at one source for so long, after one there was."""

    name: str
    category: str
    min_duration: timedelta


Rule = ConsecutiveRule | PresenceRule | AbsenceRule


@dataclass(frozen=True, kw_only=True)
class Definitions:
    """What alerts mean.

    Attributes:
        rules: in the order of the seed; without those of the kind ``unusual``.
        categories: the category of each event type; all others are of the category ``other``.
        gap: events of a category less than this apart belong to one period.
        gaps: the gap of a category that has one of its own.
    """

    rules: tuple[Rule, ...]
    categories: Mapping[str, str] = field(default_factory=dict)
    gap: timedelta = DEFAULT_GAP
    gaps: Mapping[str, timedelta] = field(default_factory=dict)

    def gap_of(self, category: str) -> timedelta:
        """Return the gap that ends a period of a category."""
        return self.gaps.get(category, self.gap)

    @property
    def of_absence(self) -> list[AbsenceRule]:
        """The rules that tell of silences."""
        return [rule for rule in self.rules if isinstance(rule, AbsenceRule)]


@dataclass(frozen=True, kw_only=True)
class _Row:
    """A row of a seed: the line that it begins on, and its values by column, maybe empty."""

    line: int
    values: Mapping[str, str]


def read_definitions(project: Path, seeds: Path | None = None) -> Definitions:
    """Read the seeds about alerts, types and categories, and the gap of ``dbt_project.yml``.

    The seeds are in ``seeds``, or in the folder of that name of the project. ``categories.csv`` may
    be missing.
    """
    directory = project / "seeds" if seeds is None else seeds
    slips_of_type = partial(_slips_of_type, spellings={})
    types = _read(directory / "event_types.csv", _TYPE_COLUMNS, slips_of_type)
    categories = {row.values["event_type"]: row.values["category"] for row in types}
    known = sorted({CATCH_ALL, *categories.values()})
    slips_of_rule = partial(_slips_of_rule, categories=known)
    rules = _read(directory / "alert_rules.csv", _RULE_COLUMNS, slips_of_rule)
    own, slips_of_own = directory / "categories.csv", partial(_slips_of_own, categories=known)
    rows = _read(own, _CATEGORY_COLUMNS, slips_of_own) if own.exists() else []
    unalerted = {r.values["category"] for r in rows if r.values["is_alerted"].lower() == "false"}
    return Definitions(
        # What is unusual takes the weeks before, which a loader does not look at.
        rules=tuple(
            _rule(row.values)
            for row in rules
            if row.values["category"] not in unalerted and row.values["kind"] != "unusual"
        ),
        categories=categories,
        gap=_gap(project / "dbt_project.yml"),
        gaps={
            row.values["category"]: read_duration(row.values["activity_gap"])
            for row in rows
            if row.values["activity_gap"]
        },
    )


def _rule(values: Mapping[str, str]) -> Rule:
    name, category = values["rule_name"], values["category"]
    if values["kind"] == "consecutive":
        return ConsecutiveRule(name=name, category=category, threshold=int(values["threshold"]))
    kind = PresenceRule if values["kind"] == "presence" else AbsenceRule
    return kind(name=name, category=category, min_duration=read_duration(values["min_duration"]))


def _slips(
    rows: Sequence[_Row], columns: Sequence[str], slips_of: Callable[[_Row], Iterable[str]]
) -> Iterator[str]:
    """Yield what is wrong, row by row; the first column names a row, and no name is there twice."""
    lines: dict[str, int] = {}
    for row in rows:
        name = row.values[columns[0]]
        is_rule = name and columns is _RULE_COLUMNS
        at = f"line {row.line}, {name}, " if is_rule else f"line {row.line}, "
        for column in columns:
            value = row.values[column]
            if value != value.strip():
                yield f'{at}{column}: "{value}" has blanks around it; take them away'
            elif not value and column not in _OPTIONAL:
                yield f"{at}{column}: it is empty"
        # Types are as the detectors write them, Car and car: two.
        same = name if columns is _TYPE_COLUMNS else name.lower()
        if name and same in lines:
            yield (
                f'{at}{columns[0]}: "{name}" is on line {lines[same]} already; keep one of the two'
            )
        lines.setdefault(same, row.line)
        yield from (at + slip for slip in slips_of(row))


def _slips_of_type(row: _Row, spellings: dict[str, tuple[int, str]]) -> Iterator[str]:
    category = row.values["category"]
    line, first = spellings.setdefault(category.lower(), (row.line, category))
    if first != category and category.strip() == category:
        yield f'category: "{category}" is "{first}" on line {line}; write both the same way'


def _slips_of_category(row: _Row, categories: Sequence[str]) -> Iterator[str]:
    category = row.values["category"]
    if category and category.strip() == category and category not in categories:
        yield (
            f'category: "{category}" is no category of event_types.csv, '
            f"which has {', '.join(categories)}"
        )


def _slips_of_own(row: _Row, categories: Sequence[str]) -> Iterator[str]:
    yield from _slips_of_category(row, categories)
    gap, is_alerted = row.values["activity_gap"], row.values["is_alerted"]
    if gap and not _is_duration(gap):
        yield (
            f"activity_gap: it is a duration of no more than {_LONGEST.days} days, such as "
            f'30 seconds or 1 hour 30 minutes, or empty, and not "{gap}"'
        )
    if is_alerted.lower() not in ("", "true", "false"):
        yield f'is_alerted: it is true, false or empty, and not "{is_alerted}"'


def _slips_of_rule(row: _Row, categories: Sequence[str]) -> Iterator[str]:
    yield from _slips_of_category(row, categories)
    yield from _slips_of_kind(row.values)


def _slips_of_kind(values: Mapping[str, str]) -> Iterator[str]:
    kind, threshold, duration = values["kind"], values["threshold"], values["min_duration"]
    if kind == "consecutive":
        if not _THRESHOLD.fullmatch(threshold) or int(threshold) > _HIGHEST_THRESHOLD:
            yield (
                "threshold: a consecutive rule needs a whole number from 1 to "
                f'{_HIGHEST_THRESHOLD}, such as 5, and has "{threshold}"'
            )
        if duration:
            yield "min_duration: a consecutive rule has none; leave it empty"
    elif kind in ("presence", "absence"):
        rule = "an absence rule" if kind == "absence" else "a presence rule"
        if not _is_duration(duration):
            yield (
                f"min_duration: {rule} needs a duration of no more than {_LONGEST.days}"
                f' days, such as 10 minutes or 1 hour 30 minutes, and has "{duration}"'
            )
        if threshold:
            yield f"threshold: {rule} has none; leave it empty"
    elif kind == "unusual":
        for name in ("threshold", "min_duration"):
            if values[name]:
                yield f"{name}: an unusual rule has none; leave it empty"
    elif kind:
        yield f'kind: "{kind}" is neither consecutive, presence, absence nor unusual'


def _is_duration(text: str) -> bool:
    if not text or not (_CLOCK.fullmatch(text) or _UNITS.fullmatch(text.lower())):
        return False
    return timedelta(0) < read_duration(text) <= _LONGEST


def _read(
    path: Path, columns: Sequence[str], slips_of: Callable[[_Row], Iterable[str]]
) -> list[_Row]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header, rows = _rows(file)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or (
            "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        )
        raise UsageError(
            f"cannot read {path}: {reason}; alerts need the rules of the project: run the command "
            "in its directory, or name the directory of the two seeds with --rules"
        ) from None
    if set(columns) <= set(header):
        slips = list(_slips(rows, columns, slips_of))
    else:
        slips = [f"it needs the columns {', '.join(columns)}; it has {', '.join(header) or 'none'}"]
    if slips:
        raise UsageError("\n  ".join([f"{path} is refused:", *slips]))
    return rows


def _rows(file: TextIO) -> tuple[list[str], list[_Row]]:
    reader = csv.reader(file)
    header = next(reader, [])
    rows = []
    line = reader.line_num + 1
    for cells in reader:
        if len(cells) > len(header):
            raise csv.Error(f"line {line} has {len(cells)} cells, and the first line {len(header)}")
        values = ["" if cell.strip().lower() in _EMPTY else cell for cell in cells]
        if any(values):
            values += [""] * (len(header) - len(values))
            # Of two columns of one name the first one counts, as for dbt.
            named = dict(zip(reversed(header), reversed(values), strict=True))
            rows.append(_Row(line=line, values=named))
        line = reader.line_num + 1
    return header, rows


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
