"""What is loaded, and how far behind the models are."""

from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection, errors, sql
from psycopg.rows import class_row

from loader.schema import read_sql


@dataclass(frozen=True, kw_only=True)
class LedgerStatus:
    """Totals over the ledger.

    Attributes:
        load_seq: position of the newest published load or withdrawal.
        loads: visible loads.
        withdrawals: withdrawn loads.
        unpublished: loads that are being worked on, or that a crash left.
        rows_loaded: rows of visible loads, and likewise the other counts.
        database_bytes: size of the database.
    """

    load_seq: int
    loads: int
    withdrawals: int
    unpublished: int
    rows_read: int
    rows_loaded: int
    rows_rejected: int
    rows_duplicate: int
    database_bytes: int
    first_event_at: datetime | None
    last_event_at: datetime | None
    last_published_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class ModelStatus:
    """How far a dbt model is: it has taken note of the ledger up to ``load_seq``."""

    model: str
    load_seq: int
    loads_behind: int
    updated_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Models:
    """What is known of the models, in every schema that dbt has built models in.

    Attributes:
        found: how far each is.
        unreadable: schemas of models that this user may not ask about.
    """

    found: list[ModelStatus]
    unreadable: list[str]


def ledger_status(conn: Connection) -> LedgerStatus:
    """Return the totals of the ledger."""
    with conn.cursor(row_factory=class_row(LedgerStatus)) as cursor:
        cursor.execute(read_sql("ledger_status.sql").encode())
        status = cursor.fetchone()
    assert status is not None  # noqa: S101 - an aggregate always gives one row
    return status


def models_status(conn: Connection) -> Models:
    """Return how far the models are."""
    found: list[ModelStatus] = []
    unreadable: list[str] = []
    for (schema,) in conn.execute(read_sql("progress_schemas.sql").encode()).fetchall():
        statement = sql.SQL(read_sql("model_status.sql")).format(
            schema=sql.Literal(schema), progress=sql.Identifier(schema, "model_progress")
        )
        try:
            with conn.cursor(row_factory=class_row(ModelStatus)) as cursor:
                found += cursor.execute(statement).fetchall()
        except (errors.UndefinedTable, errors.UndefinedColumn):
            # Dropped this moment, or another thing of the same name.
            continue
        except errors.InsufficientPrivilege:
            unreadable.append(schema)
    return Models(found=found, unreadable=unreadable)
