"""Shapes: what regular expressions can tell of lines of NDJSON, millions of them a second.

Arrow stops at the first line that it cannot read, and Python reads one at a time. Where one line in
ten is bad, both are slow; so those that are bad for certain, or likely to stop Arrow, are found
first.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from loader.reading.arrow import Array, pc
from loader.reading.limits import DEEPEST

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from loader.reading.lines import Block

_SPACE: Final = r"[ \t\r\n]*"
_TEXT: Final = r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"'
_NUMBER: Final = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?"
# What Python's parser takes for a value, but for arrays and objects.
_SCALAR: Final = rf"(?:{_TEXT}|{_NUMBER}|true|false|null|NaN|-?Infinity)"
_PAIR: Final = rf"{_TEXT}{_SPACE}:{_SPACE}{_SCALAR}{_SPACE}"
_FLAT: Final = rf"{_SPACE}\{{{_SPACE}(?:{_PAIR}(?:,{_SPACE}{_PAIR})*)?\}}{_SPACE}"
# An object that is not flat has a bracket more.
_NESTED: Final = r"[^[{]*\{[^[{]*[[{].*"
_POSSIBLE: Final = rf"(?s)^(?:{_FLAT}|{_NESTED}|{_SPACE})$"
# Whole or not closed; never gives back what it took, so that it takes no more than one pass.
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_KEY: Final = re.compile(rb'"((?:[^"\\]++|\\.)*+)"[ \t\r\n]*:', re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Shapes:
    """What is known of each line.

    Attributes:
        are_none: it is no JSON object, for certain, and not blank.
        are_odd: a needed key may be there twice, or hold something else than a text.
    """

    are_none: NDArray[np.bool_]
    are_odd: NDArray[np.bool_]


def shapes_of(lines: Array, keys: Iterable[str]) -> Shapes:
    """Look at lines, as bytes, whose needed keys are these."""
    written = [re.escape(json.dumps(key, ensure_ascii=False)) for key in keys]
    other = rf'(?:{"|".join(written)})[ \t]*:[ \t]*[^" \t]'
    odd = "|".join([other, *(f"{key}.*{key}" for key in written)])
    return Shapes(
        are_none=~_matches(lines, _POSSIBLE),
        are_odd=_matches(lines, odd),
    )


def _matches(lines: Array, pattern: str) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = pc.match_substring_regex(lines, pattern).to_numpy(
        zero_copy_only=False
    )
    return found


def is_too_deep(line: bytes) -> bool:
    """Whether arrays and objects are nested so deeply that no parser may see the line."""
    if line.count(b"[") + line.count(b"{") <= DEEPEST:
        return False
    seen = np.frombuffer(_STRING.sub(b"", line), np.uint8)
    steps = ((seen == ord("[")) | (seen == ord("{"))).astype(np.int8)
    steps -= (seen == ord("]")) | (seen == ord("}"))
    return bool(np.cumsum(steps, dtype=np.int32).max(initial=0) > DEEPEST)


def too_deep_lines(block: Block) -> NDArray[np.bool_]:
    """Tell which lines of a block are too deep; in one pass where there are few brackets."""
    lines = block.lines
    found = np.zeros(len(lines), np.bool_)
    seen = np.frombuffer(block.data, np.uint8)
    opening = ((seen == ord("[")) | (seen == ord("{"))).view(np.uint8)
    if len(lines) and np.count_nonzero(opening) > DEEPEST:
        counts = np.add.reduceat(opening, lines.starts[:-1], dtype=np.int32)
        for number in np.flatnonzero(counts > DEEPEST).tolist():
            found[number] = is_too_deep(lines.line(number))
    return found


def key_count(data: bytes) -> int:
    """Count the different keys of lines; in those that are no JSON, roughly."""
    return len(set(_KEY.findall(data)))
