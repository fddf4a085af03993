"""Mapping: which columns of an input mean what, and how its times are written."""

from __future__ import annotations

import codecs
import csv
import json
import os
import re
from collections import abc
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Final, Literal, get_args

from loader.errors import InputError, UsageError
from loader.reading.fields import folded
from loader.reading.limits import Limits
from loader.reading.selection import Selection
from loader.reading.times import Clock, RepeatedHour
from loader.settings.checks import check_fields

Format = Literal["csv", "ndjson", "parquet"]
# What people type for a tab, because their shell does not.
_SPELLED_OUT: Final = {"\\t": "\t", "tab": "\t"}
FORMATS: Final[tuple[Format, ...]] = get_args(Format)
_SOURCE: Final = "{source}"
_TABS: Final = re.compile(r"\.tsv(?:\.[a-z0-9]+)?\Z", re.IGNORECASE)
_TRIED: Final = "time;\\x41\n" * 9


@dataclass(frozen=True, kw_only=True)
class Mapping:
    r"""How an input is to be read; checks itself when made.

    Attributes:
        format: format of the input; None means that its name tells.
        delimiter: one character between the fields of CSV; ``\t`` may be spelled out; None for a
            tab in files whose name says so (``.tsv``), and else a comma.
        encoding: of text that has no mark at its beginning, such as ``cp1252``; None for UTF-8.
        skip_lines: lines of CSV above its header, or above its first row where it has none.
        columns: names of the columns of CSV that has no header line; None when it has one.
        time_column: input column with the time of the event. Several, with commas between, are
            put together with a blank between, such as a date and a time of day; a name that has a
            comma is written in double quotes.
        type_column: input column with its type; not read when ``type`` is given.
        source_column: input column with its source; not read when the source is given.
        type: one type for the whole input.
        source: one source for the whole input.
        type_pattern: a regular expression; what its one group finds in that column is the type.
        source_pattern: the same for the source.
        source_from_path: the source is what ``{source}`` stands for in this pattern of how the path
            of a file ends: ``{source}/*`` for its folder, ``cam_{source}_*.csv`` for a part of its
            name.
        time_format: ``iso``, ``epoch_s``, ``epoch_ms``, ``epoch_us``, ``epoch_ns`` or a strptime
            format.
        timezone: zone of times that carry no offset, by its IANA name, or an offset such as
            ``+02:00``; None rejects these.
        repeated_hour: whether a time that the clocks of the zone show twice is the first one, the
            second, or rejected.
        type_map: types to rename, as they stand in the input (trimmed) -> as they are loaded.
        attributes: further input columns to keep, as a JSON object per event.
        selection: which events are wanted; None for all.

    Raises:
        UsageError: an option is not usable, or two of them contradict each other.
    """

    format: Format | None = None
    delimiter: str | None = None
    encoding: str | None = None
    skip_lines: int = field(default=0, metadata={"least": 0})
    columns: tuple[str, ...] | None = None
    time_column: str = "time"
    type_column: str = "type"
    source_column: str = "source"
    type: str | None = None
    source: str | None = None
    type_pattern: str | None = None
    source_pattern: str | None = None
    source_from_path: str | None = None
    time_format: str = "iso"
    timezone: str | None = None
    repeated_hour: RepeatedHour = "reject"
    type_map: abc.Mapping[str, str] = field(default_factory=dict)
    attributes: tuple[str, ...] = ()
    selection: Selection | None = None

    def __post_init__(self) -> None:
        """Refuse what could only fail later, in the middle of an input."""
        check_fields(self)
        if self.delimiter is not None:
            delimiter = _SPELLED_OUT.get(self.delimiter, self.delimiter)
            _check_delimiter(delimiter)
            object.__setattr__(self, "delimiter", delimiter)
        _check_encoding(self.encoding)
        Clock(self.time_format, self.timezone)
        _check_names("--columns", self.columns or ())
        _check_names("--attributes", self.attributes)
        _check_pattern("--type-pattern", self.type_pattern)
        _check_pattern("--source-pattern", self.source_pattern)
        _check_names("--time-column", self.time_columns)
        for option, given in (("--type", self.type), ("--source", self.source)):
            if given is not None and not _is_name(given):
                raise UsageError(f"{option} {given!r} is not a name")
        if self.source_from_path is not None:
            if self.source is not None:
                raise UsageError("--source and --source-from-path both say who saw it; drop one")
            _path_pattern(self.source_from_path)
        seen: dict[str, str] = {}
        for name, option in self._needed():
            if folded(name) in seen:
                raise UsageError(f'{seen[folded(name)]} and {option} both name column "{name}"')
            seen[folded(name)] = option
        raws: set[str] = set()
        for raw, mapped in self.type_map.items():
            if not _is_name(mapped):
                raise UsageError(f'--type-map "{raw}={mapped}" gives no type')
            if raw.strip() in raws:
                raise UsageError(f'--type-map renames "{raw.strip()}" twice')
            raws.add(raw.strip())

    @property
    def separator(self) -> str:
        """What stands between the fields of CSV."""
        return self.delimiter or ","

    @cached_property
    def time_columns(self) -> tuple[str, ...]:
        """The columns of which the time is put together; one, as a rule."""
        if "," not in self.time_column:
            return (self.time_column,)
        (names,) = csv.reader([self.time_column], skipinitialspace=True)
        return tuple(names)

    def _needed(self) -> list[tuple[str, str]]:
        needed = [(name, "--time-column") for name in self.time_columns]
        if self.type is None:
            needed.append((self.type_column, "--type-column"))
        if self.source is None and self.source_from_path is None:
            needed.append((self.source_column, "--source-column"))
        return needed

    @cached_property
    def needed_columns(self) -> tuple[str, ...]:
        """Columns without which no event can be made: time, and type and source unless given."""
        return tuple(name for name, _ in self._needed())

    @cached_property
    def compared_columns(self) -> tuple[str, ...]:
        """Columns that the selection looks at, whatever they mean."""
        return () if self.selection is None else self.selection.compared_columns

    @cached_property
    def options(self) -> dict[str, str]:
        """All columns that are read, and which option names each."""
        others = dict.fromkeys(self.compared_columns, "--where")
        return others | dict.fromkeys(self.attributes, "--attributes") | dict(self._needed())

    def of_file(self, path: str) -> Mapping:
        """Return how to read the file at this path; ``-`` is none.

        InputError: its source was to be in the path, and is not.
        """
        if self.delimiter is None and _TABS.search(path):
            return replace(self, delimiter="\t").of_file(path)
        if self.source_from_path is None:
            return self
        whole = "" if path == "-" else os.path.abspath(path)  # noqa: PTH100
        found = _path_pattern(self.source_from_path).search(whole)
        if found is None or not _is_name(found["source"]):
            raise InputError(
                f'{path}: its path does not end like "{self.source_from_path}", so that '
                "--source-from-path finds no source in it"
            )
        return replace(self, source=found["source"], source_from_path=None)

    def described(self) -> dict[str, Any]:
        """Return all of it as JSON can hold it, for the ledger."""
        found = {
            one.name: getattr(self, one.name) for one in fields(self) if one.name != "selection"
        }
        if self.selection is not None:
            found["selection"] = self.selection.described()
        return found | {"type_map": dict(self.type_map)}

    def meaning(self, of: Format) -> bytes:
        """Canonical bytes of the options that decide what content of this format means.

        Two loads of the same content are the same load only when these agree too.
        """
        options: dict[str, Any] = {
            "format": of,
            "time_column": self.time_column,
            "type_column": self.type_column if self.type is None else None,
            "source_column": self.source_column if self.source is None else None,
            "source": self.source,
            "time_format": self.time_format,
            "timezone": self.timezone,
            "type_map": sorted(self.type_map.items()),
            "attributes": self.attributes,
        }
        # Only if they are there, so that who does without finds what was loaded before.
        later = ["type_pattern", "source_pattern", "encoding", "repeated_hour", "type"]
        if of == "csv":
            options |= {"delimiter": self.separator, "columns": self.columns}
            later.append("skip_lines")
        for name in later:
            if (value := getattr(self, name)) != getattr(Mapping, name):
                options[name] = value
        if self.selection is not None and (selected := self.selection.described()):
            options["selection"] = selected
        return json.dumps(options, sort_keys=True, ensure_ascii=True).encode()


