"""The partitions of ``raw.events``: by month, week or day, created when a load needs them."""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, Literal, LiteralString

import numpy as np
import numpy.typing as npt
from psycopg import Connection, errors, sql

from loader.database.layout import Layout, bound, partition_name
from loader.database.locks import INDEX, SCHEMA, lock_for_transaction
from loader.database.queries import query
from loader.database.waiting import now_and_then
from loader.reading.bounds import days_of
from loader.settings import PartitionBy

# Of ten or three years in one load; more of them are rather a wrong time format.
MAX_NEW_PARTITIONS: Final[dict[PartitionBy, int]] = {"month": 120, "week": 520, "day": 1100}

# Name suffix and definition of what every partition has. They are created for each partition, and
# not on the parent, so that those of one partition can be dropped and built again.
#
# The BRIN index is summarized by the loader at the end of a load, and by VACUUM, but not with
# autosummarize: those two cancel autovacuum while it does that, which leaves a placeholder in the
# index, and PostgreSQL then reads every page behind it, forever.
WANTED_INDEXES: dict[str, LiteralString] = {
    "source_time": "(source_id, event_time)",
    "load": "using brin (load_id) with (pages_per_range = 32)",
}
# The one that takes more of the server's time than the rows themselves.
LARGE_INDEX = "source_time"

Indexing = Literal["auto", "keep", "rebuild"]
# A partition gets its large index last when the batch that creates it has so many rows for it: then
# more of them are to come, and PostgreSQL builds an index faster than it inserts into it. See
# benchmarks/indexes.py; with few it makes no difference, and others need not be kept out.
_ROWS_TO_INDEX_LAST: Final[dict[Indexing, float]] = {
    "auto": 20_000,
    "keep": math.inf,
    "rebuild": 0,
}

# How many partitions one transaction creates or drops. Each means half a dozen locks, for which the
# server has a table of 64 for each connection that it allows.
PORTION: Final = 32

# Less than deadlock_timeout, after which PostgreSQL cancels an autovacuum that is in the way. One
# that is cancelled while it summarizes leaves what is described above.
_LOCK_TIMEOUT = "500ms"


class Partitions:
    """The partitions that one load writes to."""

    def __init__(
        self,
        conn: Connection,
        *,
        indexing: Indexing = "keep",
    ) -> None:
        """Use a connection in autocommit mode; see what partitions there are.

        Args:
            conn: the connection.
            indexing: whether new partitions are created without their large index. Whoever fills
                them then calls ``create_missing_indexes`` afterwards, or the next load does.
        """
        self._conn = conn
        self._rows_to_index_last = _ROWS_TO_INDEX_LAST[indexing]
        self.lack_indexes = False
        self.layout = read_layout(conn)
        self.created = 0
        self.rows_by_name: Counter[str] = Counter()

    def prepare(self, event_time: npt.NDArray[np.int64]) -> None:
        """Create the partitions that these times (microseconds since 1970) need."""
        days = days_of(event_time)
        if len(days) == 0:
            return
        first = int(days.min())
        counts = np.bincount(days - first)
        present = np.flatnonzero(counts) + first
        self._ensure(present, days)
        rows = np.bincount(self.layout.owners(present), weights=counts[present - first])
        for place in np.flatnonzero(rows).tolist():
            self.rows_by_name[self.layout.names[place]] += int(rows[place])

    def ensure(self, first: int, end: int) -> list[str]:
        """Create what is missing for some days; return the names of what was created."""
        return self._ensure(np.arange(first, end), np.empty(0, dtype=np.int64))

    def _ensure(self, wanted: npt.NDArray[np.int64], days: npt.NDArray[np.int64]) -> list[str]:
        """Create the partitions that some days lack; return the names of what was created.

        Args:
            wanted: the days.
            days: those of the rows that they are created for, and of others.
        """
        created: list[str] = []
        while len(missing := wanted[self.layout.owners(wanted) < 0]):
            # Some in one transaction: each of them means locks until its end, and to read what
            # there is takes the longer, the more there is.
            with self._conn.transaction():
                lock_for_transaction(self._conn, SCHEMA)
                # What another loader has created meanwhile; nobody creates anything beside us now.
                self.layout = read_layout(self._conn)
                for day in missing.tolist():
                    if self.layout.has(day):
                        continue
                    created.append(self._create_for(day, days))
                    if len(created) % PORTION == 0:
                        break
            self.created += 1
        return created

    def _create_for(self, day: int, days: npt.NDArray[np.int64]) -> str:
        first, end = self.layout.free(day)
        name = partition_name(first, end)
        rows = int(np.count_nonzero((days >= first) & (days < end)))
        comes_last = rows >= self._rows_to_index_last
        self._create(name, first, end, left_out=LARGE_INDEX if comes_last else None)
        self.lack_indexes |= comes_last
        self.layout.add(name, first, end)
        return name

    def _create(self, name: str, first: int, end: int, *, left_out: str | None) -> None:
        table = sql.Identifier("raw", name)
        # Attached afterwards: "create table ... partition of" would wait for every COPY that
        # runs, those of this load among them.
        self._conn.execute(sql.SQL("create table {} (like raw.events including all)").format(table))
        for suffix in WANTED_INDEXES:
            if suffix != left_out:
                _create_index(self._conn, name, suffix)
        self._conn.execute(
            sql.SQL(
                "alter table raw.events attach partition {} for values from ({}) to ({})"
            ).format(table, sql.Literal(bound(first)), sql.Literal(bound(end)))
        )


