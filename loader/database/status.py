"""What is loaded, and how far behind the models are."""

import math
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from psycopg import Connection, errors

from loader.database.citus import ask_where_chunks_are, sizes_of_nodes
from loader.database.locks import short_try
from loader.database.models import copy_marks, full_name, progress_schemas
from loader.database.queries import fetch, query, value

# Of the whole table, and each process that works on one has its own locks.
QUERIES_AT_ONCE: Final = 5
_HOW_TO: Final = "docs/howto/back-up-and-restore.md"


@dataclass(frozen=True, kw_only=True)
class LedgerStatus:
    """Totals over the ledger.

    Attributes:
        load_seq: position of the newest published load or withdrawal.
        loads: visible loads.
        withdrawals: withdrawn loads.
        unpublished: loads that are being worked on, or that a crash left.
        rows_loaded: rows of visible loads, and likewise the other counts.
        database_bytes: size of the database, over all nodes that answer.
    """

    load_seq: int
    loads: int
    withdrawals: int
    unpublished: int
    rows_read: int
    rows_loaded: int
    rows_rejected: int
    rows_duplicate: int
    rows_left_out: int
    database_bytes: int
    first_event_at: datetime | None
    last_event_at: datetime | None
    last_published_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class ModelStatus:
    """How far a dbt model is: it has taken note of the ledger up to ``load_seq``.

    ``loads_behind`` is below zero when the ledger ends before that: it is not the one it was.
    """

    model: str
    load_seq: int
    loads_behind: int
    updated_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Models:
    """How far the models are, and which schemas of models cannot be read now, and why."""

    found: list[ModelStatus]
    unreadable: dict[str, str]


def ledger_status(conn: Connection) -> LedgerStatus:
    """Return the totals of the ledger."""
    (status,) = fetch(conn, LedgerStatus, "ledger_status")
    on_nodes = sum(size or 0 for size in sizes_of_nodes(conn).values())
    return replace(status, database_bytes=status.database_bytes + on_nodes)


def models_status(conn: Connection) -> Models:
    """Return how far the models are."""
    marks: list[tuple[str, int, datetime | None]] = []
    unreadable: dict[str, str] = {}
    for schema in progress_schemas(conn):
        try:
            # Who asks how things stand does not wait for who repairs or moves that table.
            with short_try(conn):
                found = copy_marks(conn, schema, "updated_at")
            marks += [
                (full_name(conn, schema, name), load_seq, _moment(updated_at))
                for name, load_seq, updated_at in sorted(found)
            ]
        except errors.InsufficientPrivilege:
            unreadable[schema] = f"this user may not read {schema}.model_progress"
        except errors.LockNotAvailable:
            unreadable[schema] = f"somebody keeps {schema}.model_progress locked"
        except (errors.UndefinedTable, errors.UndefinedColumn, errors.WrongObjectType, ValueError):
            # Dropped or changed this moment.
            continue
    # After the marks: before them, one could be ahead of it.
    last = value(conn, "select load_seq from raw.load_counter")
    return Models(
        found=[
            ModelStatus(
                model=model,
                load_seq=load_seq,
                loads_behind=last - load_seq,
                updated_at=updated_at,
            )
            for model, load_seq, updated_at in marks
        ],
        unreadable=unreadable,
    )


def find_problems(conn: Connection, models: Models) -> list[str]:
    """Return what does not fit together, as after a restore of a part, each with the way out."""
    problems = []
    (row,) = conn.execute(query("ledger_gaps")).fetchall()
    counted, last, found = row
    if last > counted:
        problems.append(
            f"the counter of loads is at {counted}, and the ledger at {last}, so that nothing more "
            f"can be published; in SQL, set load_seq of raw.load_counter to {last}"
        )
    elif found < counted:
        problems.append(
            f"{counted - found} rows of the ledger raw.loads are gone, of {counted}, which only "
            f"happens by hand; models may hold the events of these; what to do: {_HOW_TO}"
        )
    problems += [
        f"{model.model} holds the ledger up to {model.load_seq}, and that ends at {counted}, as "
        "after a restore of schema raw alone; to rebuild: dbt build --full-refresh"
        for model in models.found
        if model.load_seq > counted
    ]
    marks = {model.model: model.load_seq for model in models.found}
    parameters = {"models": list(marks), "marks": list(marks.values())}
    problems += [
        f"{model} has not taken note of load {load_id} or of its withdrawal, as after a restore of "
        "the marts alone, and its rows are gone by now, or not apart from others; to rebuild: dbt "
        "build --full-refresh"
        for model, load_id in conn.execute(query("missed_rows"), parameters)
    ]
    problems += [
        f"{sequence} would give a number again that is taken, up to {taken}, as after a restore "
        "without setval; the next load, or loader maintain, sets it right"
        for sequence, taken in conn.execute(query("used_up_numbers"))
    ]
    problems += [
        f"group {group} would read topic {topic}, partition {partition}, from offset {offset} on, "
        f"and loads have it up to {loaded} already; what to do: {_HOW_TO}"
        for group, topic, partition, offset, loaded in conn.execute(query("offsets_behind"))
    ]
    if silent := [node for node, size in sizes_of_nodes(conn).items() if size is None]:
        return [
            *problems,
            f"these nodes of the cluster do not answer: {', '.join(silent)}; nothing can be loaded "
            "or built until they are back; what to do: docs/howto/run-on-a-cluster.md",
        ]
    # On a cluster the locks are those of each node.
    *_, fullest = ask_where_chunks_are(conn, "lock_room")
    partitions, needed, room, connections = fullest
    if needed * QUERIES_AT_ONCE > room:
        wanted = math.ceil(2 * needed * QUERIES_AT_ONCE / connections)
        problems.append(
            f"a query of all {partitions:,} partitions takes {needed:,} locks, and the server has "
            f"room for {room:,}; set max_locks_per_transaction = {wanted} and restart it, or "
            "partition by longer times, see docs/howto/schedule-maintenance.md"
        )
    return problems


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
