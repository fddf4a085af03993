"""``loader completion``."""

import click
from click.shell_completion import get_completion_class

from loader.cli import COMPLETE_VARIABLE, cli
from loader.process.terminal import echo_lines


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what has a shell complete commands and options: eval "$(loader completion bash)"."""
    found = get_completion_class(shell)
    assert found is not None  # noqa: S101 - click has all of the choices
    echo_lines(found(cli, {}, "loader", COMPLETE_VARIABLE).source())
