"""One load: dictionaries, partitions, encoder, copier, publish."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

import psycopg
from psycopg import Connection

from loader.alerting.early_alerts import EarlyAlerts
from loader.database.aftermath import find_load_seq, remove_lost_load
from loader.database.dedupe import create_staging, insert_new_events
from loader.database.dictionaries import Dictionaries, source_gate, type_gate
from loader.database.layout import PartitionBy
from loader.database.ledger import (
    LedgerRow,
    begin_load,
    find_visible,
    publish,
    remove_load,
    staging_name,
)
from loader.database.locks import FINGERPRINT, lock
from loader.database.partitions import (
    MAX_NEW_PARTITIONS,
    Indexing,
    Partitions,
    create_missing_indexes,
    tidy_up,
)
from loader.database.rejects import readable, store_rejects
from loader.database.retention import retained_from
from loader.errors import CommitLostError, DatabaseError, TooManyRejectsError
from loader.loading.copy import Copier
from loader.loading.shards import ShardBy
from loader.loading.totals import Totals, add_batch
from loader.reading.batch import EventBatch
from loader.reading.bounds import Gate
from loader.reading.mapping import Mapping

# More of them are rather a wrong column: a database can number 32,767 types, and the names of a
# load are kept in memory.
MAX_NEW_TYPES = 1_000
MAX_SOURCES = 100_000

# Runs first in the transaction that publishes a load, which fails with it.
InPublication = Callable[[Connection], None]


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """How to load, as opposed to how to read (that is ``Mapping``).

    Attributes:
        dedupe: drop events equal in source, time and type to one that is visible.
        workers: connections to copy over.
        shard_by: what decides which worker copies an event.
        max_rejects: more rejected rows than that, and nothing is loaded; None for any number.
        max_new_partitions: rows that would need more new ones are rejected; None for a number
            that suits their size.
        max_new_types: rows of further types that are new are rejected.
        max_sources: rows of further sources are rejected.
        leaves_out_old: leave out events that are older than what the database retains, instead
            of rejecting them.
        partition_by: how long new partitions of the database shall be from now on; None: as before.
        indexing: whether the partitions that the load creates are indexed when they are full,
            instead of row by row.
        dry_run: read and check everything, write nothing.
    """

    dedupe: bool = False
    workers: int = 2
    shard_by: ShardBy = "source"
    max_rejects: int | None = None
    max_new_partitions: int | None = None
    max_new_types: int = MAX_NEW_TYPES
    max_sources: int = MAX_SOURCES
    leaves_out_old: bool = False
    partition_by: PartitionBy | None = None
    indexing: Indexing = "auto"
    dry_run: bool = False


class Batches(Protocol):
    """Events and rejects to load, as ``Reading`` gives them; iterate once."""

    @property
    def fingerprint(self) -> str | None:
        """Identifies the input, at the latest at its end; None for one that may come again."""
        ...

    @property
    def header(self) -> bytes | None:
        """Header line of the input, if it has one."""
        ...

    def guard(self, gate: Gate) -> None:
        """Reject the rows that this gate refuses; before the first batch."""
        ...

    def __iter__(self) -> Iterator[EventBatch]:
        """Yield them in the order of the input."""
        ...


@dataclass(frozen=True, kw_only=True)
class Published:
    """A load that is visible now."""

    load_seq: int
    totals: Totals


class Pipeline:
    """One load on its way: what it reads becomes visible as a whole, or leaves nothing."""

    def __init__(
        self,
        *,
        conn: Connection,
        dsn: str,
        origin: str,
        mapping: Mapping,
        options: LoadOptions,
        details: dict[str, Any] | None = None,
        in_publication: InPublication | None = None,
        progress: Callable[[Totals], None] = lambda _: None,
        early_alerts: EarlyAlerts | None = None,
    ) -> None:
        self._conn = conn
        self._dsn = dsn
        self._options = options
        self._in_publication = in_publication
        self._progress = progress
        self.load_id = begin_load(conn, origin, mapping.described() | (details or {}))
        self._watch = (
            None
            if early_alerts is None
            else early_alerts.watch(conn, self.load_id, is_deduped=options.dedupe)
        )
        self._dictionaries = Dictionaries(conn)
        self._partitions = Partitions(conn, indexing=options.indexing)
        self._copier = Copier(
            dsn,
            table=staging_name(self.load_id) if options.dedupe else "events",
            load_id=self.load_id,
            has_attributes=bool(mapping.attributes),
            workers=options.workers,
            shard_by=options.shard_by,
        )

    def run(self, batches: Batches) -> Published | LedgerRow:
        """Copy everything and publish; or return the load that has the same input already."""
        try:
            outcome = self._copy_and_publish(batches)
        except BaseException:
            self._discard()
            raise
        if isinstance(outcome, LedgerRow):
            self._discard()
        return outcome

    def _copy_and_publish(self, batches: Batches) -> Published | LedgerRow:
        totals = Totals()
        layout = self._partitions.layout
        max_new = self._options.max_new_partitions
        if max_new is None:
            max_new = MAX_NEW_PARTITIONS[layout.partition_by]
        batches.guard(
            Gate(
                layout,
                max_new,
                retained_from(self._conn, self.load_id),
                types=type_gate(self._conn, self._options.max_new_types),
                sources=source_gate(self._options.max_sources),
                leaves_out_old=self._options.leaves_out_old,
            )
        )
        if self._options.dedupe:
            create_staging(self._conn, self.load_id)
        with self._copier as copier:
            for batch in batches:
                if batch.rejects:
                    store_rejects(self._conn, self.load_id, batch.rejects)
                before = totals.rows_loaded
                totals = add_batch(totals, batch)
                check_rejects(totals, self._options)
                if batch.events.num_rows:
                    first = before if self._options.dedupe else None
                    rows = self._dictionaries.rows_of(batch.events, first)
                    self._partitions.prepare(rows.event_time)
                    copier.put(rows, self._partitions.created)
                    if self._watch is not None:
                        self._watch.see(rows)
                self._progress(totals)
            copier.finish()
        if self._partitions.lack_indexes:
            create_missing_indexes(self._conn)
        fingerprint = batches.fingerprint
        if fingerprint is not None:
            visible = lock_and_find(self._conn, fingerprint)
            if visible is not None:
                return visible
        if self._options.dedupe:
            inserted = insert_new_events(self._conn, self.load_id)
            totals = replace(
                totals,
                rows_loaded=inserted.rows,
                rows_duplicate=totals.rows_loaded - inserted.rows,
                first_event_at=inserted.first_event_at,
                last_event_at=inserted.last_event_at,
            )
        header = None if batches.header is None else readable(batches.header)
        return Published(load_seq=self._publish(totals, fingerprint, header), totals=totals)

    def _publish_too(self) -> None:
        # Before anything waits: whoever is too late learns it here.
        if self._in_publication is not None:
            self._in_publication(self._conn)
        if self._watch is not None:
            self._watch.settle()

    def _publish(self, totals: Totals, fingerprint: str | None, header: str | None) -> int:
        try:
            return publish(
                self._conn,
                self.load_id,
                totals,
                fingerprint,
                header=header,
                first=self._publish_too,
            )
        except CommitLostError as error:
            load_seq = find_load_seq(self._dsn, self.load_id)
            if load_seq is None:
                raise DatabaseError(
                    f"the server went away before load {self.load_id} was visible, and it never "
                    "will be; run the same command again"
                ) from error
            return load_seq

    def _discard(self) -> None:
        """Remove what there is of the load; what the server does not let us, the next run does."""
        # What went wrong here must not hide what went wrong before.
        with suppress(psycopg.Error):
            if not self._conn.closed:
                has_events = self._copier.may_have_committed
                remove_load(self._conn, self.load_id, has_events=has_events)
                if self._partitions.lack_indexes:
                    create_missing_indexes(self._conn)
        if self._conn.closed:
            remove_lost_load(self._dsn, self.load_id)

    def tidy_up(self) -> None:
        """Keep statistics and indexes useful after the load.

        Whatever happens here, the load is visible, so it did not fail; the next load makes up
        for it.
        """
        with suppress(psycopg.Error):
            tidy_up(self._conn, self._partitions, have_new_names=self._dictionaries.have_new_names)


def check_rejects(totals: Totals, options: LoadOptions) -> None:
    """Raise ``TooManyRejectsError`` when there are more than the user allows."""
    if options.max_rejects is not None and totals.rows_rejected > options.max_rejects:
        raise TooManyRejectsError(
            f"more than {options.max_rejects} rows are rejected (--max-rejects); nothing was "
            "loaded; to see them: loader load without --max-rejects, then loader rejects"
        )


def lock_and_find(conn: Connection, fingerprint: str) -> LedgerRow | None:
    """Wait for a loader that is busy with the same input, then see whether it is loaded."""
    lock(conn, FINGERPRINT, fingerprint)
    return find_visible(conn, fingerprint)
