"""What differs where events lie on the nodes of a Citus cluster; see docs/decisions/0056.

``raw.event_chunks`` is distributed by source, names are on every node, and all else, the ledger
above all, stays on the coordinator: there one snapshot tells what is visible. A transaction ends
at one node after the other, so a load is published when its rows are committed on all of them.
"""

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary

from psycopg import Connection, errors, sql

from loader import __version__
from loader.database.locks import (
    PARTITIONS,
    SCHEMA,
    holders,
    in_short_tries,
    lock_for_transaction,
    lock_key,
)
from loader.database.models import INTERNAL, ModelsBusyError, models_at_rest
from loader.database.queries import query, read_sql, template, values
from loader.database.schema import CHANGE_PATIENCE_SECONDS, ensure_schema
from loader.errors import DatabaseError, LoaderError, UsageError

# How long a node may take to be back; who removes what is left of a load does not wait for it.
_PATIENCE: Final = "1 minute"
SHORT_PATIENCE: Final = "3 seconds"
_SECONDS_OF_A_COPY: Final = 10.0
# How long who reads waits, and between two looks.
_SECONDS_OF_PATIENCE: Final = 120
_PAUSE_SECONDS: Final = 0.05

_answers: Final = WeakKeyDictionary[Connection, bool]()


def is_distributed(conn: Connection) -> bool:
    """Tell whether the events of this database are distributed; asked once for each connection."""
    if conn not in _answers:
        found = conn.execute(query("is_distributed")).fetchone()
        if found is not None and conn.execute(query("is_chunks_distributed")).fetchone() is None:
            raise UsageError(
                "this database was distributed, and its events are not, as after a restore; "
                "distribute them again: loader cluster init"
            )
        _answers[conn] = found is not None
    return _answers[conn]


# ==== Loading


def wait_for_commits(conn: Connection, patience: str = _PATIENCE) -> None:
    """Wait until what was committed so far is committed on every node.

    Raises:
        psycopg.errors.ConnectionFailure: a node does not answer, or has not committed.
    """
    if is_distributed(conn):
        conn.execute("select raw.wait_for_commits(%s)", [patience])


def keep_partitions(conn: Connection) -> None:
    """Keep others from adding partitions until the transaction, which writes to some, ends.

    To add one, Citus locks the indexes of all others at one node after the other. Two of which each
    has what the other one waits for would have to be told apart, and one of them fail.
    """
    if is_distributed(conn):
        conn.execute("select pg_advisory_xact_lock_shared(%s)", [lock_key(PARTITIONS)])


def wait_for_writers(conn: Connection) -> None:
    """Wait until nobody keeps partitions, and keep them alone until the transaction ends."""
    if is_distributed(conn):
        lock_for_transaction(conn, PARTITIONS)


def and_may_move(conn: Connection) -> str:
    """Return what else is to be altered in a new partition: shards move by logical replication."""
    return ", replica identity full" if is_distributed(conn) else ""


def longest_copy(conn: Connection) -> float:
    """Return for how many seconds a load may keep others from adding partitions."""
    return _SECONDS_OF_A_COPY if is_distributed(conn) else math.inf


def colocate(conn: Connection, table: sql.Identifier) -> None:
    """Distribute a new table as the chunks are."""
    if is_distributed(conn):
        conn.execute(query("colocate"), {"table": table.as_string(conn)})


def loads_among(conn: Connection, loads: sql.Composable) -> sql.Composed:
    """Return the condition that a chunk is of one of the loads that a query of the ledger gives.

    Nodes have no ledger. They get the numbers as a constant, which is short: most are in a row.
    """
    if not is_distributed(conn):
        return sql.SQL("chunks.load_id in ({})").format(loads)
    found = conn.execute(template("ranges_of_loads").format(loads=loads)).fetchone()
    ranges = sql.Literal(found[0] if found else "{}")
    return sql.SQL("chunks.load_id <@ {}::int8multirange").format(ranges)


def fences(conn: Connection) -> dict[str, sql.SQL]:
    """Return what PostgreSQL's planner needs to be told, and Citus refuses."""
    told = not is_distributed(conn)
    return {
        "materialized": sql.SQL("materialized" if told else ""),
        "fence": sql.SQL("offset 0" if told else ""),
    }


