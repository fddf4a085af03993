"""Inputs into the database: one load for each file, stream or micro-batch."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from loader.alerting.early_alerts import EarlyAlerts
from loader.database.connection import connect
from loader.database.layout import PartitionBy
from loader.database.ledger import LedgerRow, remove_crashed_loads
from loader.database.partitions import create_missing_indexes, set_partition_by
from loader.database.schema import ensure_schema
from loader.loading.pipeline import (
    Batches,
    InPublication,
    LoadOptions,
    Pipeline,
    check_rejects,
    lock_and_find,
)
from loader.loading.totals import Totals, add_batch
from loader.reading.inputs import Input, Reading, open_reading
from loader.reading.mapping import Mapping

ProgressCallback = Callable[[Reading, Totals], None]


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
    already_loaded: bool
    seconds: float
    first_event_at: datetime | None
    last_event_at: datetime | None
    destination: str | None = None
    first_reject: str | None = None


def prepare_database(dsn: str, partition_by: PartitionBy | None = None) -> None:
    """Bring the raw schema up to date and remove what crashed loads left.

    Args:
        dsn: the database.
        partition_by: how long new partitions shall be from now on; None: as before.
    """
    with connect(dsn, purpose="prepare") as conn:
        ensure_schema(conn)
        set_partition_by(conn, partition_by)
        create_missing_indexes(conn)
        remove_crashed_loads(conn)


def load_batches(
    dsn: str,
    batches: Batches,
    *,
    origin: str,
    mapping: Mapping,
    options: LoadOptions,
    details: dict[str, Any] | None = None,
    in_publication: InPublication | None = None,
    early_alerts: EarlyAlerts | None = None,
) -> LoadResult:
    """Load batches that are no file, and publish them, perhaps together with something else.

    Args:
        dsn: a database that ``prepare_database`` has prepared.
        batches: what to load.
        origin: what the ledger calls it.
        mapping: how it was read.
        options: how to load it.
        details: what the ledger is to say of it, beside the mapping.
        in_publication: runs first in the transaction that publishes the load; what it raises
            makes all of the load disappear.
        early_alerts: raises alerts for what is loaded.

    Raises:
        psycopg.Error: the database failed.
    """
    started = time.monotonic()
    with connect(dsn) as conn:
        pipeline = Pipeline(
            conn=conn,
            dsn=dsn,
            origin=origin,
            mapping=mapping,
            options=options,
            details=details,
            in_publication=in_publication,
            early_alerts=early_alerts,
        )
        outcome = pipeline.run(batches)
        if isinstance(outcome, LedgerRow):
            return _already_loaded(origin, outcome, started)
        if early_alerts is not None:
            early_alerts.pass_on(pipeline.load_id)
        pipeline.tidy_up()
        return _result(origin, outcome.totals, started, pipeline.load_id, outcome.load_seq)


def load_input(
    dsn: str,
    an_input: Input,
    mapping: Mapping,
    options: LoadOptions,
    progress: ProgressCallback,
    *,
    early_alerts: EarlyAlerts | None = None,
) -> LoadResult:
    """Load one input and publish it; on error nothing of it is visible.

    Args:
        dsn: a database that ``prepare_database`` has prepared.
        an_input: what to read.
        mapping: how to read it.
        options: how to load it.
        progress: called after every batch.
        early_alerts: raises alerts for what is loaded.

    Raises:
        InputError: the input is not usable, or has more rejects than allowed.
        DatabaseError: the server went away while the load was being published.
        psycopg.Error: the database failed before.
    """
    started = time.monotonic()
    with open_reading(an_input, mapping) as reading:
        if options.dry_run:
            totals = _read_only(reading, options, progress)
            return _result(an_input.label, totals, started)
        # One connection for each load: its end gives back every lock, whatever happened.
        with connect(dsn) as conn:
            if reading.fingerprint is not None:
                visible = lock_and_find(conn, reading.fingerprint)
                if visible is not None:
                    return _already_loaded(an_input.label, visible, started)
            pipeline = Pipeline(
                conn=conn,
                dsn=dsn,
                origin=an_input.label,
                mapping=mapping,
                options=options,
                progress=lambda totals: progress(reading, totals),
                early_alerts=early_alerts,
            )
            outcome = pipeline.run(reading)
            if isinstance(outcome, LedgerRow):
                return _already_loaded(an_input.label, outcome, started)
            if early_alerts is not None:
                early_alerts.pass_on(pipeline.load_id)
            pipeline.tidy_up()
            return _result(
                an_input.label, outcome.totals, started, pipeline.load_id, outcome.load_seq
            )


def _read_only(reading: Reading, options: LoadOptions, progress: ProgressCallback) -> Totals:
    totals = Totals()
    for batch in reading:
        totals = add_batch(totals, batch)
        check_rejects(totals, options)
        progress(reading, totals)
    return totals


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
        **asdict(totals),
    )


def _already_loaded(origin: str, visible: LedgerRow, started: float) -> LoadResult:
    return LoadResult(
        load_id=visible.load_id,
        load_seq=visible.load_seq,
        origin=origin,
        rows_read=visible.rows_read,
        rows_loaded=visible.rows_loaded,
        rows_rejected=visible.rows_rejected,
        rows_duplicate=visible.rows_duplicate,
        already_loaded=True,
        seconds=round(time.monotonic() - started, 3),
        first_event_at=visible.first_event_at,
        last_event_at=visible.last_event_at,
    )
