"""The fixed statements of the loader, by name, from ``sql/queries.sql``."""

import re
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from importlib.resources import files
from typing import Any, LiteralString, TypeAlias, TypeVar

from psycopg import Connection, sql
from psycopg.rows import class_row, scalar_row

_Row = TypeVar("_Row")
_Statement: TypeAlias = LiteralString | bytes | sql.SQL | sql.Composed
_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def query(name: str) -> bytes:
    """Return a statement as it can be executed."""
    return _parts()[name].encode()


def template(name: str) -> sql.SQL:
    """Return a statement with ``{}`` in it, to be formatted."""
    return sql.SQL(_parts()[name])


def select(kind: type[Any], name: str, **parts: sql.Composable) -> sql.Composed:
    """Return a statement whose ``{columns}`` are the fields of a dataclass."""
    columns = sql.SQL(", ").join(sql.Identifier(one.name) for one in fields(kind))
    return template(name).format(columns=columns, **parts)


def fetch(
    conn: Connection,
    kind: type[_Row],
    name: str,
    parameters: Mapping[str, Any] | None = None,
    **parts: sql.Composable,
) -> list[_Row]:
    """Run such a statement; return an object of the dataclass for each row."""
    with conn.cursor(row_factory=class_row(kind)) as cursor:
        return cursor.execute(select(kind, name, **parts), parameters).fetchall()


def within(schema: str, name: str) -> sql.Identifier:
    """Return a name of a schema that dbt has, for a statement with parameters.

    A schema may be called anything, and there a ``%`` would begin a parameter.
    """
    return sql.Identifier(schema.replace("%", "%%"), name)


def values(conn: Connection, statement: _Statement, parameters: Any = None) -> list[Any]:
    """Return the first column of what a statement gives."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(statement, parameters).fetchall()


def value(conn: Connection, statement: _Statement, parameters: Any = None) -> Any:
    """Return the one value that a statement gives; None where it gives no row."""
    return next(iter(values(conn, statement, parameters)), None)


def read_sql(file: str) -> str:
    """Return a file of ``sql/``."""
    return files("loader.database").joinpath("sql", file).read_text(encoding="utf-8")


@cache
def _parts() -> Mapping[str, str]:
    _, *found = _NAME.split(read_sql("queries.sql"))
    return dict(zip(found[::2], found[1::2], strict=True))
