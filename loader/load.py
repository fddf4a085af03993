"""One input into the database: reader, dictionaries, encoder, copier, publish."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
from psycopg import Connection

from loader.connection import connect
from loader.copier import Copier
from loader.dedupe import create_staging, insert_new_events
from loader.dictionaries import Dictionaries
from loader.errors import TooManyRejectsError
from loader.events import EventBatch
from loader.inputs import Input, Reading, open_reading
from loader.ledger import (
    LedgerRow,
    Totals,
    begin_load,
    find_visible,
    publish,
    remove_crashed_loads,
    remove_load,
)
from loader.locks import FINGERPRINT, lock
from loader.mapping import Mapping
from loader.partitions import Partitions, create_missing_indexes, tidy_up
from loader.rejects import readable, store_rejects
from loader.schema import ensure_schema

ProgressCallback = Callable[[Reading, Totals], None]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """How to load, as opposed to how to read (that is ``Mapping``).

    Attributes:
        dedupe: drop events equal in source, time and type to one that is visible.
        workers: connections to copy over.
        max_rejects: more rejected rows than that, and nothing is loaded; None for any number.
        dry_run: read and check everything, write nothing.
    """

    dedupe: bool = False
    workers: int = 2
    max_rejects: int | None = None
    dry_run: bool = False


@dataclass(frozen=True, kw_only=True)
class LoadResult:
    """What a load did, with the names and in the order of ``loader load --json``."""

    load_id: int | None
    load_seq: int | None
    origin: str
    rows_read: int
    rows_loaded: int
    rows_rejected: int
    rows_duplicate: int
    already_loaded: bool
    seconds: float
    first_event_at: datetime | None
    last_event_at: datetime | None


def prepare_database(dsn: str) -> None:
    """Bring the raw schema up to date and remove what crashed loads left."""
    with connect(dsn, purpose="prepare") as conn:
        ensure_schema(conn)
        create_missing_indexes(conn)
        remove_crashed_loads(conn)


def load_input(
    dsn: str,
    an_input: Input,
    mapping: Mapping,
    options: LoadOptions,
    progress: ProgressCallback,
) -> LoadResult:
    """Load one input and publish it; on error nothing of it is visible.

    Args:
        dsn: a database that ``prepare_database`` has prepared.
        an_input: what to read.
        mapping: how to read it.
        options: how to load it.
        progress: called after every batch.

    Raises:
        InputError: the input is not usable, or has more rejects than allowed.
        psycopg.Error: the database failed.
    """
    started = time.monotonic()
    with open_reading(an_input, mapping) as reading:
        if options.dry_run:
            totals = _read_only(reading, options, progress)
            return _result(an_input, totals, started)
        # One connection for each load: its end gives back every lock, whatever happened.
        with connect(dsn) as conn:
            if reading.fingerprint is not None:
                visible = _lock_and_find(conn, reading.fingerprint)
                if visible is not None:
                    return _already_loaded(an_input, visible, started)
            load = _Load(
                conn=conn,
                dsn=dsn,
                an_input=an_input,
                mapping=mapping,
                options=options,
                progress=progress,
            )
            try:
                outcome = load.run(reading)
            except BaseException:
                load.discard()
                raise
            if isinstance(outcome, LedgerRow):
                load.discard()
                return _already_loaded(an_input, outcome, started)
            load_seq, totals = outcome
            result = _result(an_input, totals, started)
            load.tidy_up()
            return replace(
                result,
                load_id=load.load_id,
                load_seq=load_seq,
                seconds=round(time.monotonic() - started, 3),
            )


class _Load:
    """A load on its way; makes sure that a failed one leaves nothing."""

    def __init__(
        self,
        *,
        conn: Connection,
        dsn: str,
        an_input: Input,
        mapping: Mapping,
        options: LoadOptions,
        progress: ProgressCallback,
    ) -> None:
        self._conn = conn
        self._options = options
        self._progress = progress
        described = {**asdict(replace(mapping, type_map={})), "type_map": dict(mapping.type_map)}
        self.load_id = begin_load(conn, an_input.origin, described)
        self._dictionaries = Dictionaries(conn)
        self._partitions = Partitions(conn)
        table = create_staging(conn, self.load_id) if options.dedupe else "events"
        self._copier = Copier(
            dsn,
            table=table,
            load_id=self.load_id,
            has_attributes=bool(mapping.attributes),
            workers=options.workers,
        )

    def run(self, reading: Reading) -> tuple[int, Totals] | LedgerRow:
        """Copy everything and publish; or return the load that has the same input already."""
        totals = Totals()
        with self._copier as copier:
            for batch in reading:
                if batch.rejects:
                    store_rejects(self._conn, self.load_id, batch.rejects)
                before = totals.rows_loaded
                totals = _add(totals, batch)
                _check_rejects(totals, self._options)
                if batch.events.num_rows:
                    rows = self._dictionaries.rows_of(batch.events, before)
                    self._partitions.prepare(rows.event_time)
                    copier.put(rows, self._partitions.created)
                self._progress(reading, totals)
            copier.finish()
        fingerprint = reading.fingerprint
        if fingerprint is not None:
            visible = _lock_and_find(self._conn, fingerprint)
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
        header = None if reading.header is None else readable(reading.header)
        load_seq = publish(self._conn, self.load_id, totals, fingerprint, header=header)
        return load_seq, totals

    def discard(self) -> None:
        """Remove what there is of the load, unless the server is gone: the next run does then."""
        if not self._conn.closed and not self._conn.broken:
            has_events = self._copier.may_have_committed
            remove_load(self._conn, self.load_id, has_events=has_events)

    def tidy_up(self) -> None:
        """Keep statistics and indexes useful after the load."""
        tidy_up(self._conn, self._partitions, have_new_names=self._dictionaries.have_new_names)


def _read_only(reading: Reading, options: LoadOptions, progress: ProgressCallback) -> Totals:
    totals = Totals()
    for batch in reading:
        totals = _add(totals, batch)
        _check_rejects(totals, options)
        progress(reading, totals)
    return totals


def _add(totals: Totals, batch: EventBatch) -> Totals:
    """Return the totals with one more batch."""
    count = batch.events.num_rows
    first, last = totals.first_event_at, totals.last_event_at
    if count:
        times: npt.NDArray[np.int64] = (
            batch.events.column("event_time").to_numpy(zero_copy_only=False).view(np.int64)
        )
        lowest, highest = _moment(times.min()), _moment(times.max())
        first = lowest if first is None else min(first, lowest)
        last = highest if last is None else max(last, highest)
    return replace(
        totals,
        rows_read=totals.rows_read + batch.rows_read,
        rows_loaded=totals.rows_loaded + count,
        rows_rejected=totals.rows_rejected + batch.rows_rejected,
        first_event_at=first,
        last_event_at=last,
    )


def _moment(microseconds: Any) -> datetime:
    return _EPOCH + timedelta(microseconds=int(microseconds))


def _check_rejects(totals: Totals, options: LoadOptions) -> None:
    if options.max_rejects is not None and totals.rows_rejected > options.max_rejects:
        raise TooManyRejectsError(
            f"more than {options.max_rejects} rows are rejected (--max-rejects); nothing was "
            "loaded; to see them: loader load without --max-rejects, then loader rejects"
        )


def _lock_and_find(conn: Connection, fingerprint: str) -> LedgerRow | None:
    """Wait for a loader that is busy with the same input, then see whether it is loaded."""
    lock(conn, FINGERPRINT, fingerprint)
    return find_visible(conn, fingerprint)


def _result(an_input: Input, totals: Totals, started: float) -> LoadResult:
    return LoadResult(
        load_id=None,
        load_seq=None,
        origin=an_input.origin,
        already_loaded=False,
        seconds=round(time.monotonic() - started, 3),
        **asdict(totals),
    )


def _already_loaded(an_input: Input, visible: LedgerRow, started: float) -> LoadResult:
    return LoadResult(
        load_id=visible.load_id,
        load_seq=visible.load_seq,
        origin=an_input.origin,
        rows_read=visible.rows_read,
        rows_loaded=visible.rows_loaded,
        rows_rejected=visible.rows_rejected,
        rows_duplicate=visible.rows_duplicate,
        already_loaded=True,
        seconds=round(time.monotonic() - started, 3),
        first_event_at=visible.first_event_at,
        last_event_at=visible.last_event_at,
    )
