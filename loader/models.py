"""The models that dbt builds from the raw events, and how far each has come."""

from dataclasses import dataclass

from psycopg import Connection, errors, sql

from loader.schema import read_sql

# dbt holds its marks for as long as a model takes; rather than wait, do it the next time.
_LOCK_TIMEOUT = "500ms"


@dataclass(frozen=True, kw_only=True)
class ModelMark:
    """How far a model has come.

    Attributes:
        schema: where it is.
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


def models_at_rest(conn: Connection) -> list[ModelMark]:
    """Keep dbt from its marks until the end of the transaction, and return them all.

    A model that is being built for the first time has no mark that others can see, and may have
    begun before a load was withdrawn: its rows must not go while it counts them. It holds a lock
    on the table of marks, though, as every model does that is at work.

    Raises:
        ModelsBusyError: dbt is at work, or we may not look.
    """
    marks: list[ModelMark] = []
    conn.execute(f"set local lock_timeout = '{_LOCK_TIMEOUT}'".encode())
    for (schema,) in conn.execute(read_sql("progress_schemas.sql").encode()).fetchall():
        progress = sql.Identifier(schema, "model_progress")
        try:
            conn.execute(sql.SQL("lock table {} in share mode").format(progress))
            rows = conn.execute(sql.SQL(read_sql("model_marks.sql")).format(progress=progress))
            marks += [
                ModelMark(schema=schema, model_name=name, load_seq=load_seq, has_long_gap=is_long)
                for name, load_seq, is_long in rows
            ]
        except errors.LockNotAvailable:
            raise ModelsBusyError(f"dbt, which is at work in schema {schema}") from None
        except (errors.InsufficientPrivilege, errors.WrongObjectType, errors.UndefinedColumn):
            raise ModelsBusyError(
                f"the right to lock {schema}.model_progress, which says what dbt has taken note of"
            ) from None
    return marks
