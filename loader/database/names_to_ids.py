"""Names to ids: the tables ``raw.sources`` and ``raw.event_types``."""

from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg import Connection, Cursor, sql

from loader.database.queries import query, template
from loader.errors import InputError
from loader.reading.bounds import NameBounds

_COLUMNS: Final = {
    "sources": ("source_name", "source_id"),
    "event_types": ("event_type", "event_type_id"),
}


class NamesToIds:
    """One of the two tables: ids of names, remembered, and given to new names.

    New names are committed at once, in a transaction of their own, so that several loaders
    never wait for each other's load. A name whose load then fails stays, and harms nobody.
    """

    def __init__(self, conn: Connection, table: Literal["sources", "event_types"]) -> None:
        """Take one of them, over a connection in autocommit mode."""
        self._conn = conn
        self._table = table
        name, number = _COLUMNS[table]
        self._parts = {
            "table": sql.Identifier("raw", table),
            "name": sql.Identifier(name),
            "number": sql.Identifier(number),
        }
        self._ids: dict[str, int] = {}
        self.has_new_names = False

    def ids_of(self, column: Any) -> npt.NDArray[np.int64]:
        """Return the ids of the names in a dictionary-encoded column without nulls."""
        names: list[str] = column.dictionary.to_pylist()
        indices: npt.NDArray[np.int32] = column.indices.to_numpy(zero_copy_only=False)
        if any(name not in self._ids for name in names):
            # Those that only rejected rows had are still in the dictionary of the column.
            used = [names[place] for place in np.unique(indices).tolist()]
            unknown = [name for name in used if name not in self._ids]
            if unknown:
                self._learn(unknown)
        # A name that no row has needs no number.
        ids = np.fromiter((self._ids.get(name, 0) for name in names), np.int64, count=len(names))
        return np.take(ids, indices)

    def _learn(self, names: list[str]) -> None:
        # Looked up before they are inserted: an insert that meets a conflict uses up an id.
        self._look_up(names)
        missing = [name for name in names if name not in self._ids]
        if not missing:
            return
        try:
            # Sorted, so that two loaders with the same new names cannot deadlock.
            self._execute("add_names", sorted(missing))
        except psycopg.errors.SequenceGeneratorLimitExceeded:
            raise InputError(
                f"more different values than raw.{self._table} can number; is the right column "
                "mapped? see: --type-column, --source-column"
            ) from None
        self.has_new_names = True
        self._look_up(missing)

    def _look_up(self, names: list[str]) -> None:
        self._ids.update(self._execute("find_names", names))

    def _execute(self, statement: str, names: list[str]) -> Cursor:
        return self._conn.execute(template(statement).format(**self._parts), {"names": names})


def type_bounds(conn: Connection, max_new: int) -> NameBounds:
    """Let a load bring so many new types, as far as ``raw.event_types`` can number them."""
    row = conn.execute(query("event_type_room")).fetchone()
    known, room = row or ([], 0)
    if room < max_new:
        why = "is a new type, and raw.event_types cannot number any more; is --type-column right?"
    else:
        why = (
            f"is a new type, and this load has brought {max_new:,} of them before; is "
            "--type-column right? If it is: --max-new-types"
        )
    return NameBounds(known, min(room, max_new), why)


def source_bounds(most: int) -> NameBounds:
    """Let a load have so many sources; their names are kept in memory until its end."""
    why = (
        f"is one source more than the {most:,} that a load may have; is --source-column right? "
        "If it is: --max-sources"
    )
    return NameBounds((), most, why)
