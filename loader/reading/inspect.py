"""Inspect: what a file seems to be, from its beginning, and how it could be loaded.

Nothing is proposed that was not tried: the beginning is read as a load would read it.
"""

from __future__ import annotations

import codecs
import csv
import dataclasses
import json
import re
from collections import Counter, abc
from dataclasses import dataclass, replace
from itertools import islice, permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from loader.errors import InputError, LoaderError
from loader.reading import attributes, fields, header, inputs
from loader.reading.arrow import ArrowError, pa, pq
from loader.reading.brackets import is_document
from loader.reading.known import mapping_of
from loader.reading.limits import DEEPEST, Limits
from loader.reading.mapping import Mapping
from loader.reading.paths import Input, expand, file_input
from loader.reading.plain import plain_batch
from loader.reading.times import EPOCHS, Clock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loader.reading.batch import EventBatch
    from loader.reading.known import KnownFormat
    from loader.reading.mapping import Format

_BYTES: Final = 1 << 20
_ROWS: Final = 200
_COLUMNS: Final = 500
_EXAMPLES: Final = 3
_WAYS: Final = 5
_SHOWN: Final = 100
_DELIMITERS: Final = ",;\t|"
_FORMS: Final = (
    "iso",
    "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%m/%d/%Y, %I:%M:%S %p", "%m/%d/%Y %I:%M:%S %p",
    "%m/%d/%Y %H:%M:%S", "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M",
    "%Y/%m/%d %H:%M:%S", "%Y:%m:%d %H:%M:%S", "%d-%m-%Y %H:%M:%S",
)  # fmt: skip
_NUMBER: Final = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?", re.ASCII)
# What such columns are called, the best names first.
_CALLED: Final = {
    "time": ("time", "timestamp", "datetime", "when", "seen", "start", "date", "at", "last"),
    "type": ("type", "class", "label", "object", "category", "species", "kind", "name", "event",
             "what", "state", "status"),
    "source": ("source", "camera", "cam", "sensor", "device", "site", "station", "location",
               "channel", "gate", "area", "zone", "counter", "deployment", "entity", "host"),
}  # fmt: skip
# No epoch begins before 2000 or ends after 2050: other numbers are mere numbers.
_SECONDS: Final = (946_684_800, 2_524_608_000)
# What may be a date or a time of day.
_PART: Final = re.compile(r"\d+[-./:]\d+", re.ASCII)
_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_BEGIN: Final = re.compile(r"[^\s,\]\x1e]")
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\Z)|[][{},]', re.DOTALL)

_DEFAULTS: Final = {one.name: one.default for one in dataclasses.fields(Mapping)}

