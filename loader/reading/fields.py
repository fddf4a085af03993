r"""Fields: the columns of an input, and the paths that lead to them where it is nested.

A path has a dot between the keys, and ``[]`` where it goes into an array: ``after.start_time``,
``images[].detections[].category``. A backslash takes its meaning from the dot, the bracket or the
backslash behind it: ``a\.b`` is the one key ``a.b``. That key is read by ``a.b`` too, where a row
has it, so a name that has nothing to do with paths stays a name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from loader.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

ITEMS: Final = None
"""A step of a path into each item of an array; every other step is a key."""
Step: TypeAlias = str | None
Path: TypeAlias = tuple[Step, ...]

_ESCAPED: Final = re.compile(r"\\([\\.\[])")
_KEY: Final = re.compile(r"((?:\\[\\.\[]|[^.\[])+)((?:\[\])*)(\.|\Z)")


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
        steps += [_ESCAPED.sub(r"\1", found[1]), *[ITEMS] * (len(found[2]) // 2)]
        at = found.end()
        if not found[3]:
            break
    return tuple(steps) or (name,)


def shown(path: Sequence[Step]) -> str:
    """Return a path as somebody may write it."""
    text = ""
    for step in path:
        if step is ITEMS:
            text += "[]"
        else:
            text += ("." if text else "") + re.sub(r"([\\.\[])", r"\\\1", step)
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
        keys: what is wanted of it where it is an object.
        items: what is wanted of each item where it is an array.
    """

    names: list[str] = field(default_factory=list)
    keys: dict[str, Node] = field(default_factory=dict)
    items: Node | None = None

    def add(self, name: str, path: Path) -> None:
        """Want what a path leads to, as a column."""
        node = self
        for step in path:
            if step is ITEMS:
                node.items = node.items or Node()
                node = node.items
            else:
                node = node.keys.setdefault(step, Node())
        node.names.append(name)


def tree(paths: Mapping[str, Path], origin: str) -> Node:
    """Return the values that are wanted of a row.

    Args:
        paths: column -> path. All arrays on them must lie in one another, for each item of the
            innermost becomes one event.
        origin: what errors call the input.

    Raises:
        InputError: some lie side by side.
    """
    root = Node()
    deepest: tuple[str, Path] = ("", ())
    for name, path in paths.items():
        root.add(name, path)
        above = arrays(path)
        both = min(len(above), len(deepest[1]))
        if above[:both] != deepest[1][:both]:
            raise InputError(
                f'{origin}: "{deepest[0]}" and "{name}" go into different arrays; an event can '
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
    numbers = iter(places)
    text = ""
    for step in way:
        if step is ITEMS:
            number = next(numbers, None)
            if number is None:
                break
            text += f"[{number}]"
        else:
            text += ("." if text else "") + shown((step,))
    return text


@dataclass(kw_only=True)
class Found:
    """The columns of some rows.

    Attributes:
        columns: column -> a value for each event; None where there is none.
        rows: row of each event.
        places: of each array on the way, which item each event comes from, counted from 0.
        doubtful: rows in which a wanted key may be there twice, or whose values only Python reads.
    """

    columns: dict[str, Any]
    rows: NDArray[np.int64]
    places: list[NDArray[np.int64]]
    doubtful: set[int]

    def is_alone(self, event: int) -> bool:
        """Whether an event is the only one of its row."""
        row = self.rows[event]
        first, end = np.searchsorted(self.rows, [row, row + 1])
        return bool(end - first == 1)

    def places_of(self, event: int) -> list[int]:
        """Return which item of each array an event comes from."""
        return [int(places[event]) for places in self.places]


class Level:
    """Rows, or items of the arrays of the level above.

    Args:
        counts: how many items each of the level above has; None for rows.
        count: how many rows there are.

    Attributes:
        columns: column -> values.
        array: what is wanted of the items of arrays, and these arrays.
        doubtful: as in `Found`.
    """

    def __init__(self, count: int = 0, counts: NDArray[np.int64] | None = None) -> None:
        self.above = np.arange(count)
        self.place: NDArray[np.int64] | None = None
        if counts is not None:
            self.above = np.repeat(np.arange(len(counts)), counts)
            first = np.cumsum(counts) - counts
            self.place = np.arange(len(self.above)) - np.repeat(first, counts)
        self.columns: dict[str, Any] = {}
        self.doubtful: set[int] = set()
        self.array: tuple[Node, Any] | None = None


def joined(levels: Sequence[Level], take: Callable[[Any, NDArray[np.int64]], Any]) -> Found:
    """Give each event what stands above it."""
    at = np.arange(len(levels[-1].above))
    columns: dict[str, Any] = {}
    places: list[NDArray[np.int64]] = []
    doubtful: set[int] = set()
    for level in reversed(levels):
        for name, values in level.columns.items():
            columns[name] = values if level is levels[-1] else take(values, at)
        doubtful |= level.doubtful
        if level.place is not None:
            places.insert(0, level.place[at])
            at = level.above[at]
            doubtful = set(level.above[list(doubtful)].tolist())
    return Found(columns=columns, rows=at, places=places, doubtful=doubtful)