def read_layout(conn: Connection) -> Layout:
    """Return the partitions there are, and how long new ones shall be."""
    rows = conn.execute("select partition_by from raw.partitioning").fetchone()
    assert rows is not None  # noqa: S101 - the schema comes with this row
    return Layout(rows[0], conn.execute(query("partitions")))


def set_partition_by(conn: Connection, partition_by: PartitionBy | None) -> None:
    """Say, for all loaders of the database, how long new partitions shall be; None: as before."""
    if partition_by is not None:
        conn.execute(
            "update raw.partitioning set partition_by = %(size)s where partition_by <> %(size)s",
            {"size": partition_by},
        )


def create_missing_indexes(conn: Connection) -> int:
    """Create wanted indexes that partitions lack, be it from a crash or because they are new.

    A partition that another loader is filling at this moment is left to the next load.

    Returns:
        how many were created.
    """
    created = 0
    parameters = {"suffixes": list(WANTED_INDEXES)}
    rows = conn.execute(query("missing_indexes"), parameters).fetchall()
    for partition, suffix in rows:
        with _unless_busy(conn):
            # "if not exists" alone does not help two who create it at the same moment.
            lock_for_transaction(conn, INDEX, partition)
            _create_index(conn, partition, suffix)
            created += 1
    return created


def _create_index(conn: Connection, partition: str, suffix: str) -> None:
    conn.execute(
        sql.SQL("create index if not exists {} on {} {}").format(
            sql.Identifier(f"{partition}_{suffix}"),
            sql.Identifier("raw", partition),
            sql.SQL(WANTED_INDEXES[suffix]),
        )
    )


def delete_events(conn: Connection, load_id: int, may_go: Callable[[], bool]) -> int | None:
    """Delete the events of a load that nobody sees.

    Args:
        conn: a connection in autocommit mode.
        load_id: the load.
        may_go: asked at the beginning of each of the transactions that this takes: a delete locks
            all that it looks at, so each deletes from some partitions only.

    Returns:
        how many there were; None when they may not go any more.
    """
    names = conn.execute(
        "select inhrelid::regclass::text from pg_inherits"
        " where inhparent = 'raw.events'::regclass order by 1"
    ).fetchall()
    deleted = 0
    tell = now_and_then()
    for start in range(0, len(names), PORTION):
        tell(f"removed {deleted:,} rows of load {load_id}, from {start} of {len(names)} partitions")
        with conn.transaction():
            if not may_go():
                return None
            for (name,) in names[start : start + PORTION]:
                # With schema and quotes, as search_path finds nothing of ours.
                statement = sql.SQL("delete from {} where load_id = %s").format(sql.SQL(name))
                deleted += conn.execute(statement, [load_id]).rowcount
    return deleted


def tidy_up(conn: Connection, partitions: Partitions, *, have_new_names: bool) -> None:
    """Summarize and analyze what a load has changed, when that is worth its time.

    A small load into a large partition changes no statistics that matter; one that adds a tenth
    does. Autovacuum never analyzes the partitioned parent, so we do, when its rows have grown by
    a fifth: in all, the cost stays proportional to what was loaded.
    """
    names = list(partitions.rows_by_name)
    if not names:
        return
    # Of those that others have created meanwhile, and could not index because we were at it.
    create_missing_indexes(conn)
    with _unless_busy(conn):
        conn.execute(query("summarize"), {"names": names, "suffix": "load"})
    sizes: dict[str, int] = dict(conn.execute(query("partition_sizes"), {"names": names}))
    for name, added in partitions.rows_by_name.items():
        known = sizes.get(name, -1)
        if known <= 0 or added > known * 0.1:
            analyze(conn, name)
    if have_new_names:
        conn.execute("analyze raw.sources, raw.event_types")
    analyze_parent_when_due(conn)


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
    with suppress(errors.LockNotAvailable), conn.transaction():
        conn.execute(f"set local lock_timeout = '{_LOCK_TIMEOUT}'".encode())
        yield


def analyze_parent_when_due(conn: Connection) -> None:
    """Analyze ``raw.events`` itself when its rows have grown by a fifth."""
    row = conn.execute(query("is_parent_analyze_due")).fetchone()
    if row is not None and row[0]:
        # Before 18 it analyzes every partition too, and would wait for each of them.
        only = conn.info.server_version >= 180000
        with _unless_busy(conn):
            conn.execute("analyze only raw.events" if only else "analyze raw.events")
