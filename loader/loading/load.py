"""A load: what happens to an input on its way from bytes to events that are visible."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Protocol

import psycopg
from psycopg import Connection

from loader.database.citus import is_distributed
from loader.database.connection import connect, require_writable
from loader.database.dedupe import create_staging, insert_new_events
from loader.database.dictionaries import source_gate, type_gate
from loader.database.ledger import (
    LedgerRow,
    begin_load,
    find_load_seq,
    find_visible,
    mend_numbers,
    publish,
    remove_crashed_loads,
    remove_load,
    remove_lost_load,
    staging_name,
)
from loader.database.locks import FINGERPRINT, lock
from loader.database.partitions import MAX_NEW_PARTITIONS, Partitions, set_partition_by, tidy_up
from loader.database.rejects import readable, store_rejects
from loader.database.retention import retained_from
from loader.database.schema import ensure_schema
from loader.errors import CommitLostError, DatabaseError, TooManyRejectsError
from loader.loading.copy import Copier
from loader.loading.encode import Dictionaries
from loader.loading.observer import Observer
from loader.loading.options import LoadOptions
from loader.reading.batch import EventBatch, Totals, add_batch
from loader.reading.bounds import Gate
from loader.reading.inputs import Input, Reading, open_reading
from loader.reading.mapping import Mapping
from loader.settings import PartitionBy

# On a cluster, how long one load may keep others from adding partitions.
_SECONDS_OF_A_COPY: Final = 10

ProgressCallback = Callable[[Reading, Totals], None]


class Batches(Protocol):
    """Events and rejects to load, as ``Reading`` gives them; iterate once.

    Attributes:
        gate: refuses rows; asked from the first batch on.
    """

    gate: Gate | None

    @property
    def fingerprint(self) -> str | None:
        """Identifies the input, at the latest at its end; None for one that may come again."""
        ...

    @property
    def header(self) -> bytes | None:
        """Header line of the input, if it has one."""
        ...

    def __iter__(self) -> Iterator[EventBatch]:
        """Yield them in the order of the input."""
        ...


@dataclass(frozen=True, kw_only=True)
class LoadResult:
    """What a load did, with the names and in the order of ``loader load --json``.

    ``destination`` is None, and left away there, where ``loader.toml`` names none. ``first_reject``
    is not there: it tells people what is wrong with the first row that was rejected.
    """

    load_id: int | None
    load_seq: int | None
    origin: str
    rows_read: int
    rows_loaded: int
    rows_rejected: int
    rows_duplicate: int
    rows_left_out: int
    already_loaded: bool
    seconds: float
    first_event_at: datetime | None
    last_event_at: datetime | None
    destination: str | None = None
    first_reject: str | None = None


def prepare_database(dsn: str, partition_by: PartitionBy | None = None) -> None:
    """Bring the raw schema up to date and remove what crashed loads left."""
    with connect(dsn, purpose="prepare") as conn:
        require_writable(conn)
        ensure_schema(conn)
        mend_numbers(conn)
        set_partition_by(conn, partition_by)
        remove_crashed_loads(conn)


def load_input(
    dsn: str,
    an_input: Input,
    mapping: Mapping,
    options: LoadOptions,
    progress: ProgressCallback,
    *,
    observers: Sequence[Observer] = (),
) -> LoadResult:
    """Load one file or stream, as ``load_batches`` does; with ``dry_run`` only read it."""
    with open_reading(an_input, mapping) as reading:

        def show(totals: Totals) -> None:
            progress(reading, totals)

        if options.dry_run:
            return _read_only(reading, an_input.label, options, show)
        return load_batches(
            dsn,
            reading,
            origin=an_input.label,
            mapping=mapping,
            options=options,
            observers=observers,
            progress=show,
        )


def load_batches(
    dsn: str,
    batches: Batches,
    *,
    origin: str,
    mapping: Mapping,
    options: LoadOptions,
    details: dict[str, Any] | None = None,
    observers: Sequence[Observer] = (),
    progress: Callable[[Totals], None] = lambda _: None,
) -> LoadResult:
    """Load batches and publish them as a whole, or leave nothing.

    Args:
        dsn: a database that ``prepare_database`` has prepared.
        batches: what to load.
        origin: what the ledger calls it.
        mapping: how it was read.
        options: how to load it.
        details: what the ledger is to say of it, beside the mapping.
        observers: take part in it, in this order.
        progress: called after every batch.

    Raises:
        InputError: the input is not usable, or has more rejects than allowed.
        DatabaseError: the server went away while the load was being published.
        psycopg.Error: the database failed before.
    """
    started = time.monotonic()
    # One connection for each load: its end gives back every lock, whatever happened.
    with connect(dsn) as conn:
        visible = _lock_and_find(conn, batches.fingerprint)
        if visible is not None:
            return _already_loaded(origin, visible, started)
        load_id = begin_load(conn, origin, mapping.described() | (details or {}))
        load = _Load(conn=conn, dsn=dsn, load_id=load_id, options=options, observers=observers)
        try:
            load.begin(batches)
            totals = load.copy(batches, has_attributes=bool(mapping.attributes), show=progress)
            # What a stream has in it shows only at its end.
            visible = _lock_and_find(conn, batches.fingerprint)
            if visible is None:
                totals = load.drop_duplicates(totals)
                load_seq = load.publish(batches, totals)
        except BaseException:
            load.discard()
            raise
        if visible is not None:
            load.discard()
            return _already_loaded(origin, visible, started)
        for observer in observers:
            observer.published(load_id)
        load.tidy_up()
        return _result(origin, totals, started, load_id, load_seq)


@dataclass(kw_only=True, eq=False, repr=False)
class _Load:
    """The steps of a load that stands in the ledger."""

    conn: Connection
    dsn: str
    load_id: int
    options: LoadOptions
    observers: Sequence[Observer]

    def __post_init__(self) -> None:
        self._dictionaries = Dictionaries(self.conn)
        self._partitions = Partitions(self.conn)
        self._may_have_events = False

    def begin(self, batches: Batches) -> None:
        """Tell observers; reject rows that are old, or bring too many partitions or names."""
        options, layout = self.options, self._partitions.layout
        for observer in self.observers:
            observer.begin(self.conn, self.load_id, is_deduped=options.dedupe)
        max_new = options.max_new_partitions
        batches.gate = Gate(
            layout,
            MAX_NEW_PARTITIONS[layout.partition_by] if max_new is None else max_new,
            retained_from(self.conn, self.load_id),
            types=type_gate(self.conn, options.max_new_types),
            sources=source_gate(options.max_sources),
            leaves_out_old=options.leaves_out_old,
        )

    def copy(
        self, batches: Batches, *, has_attributes: bool, show: Callable[[Totals], None]
    ) -> Totals:
        """Copy all events and keep the rejects; committed at the end, and invisible."""
        totals = Totals()
        table = "event_chunks"
        if self.options.dedupe:
            create_staging(self.conn, self.load_id)
            table = staging_name(self.load_id)
        with Copier(
            dsn=self.dsn,
            table=table,
            load_id=self.load_id,
            has_attributes=has_attributes,
            workers=self.options.workers,
            shard_by=self.options.shard_by,
        ) as copier:
            for batch in batches:
                if batch.rejects:
                    store_rejects(self.conn, self.load_id, batch.rejects)
                first = totals.rows_loaded if self.options.dedupe else None
                totals = _add(totals, batch, self.options)
                if batch.events.num_rows:
                    rows = self._dictionaries.rows_of(batch.events, first)
                    if is_distributed(self.conn) and (
                        copier.seconds() > _SECONDS_OF_A_COPY
                        or self._partitions.lack(rows.event_time)
                    ):
                        # Citus adds no partition beside what writes into others.
                        self._may_have_events = True
                        copier.commit()
                    self._partitions.prepare(rows.event_time)
                    copier.put(rows, self._partitions.created)
                    for observer in self.observers:
                        observer.see(rows)
                show(totals)
            self._may_have_events = True
            copier.finish()
        return totals

    def drop_duplicates(self, totals: Totals) -> Totals:
        """With ``--dedupe exact``: keep of the copied events those that are not visible already."""
        if not self.options.dedupe:
            return totals
        rows, first, last = insert_new_events(self.conn, self.load_id)
        return replace(
            totals,
            rows_loaded=rows,
            rows_duplicate=totals.rows_loaded - rows,
            first_event_at=first,
            last_event_at=last,
        )

    def publish(self, batches: Batches, totals: Totals) -> int:
        """Make the load visible, with what observers write; return its ``load_seq``."""

        def settle() -> None:
            for observer in self.observers:
                observer.settle()

        header = None if batches.header is None else readable(batches.header)
        try:
            return publish(
                self.conn, self.load_id, totals, batches.fingerprint, header=header, first=settle
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
        """Keep statistics useful; if that fails, the next load makes up for it."""
        with suppress(psycopg.Error):
            new_names = self._dictionaries.have_new_names
            tidy_up(self.conn, self._partitions, have_new_names=new_names)


def _lock_and_find(conn: Connection, fingerprint: str | None) -> LedgerRow | None:
    """Wait for a loader that is busy with the same input, then see whether it is loaded."""
    if fingerprint is None:
        return None
    lock(conn, FINGERPRINT, fingerprint)
    return find_visible(conn, fingerprint)


def _add(totals: Totals, batch: EventBatch, options: LoadOptions) -> Totals:
    """Return the totals with one more batch, unless more is rejected than is allowed."""
    totals = add_batch(totals, batch)
    if options.max_rejects is not None and totals.rows_rejected > options.max_rejects:
        raise TooManyRejectsError(
            f"more than {options.max_rejects} rows are rejected (--max-rejects); nothing was "
            "loaded; to see them: loader load without --max-rejects, then loader rejects"
        )
    return totals


def _read_only(
    batches: Batches, origin: str, options: LoadOptions, show: Callable[[Totals], None]
) -> LoadResult:
    started, totals = time.monotonic(), Totals()
    for batch in batches:
        totals = _add(totals, batch, options)
        show(totals)
    return _result(origin, totals, started)


def _result(
    origin: str,
    totals: Totals,
    started: float,
    load_id: int | None = None,
    load_seq: int | None = None,
) -> LoadResult:
    return LoadResult(
        load_id=load_id,
        load_seq=load_seq,
        origin=origin,
        already_loaded=False,
        seconds=round(time.monotonic() - started, 3),
        **vars(totals),
    )


def _already_loaded(origin: str, visible: LedgerRow, started: float) -> LoadResult:
    kept = vars(Totals()).keys() & vars(visible).keys()
    totals = Totals(**{name: getattr(visible, name) for name in kept})
    result = _result(origin, totals, started, visible.load_id, visible.load_seq)
    return replace(result, already_loaded=True)
