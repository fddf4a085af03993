"""Destinations: the databases that a command is about, by their names in ``loader.toml``.

The file says what each of them takes and keeps, and has formats of one's own.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from psycopg.conninfo import conninfo_to_dict

from loader.errors import UsageError
from loader.loading.load import prepare_database
from loader.loading.options import LoadOptions
from loader.reading.known import KnownFormat, all_formats, find_format
from loader.reading.mapping import Mapping as Meaning
from loader.reading.selection import Selection
from loader.server.embedded import database_dsn
from loader.settings import PartitionBy, Settings
from loader.settings.checks import fitted
from loader.settings.durations import read_age

FILE_NAME: Final = "loader.toml"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SELECTION: Final = ("types", "sources", "since", "until", "where")


@dataclass(frozen=True, kw_only=True)
class Destination:
    """A database that is loaded into.

    Attributes:
        name: its name in ``loader.toml``; None for the database of ``--dsn``, ``LOADER_DSN`` and so
            on, which is the only one then.
        settings: the environment as it is for this database.
        dsn_env: the environment variable that has its connection string; None where it is not named
            there.
        selection: which events it takes; None for all.
        retain: for how long it keeps raw events; None for ever.
    """

    name: str | None
    settings: Settings
    dsn_env: str | None = None
    selection: Selection | None = None
    retain: str | None = None

    def dsn(self, *, create: bool = False) -> str:
        """Return the conninfo; an embedded server is created only if that is asked for."""
        return database_dsn(self.settings, create=create)

    def prepare(self) -> str:
        """Make the database ready to be loaded into; return its conninfo."""
        dsn = self.dsn(create=True)
        prepare_database(dsn, self.settings.partition_by)
        return dsn

    def mapping(self, mapping: Meaning) -> Meaning:
        """Return how to read an input for this database, which takes a part of what is wanted."""
        if self.selection is None:
            return mapping
        if mapping.selection is None:
            return replace(mapping, selection=self.selection)
        return replace(mapping, selection=replace(self.selection, within=mapping.selection))

    def options(self, options: LoadOptions) -> LoadOptions:
        """Return how to load into this database."""
        # Nobody expects to see what is old in a database that does not keep it.
        return replace(options, leaves_out_old=self.retain is not None)


@dataclass(frozen=True, kw_only=True)
class _Config:
    """What the file says: for all databases, of each in its order, and tables of known formats.

    ``known`` is the name of the format that inputs have where no other is named.
    """

    partition_by: PartitionBy | None = None
    known: str | None = None
    destinations: tuple[Destination, ...] = ()
    formats: Mapping[str, Any] = field(default_factory=dict)


def find_destinations(
    settings: Settings, to: Sequence[str] = (), *, needs_dsn: bool = True
) -> tuple[Destination, ...]:
    """Return the databases to load into: those that are named, or else all, as the file has them.

    They need their connection strings unless nobody is going to connect.
    """
    config = _read_config(settings)
    if not config.destinations or settings.is_dsn_given:
        if to:
            raise UsageError(_without_names(settings))
        size = settings.partition_by or config.partition_by
        return (Destination(name=None, settings=replace(settings, partition_by=size)),)
    known = [str(one.name) for one in config.destinations]
    for name in to:
        if name not in known:
            option = settings.option("to")
            raise UsageError(f'{option} "{name}" is not one of {", ".join(known)} in {FILE_NAME}')
    found = [one for one in config.destinations if not to or one.name in to]
    if needs_dsn:
        _check_set(found)
        _check_different(found)
    secrets = tuple(one.settings.dsn or "" for one in found)
    return tuple(replace(one, settings=replace(one.settings, other_dsns=secrets)) for one in found)


def find_destination(settings: Settings, to: str | None = None) -> Destination:
    """Return the database that is named, or the only one."""
    names = destination_names(settings)
    if to is None and len(names) > 1:
        raise UsageError(
            f"{FILE_NAME} has several databases, each with a ledger of its own; say which one: "
            + " or ".join(settings.option("to", name) for name in names)
        )
    (found,) = find_destinations(settings, () if to is None else (to,))
    return found


def destination_names(settings: Settings) -> tuple[str, ...]:
    """Return the names in ``loader.toml``; none where one database is all there is."""
    if settings.is_dsn_given:
        return ()
    return tuple(str(one.name) for one in _read_config(settings).destinations)


def find_formats(settings: Settings) -> dict[str, KnownFormat]:
    """Return the formats that are shipped, and those of the file."""
    with _at(FILE_NAME):
        return all_formats(_read_config(settings).formats)


def known_options(settings: Settings, name: str | None) -> Mapping[str, Any]:
    """Return the options of a known format; without a name, of the one that the file is about."""
    config = _read_config(settings)
    if name is not None:
        return find_format(name, find_formats(settings)).options
    if config.known is None:
        return {}
    with _at(f"{FILE_NAME}: as"):
        return find_format(config.known, find_formats(settings)).options


def _read_config(settings: Settings) -> _Config:
    """Read the file of this project, or the one that ``LOADER_CONFIG`` names; there may be none."""
    path = settings.config_file or settings.project_dir / FILE_NAME
    if settings.config_file is None and not path.exists():
        return _Config()
    with _at(path):
        found = _read_toml(path)
        _check_keys(found, "partition_by", "as", "destinations", "formats")
        tables, formats = (_tables(found, name) for name in ("destinations", "formats"))
        size = _partition_by(found)
        wanted = replace(settings, partition_by=settings.partition_by or size)
        return _Config(
            partition_by=size,
            known=None if "as" not in found else fitted("as", found["as"], str),
            destinations=tuple(_destination(*item, wanted) for item in tables.items()),
            formats=formats,
        )


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"is no TOML: {error}") from error


def _tables(found: dict[str, Any], name: str) -> dict[str, Any]:
    tables = found.get(name, {})
    if not isinstance(tables, dict):
        raise UsageError(f"{name}: is no table; write [{name}.NAME] for each")
    return tables


def _destination(name: str, table: Any, settings: Settings) -> Destination:
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
        variable: str = fitted("dsn_env", table["dsn_env"], str)
        retain = None
        if "retain" in table:
            with _at("retain"):
                retain = read_age(str(table["retain"]))
        wanted = {key: _trimmed(table[key]) for key in _SELECTION if key in table}
        return Destination(
            name=name,
            settings=replace(
                settings,
                dsn=settings.variables.get(variable) or "",
                dsn_origin=f"{variable} (destination {name})",
                partition_by=_partition_by(table) or settings.partition_by,
            ),
            dsn_env=variable,
            selection=Selection(**wanted) if wanted else None,
            retain=retain,
        )


def _partition_by(table: Mapping[str, Any]) -> PartitionBy | None:
    name = "partition_by"
    return fitted(name, table[name], PartitionBy) if name in table else None


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


def _check_set(destinations: Sequence[Destination]) -> None:
    for one in destinations:
        if not one.settings.dsn:
            raise UsageError(
                f"{FILE_NAME}: destinations.{one.name}.dsn_env: the environment variable "
                f"{one.dsn_env} is not set; set it to the connection string of {one.name}"
            )


def _check_different(destinations: Sequence[Destination]) -> None:
    """Refuse one database under two names: it has one ledger, and would get everything twice."""
    seen: dict[tuple[object, ...], Destination] = {}
    for one in destinations:
        parts = conninfo_to_dict(one.dsn())
        key = tuple(str(parts.get(name)) for name in ("host", "hostaddr", "port", "dbname"))
        if key in seen:
            raise UsageError(
                f"{FILE_NAME}: {seen[key].name} and {one.name} are the same database; each "
                "destination needs one of its own"
            )
        seen[key] = one


def _without_names(settings: Settings) -> str:
    to = settings.option("to")
    if settings.is_dsn_given:
        return f"{settings.dsn_origin} and {to} both say which database; give one of them"
    where = settings.config_file or settings.project_dir / FILE_NAME
    return f"{to}: there are no destinations in {where}; write [destinations.NAME] there"
