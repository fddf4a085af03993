"""Destinations: the databases that a command is about, with what each of them takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from psycopg.conninfo import conninfo_to_dict

from loader.database.connection import database_dsn
from loader.delivery.config import FILE_NAME, Config, Entry, find_config
from loader.errors import UsageError
from loader.loading.load import prepare_database

if TYPE_CHECKING:
    from loader.loading.options import LoadOptions
    from loader.reading.mapping import Mapping
    from loader.reading.selection import Selection
    from loader.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Destination:
    """A database that is loaded into.

    Attributes:
        name: its name in ``loader.toml``; None for the database of ``--dsn``, ``LOADER_DSN`` and so
            on, which is the only one then.
        settings: the environment as it is for this database.
        selection: which events it takes; None for all.
        retain: for how long it keeps raw events; None for ever.
    """

    name: str | None
    settings: Settings
    selection: Selection | None = None
    retain: str | None = None

    def dsn(self, *, create: bool = False) -> str:
        """Return the conninfo to connect with.

        Args:
            create: whether the embedded server is to be created where there is none.

        Raises:
            UsageError: the connection string cannot be read.
            ServerError: there is no embedded server, or it cannot be started.
        """
        return database_dsn(self.settings, create=create)

    def prepare(self) -> str:
        """Make the database ready to be loaded into; return its conninfo.

        Raises:
            DatabaseError: it cannot be reached.
            psycopg.Error: it fails, or refuses us.
        """
        dsn = self.dsn(create=True)
        prepare_database(dsn, self.settings.partition_by)
        return dsn

    def mapping(self, mapping: Mapping) -> Mapping:
        """Return how to read an input for this database, which takes a part of what is wanted."""
        if self.selection is None:
            return mapping
        if mapping.selection is None:
            return replace(mapping, selection=self.selection)
        return replace(mapping, selection=replace(self.selection, within=mapping.selection))

    def options(self, options: LoadOptions) -> LoadOptions:
        """Return how to load into this database."""
        return replace(
            options,
            partition_by=self.settings.partition_by,
            # Nobody expects to see what is old in a database that does not keep it.
            leaves_out_old=self.retain is not None,
        )


def find_destinations(
    settings: Settings, to: Sequence[str] = (), *, needs_dsn: bool = True
) -> tuple[Destination, ...]:
    """Return the databases to load into: those that are named, or else all.

    Args:
        settings: the environment.
        to: names; in the order of the file, not in that of these.
        needs_dsn: whether anybody is going to connect.

    Raises:
        UsageError: the file makes no sense, has no such name, or a variable that it names is not
            set.
    """
    config = find_config(settings)
    if not config.entries or settings.is_dsn_given:
        if to:
            raise UsageError(_without_names(settings))
        size = settings.partition_by or config.partition_by
        return (Destination(name=None, settings=replace(settings, partition_by=size)),)
    known = [entry.name for entry in config.entries]
    for name in to:
        if name not in known:
            option = settings.option("to")
            raise UsageError(f'{option} "{name}" is not one of {", ".join(known)} in {FILE_NAME}')
    chosen = [entry for entry in config.entries if not to or entry.name in to]
    found = tuple(_resolve(entry, settings, config, needs_dsn=needs_dsn) for entry in chosen)
    if needs_dsn:
        _check_different(found)
    secrets = tuple(one.settings.dsn or "" for one in found)
    return tuple(replace(one, settings=replace(one.settings, other_dsns=secrets)) for one in found)


def find_destination(settings: Settings, to: str | None = None) -> Destination:
    """Return the database that is named, or the only one.

    Raises:
        UsageError: as for ``find_destinations``, or there are several and none is named.
    """
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
    return tuple(entry.name for entry in find_config(settings).entries)


def _resolve(entry: Entry, settings: Settings, config: Config, *, needs_dsn: bool) -> Destination:
    dsn = settings.variables.get(entry.dsn_env)
    if not dsn and needs_dsn:
        raise UsageError(
            f"{FILE_NAME}: destinations.{entry.name}.dsn_env: the environment variable "
            f"{entry.dsn_env} is not set; set it to the connection string of {entry.name}"
        )
    return Destination(
        name=entry.name,
        settings=replace(
            settings,
            dsn=dsn or "",
            dsn_origin=f"{entry.dsn_env} (destination {entry.name})",
            partition_by=entry.partition_by or settings.partition_by or config.partition_by,
        ),
        selection=entry.selection,
        retain=entry.retain,
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
