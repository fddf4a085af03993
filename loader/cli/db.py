"""``loader db``: the embedded server."""

import shlex

import click

from loader.server.embedded import connection_variables, embedded_cluster, start_embedded
from loader.settings import Settings


@click.group("db")
def db() -> None:
    """Start, stop and inspect the embedded PostgreSQL server of this project."""


@db.command()
@click.pass_obj
def start(settings: Settings) -> None:
    """Start the server, creating it at first; it keeps running."""
    cluster = embedded_cluster(settings)
    is_new = cluster.start()
    start_embedded(settings)
    click.echo(f"{'started' if is_new else 'already running'}: {cluster.home}")


@db.command()
@click.pass_obj
def stop(settings: Settings) -> None:
    """Stop the server; the data stays."""
    cluster = embedded_cluster(settings)
    click.echo(f"{'stopped' if cluster.stop() else 'not running'}: {cluster.home}")


@db.command()
@click.pass_obj
def status(settings: Settings) -> None:
    """Tell whether the server runs, and where it is."""
    cluster = embedded_cluster(settings)
    click.echo(f"{'running' if cluster.is_running() else 'not running'}: {cluster.home}")


@db.command()
@click.pass_obj
def env(settings: Settings) -> None:
    """Print the PG* variables of the server, started if need be: eval "$(loader db env)"."""
    start_embedded(settings)
    cluster = embedded_cluster(settings)
    for name, value in connection_variables(cluster).items():
        click.echo(f"export {name}={shlex.quote(value)}")


@db.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def reset(settings: Settings, yes: bool) -> None:
    """Stop the server and delete everything in it."""
    cluster = embedded_cluster(settings)
    if not yes and not click.confirm(f"Delete the database in {cluster.home}?", err=True):
        click.echo("nothing was deleted")
        return
    cluster.destroy()
    click.echo(f"deleted: {cluster.home}")
