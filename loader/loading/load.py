"""A load: what happens to an input on its way from bytes to events that are visible."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from psycopg import Connection

from loader.database.connection import connect, require_writable
from loader.database.ledger import (
    LedgerRow,
    begin_load,
    find_visible,
    mend_numbers,
    remove_crashed_loads,
)
from loader.database.locks import FINGERPRINT, lock
from loader.database.partitions import set_partition_by
from loader.database.rejects import readable
from loader.database.schema import ensure_schema
from loader.errors import TooManyRejectsError
from loader.loading.observer import Observer
from loader.loading.options import LoadOptions
from loader.loading.result import LoadResult, already_loaded, result_of
from loader.loading.steps import Load
from loader.reading.batch import EventBatch, Totals, add_batch
from loader.reading.bounds import Bounds
from loader.reading.inputs import Input, Reading, open_reading
from loader.reading.mapping import Mapping
from loader.settings import PartitionBy

ProgressCallback = Callable[[Reading, Totals], None]


class Batches(Protocol):
    """Events and rejects to load, as ``Reading`` gives them; iterate once.

    Attributes:
        bounds: refuses rows; asked from the first batch on.
    """

    bounds: Bounds | None

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
    started, totals = time.monotonic(), Totals()
    # One connection for each load: its end gives back every lock, whatever happened.
    with connect(dsn) as conn:
        visible = _lock_and_find(conn, batches.fingerprint)
        if visible is not None:
            return already_loaded(origin, visible, started)
        load_id = begin_load(conn, origin, mapping.described() | (details or {}))
        load = Load(conn=conn, dsn=dsn, load_id=load_id, options=options, observers=observers)
        try:
            batches.bounds = load.begin()
            with load.copier(has_attributes=bool(mapping.attributes)) as copier:
                for batch in batches:
                    before = totals.rows_loaded
                    totals = _add(totals, batch, options)
                    load.take(batch, copier, before)
                    progress(totals)
                load.finish(copier)
            # What a stream has in it shows only at its end.
            visible = _lock_and_find(conn, batches.fingerprint)
            if visible is None:
                totals = load.drop_duplicates(totals)
                header = None if batches.header is None else readable(batches.header)
                load_seq = load.publish(totals, batches.fingerprint, header)
        except BaseException:
            load.discard()
            raise
        if visible is not None:
            load.discard()
            return already_loaded(origin, visible, started)
        load.tidy_up()
        return result_of(origin, totals, started, load_id, load_seq)


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
    return result_of(origin, totals, started)
