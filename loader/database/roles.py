"""The roles of the database: who owns what, and who may read it.

Objects belong to roles that nobody logs in as, not to whoever happened to create them: all members
can then work on them, and people come and go. ADR 0009 says why.
"""

from dataclasses import astuple, dataclass
from typing import Final

from psycopg import Connection, sql

from loader.database.citus import is_distributed, let_into_nodes, let_read_on_nodes
from loader.database.locks import SCHEMA, in_short_tries, lock_for_transaction
from loader.database.models import INTERNAL
from loader.database.queries import query, template, value, values
from loader.database.schema import CHANGE_PATIENCE_SECONDS, ensure_schema
from loader.errors import UsageError

# PostgreSQL cuts off what is longer, in bytes.
LONGEST_NAME: Final = 63


@dataclass(frozen=True, kw_only=True)
class Roles:
    """The names of the three roles.

    Attributes:
        loader: owns schema raw and loads into it.
        transformer: owns dbt's target schema and the one beside it, and reads schema raw.
        reader: reads the marts; dbt grants them to it, see ``+grants`` in ``dbt_project.yml``.
    """

    loader: str = "loader"
    transformer: str = "transformer"
    reader: str = "reader"


def set_up_roles(conn: Connection, roles: Roles, schema: str) -> list[str]:
    """Create the roles and hand the schemas over to them; return the roles that are new.

    Idempotent, all or nothing.

    Args:
        conn: a connection in autocommit mode, of a superuser, or of the owner of the database
            who has CREATEROLE and becomes a member of the roles.
        roles: their names; those that exist already keep their attributes and members.
        schema: dbt's target schema; it, and the one beside it, are created if need be.
    """
    internal = schema + INTERNAL
    names = astuple(roles)
    if len(set(names)) != len(names):
        raise UsageError("the loader, the transformer and the reader need names of their own")
    if schema == "raw":
        raise UsageError("schema raw is the loader's; dbt needs another one")
    if len(internal.encode()) > LONGEST_NAME:
        raise UsageError(
            f"schema {schema} has too long a name: with {INTERNAL} appended it may have "
            f"{LONGEST_NAME} bytes"
        )

    def set_up() -> list[str]:
        lock_for_transaction(conn, SCHEMA)
        _check_closed(conn, "raw", schema, internal)
        created = [name for name in names if _create_role(conn, name)]
        ensure_schema(conn)
        _hand_over(conn, "raw", roles.loader)
        for name in (schema, internal):
            conn.execute(
                sql.SQL("create schema if not exists {} authorization {}").format(
                    sql.Identifier(name), sql.Identifier(roles.transformer)
                )
            )
            _hand_over(conn, name, roles.transformer)
        conn.execute(
            template("grants").format(
                loader=sql.Identifier(roles.loader),
                transformer=sql.Identifier(roles.transformer),
                reader=sql.Identifier(roles.reader),
                schema=sql.Identifier(schema),
                internal=sql.Identifier(internal),
                database=sql.Identifier(conn.info.dbname),
            )
        )
        if is_distributed(conn):
            let_into_nodes(conn, roles.loader, roles.transformer)
            let_read_on_nodes(
                conn, transformer=roles.transformer, reader=roles.reader, internal=internal
            )
        return created

    # Tables change hands under locks that keep readers waiting.
    return in_short_tries(conn, "raw.loads", set_up, patience=CHANGE_PATIENCE_SECONDS)


def _check_closed(conn: Connection, *schemas: str) -> None:
    """Refuse schemas where everybody may create: a stranger's things would be handed over too."""
    for name in values(
        conn,
        "select nspname from pg_namespace where nspname = any(%s)"
        " and has_schema_privilege('public', oid, 'create')",
        [list(schemas)],
    ):
        quoted = sql.Identifier(name).as_string(conn)
        raise UsageError(
            f"everybody may create in schema {name}, and what strangers put there would get the "
            f"rights of a role; nothing was changed; first: revoke create on schema {quoted} "
            "from public, and look at what is there"
        )


def _create_role(conn: Connection, name: str) -> bool:
    """Create a role unless it exists, and make sure that we may act for it; True if created."""
    role = sql.Identifier(name)
    is_new = value(conn, "select 1 from pg_roles where rolname = %s", [name]) is None
    if is_new:
        conn.execute(sql.SQL("create role {} nologin").format(role))
    # A superuser may anyway; since PostgreSQL 16 others must say that they want what they create.
    if not value(conn, "select pg_has_role(%s, 'USAGE')", [name]):
        conn.execute(sql.SQL("grant {} to current_user").format(role))
    return is_new


def _hand_over(conn: Connection, schema: str, owner: str) -> None:
    """Make a role the owner of a schema and of all that is in it."""
    parameters = {"schema": schema, "owner": owner}
    # The schema comes first: an owner must be allowed to create in it.
    for statement in values(conn, query("hand_over"), parameters):
        conn.execute(statement.encode())
