"""``loader roles``."""

import click
from psycopg import errors

from loader.cli.options import with_one_destination
from loader.cli.typed import Decorator, options_as
from loader.database.connection import connect
from loader.database.models import INTERNAL
from loader.database.roles import Roles, set_up_roles
from loader.errors import LoaderError
from loader.process.terminal import echo
from loader.server.embedded import database_dsn
from loader.settings import Settings


def _role(name: str, meaning: str) -> Decorator:
    return click.option(f"--{name}-role", name, default=name, metavar="NAME", help=meaning)


@click.command()
@click.option("--schema", metavar="NAME", help="dbt's target schema; else DBT_SCHEMA, analytics.")
@options_as(
    "wanted",
    Roles,
    _role("loader", "Loads, and owns the schema raw."),
    _role("transformer", "Runs dbt, and owns dbt's target schema."),
    _role("reader", "Reads the marts."),
)
@with_one_destination
def roles(settings: Settings, schema: str | None, wanted: Roles) -> None:
    """Create the roles that load, transform and read, and give them what they need."""
    target = schema or settings.dbt_schema
    with connect(database_dsn(settings, create=True), purpose="roles", as_owner=False) as conn:
        try:
            created = set_up_roles(conn, wanted, target)
        except errors.InsufficientPrivilege as error:
            raise LoaderError(
                f"the database refuses: {error.diag.message_primary}; nothing was changed; run "
                "this as a superuser, or as the owner of the database and its schemas, with "
                "CREATEROLE"
            ) from error
    echo(f"new roles: {', '.join(created) or 'none'}")
    echo(
        f"schema raw belongs to {wanted.loader}, {target} and {target}{INTERNAL} to "
        f"{wanted.transformer}"
    )
