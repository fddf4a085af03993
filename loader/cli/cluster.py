"""``loader cluster``: events on several nodes."""

import click
from psycopg import errors

from loader.cli.options import with_one_destination
from loader.database.citus import distribute
from loader.database.connection import connect
from loader.errors import LoaderError
from loader.process.terminal import echo
from loader.server.embedded import database_dsn
from loader.settings import Settings


@click.group("cluster")
def cluster() -> None:
    """Store events on the nodes of a Citus cluster."""


@cluster.command()
@with_one_destination
def init(settings: Settings) -> None:
    """Distribute the events of this database over its nodes; once, with what is in it or empty.

    Who loads or asks meanwhile waits. What is loaded later, and what dbt builds, follows.
    """
    with connect(database_dsn(settings), purpose="cluster", as_owner=False) as conn:
        try:
            done = distribute(conn)
        except errors.InsufficientPrivilege as error:
            raise LoaderError(
                f"the database refuses: {error.diag.message_primary}; nothing was changed; run "
                "this as a superuser"
            ) from error
    count = len(done.nodes)
    where = (
        f"{count} node{'s' if count != 1 else ''} in {done.shards} shards: {', '.join(done.nodes)}"
    )
    if done.distributed:
        echo(f"{done.events:,} events are on {where}")
        echo("models that are built already follow with the next: dbt build")
    else:
        echo(f"the events are distributed already, over {where}")
