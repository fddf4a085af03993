"""``loader.toml``: the databases that are loaded into, by name, and what each takes and keeps."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from loader.durations import read_age
from loader.errors import UsageError
from loader.reading.selection import Selection
from loader.settings import PARTITION_SIZES, PartitionBy

if TYPE_CHECKING:
    from pathlib import Path

FILE_NAME: Final = "loader.toml"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEYS: Final = ("dsn_env", "types", "sources", "since", "until", "partition_by", "retain")


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


@dataclass(frozen=True, kw_only=True)
class Config:
    """All of the file.

    Attributes:
        partition_by: how long new partitions are where nothing else is said.
        entries: the destinations, in the order of the file.
    """

    partition_by: PartitionBy | None = None
    entries: tuple[Entry, ...] = ()


def read_config(path: Path) -> Config:
    """Read a file.

    Raises:
        UsageError: it cannot be read, or says something that makes no sense.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: is no TOML: {error}") from error
    reader = _Reader(path)
    reader.check_keys("", found, ("partition_by", "destinations"))
    tables = found.get("destinations", {})
    if not isinstance(tables, dict):
        raise reader.error("destinations", "is no table; write [destinations.NAME] for each")
    return Config(
        partition_by=reader.size("partition_by", found.get("partition_by")),
        entries=tuple(reader.entry(name, table) for name, table in tables.items()),
    )


class _Reader:
    """Reads values, and says of a wrong one where it stands."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def error(self, key: str, says: str) -> UsageError:
        return UsageError(f"{self._path}: {key}: {says}")

    def check_keys(self, where: str, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
        for key in table:
            if key in ("dsn", "url", "password"):
                raise self.error(
                    f"{where}{key}",
                    "passwords do not belong in this file; put the connection string into an "
                    "environment variable, and name that with dsn_env",
                )
            if key not in known:
                raise self.error(f"{where}{key}", f"is not one of {', '.join(known)}")

    def entry(self, name: str, table: object) -> Entry:
        key = f"destinations.{name}"
        if not _NAME.fullmatch(name):
            raise self.error(key, "a name has letters, digits, - and _ only, 63 at most")
        if not isinstance(table, dict):
            raise self.error(key, f"is no table; write [{key}]")
        self.check_keys(f"{key}.", table, _KEYS)
        variable = table.get("dsn_env")
        if variable is None:
            raise self.error(f"{key}.dsn_env", "is missing; name an environment variable")
        if not isinstance(variable, str) or not _VARIABLE.fullmatch(variable):
            # Without the value: it may be a connection string, with a password.
            raise self.error(f"{key}.dsn_env", "is not the name of an environment variable")
        return Entry(
            name=name,
            dsn_env=variable,
            selection=self._selection(key, table),
            partition_by=self.size(f"{key}.partition_by", table.get("partition_by")),
            retain=self._age(f"{key}.retain", table.get("retain")),
        )

    def size(self, key: str, value: object) -> PartitionBy | None:
        for size in PARTITION_SIZES:
            if value == size:
                return size
        if value is None:
            return None
        raise self.error(key, f"{_shown(value)} is not one of {', '.join(PARTITION_SIZES)}")

    def _selection(self, key: str, table: Mapping[str, Any]) -> Selection | None:
        parts: dict[str, Any] = {
            "types": self._names(f"{key}.types", table.get("types")),
            "sources": self._names(f"{key}.sources", table.get("sources")),
            "since": self._moment(f"{key}.since", table.get("since")),
            "until": self._moment(f"{key}.until", table.get("until")),
        }
        if all(part is None for part in parts.values()):
            return None
        try:
            return Selection(**parts)
        except UsageError as error:
            raise self.error(key, str(error)) from error

    def _names(self, key: str, value: object) -> tuple[str, ...] | None:
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise self.error(key, f'{_shown(value)} is not a list such as ["car", "van"]')
        return tuple(one.strip() for one in value)

    def _moment(self, key: str, value: object) -> datetime | None:
        if value is None or isinstance(value, datetime):
            return value
        raise self.error(key, f"{_shown(value)} is not a time such as 2024-05-13T00:00:00Z")

    def _age(self, key: str, value: object) -> str | None:
        if value is None:
            return None
        if not isinstance(value, str):
            raise self.error(key, f'{_shown(value)} is not an age such as "13months"')
        try:
            return read_age(value)
        except ValueError as error:
            raise self.error(key, str(error)) from error


def _shown(value: object) -> str:
    return f'"{value}"'