def wait_for_readers(conn: Connection) -> None:
    """Wait until all statements end that may have read the ledger before now, and the chunks not.

    PostgreSQL gives a statement one snapshot of both. Here it has one of the ledger, and later one
    on each node. So before chunks go that no new statement asks for, the old ones have to end.

    Raises:
        ModelsBusyError: somebody reads, or loads, for too long.
    """
    if not is_distributed(conn):
        return
    lock = "lock table only raw.event_chunks in access exclusive mode"
    try:
        in_short_tries(conn, "raw.event_chunks", lambda: conn.execute(lock.encode()))
    except errors.LockNotAvailable:
        who = holders(conn, "raw.event_chunks")
        raise ModelsBusyError(f"{who} to be done with raw.event_chunks") from None


@contextmanager
def between_commits(conn: Connection, schema: str) -> Iterator[None]:
    """Read what dbt builds while none of it is being committed.

    A model's rows come to light at one node after the other, and its mark on the coordinator. dbt
    keeps a lock of each model, by its name, until they all have. A node that went away before it
    had is made up for.
    """
    if not is_distributed(conn):
        yield
        return
    with conn.transaction():
        conn.execute(query("share_marks"), {"schemas": [schema, schema + INTERNAL]})
        _wait_for_pending(conn)
        yield


def _wait_for_pending(conn: Connection) -> None:
    """Do as ``raw.wait_for_commits``, for those who may not look into schema raw.

    Who may not have Citus make up for it waits until Citus does by itself, each minute.
    """
    ends_at = time.monotonic() + _SECONDS_OF_PATIENCE
    pending = set(values(conn, query("pending_on_nodes")))
    while pending:
        if time.monotonic() > ends_at:
            raise DatabaseError("a node of the cluster has not committed yet; ask again later")
        conn.execute(query("make_up_for_pending"))
        time.sleep(_PAUSE_SECONDS)
        pending &= set(values(conn, query("pending_on_nodes")))


# ==== Asking the nodes


def ask_where_chunks_are(conn: Connection, name: str, **parts: sql.Composable) -> list[Any]:
    """Run a query about the tables that chunks are in; return its rows, without repetitions.

    On a cluster that is each node, where they have the number of a shard in their name.
    """
    if not is_distributed(conn):
        here = {"parent": "'raw.event_chunks'::regclass", "table_name": "relations.relname"}
        return conn.execute(template(name).format(**_sql(here), **parts)).fetchall()
    there = {
        "parent": "any(array(select oid from pg_class where relnamespace = 'raw'::regnamespace"
        " and relkind = 'p' and relname ~ '^event_chunks_[0-9]{6,}$'))",
        "table_name": "regexp_replace(relations.relname, '_[0-9]+$', '')",
    }
    asked = template(name).format(**_sql(there), **parts)
    rows: set[Any] = set()
    statement = template("as_json").format(query=asked)
    for node, answer in _run_on_nodes(conn, statement, is_coordinator_asked=True).items():
        if answer is None:
            raise DatabaseError(f"a node of the cluster does not answer: {node}")
        rows |= {tuple(row.values()) for row in json.loads(answer)}
    return sorted(rows)


def _run_on_nodes(
    conn: Connection, statement: sql.Composable, *, is_coordinator_asked: bool
) -> dict[str, str | None]:
    """Run a statement on each node; return what it gave by node, None where it failed."""
    parameters = {
        "command": statement.as_string(conn),
        "is_coordinator_asked": is_coordinator_asked,
    }
    return dict(conn.execute(query("run_on_nodes"), parameters).fetchall())


def sizes_of_nodes(conn: Connection) -> dict[str, int | None]:
    """Return the size of the database on each other node; None where one does not answer."""
    if not is_distributed(conn):
        return {}
    size = sql.SQL("select pg_database_size(current_database())")
    return {
        node: None if answer is None else int(answer)
        for node, answer in _run_on_nodes(conn, size, is_coordinator_asked=False).items()
    }


def _sql(parts: dict[str, str]) -> dict[str, Any]:
    return {name: sql.SQL(part) for name, part in parts.items()}


# ==== loader cluster init


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """What ``loader cluster init`` did.

    Attributes:
        nodes: the nodes that hold events.
        shards: how many parts each table has.
        distributed: the tables that were distributed now; none when that was done before.
        events: how many events were moved.
    """

    nodes: list[str]
    shards: int
    distributed: list[str]
    events: int


