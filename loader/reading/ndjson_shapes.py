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

from loader.reading.arrow import Array, pc

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

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
