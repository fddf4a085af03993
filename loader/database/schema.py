"""The raw schema: created and brought up to date when a command needs it."""

import hashlib
from importlib.resources import files

from psycopg import Connection
from psycopg.rows import scalar_row

from loader.database.locks import SCHEMA, lock_for_transaction
from loader.errors import UsageError


def read_sql(name: str) -> str:
    """Return a file of ``loader/sql``."""
    return files("loader.database").joinpath("sql", name).read_text(encoding="utf-8")


def ensure_schema(conn: Connection) -> None:
    """Create the raw schema, or bring it up to date; cheap when there is nothing to do.

    The statements are idempotent, but not free: they take locks and ask for privileges that a
    loader of daily files need not have. So the schema remembers which version of them it has.
    """
    statements = read_sql("schema.sql")
    mark = f"video-events {hashlib.sha256(statements.encode()).hexdigest()[:16]}"
    if _mark(conn) == mark:
        return
    with conn.transaction():
        lock_for_transaction(conn, SCHEMA)
        conn.execute(statements.encode())
        # Not a parameter: utility statements take none. The mark is ours, letters and digits.
        conn.execute(f"comment on schema raw is '{mark}'".encode())


def require_schema(conn: Connection) -> None:
    """Fail with advice if nothing was ever loaded into this database."""
    if _mark(conn) is None:
        raise UsageError("there is nothing in this database yet; load something: loader load PATH")


def _mark(conn: Connection) -> str | None:
    with conn.cursor(row_factory=scalar_row) as cursor:
        cursor.execute(read_sql("schema_mark.sql").encode())
        value: str | None = cursor.fetchone()
    return value