def distribute(conn: Connection) -> Distribution:
    """Distribute what belongs on the nodes, with all that is in it; all or nothing, idempotent.

    Args:
        conn: a connection in autocommit mode, of a superuser.
    """
    _require_cluster(conn)
    ensure_schema(conn)
    try:
        found = in_short_tries(
            conn, "raw.event_chunks", lambda: _distribute(conn), patience=CHANGE_PATIENCE_SECONDS
        )
    except ModelsBusyError as reason:
        raise LoaderError(f"nothing was changed: this waits for {reason}") from None
    _answers.pop(conn, None)
    return found


def _require_cluster(conn: Connection) -> None:
    """Refuse a database without the extension, or without nodes, with what to do."""
    if conn.execute("select from pg_extension where extname = 'citus'").fetchone() is None:
        raise UsageError(
            "this database has no extension citus, so there is nothing to distribute over; see "
            "docs/howto/run-on-a-cluster.md"
        )
    (is_coordinator, knows_itself, nodes) = conn.execute(query("cluster")).fetchall()[0]
    if not is_coordinator:
        raise UsageError("this is a node of a cluster; connect to its coordinator")
    if not knows_itself:
        raise UsageError(
            "the coordinator does not know its own address; in SQL, with the name by which nodes "
            "reach it: select citus_set_coordinator_host('NAME')"
        )
    if not nodes:
        raise UsageError(
            "the cluster has no node that holds data; in SQL: select citus_add_node('NAME', 5432)"
        )


def _distribute(conn: Connection) -> Distribution:
    lock_for_transaction(conn, SCHEMA)
    # Nobody begins a load, publishes or withdraws until this is committed.
    conn.execute("select from raw.schema_version for update")
    if found := conn.execute("select load_id from raw.loads where load_seq is null").fetchone():
        raise LoaderError(
            f"nothing was changed: load {found[0]} is being worked on, or was left by a crash; run "
            "the same command again when it is done; what is left removes: loader maintain"
        )
    models_at_rest(conn)
    conn.execute("lock table raw.event_chunks in access exclusive mode")
    # First: Citus has it on the nodes too, for which there is one connection each until data moves.
    conn.execute(read_sql("cluster.sql").encode())
    conn.execute(
        "insert into raw.cluster (loader_version) values (%s) on conflict do nothing",
        [__version__],
    )
    owner, others = conn.execute(query("who_comes_to_nodes")).fetchall()[0]
    let_into_nodes(conn, owner, *others)
    before = _count(conn)
    done = [str(table) for (table,) in conn.execute(query("undistributed_tables")).fetchall()]
    for table in done:
        conn.execute(query("distribute_table"), {"table": table})
        # What was copied is still there otherwise, if only on disk.
        conn.execute("select truncate_local_data_after_distributing_table(%s)", [table])
    if _count(conn) != before:
        raise LoaderError("events were to be moved, and some are missing; nothing was changed")
    nodes, shards = conn.execute(query("nodes_with_chunks")).fetchall()[0]
    is_moved = "raw.event_chunks" in done
    return Distribution(
        nodes=nodes, shards=shards, distributed=done, events=before[1] if is_moved else 0
    )


def let_into_nodes(conn: Connection, *names: str) -> None:
    """Let roles that load, or run dbt, come to the nodes: they are asked as whoever asks."""
    for name in names:
        conn.execute(template("let_into_nodes").format(role=sql.Identifier(name)))


def let_read_on_nodes(conn: Connection, **names: str) -> None:
    """Let who runs dbt, and who reads marts, read on the nodes what they may read here.

    Args:
        conn: a connection of a superuser.
        names: ``transformer`` and ``reader``, the roles, and ``internal``, the schema of what dbt
            builds and readers do not see elsewhere.
    """
    identifiers = {one: sql.Identifier(name) for one, name in names.items()}
    conn.execute(template("let_read_on_nodes").format(**identifiers))


def _count(conn: Connection) -> tuple[int, int]:
    chunks = "select count(*), coalesce(sum(event_count), 0)::bigint from raw.event_chunks"
    return conn.execute(chunks.encode()).fetchall()[0]
