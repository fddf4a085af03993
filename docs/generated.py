"""The parts of the reference that are made from the code.

Pages in ``reference/`` call these functions in comments, and cog writes below each comment what
they return: ``make docs``. ``make lint`` finds a page that is behind.
"""

import inspect
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import click

from loader.cli import cli
from loader.reading.known import KnownFormat, as_toml, shipped_formats

# --- the command line -------------------------------------------------------------------------


def commands() -> str:
    """Return a table of all commands."""
    rows = (
        (f"[`{path}`](#{_slug(path)})", found.get_short_help_str(limit=200))
        for path, found in _commands(cli)
    )
    return _table(("command", "does"), rows)


def command(name: str) -> str:
    """Return what ``--help`` says of a command, or of each command of a group."""
    path = f"loader {name}"
    return "\n".join(_command(p, c) for p, c in _commands(cli) if f"{p} ".startswith(f"{path} "))


def common_options() -> str:
    """Return a table of the options that stand before the name of any command."""
    return _options(cli.params)


def _commands(group: click.Group, prefix: str = "loader") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        _, found, _ = group.resolve_command(context, [name])
        if isinstance(found, click.Group):
            yield from _commands(found, f"{prefix} {name}")
        elif found is not None:
            yield f"{prefix} {name}", found


def _command(path: str, found: click.Command) -> str:
    usage = " ".join([path, *found.collect_usage_pieces(click.Context(found))])
    parts = [f"### {path}", f"```text\n{usage}\n```", inspect.cleandoc(found.help or "")]
    # --dsn is an option of nearly every command: it stands once, before them.
    options = [p for p in found.params if isinstance(p, click.Option) and p.name != "dsn"]
    if options:
        parts.append(_options(options).rstrip())
    return "\n\n".join(parts) + "\n"


def _options(options: Iterable[click.Parameter]) -> str:
    context = click.Context(cli, show_default=True)
    records = filter(None, (option.get_help_record(context) for option in options))
    return _table(("option", "meaning"), ((f"`{left}`", right) for left, right in records))


# --- known formats ----------------------------------------------------------------------------


def formats() -> str:
    """Return a section on each known format that is shipped, with a made-up sample."""
    return "\n".join(_format(one) for one in shipped_formats().values())


def _format(one: KnownFormat) -> str:
    (sample,) = (Path(__file__).parent / "samples").glob(f"{one.name}.*")
    options, text = as_toml(one, texts=()), sample.read_text().rstrip()
    parts = [f"### {one.name}", f"{one.about}: [as it is described there]({one.see})."]
    parts += [one.note] if one.note else []
    parts += [f"```toml\n{options}\n```", f"Such as `{sample.name}`:", f"```text\n{text}\n```"]
    return "\n\n".join(parts) + "\n"


# --- relations --------------------------------------------------------------------------------


def models(*folder: str) -> str:
    """Return the models of a folder below ``models``."""
    return _relations("model", lambda node: tuple(node["fqn"][1:-1]) == folder)


def model(name: str) -> str:
    """Return one model."""
    return _relations("model", lambda node: bool(node["name"] == name))


def seeds() -> str:
    """Return the seeds."""
    return _relations("seed")


def sources(name: str) -> str:
    """Return the tables of a source."""
    return _relations("source", lambda node: bool(node["source_name"] == name))


def functions() -> str:
    """Return the functions."""
    return _relations("function")


@cache
def _manifest() -> Any:
    """What dbt has found in the project; any dbt command writes it."""
    directory = Path(os.environ.get("DBT_TARGET_PATH", "target"))
    return json.loads((directory / "manifest.json").read_text())


def _relations(
    resource_type: str, is_wanted: Callable[[dict[str, Any]], bool] = lambda _: True
) -> str:
    """Return a section on each of the relations that are wanted, in order of name."""
    kinds = ("nodes", "sources", "functions")
    everything = [node for kind in kinds for node in _manifest()[kind].values()]
    wanted = {
        node["name"]: node
        for node in everything
        if node["resource_type"] == resource_type and is_wanted(node)
    }
    if not wanted:
        raise ValueError(f"the manifest has no such {resource_type}")
    return "\n".join(_relation(wanted[name]) for name in sorted(wanted))


def _relation(node: dict[str, Any]) -> str:
    """Return a section on a relation, a seed or a function."""
    is_function = node["resource_type"] == "function"
    columns = list(node["arguments"] if is_function else node["columns"].values())
    head = ["argument" if is_function else "column", "type", "meaning"]
    rows = [
        [f"`{column['name']}`", f"`{_type_of(column, node)}`", column["description"]]
        for column in columns
    ]
    if not any(_type_of(column, node) for column in columns):
        # Only what has a contract says its types.
        head, rows = [head[0], head[2]], [[row[0], row[2]] for row in rows]
    parts = [f"### {_heading(node)}", " ".join(node["description"].split()), _table(head, rows)]
    if is_function:
        parts.append(f"It returns `{' '.join(node['returns']['data_type'].split())}`.")
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _heading(node: dict[str, Any]) -> str:
    """Return the name by which a user knows it."""
    return f"{node['name']}.csv" if node["resource_type"] == "seed" else str(node["name"])


def _type_of(column: dict[str, Any], node: dict[str, Any]) -> str:
    return str(
        column["data_type"] or node["config"].get("column_types", {}).get(column["name"], "")
    )


# --- Markdown ---------------------------------------------------------------------------------


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def _slug(heading: str) -> str:
    """Return the anchor that forges, and Sphinx, give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
