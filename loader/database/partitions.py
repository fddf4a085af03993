"""The partitions of ``raw.event_chunks``: by month, week or day, created when a load needs them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

import numpy as np
import numpy.typing as npt
from psycopg import Connection, errors, sql

from loader.database.citus import (
    and_may_move,
    ask_where_chunks_are,
    keep_partitions,
    wait_for_writers,
)
from loader.database.locks import SCHEMA, lock_for_transaction, short_try
from loader.database.queries import query, template, value, values
from loader.database.waiting import now_and_then
from loader.reading.partition_days import PartitionDays, bound, days_of, partition_name
from loader.settings import PartitionBy

# PostgreSQL compresses rows of more than 2 kB, which takes longer than all the rest of a load;
# chunks of so many events are smaller, but for their attributes.
EVENTS_PER_CHUNK: Final = 180

# Of ten or three years in one load; more of them are rather a wrong time format.
MAX_NEW_PARTITIONS: Final[dict[PartitionBy, int]] = {"month": 120, "week": 520, "day": 1100}

# How many partitions one transaction creates or drops. Each means half a dozen locks, for which the
# server has a table of 64 for each connection that it allows.
PORTION: Final = 16

# Of the arrays, which ANALYZE takes long for; a partition does not inherit that.
_KEEP_NO_STATISTICS: Final = (
    "alter event_times set statistics 0, alter event_type_ids set statistics 0,"
    " alter attributes set statistics 0, alter load_ids set statistics 0"
)


class Partitions:
    """The partitions that one load writes to."""

    def __init__(self, conn: Connection) -> None:
        """Use a connection in autocommit mode; see what partitions there are."""
        self._conn = conn
        self.by_day = read_partitions(conn)
        self.created = 0
        self.written: set[str] = set()

    def prepare(self, event_time: npt.NDArray[np.int64]) -> None:
        """Create the partitions that these times (microseconds since 1970) need."""
        days = days_of(event_time)
        first = days.min()
        present = np.flatnonzero(np.bincount(days - first)) + first
        self._ensure(present)
        owners = np.unique(self.by_day.owners(present)).tolist()
        self.written |= {self.by_day.names[place] for place in owners}

    def lack(self, event_time: npt.NDArray[np.int64]) -> bool:
        """Tell whether some of these times have no partition yet."""
        return bool((self.by_day.owners(np.unique(days_of(event_time))) < 0).any())

    def ensure(self, first: int, end: int) -> list[str]:
        """Create what is missing for some days; return the names of what was created."""
        return self._ensure(np.arange(first, end))

    def _ensure(self, wanted: npt.NDArray[np.int64]) -> list[str]:
        """Create the partitions that some days lack; return the names of what was created."""
        created: list[str] = []
        while len(missing := wanted[self.by_day.owners(wanted) < 0]):
            # Some in one transaction: each of them means locks until its end, and to read what
            # there is takes the longer, the more there is.
            with self._conn.transaction():
                lock_for_transaction(self._conn, SCHEMA)
                wait_for_writers(self._conn)
                # What another loader has created meanwhile; nobody creates anything beside us now.
                self.by_day = read_partitions(self._conn)
                for day in missing.tolist():
                    if self.by_day.has(day):
                        continue
                    created.append(self._create_for(day))
                    if len(created) % PORTION == 0:
                        break
            self.created += 1
        return created

    def _create_for(self, day: int) -> str:
        first, end = self.by_day.free(day)
        name = partition_name(first, end)
        bounds = sql.SQL("for values from ({}) to ({})").format(bound(first), bound(end))
        create_partition(self._conn, "event_chunks", name, bounds)
        self.by_day.add(name, first, end)
        return name


def create_partition(conn: Connection, parent: str, name: str, bounds: sql.Composable) -> None:
    """Create a partition of a table of chunks.

    It is attached afterwards: "create table ... partition of" would wait for every COPY that runs,
    those of this load among them. Indexes of the same definition are attached with it.
    """
    for statement in (
        "create table {table} (like {parent} including all)",
        f"alter table {{table}} {_KEEP_NO_STATISTICS}{and_may_move(conn)}",
        "alter table {parent} attach partition {table} {bounds}",
    ):
        table, of = sql.Identifier("raw", name), sql.Identifier("raw", parent)
        conn.execute(sql.SQL(statement).format(table=table, parent=of, bounds=bounds))


def read_partitions(conn: Connection) -> PartitionDays:
    """Return the partitions there are, and how long new ones shall be."""
    partition_by: PartitionBy = value(conn, "select partition_by from raw.partitioning")
    return PartitionDays(partition_by, conn.execute(about_partitions("partitions")))


def about_partitions(name: str) -> sql.Composed:
    """Return a statement that asks for the bounds of partitions."""
    return template(name).format(partition_bounds=template("partition_bounds"))


def set_partition_by(conn: Connection, partition_by: PartitionBy | None) -> None:
    """Say, for all loaders of the database, how long new partitions shall be; None: as before."""
    if partition_by is not None:
        conn.execute(
            "update raw.partitioning set partition_by = %(size)s where partition_by <> %(size)s",
            {"size": partition_by},
        )


_OF_ONE_LOAD: Final = {
    "load_id": sql.SQL("load_id"),
    "load_ids": sql.SQL("null::bigint []"),
    "apart": sql.SQL("load_id"),
}
_OF_SEVERAL_LOADS: Final = {
    "load_id": sql.SQL("(array_agg(load_id order by load_seq desc))[1]"),
    "load_ids": sql.SQL(
        "case when min(load_id) < max(load_id) then array_agg(load_id order by position_in_day) end"
    ),
    "apart": sql.SQL("is_apart"),
}


def insert_chunks(table: str, *, mixes_loads: bool = False) -> sql.Composed:
    """Return the part of a statement that makes chunks of events, in a table of schema raw."""
    return template("chunks_of_placed").format(
        chunks=sql.Identifier("raw", table),
        most_events=sql.Literal(EVENTS_PER_CHUNK),
        **(_OF_SEVERAL_LOADS if mixes_loads else _OF_ONE_LOAD),
    )


def delete_events(conn: Connection, load_id: int, may_go: Callable[[], bool]) -> int | None:
    """Delete the chunks of a load that nobody sees.

    Args:
        conn: a connection in autocommit mode.
        load_id: the load.
        may_go: asked at the beginning of each of the transactions that this takes: a delete locks
            all that it looks at, so each deletes from some partitions only.

    Returns:
        how many events there were; None when they may not go any more.
    """
    names = values(
        conn,
        "select inhrelid::regclass::text from pg_inherits"
        " where inhparent = 'raw.event_chunks'::regclass order by 1",
    )
    deleted = 0
    tell = now_and_then()
    for start in range(0, len(names), PORTION):
        tell(f"removed {deleted:,} rows of load {load_id}, from {start} of {len(names)} partitions")
        with conn.transaction():
            keep_partitions(conn)
            if not may_go():
                return None
            for name in names[start : start + PORTION]:
                # With schema and quotes, as search_path finds nothing of ours.
                statement = template("delete_events").format(partition=sql.SQL(name))
                deleted += value(conn, statement, [load_id])
    return deleted


def tidy_up(conn: Connection, partitions: Partitions, *, have_new_names: bool) -> None:
    """Analyze what a load has changed, when that is worth its time.

    A small load into a large partition changes no statistics that matter; one that adds a tenth
    does. Autovacuum never analyzes the partitioned parent, so we do, when its chunks have grown by
    a fifth: in all, the cost stays proportional to what was loaded.
    """
    if not partitions.written:
        return
    written = sql.Literal(list(partitions.written))
    for (name,) in ask_where_chunks_are(conn, "partitions_grown", names=written):
        analyze(conn, name)
    if have_new_names:
        conn.execute("analyze raw.sources, raw.event_types")
    analyze_parent_when_due(conn)
    if value(conn, query("is_ledger_analyze_due")):
        with _unless_busy(conn):
            conn.execute("analyze raw.loads")


def analyze(conn: Connection, partition: str) -> bool:
    """Analyze a partition, unless somebody is at it; return whether that was done."""
    with _unless_busy(conn):
        conn.execute(sql.SQL("analyze {}").format(sql.Identifier("raw", partition)))
        return True
    return False


@contextmanager
def _unless_busy(conn: Connection) -> Iterator[None]:
    """Run statements in a transaction, and give them up when they would have to wait.

    Whoever has the partition is loading into it or maintaining it; the next load, or the next
    maintenance, makes up for what was left.
    """
    with suppress(errors.LockNotAvailable), short_try(conn):
        yield


def analyze_parent_when_due(conn: Connection) -> None:
    """Analyze ``raw.event_chunks`` itself when its chunks have grown by a fifth."""
    if (True,) in ask_where_chunks_are(conn, "is_parent_analyze_due"):
        # Before 18 it analyzes every partition too, and would wait for each of them.
        only = conn.info.server_version >= 180000
        with _unless_busy(conn):
            conn.execute("analyze only raw.event_chunks" if only else "analyze raw.event_chunks")
