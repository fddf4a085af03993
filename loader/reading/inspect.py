"""Inspect: what a file seems to be, from its beginning, and how it could be loaded.

Nothing is proposed that was not tried: the beginning is read as a load would read it.
"""

import re
from collections import abc
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice, permutations
from pathlib import Path
from typing import Any, Final, TypeAlias

from loader.errors import InputError, LoaderError
from loader.reading import fields, samples
from loader.reading.known import KnownFormat, mapping_of
from loader.reading.mapping import Format, Mapping
from loader.reading.objects import hidden
from loader.reading.paths import Input
from loader.reading.samples import Options, Values

_EXAMPLES: Final = 3
_WAYS: Final = 5
_SHOWN: Final = 100
# What such columns are called, the best names first.
_CALLED: Final = {
    "time": ("time", "timestamp", "datetime", "when", "seen", "start", "date", "at", "last"),
    "type": ("type", "class", "label", "object", "category", "species", "kind", "name", "event",
             "what", "state", "status"),
    "source": ("source", "camera", "cam", "sensor", "device", "site", "station", "location",
               "channel", "gate", "area", "zone", "counter", "deployment", "entity", "host"),
}  # fmt: skip
# What may be a date or a time of day.
_PART: Final = re.compile(r"\d+[-./:]\d+", re.ASCII)
_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")

Usual: TypeAlias = abc.Mapping[str, Any]
Roles: TypeAlias = dict[str, dict[str, Options]]


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column, as the options name it: some values, and of time, type, source what it may be."""

    name: str
    examples: tuple[str, ...]
    may_be: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What was found.

    Attributes:
        path: the file.
        format: of its content.
        shape: what that is to people.
        compression: how it is compressed.
        columns: what is in it.
        known: names of the known formats that it may have, the best first.
        options: how it can be loaded; None when no way was found.
        rows_usable: rows of its beginning that can be loaded so.
        rows_left_out: rows of its beginning that are not wanted then.
        rows_rejected: rows of its beginning that cannot.
        problem: why the first of these, or all of it, cannot.
    """

    path: str
    format: str
    shape: str
    compression: str | None
    columns: tuple[Column, ...]
    known: tuple[str, ...] = ()
    options: Options | None = None
    rows_usable: int = 0
    rows_left_out: int = 0
    rows_rejected: int = 0
    problem: str | None = None


def inspect(path: str, formats: abc.Mapping[str, KnownFormat], usual: Usual) -> Finding:
    """Look at the beginning of a file, which is read several times.

    The known formats are tried first; ``usual`` are the options that a load has without any.
    InputError: it cannot be read, or holds no rows.
    """
    an_input, told = samples.find(path)
    values, options = samples.columns(an_input)
    if not values:
        raise InputError(f"{path}: holds no rows")
    roles = _roles(values)
    if _are_counts(values, roles):
        raise InputError(f"{path}: seems to have counts of intervals, and these are not events")
    finding = Finding(
        path=an_input.origin,
        format=an_input.format,
        shape=samples.shape(an_input),
        compression=an_input.compression,
        columns=tuple(
            Column(
                name=name,
                examples=tuple(dict.fromkeys(text[:_SHOWN] for text in texts if text))[:_EXAMPLES],
                may_be=tuple(role for role in roles if name in roles[role]),
            )
            for name, texts in values.items()
        ),
        known=_fitting(formats, values, an_input.format),
    )
    stem = Path(path).name.split(".")[0] or "file"
    zones: tuple[Options, ...] = ({}, {"timezone": "UTC"})
    known = ({"as": name} | zone for name in finding.known for zone in zones)
    for proposal in chain(known, _ways(roles, stem)):
        found = _tried(finding, an_input, told | options | proposal, formats, usual)
        if found.options is not None:
            return found
        finding = found if finding.problem is None else finding
    if finding.problem is None:
        hints = (hidden(text, fields.parse(name)) for name in values for text in values[name][:1])
        problem = "no column seems to hold times" + next(filter(None, hints), "")
        finding = replace(finding, problem=problem)
    return finding


