"""The steps of a load that stands in the ledger; ``load_batches`` takes one after the other."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import psycopg
from psycopg import Connection

from loader.database.citus import is_distributed
from loader.database.dedupe import create_staging, insert_new_events
from loader.database.ledger import (
    find_load_seq,
    publish,
    remove_load,
    remove_lost_load,
    staging_name,
)
from loader.database.names_to_ids import source_bounds, type_bounds
from loader.database.partitions import MAX_NEW_PARTITIONS, Partitions, tidy_up
from loader.database.rejects import store_rejects
from loader.database.retention import retained_from
from loader.errors import CommitLostError, DatabaseError
from loader.loading.copy import Copier
from loader.loading.encode import Encoder
from loader.loading.observer import Observer
from loader.loading.options import LoadOptions
from loader.reading.batch import EventBatch, Totals
from loader.reading.bounds import Bounds


@dataclass(kw_only=True, eq=False, repr=False)
class Load:
    """A load that stands in the ledger, and is not visible yet."""

    conn: Connection
    dsn: str
    load_id: int
    options: LoadOptions
    observers: Sequence[Observer]

    def __post_init__(self) -> None:
        self._encoder = Encoder(self.conn)
        self._partitions = Partitions(self.conn)
        # On a cluster, what is copied is committed every now and then.
        self._may_have_events = is_distributed(self.conn)

    def begin(self) -> Bounds:
        """Tell observers; return what rejects rows that are old, or bring too many names."""
        options, by_day = self.options, self._partitions.by_day
        for observer in self.observers:
            observer.begin(self.conn, self.load_id, is_deduped=options.dedupe)
        max_new = options.max_new_partitions
        return Bounds(
            by_day,
            MAX_NEW_PARTITIONS[by_day.partition_by] if max_new is None else max_new,
            retained_from(self.conn, self.load_id),
            types=type_bounds(self.conn, options.max_new_types),
            sources=source_bounds(options.max_sources),
            leaves_out_old=options.leaves_out_old,
        )

    def copier(self, *, has_attributes: bool) -> Copier:
        """Return what copies events over several connections, beside the rows if deduped."""
        if self.options.dedupe:
            create_staging(self.conn, self.load_id)
        return Copier(
            dsn=self.dsn,
            table=staging_name(self.load_id) if self.options.dedupe else "event_chunks",
            load_id=self.load_id,
            has_attributes=has_attributes,
            workers=self.options.workers,
            shard_by=self.options.shard_by,
        )

    def take(self, batch: EventBatch, copier: Copier, before: int) -> None:
        """Keep the rejects of a batch, and copy its events, before which there were so many."""
        if batch.rejects:
            store_rejects(self.conn, self.load_id, batch.rejects)
        if not batch.events.num_rows:
            return
        rows = self._encoder.rows_of(batch.events, before if self.options.dedupe else None)
        if is_distributed(self.conn) and self._partitions.lack(rows.event_time):
            # Citus adds no partition beside what writes into others.
            copier.commit()
        self._partitions.prepare(rows.event_time)
        copier.put(rows, self._partitions.created)
        for observer in self.observers:
            observer.see(rows)

    def finish(self, copier: Copier) -> None:
        """Commit what was copied; it is not visible yet."""
        self._may_have_events = True
        copier.finish()

    def drop_duplicates(self, totals: Totals) -> Totals:
        """With ``--dedupe exact``: keep of the copied events those that are not visible already."""
        if not self.options.dedupe:
            return totals
        rows, first, last = insert_new_events(self.conn, self.load_id, totals.rows_loaded)
        return replace(
            totals,
            rows_loaded=rows,
            rows_duplicate=totals.rows_loaded - rows,
            first_event_at=first,
            last_event_at=last,
        )

    def publish(self, totals: Totals, fingerprint: str | None, header: str | None) -> int:
        """Make the load visible, with what observers write; return its ``load_seq``."""

        def settle() -> None:
            for observer in self.observers:
                observer.settle()

        try:
            return publish(
                self.conn, self.load_id, totals, fingerprint, header=header, first=settle
            )
        except CommitLostError as error:
            load_seq = find_load_seq(self.dsn, self.load_id)
            if load_seq is None:
                raise DatabaseError(
                    f"the server went away before load {self.load_id} was visible, and it never "
                    "will be; run the same command again"
                ) from error
            return load_seq

    def discard(self) -> None:
        """Remove what there is of the load; what the server does not let us, the next run does."""
        # What went wrong here must not hide what went wrong before.
        with suppress(psycopg.Error):
            if not self.conn.closed:
                remove_load(self.conn, self.load_id, has_events=self._may_have_events)
        if self.conn.closed:
            remove_lost_load(self.dsn, self.load_id)

    def tidy_up(self) -> None:
        """Tell observers, and keep statistics useful; if that fails, the next load does it."""
        for observer in self.observers:
            observer.published(self.load_id)
        with suppress(psycopg.Error):
            new_names = self._encoder.have_new_names
            tidy_up(self.conn, self._partitions, have_new_names=new_names)
