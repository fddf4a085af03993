"""The fixed statements of the loader, by name, from ``sql/queries.sql``."""

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from psycopg import sql

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def query(name: str) -> bytes:
    """Return a statement as it can be executed."""
    return _parts()[name].encode()


def template(name: str) -> sql.SQL:
    """Return a statement with ``{}`` in it, to be formatted."""
    return sql.SQL(_parts()[name])


def read_sql(file: str) -> str:
    """Return a file of ``sql/``."""
    return files("loader.database").joinpath("sql", file).read_text(encoding="utf-8")


@cache
def _parts() -> Mapping[str, str]:
    _, *found = _NAME.split(read_sql("queries.sql"))
    return dict(zip(found[::2], found[1::2], strict=True))
