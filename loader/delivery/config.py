"""``loader.toml``: the databases that are loaded into, and formats of one's own, by name."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from loader.checks import check_fields
from loader.durations import read_age
from loader.errors import UsageError
from loader.reading.known import KnownFormat, all_formats, find_format
from loader.reading.selection import Selection
from loader.settings import PartitionBy, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE_NAME: Final = "loader.toml"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SELECTION: Final = ("types", "sources", "since", "until", "where")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A destination as the file has it.

    Attributes:
        name: what ``--to`` and results call it.
        dsn_env: the environment variable that holds its connection string.
        selection: which events it takes; None for all.
        partition_by: how long its new partitions are; None for what holds without the file.
        retain: for how long it keeps raw events, as PostgreSQL reads it; None for ever.
    """

    name: str
    dsn_env: str
    selection: Selection | None = None
    partition_by: PartitionBy | None = None
    retain: str | None = None

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, kw_only=True)
class Config:
    """All of the file.

    Attributes:
        partition_by: how long new partitions are where nothing else is said.
        entries: the destinations, in the order of the file.
        formats: tables of known formats, by name, as they stand there.
    """

    partition_by: PartitionBy | None = None
    entries: tuple[Entry, ...] = ()
    formats: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fields(self)


def find_config(settings: Settings) -> Config:
    """Read the file of this project, or the one that ``LOADER_CONFIG`` names; there may be none.

    Raises:
        UsageError: as for ``read_config``.
    """
    if settings.config_file is None:
        path = settings.project_dir / FILE_NAME
        return read_config(path) if path.exists() else Config()
    return read_config(settings.config_file)


def find_formats(settings: Settings) -> dict[str, KnownFormat]:
    """Return the formats that are shipped, and those of the file.

    Raises:
        UsageError: the file makes no sense.
    """
    with _at(FILE_NAME):
        return all_formats(find_config(settings).formats)


def known_options(settings: Settings, name: str | None) -> Mapping[str, Any]:
    """Return the options of a known format; none without a name.

    Raises:
        UsageError: there is no such format, or the file makes no sense.
    """
    return {} if name is None else find_format(name, find_formats(settings)).options


def read_config(path: Path) -> Config:
    """Read a file.

    Raises:
        UsageError: it cannot be read, or says something that makes no sense.
    """
    with _at(path):
        try:
            found = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"cannot be read: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"is no TOML: {error}") from error
        _check_keys(found, "partition_by", "destinations", "formats")
        tables, formats = (_tables(found, name) for name in ("destinations", "formats"))
        entries = tuple(_entry(*item) for item in tables.items())
        return Config(**found, entries=entries, formats=formats)


def _tables(found: dict[str, Any], name: str) -> dict[str, Any]:
    tables = found.pop(name, {})
    if not isinstance(tables, dict):
        raise UsageError(f"{name}: is no table; write [{name}.NAME] for each")
    return tables


def _entry(name: str, table: Any) -> Entry:
    with _at(f"destinations.{name}"):
        if not _NAME.fullmatch(name):
            raise UsageError("a name has letters, digits, - and _ only, 63 at most")
        if not isinstance(table, dict):
            raise UsageError(f"is no table; write [destinations.{name}]")
        _check_keys(table, "dsn_env", *_SELECTION, "partition_by", "retain")
        if "dsn_env" not in table:
            raise UsageError("dsn_env: is missing; name an environment variable")
        if not _VARIABLE.fullmatch(str(table["dsn_env"])):
            # Without the value: it may be a connection string, with a password.
            raise UsageError("dsn_env: is not the name of an environment variable")
        if "retain" in table:
            with _at("retain"):
                table["retain"] = read_age(str(table["retain"]))
        wanted = {key: _trimmed(table.pop(key)) for key in _SELECTION if key in table}
        return Entry(name=name, selection=Selection(**wanted) if wanted else None, **table)


def _check_keys(table: dict[str, Any], *known: str) -> None:
    for key in table:
        if key in ("dsn", "url", "password"):
            raise UsageError(
                f"{key}: passwords do not belong in this file; put the connection string into an "
                "environment variable, and name that with dsn_env"
            )
        if key not in known:
            raise UsageError(f"{key}: is not one of {', '.join(known)}")


def _trimmed(value: Any) -> Any:
    if isinstance(value, list):
        return [_trimmed(one) for one in value]
    return value.strip() if isinstance(value, str) else value


@contextmanager
def _at(place: object) -> Iterator[None]:
    """Say of a mistake where it stands."""
    try:
        yield
    except (UsageError, ValueError) as error:
        raise UsageError(f"{place}: {error}") from error
