"""The ledger ``raw.loads``: how loads begin, become visible, are withdrawn and cleaned up."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import psycopg
from psycopg import Connection, OperationalError, sql

from loader import __version__
from loader.database.citus import SHORT_PATIENCE, is_distributed, wait_for_commits
from loader.database.connection import connect
from loader.database.locks import (
    CHUNKS,
    LOAD,
    SCHEMA,
    lock,
    lock_for_transaction,
    show_life,
    try_take_over,
    unlock,
)
from loader.database.merge_chunks import take_apart
from loader.database.partitions import delete_events
from loader.database.queries import fetch, query, value, values
from loader.database.schema import SCHEMA_VERSION, keep_schema
from loader.errors import CommitLostError, DatabaseError, LoaderError, UsageError
from loader.reading.batch import Totals

# No place in the ledger is behind it.
ALL: Final = 2**62
# A server that restarts after a crash is back within seconds, mostly.
PATIENCE_SECONDS = 10.0
_SECONDS_BETWEEN_ATTEMPTS = 0.2
# How long the server may take to notice that a session is gone.
_LOCK_TIMEOUT = "5s"


@dataclass(frozen=True, kw_only=True)
class LedgerRow:
    """A row of the ledger; ``load_seq`` is None while the load is not published."""

    load_id: int
    load_seq: int | None
    withdrawn_seq: int | None
    withdraws_load_id: int | None
    rows_read: int
    rows_loaded: int
    rows_rejected: int
    rows_duplicate: int
    rows_left_out: int
    kind: str
    origin: str
    first_event_at: datetime | None
    last_event_at: datetime | None
    started_at: datetime
    published_at: datetime | None


def find_visible(conn: Connection, fingerprint: str) -> LedgerRow | None:
    """Return the load of the same input that is visible now, if there is one."""
    found = fetch(conn, LedgerRow, "find_visible_load", {"fingerprint": fingerprint})
    return found[0] if found else None


def list_loads(conn: Connection, limit: int | None = None) -> list[LedgerRow]:
    """Return the ledger, newest first."""
    return fetch(conn, LedgerRow, "list_loads", {"limit": limit})


def begin_load(conn: Connection, origin: str, options: dict[str, Any]) -> int:
    """Write an unpublished load into the ledger and show, for the session, that it lives."""
    with conn.transaction():
        keep_schema(conn)
        row = {
            "schema_version": SCHEMA_VERSION,
            "origin": origin,
            "version": __version__,
            "options": json.dumps(options),
        }
        load_id: int = value(conn, query("begin_load"), row)
        # Before the row can be seen: a load that is seen without its lock counts as crashed.
        show_life(conn, load_id)
    return load_id


def publish(
    conn: Connection,
    load_id: int,
    totals: Totals,
    fingerprint: str | None,
    *,
    header: str | None = None,
    first: Callable[[], None] | None = None,
) -> int:
    """Make a load, whose rows are committed, visible; return its ``load_seq``.

    Args:
        conn: a connection in autocommit mode.
        load_id: the load, as ``begin_load`` gave it.
        totals: what became of its rows.
        fingerprint: identifies the input; None for one that may come again.
        header: the header line of the input, for an export of its rejects.
        first: writes, over the same connection, what is to be committed with the load.

    Raises:
        CommitLostError: nobody knows whether it is visible; ``find_load_seq`` does.
        psycopg.errors.UniqueViolation: the same input became visible meanwhile.
    """
    wait_for_commits(conn)
    with _publication(conn, f"whether load {load_id} is visible"):
        keep_schema(conn)
        if first is not None:
            first()
        row = {"load_id": load_id, "fingerprint": fingerprint, "header": header, **vars(totals)}
        conn.execute(query("complete_load"), row)
        # The last statement: whoever publishes next waits for the counter until we commit.
        load_seq: int | None = value(conn, query("publish"), {"load_id": load_id})
        if load_seq is None:
            raise UsageError(f"load {load_id} was removed by somebody while it was being loaded")
    return load_seq


def withdraw(conn: Connection, load_id: int) -> int:
    """Make a published load invisible, by a ledger row of its own; return the id of that row."""
    with _apart(conn, load_id), _publication(conn, f"whether load {load_id} is withdrawn"):
        keep_schema(conn)
        found = conn.execute(query("lock_load"), {"load_id": load_id}).fetchone()
        if found is None:
            raise UsageError(f"there is no load {load_id}; see: loader loads")
        kind, load_seq, withdrawn_seq, is_too_old = found
        if kind != "load":
            raise UsageError(f"{load_id} is itself a withdrawal; to undo it, load the file again")
        if load_seq is None:
            raise UsageError(f"load {load_id} is not published; the next load removes what is left")
        if withdrawn_seq is not None:
            raise UsageError(f"load {load_id} was withdrawn already")
        if is_too_old:
            raise UsageError(
                f"load {load_id} cannot be withdrawn any more: it has events that are older than "
                "what `loader maintain --retain` keeps, and no model could take them back"
            )
        ids = {"load_id": load_id, "schema_version": SCHEMA_VERSION, "version": __version__}
        withdrawal_id: int = value(conn, query("begin_withdrawal"), ids)
        take_apart(conn, load_id)
        # The last statement, as in publish.
        conn.execute(query("publish"), {"load_id": withdrawal_id})
    return withdrawal_id


@contextmanager
def _apart(conn: Connection, load_id: int) -> Iterator[None]:
    """On a cluster, give the load chunks of its own, on every node, before it is withdrawn."""
    if not is_distributed(conn):
        yield
        return
    lock(conn, CHUNKS)
    try:
        with conn.transaction():
            take_apart(conn, load_id)
        wait_for_commits(conn)
        yield
    finally:
        if not conn.closed:
            unlock(conn, CHUNKS)


@contextmanager
def _publication(conn: Connection, question: str) -> Iterator[None]:
    """Run a transaction of which the user must know whether it was committed."""
    is_committing = False
    try:
        with conn.transaction():
            yield
            is_committing = True
    except OperationalError as error:
        # The server's own refusal is an answer; a connection that ends without one is none.
        if is_committing and conn.closed:
            raise CommitLostError(
                f"the server went away before it answered; {question} shows: loader loads"
            ) from error
        raise


def remove_load(conn: Connection, load_id: int, *, has_events: bool = True) -> None:
    """Delete an unpublished load and all that it left; a published one is not touched."""
    parameters = {"load_id": load_id}
    if has_events:
        # What is committed later would be left.
        wait_for_commits(conn, SHORT_PATIENCE)
        delete_events(conn, load_id, may_go=lambda: _lock_unpublished(conn, load_id))
    with conn.transaction():
        if not _lock_unpublished(conn, load_id):
            return
        conn.execute(
            sql.SQL("drop table if exists {}").format(sql.Identifier("raw", staging_name(load_id)))
        )
        conn.execute("delete from raw.rejected_events where load_id = %(load_id)s", parameters)
        conn.execute("delete from raw.early_alerts where load_id = %(load_id)s", parameters)
        conn.execute("delete from raw.loads where load_id = %(load_id)s", parameters)


def find_load_seq(dsn: str, load_id: int) -> int | None:
    """Return the place of a load in the ledger; None when it is not, and will not be, visible.

    The session that published it may still be at it: this waits for its end, or fails with
    DatabaseError.
    """
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            with connect(dsn, purpose="look up") as conn:
                conn.execute("select set_config('lock_timeout', %s, false)", [_LOCK_TIMEOUT])
                # Without a row somebody has removed the load, as is done to unpublished ones.
                found: int | None = value(conn, query("lock_load_seq"), {"load_id": load_id})
                return found
        except (LoaderError, psycopg.Error) as error:
            if time.monotonic() >= end:
                raise DatabaseError(
                    f"the server went away while load {load_id} was being published, and does "
                    "not tell whether it is visible; run the same command again: it says so, "
                    "or loads the input"
                ) from error
        time.sleep(_SECONDS_BETWEEN_ATTEMPTS)


def remove_lost_load(dsn: str, load_id: int) -> None:
    """Remove an unpublished load over a new connection, if that is possible; else the next run."""
    with suppress(LoaderError, psycopg.Error), connect(dsn, purpose="clean up") as conn:
        conn.execute("select set_config('lock_timeout', %s, false)", [_LOCK_TIMEOUT])
        # Held by the old sessions until the server has noticed that they are gone.
        lock(conn, LOAD, load_id)
        remove_load(conn, load_id)


def _lock_unpublished(conn: Connection, load_id: int) -> bool:
    """Keep a load from being published until the transaction ends; False if it is, or is gone."""
    return values(conn, query("lock_load_seq"), {"load_id": load_id}) == [None]


def remove_crashed_loads(conn: Connection) -> list[int]:
    """Delete what loads left that nobody works on any more; return their ids."""
    removed = []
    for load_id in values(
        conn, "select load_id from raw.loads where load_seq is null order by load_id"
    ):
        if try_take_over(conn, load_id):
            try:
                with conn.transaction():
                    conn.execute(query("note_kafka_deaths"), {"load_id": load_id})
                    remove_load(conn, load_id)
            finally:
                unlock(conn, LOAD, load_id)
            removed.append(load_id)
    return removed


def mend_numbers(conn: Connection) -> None:
    """Let identity columns go on after the highest number that was ever given."""
    statement = query("used_up_numbers")
    if not conn.execute(statement).fetchall():
        return
    with conn.transaction():
        lock_for_transaction(conn, SCHEMA)
        for sequence, taken in conn.execute(statement).fetchall():
            # Events that a ledger row was deleted from under must not become those of a new load.
            last = (
                "(select max(load_id) from raw.event_chunks)" if "load_id" in sequence else "null"
            )
            conn.execute(
                f"select setval(%s::text::regclass, greatest(%s, {last}))".encode(),
                [sequence, taken],
            )


def staging_name(load_id: int) -> str:
    """Return the name, in schema raw, of the table where a load looks for duplicates."""
    return f"staging_{load_id}"
