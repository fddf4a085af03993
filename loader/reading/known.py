"""Known formats: how to read what a project writes, as options under a name.

A format is data: a table whose keys are the names of options. Those that are shipped are the files
in ``formats/``; others stand in ``loader.toml``.
"""

import json
import shlex
import tomllib
from collections import abc
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import datetime
from difflib import get_close_matches
from functools import cache
from importlib import resources
from typing import Any, Final

from loader.errors import InputError, UsageError
from loader.reading.mapping import Mapping
from loader.reading.selection import Condition, Selection

_SELECTING: Final = tuple(field.name for field in fields(Selection) if field.name != "within")
# What a format can say, and what the command line and programs call it.
OPTIONS: Final = (
    *(field.name for field in fields(Mapping) if field.name != "selection"),
    *_SELECTING,
)
# Each of these says the same in another way, so the last word counts; a pattern is of a column.
_ONE_OF: Final = (("type", "type_column"), ("source", "source_column", "source_from_path"))
_TEXTS: Final = ("about", "see", "note")


@dataclass(frozen=True, kw_only=True)
class KnownFormat:
    """Options under a name.

    Attributes:
        name: what ``--as`` calls it.
        options: names of options, as ``Mapping`` and ``Selection`` have them -> values.
        about: what is written so, in one line.
        see: where the project itself describes it.
        note: what there is to know, such as what the options cannot say.
        is_shipped: whether it came with the loader.
    """

    name: str
    options: abc.Mapping[str, Any]
    about: str = ""
    see: str = ""
    note: str = ""
    is_shipped: bool = False


def mapping_of(*layers: abc.Mapping[str, Any]) -> Mapping:
    """Return how to read an input, of options of which the later layers win, or raise UsageError.

    Renamings of types add up, and so do conditions on several columns.
    """
    options = _combined(*layers)
    _check_known(options)
    selecting = {name: options.pop(name) for name in _SELECTING if name in options}
    return Mapping(**options, selection=Selection(**selecting) if selecting else None)


@cache
def shipped_formats() -> abc.Mapping[str, KnownFormat]:
    """Return the formats that come with the loader, by name."""
    found = {}
    for file in resources.files(__package__).joinpath("formats").iterdir():
        name, _, ending = file.name.rpartition(".")
        if ending == "toml":
            found[name] = _format(name, tomllib.loads(file.read_text("utf-8")), {}, shipped=True)
    return dict(sorted(found.items()))


def all_formats(own: abc.Mapping[str, Any]) -> dict[str, KnownFormat]:
    """Return the formats that are shipped and those of ``loader.toml``, which win.

    ``own`` are the tables of the file, by name; one may begin with those above it. UsageError: one
    makes no sense; it says where, and what to do.
    """
    found = dict(shipped_formats())
    for name, table in own.items():
        try:
            if not isinstance(table, abc.Mapping):
                raise UsageError(f"is no table; write [formats.{name}]")
            found[name] = _format(name, table, found)
            mapping_of(found[name].options)
        except UsageError as error:
            raise UsageError(f"formats.{name}: {error}") from error
    return found


def find_format(name: str, formats: abc.Mapping[str, KnownFormat]) -> KnownFormat:
    """Return the format of this name, or raise UsageError."""
    if name not in formats:
        raise UsageError(f'"{name}" is no known format{_meant(name, formats)}; see: loader formats')
    return formats[name]


def as_toml(known: KnownFormat, texts: abc.Iterable[str] = _TEXTS) -> str:
    """Return a format as it may stand in ``loader.toml``, with what these say of it."""
    said = {key: getattr(known, key) for key in texts if getattr(known, key)}
    pairs = (f"{key} = {_toml(value)}" for key, value in (said | dict(known.options)).items())
    return "\n".join([f"[formats.{known.name}]", *pairs])


def load_command(path: str, options: abc.Mapping[str, Any]) -> str:
    """Return the command that loads a file with these options."""
    found = ["loader", "load", f"./{path}" if path.startswith("-") else path]
    for name, value in options.items():
        match value:
            case abc.Mapping():
                values = [f"{key}={one}" for key, one in value.items()]
            case list() | tuple():
                values = list(value) if name == "where" else [",".join(value)]
            case _:
                values = [str(value)]
        found += [word for one in values for word in (f"--{name.replace('_', '-')}", one)]
    return shlex.join(found)


def options_again(described: abc.Mapping[str, Any], path: str) -> dict[str, Any]:
    """Return the options with which rows of a load are read from another file.

    ``described`` is the mapping of the load, as the ledger has it, ``path`` where the rows came
    from.
    """
    usual = json.loads(json.dumps(Mapping().described()))
    all_of_it = {**described, **(described.get("selection") or {})}
    options = {
        name: all_of_it[name]
        for name in OPTIONS
        if all_of_it.get(name) is not None and all_of_it[name] != usual.get(name)
    }
    pattern = options.pop("source_from_path", None)
    with suppress(InputError):
        of_file = Mapping(delimiter=options.get("delimiter"), source_from_path=pattern).of_file(
            path
        )
        told = {"delimiter": of_file.delimiter, "source": of_file.source}
        options |= {name: one for name, one in told.items() if one is not None}
    return options


def _format(
    name: str,
    table: abc.Mapping[str, Any],
    known: abc.Mapping[str, KnownFormat],
    *,
    shipped: bool = False,
) -> KnownFormat:
    options = {key.replace("-", "_"): value for key, value in table.items()}
    texts = {key: options.pop(key) for key in _TEXTS if key in options}
    begun = options.pop("from", None)
    _check_known(options)
    for key, value in texts.items():
        if not isinstance(value, str):
            raise UsageError(f"{key}: {value!r} is not a text")
    if begun is not None:
        base = find_format(str(begun), known)
        options = _combined(base.options, options)
        texts = {key: getattr(base, key) for key in _TEXTS} | texts
    return KnownFormat(name=name, options=options, **texts, is_shipped=shipped)


def _check_known(options: abc.Iterable[str]) -> None:
    for name in options:
        if name not in OPTIONS:
            raise UsageError(
                f"{name}: is no option that says how to read{_meant(name, OPTIONS)}; there are "
                f"{', '.join(OPTIONS)}; of a format also from, {', '.join(_TEXTS)}"
            )


def _combined(*layers: abc.Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for layer in layers:
        for group in _ONE_OF:
            if not layer.keys().isdisjoint(group):
                for name in (*group, f"{group[0]}_pattern"):
                    found.pop(name, None)
        before, found = found, found | dict(layer)
        # These add up: a type that is renamed, a column that is compared, takes away no other.
        match before.get("type_map"), layer.get("type_map"):
            case abc.Mapping() as old, abc.Mapping() as new:
                found["type_map"] = {**old, **new}
        match before.get("where"), layer.get("where"):
            case list() | tuple() as first, list() | tuple() as second:
                columns = {Condition.read(str(one)).column for one in second}
                kept = [one for one in first if Condition.read(str(one)).column not in columns]
                found["where"] = [*kept, *second]
    return found


def _meant(name: str, known: abc.Iterable[str]) -> str:
    close = get_close_matches(name, known, 1)
    return f' (did you mean "{close[0]}"?)' if close else ""


def _toml(value: Any) -> str:
    if isinstance(value, abc.Mapping):
        pairs = (f"{_toml(key)} = {_toml(one)}" for key, one in value.items())
        return f"{{ {', '.join(pairs)} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return value.isoformat() if isinstance(value, datetime) else json.dumps(value)