Values: TypeAlias = abc.Mapping[str, abc.Sequence[str]]
Options: TypeAlias = dict[str, Any]
Usual: TypeAlias = abc.Mapping[str, Any]
Roles: TypeAlias = dict[str, dict[str, Options]]


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column, or what stands at a path.

    Attributes:
        name: as the options take it.
        examples: some values, each once.
        may_be: ``time``, ``type`` and ``source``, as far as it could be that.
    """

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
    """Look at the beginning of a file.

    Args:
        path: the file; it is read several times.
        formats: the known formats, which are tried first.
        usual: the options that a load has without any.

    Raises:
        InputError: it cannot be read, or holds no rows.
    """
    an_input, told = _input(path)
    values, options = _look(an_input)
    if not values:
        raise InputError(f"{path}: holds no rows")
    roles = _roles(values)
    if _are_counts(values, roles):
        raise InputError(f"{path}: seems to have counts of intervals, and these are not events")
    finding = Finding(
        path=an_input.origin,
        format=an_input.format,
        shape=_shape(an_input),
        compression=an_input.compression,
        columns=tuple(
            Column(
                name=name,
                examples=tuple(dict.fromkeys(text[:_SHOWN] for text in texts if text))[:_EXAMPLES],
                may_be=tuple(role for role in roles if name in roles[role]),
            )
            for name, texts in values.items()
        ),
        known=tuple(one.name for one in _fitting(formats, values, an_input.format)),
    )
    for proposal in (*_known_ways(finding.known), *_ways(roles, _stem(path))):
        found = _tried(finding, an_input, told | options | proposal, formats, usual)
        if found.options is not None:
            return found
        finding = found if finding.problem is None else finding
    return replace(finding, problem=finding.problem or "no column seems to hold times")


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
        batch = _first_batch(an_input, mapping_of(known, given))
    except LoaderError as error:
        return replace(finding, problem=str(error).removeprefix(f"{finding.path}: "))
    problem = batch.rejects[0].reason if batch is not None and batch.rejects else None
    if batch is None or not (batch.events.num_rows or (batch.rows_left_out and not problem)):
        return replace(finding, problem=problem)
    return replace(
        finding,
        options={name: one for name, one in options.items() if usual or one != _DEFAULTS.get(name)},
        rows_usable=batch.events.num_rows,
        rows_left_out=batch.rows_left_out,
        rows_rejected=batch.rows_rejected,
        problem=problem,
    )


def _first_batch(an_input: Input, mapping: Mapping) -> EventBatch | None:
    with inputs.open_reading(an_input, mapping, hashing=False) as reading:
        return reading.first()


# --- how it could be loaded -------------------------------------------------------------------


def _fitting(
    formats: abc.Mapping[str, KnownFormat], values: Values, form: Format
) -> list[KnownFormat]:
    """Return the formats all of whose columns are there, those with most columns first."""
    there = {fields.folded(name) for name in values}
    fitting = {
        name: len(named)
        for name, one in formats.items()
        if len(named := _named(one)) > 1 and named <= there
        if one.options.get("format", form) == form
    }
    return [formats[name] for name in sorted(fitting, key=lambda name: -fitting[name])]


def _named(known: KnownFormat) -> set[str]:
    one_each = ("time_column", "type_column", "source_column")
    named = {known.options[one] for one in one_each if one in known.options}
    return {fields.folded(name) for name in named | set(known.options.get("attributes", ()))}


def _known_ways(names: abc.Iterable[str]) -> Iterator[Options]:
    for name in names:
        yield {"as": name}
        yield {"as": name, "timezone": "UTC"}


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


# --- what could be what -----------------------------------------------------------------------


def _roles(values: Values) -> Roles:
    """Return role -> columns that could have it, the best first -> options that go with it."""
    times = {
        name: {"time_column": _quoted(name)} | told
        for name, texts in values.items()
        if (told := _clock(texts)) is not None
    } or _halves(values)
    found: Roles = {"time": _ranked(times, "time")}
    for role in ("type", "source"):
        could: dict[str, Options] = {
            name: {}
            for name, texts in values.items()
            if name not in times and _is_named(name, role) and any(texts)
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


def _is_named(name: str, role: str) -> bool:
    return _rank(name, role) < 2 * len(_CALLED[role])


def _clock(texts: abc.Iterable[str]) -> Options | None:
    """Return the options with which nearly all of these are times; None when they are none."""
    texts = [text for text in texts if text]
    if not texts:
        return None
    numbers = [float(text) for text in texts if _NUMBER.fullmatch(text)]
    forms = _FORMS if ":" in texts[0] else _FORMS[:1]
    array = pa.array([text.encode() for text in texts], pa.binary())
    for form in EPOCHS if len(numbers) == len(texts) else forms:
        low, high = (second * EPOCHS.get(form, 0) for second in _SECONDS)
        for zone in (None, "UTC") if all(low < one < high for one in numbers) else ():
            _, faults = Clock(form, zone).read(array)
            if np.count_nonzero(faults) * 10 <= len(texts):
                return {"time_format": form} | ({"timezone": zone} if zone else {})
    return None


def _halves(values: Values) -> dict[str, Options]:
    """Find a date and a time of day in two columns."""
    parts = {name: texts for name, texts in values.items() if _PART.match(next(iter(texts), ""))}
    for date, time in permutations(parts, 2):
        if told := _clock(map(" ".join, zip(parts[date], parts[time], strict=False))):
            column = {"time_column": f"{_quoted(date)},{_quoted(time)}"}
            return dict.fromkeys((date, time), column | told)
    return {}


def _quoted(name: str) -> str:
    """Return a name as it stands where several may, with commas between."""
    return '"' + name.replace('"', '""') + '"' if "," in name else name


def _are_counts(values: Values, roles: Roles) -> bool:
    """Whether it has nothing but numbers of intervals."""
    others = [texts for name, texts in values.items() if name not in roles["time"]]
    numbers = all(_NUMBER.fullmatch(text) for texts in others for text in texts if text)
    return len(roles["time"]) > 1 and bool(others) and numbers


# --- what is in a file ------------------------------------------------------------------------


def _input(path: str) -> tuple[Input, Options]:
    """Return a file as its name or else its beginning tells, and what a load has to be told."""
    try:
        an_input = expand([path], Mapping())[0]
        if not Path(an_input.origin).is_file():
            raise InputError(f"{path}: is read several times, so it must be a file")
        return an_input, {}
    except InputError:
        if not Path(path).is_file():
            raise
    an_input = file_input(path, Mapping(format="csv"))
    start = inputs.beginning(an_input, 64).lstrip()
    form: Format = "parquet" if start.startswith(b"PAR1") else "csv"
    if start.startswith((b"{", b"[")):
        form = "ndjson"
    return replace(an_input, format=form), {"format": form}


def _shape(an_input: Input) -> str:
    """Say what an input is; that of JSON tells no option."""
    if an_input.format != "ndjson":
        return an_input.format
    start = inputs.beginning(an_input, _BYTES).lstrip()
    if start.startswith(b"["):
        return "JSON (an array)"
    return "JSON (a document)" if is_document(start, Limits.line_bytes) else "ndjson"


def _look(an_input: Input) -> tuple[Values, Options]:
    """Return the columns of the beginning of a file, and the options that it is read with."""
    if an_input.format == "parquet":
        return _paths(map(json.loads, _objects(an_input))), {}
    start = inputs.beginning(an_input, _BYTES)
    if an_input.format == "csv":
        return _table(start, an_input)
    documents = _documents(start.decode(errors="replace"))
    if not any(isinstance(one, dict) for one in documents):
        # What the reader says of it is better.
        _first_batch(an_input, Mapping())
    return _paths(documents), {}


def _objects(an_input: Input) -> list[str]:
    """Return the first rows of Parquet as JSON."""
    try:
        with inputs.open_content(an_input) as file:
            for batch in pq.ParquetFile(file).iter_batches(_ROWS):
                plain = plain_batch(batch)
                names = plain.schema.names
                members = {name: attributes.member(plain.column(name)) for name in names}
                found: list[str] = attributes.join(members).drop_null().to_pylist()
                return found
    except (ArrowError, OSError, UnicodeDecodeError):
        # What the reader says of it is better.
        _first_batch(an_input, Mapping())
    return []


def _table(start: bytes, an_input: Input) -> tuple[Values, Options]:
    header.check_text(start, an_input.origin)
    options: Options = {}
    try:
        # The end may be in the middle of a letter.
        text = codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        text = start.decode("cp1252", errors="replace")
        options["encoding"] = "cp1252"
    lines = re.split(r"\r\n|\n|\r", text)
    # The last is cut off, or nothing.
    lines = lines[:-1][:_ROWS] or lines
    delimiter = header.separator(lines[0].encode())
    if delimiter is not None:
        del lines[0]
    else:
        delimiter = max(_DELIMITERS, key=lambda sign: _evenness(lines, sign))
        if delimiter != Mapping().of_file(an_input.path).separator:
            options["delimiter"] = delimiter
    rows = _split(lines, delimiter)
    _, width = _evenness(lines, delimiter)
    above = next((number for number, row in enumerate(rows) if len(row) == width), 0)
    if any(rows[:above]):
        options["skip_lines"] = above
    names, *rows = [row for row in rows[above:] if len(row) == width] or [[]]
    if any(_NUMBER.fullmatch(one) or _clock([one]) for one in names):
        rows = [names, *rows]
        names = options["columns"] = _names(names)
    return dict(zip(names, zip(*rows, strict=True), strict=bool(rows))), options


def _split(lines: abc.Iterable[str], delimiter: str) -> list[list[str]]:
    try:
        return list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True))
    except csv.Error:
        return []


def _evenness(lines: abc.Iterable[str], delimiter: str) -> tuple[int, int]:
    """Return how many lines have as many fields as most, and how many these are."""
    widths = Counter(len(row) for row in _split(lines, delimiter) if row)
    several = Counter({width: count for width, count in widths.items() if width > 1})
    ((width, count),) = several.most_common(1) or [(1, 0)]
    return count, width


def _names(row: abc.Sequence[str]) -> list[str]:
    """Return names for the columns of a table that has none."""
    others = iter(("type", "source"))
    found: list[str] = []
    for number, text in enumerate(row, 1):
        if "time" not in found and _clock([text]):
            found.append("time")
        else:
            is_name = not _NUMBER.fullmatch(text)
            found.append((is_name and next(others, "")) or f"column{number}")
    return found


def _documents(text: str) -> list[Any]:
    """Return the JSON of a text: lines, the items of an array, or what there is of one document.

    What is none, such as a damaged line, is passed over.
    """
    found: list[Any] = []
    text = text.lstrip()
    at = int(text.startswith("["))
    while len(found) < _ROWS and (begun := _BEGIN.search(text, at)):
        at = begun.start()
        try:
            value, at = json.JSONDecoder().raw_decode(text, at)
        except (ValueError, RecursionError):
            if not found and (closed := _closed(text[at:])):
                return [closed]
            at = text.find("\n", at) % (len(text) + 1)
        else:
            found.append(value)
    return found


def _closed(text: str) -> Any:
    """Return what a document that is cut off holds up to there; None when it is none."""
    brackets: list[str] = []
    whole, closing = 0, ""
    for token in _TOKEN.finditer(text):
        match token[0]:
            case "{" | "[" as begun:
                brackets.insert(0, "}" if begun == "{" else "]")
            case "}" | "]":
                del brackets[:1]
                whole, closing = token.end(), "".join(brackets)
            case ",":
                whole, closing = token.start(), "".join(brackets)
    try:
        return json.loads(text[:whole] + closing)
    except (ValueError, RecursionError):
        return None


def _paths(documents: abc.Iterable[Any]) -> Values:
    """Return what stands at each path of documents."""
    found: dict[str, list[str]] = {}

    def add(value: Any, path: fields.Path) -> None:
        if isinstance(value, dict) and len(path) < DEEPEST:
            for key, one in value.items():
                add(one, (*path, key))
        elif isinstance(value, list) and len(path) < DEEPEST:
            for one in value[:_ROWS]:
                # Arrays around objects are passed over.
                add(one, (*path, fields.ITEMS) if path else path)
        elif value is not None and path and len(found) < _COLUMNS:
            text = value if isinstance(value, str) else json.dumps(value, default=str).strip('"')
            found.setdefault(fields.shown(path), []).append(text)

    for document in documents:
        add(document, ())
    return found


def _stem(path: str) -> str:
    return Path(path).name.split(".")[0] or "file"