def _is_name(name: str) -> bool:
    """Whether a reader would take this for a source or a type."""
    name = name.strip()
    return bool(name) and name.isprintable() and len(name.encode()) <= Limits.name_bytes


def _path_pattern(text: str) -> re.Pattern[str]:
    """Compile a pattern of how a path ends; UsageError if it does not tell the source."""
    if text.count(_SOURCE) != 1:
        raise UsageError(
            f'--source-from-path "{text}" needs {_SOURCE} once, such as {_SOURCE}/* for the folder '
            f"or cam_{_SOURCE}_*.csv for a part of the name"
        )
    wild = {"*": "[^/]*", "?": "[^/]", _SOURCE: "(?P<source>[^/]+?)"}
    pieces = re.split(r"(\*|\?|\{source\})", text)
    return re.compile("/" + "".join(wild.get(one) or re.escape(one) for one in pieces) + r"\Z")


def _check_delimiter(delimiter: str) -> None:
    if len(delimiter) != 1 or not delimiter.isascii():
        raise UsageError(f"--delimiter {delimiter!r} is not one ASCII character")
    if delimiter in '"\r\n\0\\' or delimiter.isalnum():
        raise UsageError(f"--delimiter {delimiter!r} cannot separate fields")


def _check_encoding(encoding: str | None) -> None:
    """Refuse what is no encoding of text, or one that takes plain text for something else."""
    if encoding is None:
        return
    try:
        written = _TRIED.encode(encoding).replace(b"\0", b"")
        is_plain = written.endswith(_TRIED.encode())
        codecs.getincrementaldecoder(encoding)
    except (LookupError, ValueError):
        is_plain = False
    if not is_plain:
        raise UsageError(
            f'--encoding "{encoding}" is no name of an encoding, such as cp1252, latin-1, utf-16-le'
        )


def _check_pattern(option: str, pattern: str | None) -> None:
    if pattern is None:
        return
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise UsageError(f"{option} {pattern!r} is no regular expression: {error}") from error
    if groups != 1:
        raise UsageError(
            f"{option} {pattern!r} needs one group, such as '([^/]+)$'; (?:...) groups without that"
        )


def _check_names(option: str, names: tuple[str, ...]) -> None:
    seen: set[str] = set()
    for name in names:
        if not name.strip():
            raise UsageError(f"{option} has an empty name")
        if folded(name) in seen:
            raise UsageError(f'{option} names "{name}" twice')
        seen.add(folded(name))
