"""Brackets and quotes: what JSON is, and where it has what, without reading all of it."""

import json
import re
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from loader.reading.fields import Path

# A text may be cut off.
_TOKEN: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"\s*(?P<colon>:)?)?|[\[\]{}]', re.DOTALL)


def is_document(start: bytes, longest: int) -> bool:
    """Tell whether content has something else than objects on its lines.

    ``start`` has two lines of it or all; a line may have so many bytes.
    """
    lines = start.lstrip().split(b"\n", 2)
    if lines[0].startswith(b"["):
        return True
    if not lines[0].startswith(b"{"):
        return False
    if len(lines[0]) > longest:
        return True
    # An object that the line does not end, and the next one goes on with.
    return len(lines) > 1 and _is_begun(lines[0]) and _is_begun(b"\n".join(lines[:2]), whole=True)


def _is_begun(text: bytes, *, whole: bool = False) -> bool:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError) as error:
        return "truncated" in str(error)
    return whole


def find_all(
    data: bytes, *, is_inside: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_], bool]:
    """Find the brackets that are not inside of a text.

    Returns:
        Where they are, 1 or -1 for each as it opens or closes, which are of objects, and whether
        the data end inside of a text.
    """
    seen = np.frombuffer(data, np.uint8)
    quotes = np.flatnonzero(seen == ord('"'))
    after_escape = quotes[(quotes > 0) & (seen[np.maximum(quotes - 1, 0)] == ord("\\"))]
    if len(after_escape):
        # After an odd number of them, that is; mostly it is one.
        is_odd = seen[np.maximum(after_escape - 2, 0)] != ord("\\")
        others = np.flatnonzero(~is_odd)
        is_odd[others] = [run(data, at) % 2 == 1 for at in after_escape[others].tolist()]
        quotes = np.setdiff1d(quotes, after_escape[is_odd], assume_unique=True)
    # Both opening brackets, and both closing ones, differ in one bit.
    kinds = seen | 32
    at = np.flatnonzero((kinds == ord("{")) | (kinds == ord("}")))
    at = at[(np.searchsorted(quotes, at) + is_inside) % 2 == 0]
    steps = np.where(kinds[at] == ord("{"), 1, -1)
    return at, steps, kinds[at] == seen[at], bool((len(quotes) + is_inside) % 2)


def ends(data: bytes, depth: int) -> int:
    """Return the place behind the bracket that closes so many; 0 when there is none."""
    at, steps, _, _ = find_all(data)
    ends = at[depth + np.cumsum(steps) == 0]
    return int(ends[0]) + 1 if len(ends) else 0


def run(data: bytes, end: int) -> int:
    """Count the backslashes before a place."""
    begin = end
    while begin and data[begin - 1] == ord("\\"):
        begin -= 1
    return end - begin


def find_array(data: bytes, keys: Path) -> tuple[int, bytes] | None:
    """Find the array to which keys lead, in an object with which data begin.

    Returns:
        The place behind its bracket, and what closes everything that is open there; 0 if the
        object has no such array, None if its end is not there yet.
    """
    inside: list[str | None] = []
    closing = b""
    key: str | None = None
    for token in _TOKEN.finditer(data):
        text = token[0]
        if text in (b"{", b"["):
            inside.append(key)
            key = None
            closing = (b"}" if text == b"{" else b"]") + closing
            if text == b"[" and inside[1:] == list(keys):
                return token.end(), closing
        elif text in (b"}", b"]"):
            key = None
            inside.pop()
            closing = closing[1:]
            if not inside:
                return 0, b""
        elif token["colon"]:
            key = text[: text.rindex(b'"') + 1].decode(errors="replace")
            key = json.loads(key, strict=False) if "\\" in key else key[1:-1]
    return None
