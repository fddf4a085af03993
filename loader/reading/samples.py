"""Samples: the beginning of a file, whatever it is, as columns with the texts in them."""

import codecs
import csv
import json
import os
import re
from collections import Counter, abc
from dataclasses import replace
from pathlib import Path
from stat import S_ISREG
from typing import Any, Final, TypeAlias

import numpy as np

from loader.errors import InputError, about
from loader.reading import attributes, fields, header, inputs
from loader.reading.arrow import ArrowError, pa
from loader.reading.batch import EventBatch
from loader.reading.brackets import is_document
from loader.reading.extract import plain
from loader.reading.limits import DEEPEST, Limits
from loader.reading.mapping import Mapping
from loader.reading.parquet import pq
from loader.reading.paths import STANDARD_INPUT, Input, expand, file_input
from loader.reading.times import EPOCHS, Clock

_BYTES: Final = 1 << 20
_ROWS: Final = 200
_COLUMNS: Final = 500
_DELIMITERS: Final = ",;\t|"
_FORMS: Final = (
    "iso",
    "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%m/%d/%Y, %I:%M:%S %p", "%m/%d/%Y %I:%M:%S %p",
    "%m/%d/%Y %H:%M:%S", "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M",
    "%Y/%m/%d %H:%M:%S", "%Y:%m:%d %H:%M:%S", "%d-%m-%Y %H:%M:%S",
)  # fmt: skip
NUMBER: Final = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?", re.ASCII)
# No epoch begins before 2000 or ends after 2050: other numbers are mere numbers.
_SECONDS: Final = (946_684_800, 2_524_608_000)
_BEGIN: Final = re.compile(r"[^\s,\]\x1e]")
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\Z)|[][{},]', re.DOTALL)

Values: TypeAlias = abc.Mapping[str, abc.Sequence[str]]
Options: TypeAlias = dict[str, Any]


def find(path: str) -> tuple[Input, Options]:
    """Return a file as its name or else its beginning tells, and what a load has to be told."""
    told: Options = {}
    try:
        an_input = expand([path], Mapping())[0]
        is_stream = an_input.origin == STANDARD_INPUT
        if is_stream or not S_ISREG(Path(an_input.origin).stat().st_mode):
            raise InputError(f"{path}: is read several times, so it must be a file")
        if an_input.format != "csv":
            return an_input, told
    except OSError as error:
        # A link to nothing, or to itself.
        raise InputError(f"{path}: {error.strerror}") from error
    except InputError:
        # Not by pathlib, for which a name may be too long.
        if not os.path.isfile(path):  # noqa: PTH113
            raise
        told, an_input = {"format": "csv"}, file_input(path, Mapping(format="csv"))
    start = inputs.beginning(an_input, _BYTES)
    if start.startswith(b"PAR1"):
        told = {"format": "parquet"}
    elif any(isinstance(one, dict) for one in _documents(start.decode(errors="replace"))):
        told = {"format": "ndjson"}
    return replace(an_input, **told), told


def shape(an_input: Input) -> str:
    """Say what an input is; that of JSON tells no option."""
    if an_input.format != "ndjson":
        return an_input.format
    start = inputs.beginning(an_input, _BYTES).lstrip()
    if start.startswith(b"["):
        return "JSON (an array)"
    return "JSON (a document)" if is_document(start, Limits.line_bytes) else "ndjson"


def columns(an_input: Input) -> tuple[Values, Options]:
    """Return the columns of the beginning of a file, and the options that it is read with."""
    if an_input.format == "parquet":
        return _paths(map(json.loads, _objects(an_input))), {}
    start = inputs.beginning(an_input, _BYTES)
    if an_input.format == "csv":
        return _table(start, an_input)
    documents = _documents(start.decode(errors="replace"))
    if not any(isinstance(one, dict) for one in documents):
        # What the reader says of it is better.
        first_batches(an_input, Mapping())
    return _paths(documents), {}


def _objects(an_input: Input) -> list[str]:
    """Return the first rows of Parquet as JSON."""
    try:
        with inputs.opened(an_input) as (_, file):
            for batch in pq.ParquetFile(file).iter_batches(_ROWS):
                named = zip(batch.schema.names, batch.columns, strict=True)
                members = {name: attributes.member(plain(column)) for name, column in named}
                found: list[str] = attributes.join(members).drop_null().to_pylist()
                return found
    except (ArrowError, OSError, UnicodeDecodeError):
        # What the reader says of it is better.
        first_batches(an_input, Mapping())
    return []


def _table(start: bytes, an_input: Input) -> tuple[Values, Options]:
    with about(an_input.origin):
        header.check_text(start)
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
        delimiter = max(_DELIMITERS, key=lambda sign: _evenness(_split(lines, sign)))
        if delimiter != Mapping().of_file(an_input.path).separator:
            options["delimiter"] = delimiter
    rows = _split(lines, delimiter)
    _, width = _evenness(rows)
    above = next((number for number, row in enumerate(rows) if len(row) == width), 0)
    if any(rows[:above]):
        options["skip_lines"] = above
    names, *rows = [row for row in rows[above:] if len(row) == width] or [[]]
    if any(NUMBER.fullmatch(one) or clock([one]) for one in names):
        rows = [names, *rows]
        names = options["columns"] = _names(names)
    return dict(zip(names, zip(*rows, strict=True), strict=bool(rows))), options


def _split(lines: abc.Iterable[str], delimiter: str) -> list[list[str]]:
    try:
        return list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True))
    except csv.Error:
        return []


def _evenness(rows: abc.Iterable[abc.Sequence[str]]) -> tuple[int, int]:
    """Return how many rows have as many fields as most, and how many these are."""
    widths = Counter(len(row) for row in rows if len(row) > 1)
    ((width, count),) = widths.most_common(1) or [(1, 0)]
    return count, width


def _names(row: abc.Sequence[str]) -> list[str]:
    """Return names for the columns of a table that has none."""
    others = iter(("type", "source"))
    found: list[str] = []
    for number, text in enumerate(row, 1):
        if "time" not in found and clock([text]):
            found.append("time")
        else:
            is_name = not NUMBER.fullmatch(text)
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
            # Half of a pair is no text that could be shown.
            name, text = (
                one.encode(errors="replace").decode() for one in (fields.shown(path), text)
            )
            found.setdefault(name, []).append(text)

    for document in documents:
        add(document, ())
    return found


def clock(texts: abc.Iterable[str]) -> Options | None:
    """Return the options with which nearly all of these are times; None when they are none."""
    texts = [text for text in texts if text]
    if not texts:
        return None
    numbers = [float(text) for text in texts if NUMBER.fullmatch(text)]
    forms = _FORMS if ":" in texts[0] else _FORMS[:1]
    array = pa.array([text.encode() for text in texts], pa.binary())
    for form in EPOCHS if len(numbers) == len(texts) else forms:
        low, high = (second * EPOCHS.get(form, 0) for second in _SECONDS)
        for zone in (None, "UTC") if all(low < one < high for one in numbers) else ():
            _, faults = Clock(form, zone).read(array)
            if np.count_nonzero(faults) * 10 <= len(texts):
                return {"time_format": form} | ({"timezone": zone} if zone else {})
    return None


def first_batches(an_input: Input, mapping: Mapping) -> tuple[EventBatch, ...]:
    """Read the beginning as a load would."""
    with inputs.open_reading(an_input, mapping, hashing=False) as reading:
        return reading.first()
