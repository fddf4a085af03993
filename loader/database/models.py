"""The models that dbt builds from the raw events, and how far each has come."""

import json
from dataclasses import dataclass
from typing import Final

from psycopg import Connection, errors, sql

from loader.database.locks import SHORT_TRY
from loader.database.queries import query, value

# The marks of the models in a schema, and what readers do not read, are in the one with this name
# appended; those of earlier versions of the models are in the schema itself.
INTERNAL: Final = "_internal"


@dataclass(frozen=True, kw_only=True)
class ModelMark:
    """How far a model has come.

    Attributes:
        schema: where the mark is.
        model_name: the model.
        load_seq: the position in the ledger up to which it holds everything; 0 for none.
        has_long_gap: whether its periods may hold pauses of more than a day.
    """

    schema: str
    model_name: str
    load_seq: int
    has_long_gap: bool


class ModelsBusyError(Exception):
    """Somebody may still need raw events as they are; says who."""


def full_name(conn: Connection, marks_schema: str, model_name: str) -> str:
    """Return the name of a model with its schema: that of its mark, or of what readers read."""
    is_beside = value(
        conn,
        "select 1 from pg_class inner join pg_namespace on relnamespace = pg_namespace.oid"
        " where nspname = %s and relname = %s",
        [marks_schema, model_name],
    )
    return f"{marks_schema if is_beside else marks_schema.removesuffix(INTERNAL)}.{model_name}"


def progress_schemas(conn: Connection) -> dict[str, int]:
    """Return the schemas that dbt keeps marks in, each with the oid of its table of marks."""
    return dict(conn.execute(query("progress_schemas")).fetchall())


def copy_marks(conn: Connection, schema: str, column: str) -> list[tuple[str, int, str | None]]:
    """Return name, load_seq and one more column, as text, of the marks in a schema.

    Whoever owns a schema may put any table in the place of the one that was looked at. COPY reads
    tables only and evaluates nothing: no expression, cast or policy that would run its owner's
    functions with our rights. So no query may ever name this table.
    """
    statement = sql.SQL("copy {} (model_name, load_seq, {}) to stdout").format(
        sql.Identifier(schema, "model_progress"), sql.Identifier(column)
    )
    with conn.cursor() as cursor, cursor.copy(statement) as copy:
        return [(str(name), int(load_seq or 0), more) for name, load_seq, more in copy.rows()]


def models_at_rest(conn: Connection) -> list[ModelMark]:
    """Keep dbt from its marks until the end of the transaction, and return them all.

    A model that is being built for the first time has no mark that others can see, and may have
    begun before a load was withdrawn: its rows must not go while it counts them. It holds a lock
    on the table of marks, though, as every model does that is at work.

    Raises:
        ModelsBusyError: dbt is at work, or we may not look.
    """
    marks: list[ModelMark] = []
    # dbt holds its marks for as long as a model takes; rather than wait, do it the next time.
    conn.execute(f"set local lock_timeout = '{SHORT_TRY}'".encode())
    schemas = progress_schemas(conn)
    for schema in schemas:
        progress = sql.Identifier(schema, "model_progress")
        try:
            conn.execute(sql.SQL("lock table only {} in share mode").format(progress))
            marks += [
                ModelMark(
                    schema=schema,
                    model_name=name,
                    load_seq=load_seq,
                    has_long_gap=_has_long_gap(conn, definition),
                )
                for name, load_seq, definition in copy_marks(conn, schema, "definition")
            ]
        except errors.LockNotAvailable:
            raise ModelsBusyError(f"dbt, which is at work in schema {schema}") from None
        except errors.InsufficientPrivilege:
            raise ModelsBusyError(
                f"the right to lock {schema}.model_progress, which says what dbt has taken note of"
            ) from None
        except (errors.UndefinedTable, errors.UndefinedColumn, errors.WrongObjectType, ValueError):
            raise ModelsBusyError(f"somebody who changes {schema}.model_progress") from None
    # A name may have come to mean another table, and a schema may be new: those are not locked.
    if progress_schemas(conn) != schemas:
        raise ModelsBusyError("somebody who makes or renames schemas of dbt")
    return sorted(marks, key=lambda mark: (mark.load_seq, mark.schema, mark.model_name))


def _has_long_gap(conn: Connection, definition: str | None) -> bool:
    parts = json.loads(definition or "{}")
    gaps = [*parts.get("activity_gap", {}).values(), *parts.get("category_gaps", {}).values()]
    statement: Final = (
        "select bool_or(gap > interval '1 day') from unnest(%s::interval[]) as gaps (gap)"
    )
    return bool(value(conn, statement, [gaps]))
