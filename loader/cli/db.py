"""``loader db``: the embedded server, and how other programs reach the database."""

import shlex
import sys

import click

from loader.cli.options import with_one_destination
from loader.database.connection import connect
from loader.database.conninfo import connection_variables
from loader.process.terminal import echo
from loader.server.cluster import Cluster
from loader.server.embedded import (
    database_dsn,
    embedded_cluster,
    find_cluster,
    leads_to,
    start_embedded,
)
from loader.settings import Settings


@click.group("db")
def db() -> None:
    """Start, stop and inspect the embedded PostgreSQL server of this project."""


@db.command()
@click.pass_obj
def start(settings: Settings) -> None:
    """Start the server, creating it at first; it keeps running."""
    cluster = find_cluster(settings)
    was_running = cluster is not None and cluster.is_running()
    start_embedded(settings, create=True)
    home = embedded_cluster(settings).home
    echo(f"{'already running' if was_running else 'started'}: {home}")


@db.command()
@click.pass_obj
def stop(settings: Settings) -> None:
    """Stop the server; the data stays."""
    if cluster := _cluster(settings):
        echo(f"{'stopped' if cluster.stop() else 'not running'}: {cluster.home}")


@db.command()
@click.pass_obj
def status(settings: Settings) -> None:
    """Tell whether the server runs, and where it is."""
    if cluster := _cluster(settings):
        echo(f"{'running' if cluster.is_running() else 'not running'}: {cluster.home}")


@db.command()
@with_one_destination
def env(settings: Settings) -> None:
    """Print the PG* variables of the database, however it is named: eval "$(loader db env)".

    With them dbt, psql and others reach the database that the loader uses. The embedded server is
    started if need be. In fish: loader db env | source.
    """
    if settings.dsn is None or leads_to(settings):
        # Variables of before are no reason not to start it.
        start_embedded(settings, create=True)
    dsn = database_dsn(settings)
    variables = connection_variables(dsn)
    with connect(dsn, purpose="env", as_owner=False) as conn:
        # Without one, libpq takes the directory of sockets that it was built for, and each its own.
        variables["PGHOST"] = variables.get("PGHOST") or conn.info.host
    for name, value in variables.items():
        before = settings.variables.get(name)
        if name == "PGPASSWORD" and value == before:
            # It is where it belongs already, and this may end up in a log.
            continue
        if name == "PGPASSWORD" and is_terminal():
            echo(f"# {name} is not shown on a terminal; better keep it in ~/.pgpass")
        elif value is not None:
            echo(f"export {name}={shlex.quote(value)}")
        elif before is not None:
            echo(f"unset {name}")


@db.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def reset(settings: Settings, yes: bool) -> None:
    """Stop the server and delete everything in it."""
    cluster = _cluster(settings)
    if cluster is None:
        return
    if not yes and not click.confirm(f"Delete the database in {cluster.home}?", err=True):
        echo("nothing was deleted")
        return
    cluster.destroy()
    echo(f"deleted: {cluster.home}")


def is_terminal() -> bool:
    """Tell whether somebody looks at what is printed, instead of evaluating it."""
    return sys.stdout is not None and sys.stdout.isatty()


def _cluster(settings: Settings) -> Cluster | None:
    found = find_cluster(settings)
    if found is None:
        echo(f"no server yet of {settings.server_of}: {settings.server_dir}")
    return found
