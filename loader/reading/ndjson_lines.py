"""NDJSON line by line, for what Arrow refuses or cannot tell exactly."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from loader.reading import objects
from loader.reading.arrow import Array, pa
from loader.reading.batch import Reject
from loader.reading.limits import too_long
from loader.reading.rows import Broken, Rows, put_together

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from loader.reading.limits import Limits
    from loader.reading.lines import Block
    from loader.reading.mapping import Mapping


@dataclass(frozen=True)
class Origins:
    """Rows that are lines of a block: all, or those numbered from 0."""

    block: Block
    at: NDArray[np.int64] | None
    keys: dict[str, str] | None = None

    def line_number(self, row: int) -> int:
        """Return the line of a row, counted from 1 in the input."""
        return self.block.first_line + self._line(row)

    def raw(self, row: int) -> bytes:
        """Return a row as it was read."""
        return self.block.lines.line(self._line(row))

    def reason(self, row: int, column_name: str) -> str | None:
        """Return what is wrong with a value that its column does not tell."""
        return objects.why(self.raw(row), (self.keys or {}).get(column_name, column_name))

    def _line(self, row: int) -> int:
        return row if self.at is None else int(self.at[row])


def read_lines(
    block: Block,
    numbers: NDArray[np.int64],
    none: NDArray[np.int64],
    *,
    keys: objects.Keys,
    mapping: Mapping,
    limits: Limits,
    before: Broken | None,
) -> tuple[Rows, Broken]:
    """Read lines of a block one by one; blank ones are none.

    Args:
        block: where the lines are.
        numbers: which ones, counted from 0.
        none: lines that are no objects, for certain.
        keys: how the keys are written.
        mapping: what they mean.
        limits: how long a line may be, and how much of it is kept.
        before: what was wrong with the block already.

    Returns:
        The rows, as bytes; and the lines that are none, after those that were wrong before.
    """
    rows: list[dict[str, Any]] = []
    at: list[int] = []
    refused: list[tuple[int, str]] = []
    for number in numbers.tolist():
        line = block.lines.line(number)
        if not line.strip(b" \t\r\n"):
            continue
        if len(line) > limits.line_bytes:
            kept = min(len(line), limits.raw_bytes)
            refused.append((number, too_long(len(line), kept, limits)))
            continue
        found = objects.parse(line, keys.all)
        if isinstance(found, objects.NotAnObject):
            refused.append((number, found.reason))
            continue
        rows.append(found)
        at.append(number)

    def column(key: str) -> Array:
        name = keys.needed.get(key) or keys.compared[key]
        return pa.array([objects.text(row.get(name)) for row in rows], pa.binary())

    def rejects(room: int) -> Sequence[Reject]:
        first = list(before.rejects(room)) if before is not None else []
        why = (
            (number, objects.why_none(block.lines.line(number))) for number in none[:room].tolist()
        )
        return first + [_reject(block, limits, *one) for one in chain(refused[:room], why)]

    kept_keys = tuple(keys.attributes.values())
    return (
        Rows(
            time=put_together([column(name) for name in mapping.time_columns]),
            event_type=None if mapping.type is not None else column(mapping.type_column),
            source=None if mapping.source is not None else column(mapping.source_column),
            attributes=(
                pa.array([objects.attributes(row, kept_keys) for row in rows], pa.string())
                if kept_keys
                else None
            ),
            compared={key: column(key) for key in keys.compared},
            origins=Origins(block, np.array(at, np.int64), keys.needed),
        ),
        Broken(
            count=len(refused) + len(none) + (before.count if before is not None else 0),
            rejects=rejects,
        ),
    )


def _reject(block: Block, limits: Limits, number: int, reason: str) -> Reject:
    raw = block.lines.line(number)
    is_cut = len(raw) > limits.line_bytes
    return Reject(
        line_number=block.first_line + number,
        column_name=None,
        reason=reason,
        raw=raw[: limits.raw_bytes] if is_cut else raw,
        is_cut=is_cut,
    )
