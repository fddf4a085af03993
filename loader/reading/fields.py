r"""Fields: the columns of an input, and the paths that lead to them where it is nested.

A path has a dot between the keys, and ``[]`` where it goes into an array, or ``[0]`` for one item:
``after.start_time``, ``images[].detections[].classifications[0][0]``. A backslash takes its meaning
from the dot, the bracket or the backslash behind it: ``a\.b`` is the one key ``a.b``. That key is
read by ``a.b`` too, where a row has it, so a name that has nothing to do with paths stays a name.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from loader.errors import InputError

ITEMS: Final = None
"""A step of a path into each item of an array; others are a key, or the number of one item."""
Step: TypeAlias = str | int | None
Path: TypeAlias = tuple[Step, ...]

_ESCAPED: Final = re.compile(r"\\([\\.\[])")
_KEY: Final = re.compile(r"((?:\\[\\.\[]|[^.\[])+)((?:\[\d{0,6}\])*)(\.|\Z)", re.ASCII)


def folded(name: str) -> str:
    """The form in which column names are compared: no case, no spaces around."""
    return name.strip().casefold()


def parse(name: str) -> Path:
    """Return the steps of a path; of what is none, the whole as one key."""
    steps: list[Step] = []
    at = 0
    while at < len(name) or (steps and name.endswith(".")):
        found = _KEY.match(name, at)
        if found is None:
            return (name,)
        numbers = found[2][1:-1].split("][") if found[2] else []
        steps += [_ESCAPED.sub(r"\1", found[1]), *(int(one) if one else ITEMS for one in numbers)]
        at = found.end()
        if not found[3]:
            break
    return tuple(steps) or (name,)


def shown(path: Sequence[Step]) -> str:
    """Return a path as somebody may write it."""
    text = ""
    for step in path:
        if isinstance(step, str):
            text += ("." if text else "") + re.sub(r"([\\.\[])", r"\\\1", step)
        else:
            text += "[]" if step is ITEMS else f"[{step}]"
    return text


def alike(name: str, keys: Collection[str]) -> list[str]:
    """Return the keys that a name may mean: itself, or else what differs in case and spaces."""
    if name in keys:
        return [name]
    return [key for key in keys if folded(key) == folded(name)]


@dataclass(kw_only=True)
class Node:
    """A value of the input of which something is wanted.

    Attributes:
        names: columns that are this value.
        keys: what is wanted of it where it is an object; and of an array, by the number of an item.
        items: what is wanted of each item where it is an array.
    """

    names: list[str] = field(default_factory=list)
    keys: dict[str | int, Node] = field(default_factory=dict)
    items: Node | None = None

    @property
    def inner(self) -> list[Node]:
        """What is wanted of what it has inside of it."""
        return [*self.keys.values(), *([] if self.items is None else [self.items])]


def tree(paths: Mapping[str, Path]) -> Node:
    """Return the values that are wanted of a row, of column -> path.

    All arrays on these must lie in one another, for each item of the innermost becomes one event.
    InputError: some lie side by side.
    """
    root = Node()
    deepest: tuple[str, Path] = ("", ())
    for name, path in paths.items():
        node = root
        for step in path:
            if step is ITEMS:
                node.items = node.items or Node()
                node = node.items
            else:
                node = node.keys.setdefault(step, Node())
        node.names.append(name)
        above = arrays(path)
        both = min(len(above), len(deepest[1]))
        if above[:both] != deepest[1][:both]:
            raise InputError(
                f'"{deepest[0]}" and "{name}" go into different arrays; an event can '
                "come from one array, and what stands above it"
            )
        if len(above) > len(deepest[1]):
            deepest = (name, above)
    return root


def arrays(path: Path) -> Path:
    """Return a path up to where it goes into its last array."""
    return path[: len(path) - path[::-1].index(ITEMS)] if ITEMS in path else ()


def chain(paths: Iterable[Path]) -> Path:
    """Return the way into the innermost array of these paths; empty when they go into none."""
    return max(map(arrays, paths), key=len, default=())


def place(way: Path, places: Sequence[int]) -> str:
    """Say which items a row comes from: ``images[3].detections[0]``."""
    steps: list[Step] = []
    numbers = iter(places)
    for step in way:
        steps.append(next(numbers, None) if step is ITEMS else step)
        if steps[-1] is ITEMS:
            return shown(steps[:-1])
    return shown(steps)