def _tried(
    finding: Finding,
    an_input: Input,
    options: Options,
    formats: abc.Mapping[str, KnownFormat],
    usual: Usual,
) -> Finding:
    """Read the beginning as a load with these options would; they are kept if rows are usable."""
    given = {name: one for name, one in options.items() if name != "as"}
    known = formats[options["as"]].options if "as" in options else usual
    try:
        batches = samples.first_batches(an_input, mapping_of(known, given))
    except LoaderError as error:
        return replace(finding, problem=str(error).removeprefix(f"{finding.path}: "))
    rejects = (reject for one in batches for reject in one.rejects)
    first = min(rejects, key=lambda reject: reject.line_number or 0, default=None)
    problem = None if first is None else first.reason
    usable = sum(one.events.num_rows for one in batches)
    left_out = sum(one.rows_left_out for one in batches)
    if not usable and (problem or not left_out):
        return replace(finding, problem=problem)
    return replace(
        finding,
        options={
            name: one
            for name, one in options.items()
            if usual or one != getattr(Mapping, name, None)
        },
        rows_usable=usable,
        rows_left_out=left_out,
        rows_rejected=sum(one.rows_rejected for one in batches),
        problem=problem,
    )


def _fitting(
    formats: abc.Mapping[str, KnownFormat], values: Values, form: Format
) -> tuple[str, ...]:
    """Return the formats all of whose columns are there, those with most columns first."""
    there = {fields.folded(name) for name in values}
    fitting = {
        name: len(named)
        for name, one in formats.items()
        if len(named := _named(one)) > 1 and named <= there
        if one.options.get("format", form) == form
    }
    return tuple(sorted(fitting, key=lambda name: -fitting[name]))


def _named(known: KnownFormat) -> set[str]:
    one_each = ("time_column", "type_column", "source_column")
    named = {known.options[one] for one in one_each if one in known.options}
    return {fields.folded(name) for name in named | set(known.options.get("attributes", ()))}


def _ways(roles: Roles, stem: str) -> Iterator[Options]:
    """Yield options with columns that could be time, type and source."""
    for time, told in islice(roles["time"].items(), _WAYS):
        chosen, taken = dict(told), {time}
        for role, otherwise in (("type", "event"), ("source", stem)):
            could = (one for one in roles[role] if one not in taken and _are_one_row(time, one))
            name = next(could, None)
            chosen |= {role: otherwise} if name is None else {f"{role}_column": name}
            taken |= {name or ""}
        yield chosen


def _are_one_row(name: str, other: str) -> bool:
    """Whether no two arrays lie side by side on the paths."""
    first, second = (fields.arrays(fields.parse(one)) for one in (name, other))
    return first[: len(second)] == second[: len(first)]


def _roles(values: Values) -> Roles:
    """Return role -> columns that could have it, the best first -> options that go with it."""
    times = {
        name: {"time_column": _quoted(name)} | told
        for name, texts in values.items()
        if (told := samples.clock(texts)) is not None
    } or _halves(values)
    found: Roles = {"time": _ranked(times, "time")}
    for role in ("type", "source"):
        could: dict[str, Options] = {
            name: {}
            for name, texts in values.items()
            if name not in times and any(texts) and _rank(name, role) < 2 * len(_CALLED[role])
        }
        found[role] = _ranked(could, role)
    return found


def _ranked(could: dict[str, Options], role: str) -> dict[str, Options]:
    return {name: could[name] for name in sorted(could, key=lambda name: _rank(name, role))}


def _rank(name: str, role: str) -> int:
    """How well a name says that a column has a role; less is better, its last key counts most."""
    called = _CALLED[role]
    *above, last = name.split(".")
    for rank, keys in enumerate(([last], above)):
        words = [word.lower() for key in keys for word in _WORD.findall(key)]
        for at, one in enumerate(called):
            if any(word.startswith(one) for word in words):
                return at + rank * len(called)
    return 2 * len(called)


def _halves(values: Values) -> dict[str, Options]:
    """Find a date and a time of day in two columns."""
    parts = {name: texts for name, texts in values.items() if _PART.match(next(iter(texts), ""))}
    for date, time in permutations(parts, 2):
        if told := samples.clock(map(" ".join, zip(parts[date], parts[time], strict=False))):
            column = {"time_column": f"{_quoted(date)},{_quoted(time)}"}
            return dict.fromkeys((date, time), column | told)
    return {}


def _quoted(name: str) -> str:
    """Return a name as it stands where several may, with commas between."""
    return '"' + name.replace('"', '""') + '"' if "," in name else name


def _are_counts(values: Values, roles: Roles) -> bool:
    """Whether it has nothing but numbers of intervals."""
    others = [texts for name, texts in values.items() if name not in roles["time"]]
    numbers = all(samples.NUMBER.fullmatch(text) for texts in others for text in texts if text)
    return len(roles["time"]) > 1 and bool(others) and numbers
