"""The raw schema: created and brought up to date when a command needs it."""

import hashlib
import re
from typing import Final

from psycopg import Connection, errors
from psycopg.rows import TupleRow

from loader import __version__
from loader.database.locks import SCHEMA, holders, in_short_tries, lock_for_transaction
from loader.database.queries import query, read_sql, value
from loader.errors import LoaderError, NewerSchemaError, OlderSchemaError, UsageError

# Raised by one when a loader that does not know of a change would write, or read, what is wrong.
# Tables and columns that others need not know of are no reason. See docs/decisions/0029.
# 2: events in chunks, see docs/decisions/0033. 3: chunks of several loads, which a withdrawal takes
# apart, see docs/decisions/0046.
SCHEMA_VERSION: Final = 3
# How long a change is tried; whoever runs a query of raw tables delays it.
CHANGE_PATIENCE_SECONDS: Final = 60.0

_VERSION: Final = "select version, loader_version from raw.schema_version"


def ensure_schema(conn: Connection) -> None:
    """Create the raw schema, or bring it up to date; cheap when there is nothing to do.

    The statements are idempotent, but not free: they take locks and ask for privileges that a
    loader of daily files need not have. So the schema remembers which version of them it has.
    """
    if _mark(conn) == _mark_of(read_sql("schema.sql")) and _look_at_version(conn) != 0:
        return

    def change() -> None:
        lock_for_transaction(conn, SCHEMA)
        _refuse_strangers(conn)
        _look_at_version(conn)
        _refuse_older(conn)
        apply_schema(conn)

    try:
        in_short_tries(conn, "raw.loads", change, patience=CHANGE_PATIENCE_SECONDS)
    except errors.LockNotAvailable as error:
        who = holders(conn, "raw.loads")
        raise LoaderError(
            f"this loader has to change tables of schema raw, and {who} has kept them in use for "
            f"{CHANGE_PATIENCE_SECONDS:.0f} s; run the same command again when that is done"
        ) from error


def apply_schema(conn: Connection) -> None:
    """Create what the schema lacks, in a transaction that has whatever locks it takes."""
    statements = read_sql("schema.sql")
    conn.execute(statements.encode())
    version = {"version": SCHEMA_VERSION, "loader_version": __version__}
    conn.execute(query("set_schema_version"), version)
    # Not a parameter: utility statements take none. The mark is ours, letters and digits.
    conn.execute(f"comment on schema raw is '{_mark_of(statements)}'".encode())


def require_schema(conn: Connection) -> None:
    """Fail with advice if nothing was ever loaded into this database, or by another version."""
    if _mark(conn) is None:
        raise UsageError("there is nothing in this database yet; load something: loader load PATH")
    _refuse_strangers(conn)
    version = _look_at_version(conn)
    _refuse_older(conn)
    if version is not None and version < SCHEMA_VERSION:
        raise OlderSchemaError(
            f"the tables of this database are those of an older loader (schema version {version}, "
            f"and this is {SCHEMA_VERSION}); nothing was changed; bring them up to date with: "
            "loader maintain (or load something)"
        )


def keep_schema(conn: Connection) -> None:
    """Keep the schema as this loader knows it until the transaction ends; it is about to write."""
    _refuse_newer(conn.execute(f"{_VERSION} for share".encode()).fetchone())


def _refuse_newer(found: TupleRow | None) -> None:
    if found is not None and found[0] > SCHEMA_VERSION:
        version, loader_version = found
        raise NewerSchemaError(
            f"loader {loader_version} has changed how this database stores events (schema version "
            f"{version}); this loader, {__version__}, knows version {SCHEMA_VERSION} only, and "
            "nothing was written; use the newer one here too"
        )


def is_older(conn: Connection) -> bool:
    """Return whether raw.events is a table, as it was up to version 1."""
    statement: Final = (
        "select true from pg_class where relname = 'events' and relkind = 'p'"
        " and relnamespace = (select oid from pg_namespace where nspname = 'raw')"
    )
    return bool(value(conn, statement))


def _refuse_older(conn: Connection) -> None:
    if is_older(conn):
        raise OlderSchemaError(
            f"an older loader has stored the events of this database, each in a row; this loader, "
            f"{__version__}, stores them in chunks; nothing was changed; convert them with: loader "
            "maintain --migrate (others may go on meanwhile), or use the older loader"
        )


def _refuse_strangers(conn: Connection) -> None:
    """Refuse a schema raw in which somebody else has what ours would be called."""
    names = re.findall(r"(?:table if not exists|replace view) raw\.(\w+)", read_sql("schema.sql"))
    found = value(conn, query("name_of_a_stranger"), {"names": names})
    if found is not None:
        raise UsageError(
            f"schema raw of this database is somebody else's: the loader did not make raw.{found}; "
            "nothing was changed; use another database, or first: alter schema raw rename to NAME"
        )


def _look_at_version(conn: Connection) -> int | None:
    """Return the version, or raise NewerSchemaError; None where no loader has left one yet.

    And for readers of the marts: dbt keeps what they see as it was. It is 0 where a dump brought
    tables without their rows.
    """
    may_look = conn.execute(
        "select from pg_class where relname = 'schema_version'"
        " and relnamespace = (select oid from pg_namespace where nspname = 'raw')"
        " and has_schema_privilege(relnamespace, 'usage') and has_table_privilege(oid, 'select')"
    ).fetchone()
    if may_look is None:
        return None
    found = conn.execute(_VERSION).fetchone()
    _refuse_newer(found)
    return 0 if found is None else int(found[0])


def _mark_of(statements: str) -> str:
    return f"video-events {hashlib.sha256(statements.encode()).hexdigest()[:16]}"


def _mark(conn: Connection) -> str | None:
    found: str | None = value(conn, query("schema_mark"))
    return found
