"""Names: event types and sources, checked once per distinct value instead of once per row."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

import numpy as np

from loader.reading.arrow import Array, InvalidError, pa, pc
from loader.reading.texts import is_utf8

if TYPE_CHECKING:
    import re
    from collections import abc

    from numpy.typing import NDArray

# The database takes all of these but NUL, yet nobody can type or even see them in a query.
_CONTROL: Final = r"[\x00-\x1f\x7f]"
_SHOWN: Final = 60


class NameFault(IntEnum):
    """Why a value is not a name; 0 is a good one."""

    NONE = 0
    EMPTY = 1
    LONG = 2
    ENCODING = 3
    CONTROL = 4
    PATTERN = 5


def read(
    column: Array,
    renames: abc.Mapping[str, str],
    longest: int,
    pattern: re.Pattern[str] | None = None,
) -> tuple[Array, NDArray[np.uint8]]:
    """Make clean names of a column; white space around them is not part of them.

    Args:
        column: text (of any bytes), integers, or a dictionary of these; nulls count as empty.
        renames: names as they stand in the input, trimmed -> names to load.
        longest: bytes that a name may have.
        pattern: its first group finds the name in the text; None when that is the name.

    Returns:
        dictionary<int32, string> with nulls where a `NameFault` is, and the fault of each row.
    """
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    indices = column.indices.cast(pa.int32())
    values = column.dictionary
    if not (pa.types.is_string(values.type) or pa.types.is_binary(values.type)):
        values = values.cast(pa.string())
    names, faults = _clean(values.view(pa.binary()), renames, longest, pattern)
    # Values that differ only by white space or were renamed to the same become one.
    merged = names.dictionary_encode()
    is_same = len(merged.dictionary) == len(names)
    names_at = indices if is_same else merged.indices.take(indices)
    if not faults.any() and not indices.null_count:
        return (
            pa.DictionaryArray.from_arrays(names_at, merged.dictionary),
            np.zeros(len(column), np.uint8),
        )
    at = indices.fill_null(len(names)).to_numpy(zero_copy_only=False)
    row_faults = np.append(faults, np.uint8(NameFault.EMPTY))[at]
    return pa.DictionaryArray.from_arrays(names_at, merged.dictionary), row_faults


def reason(fault: int, text: str, what: str, longest: int) -> str:
    """Say what is wrong with a value; ``what`` is it, such as ``type``."""
    shown = repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")
    match fault:
        case NameFault.EMPTY:
            return f"the {what} is empty"
        case NameFault.LONG:
            return f"the {what} {shown} is longer than {longest} bytes"
        case NameFault.ENCODING:
            return f"the {what} is not UTF-8; see --encoding"
        case NameFault.PATTERN:
            return f"--{what}-pattern finds nothing in {shown}"
    return f"the {what} {shown} holds a control character"


def _clean(
    values: Array,
    renames: abc.Mapping[str, str],
    longest: int,
    pattern: re.Pattern[str] | None,
) -> tuple[Array, NDArray[np.uint8]]:
    """Trim, check and rename distinct values; the faulty ones become null."""
    values = values.fill_null(b"")
    encoding = np.zeros(len(values), np.bool_)
    try:
        texts = values.cast(pa.string())
    except InvalidError:
        # Only here one by one: these values are not names at all.
        encoding = np.array([not is_utf8(value) for value in values.to_pylist()], np.bool_)
        texts = pc.if_else(pa.array(encoding), b"", values).cast(pa.string())
    texts = pc.utf8_trim_whitespace(texts)
    is_empty = pc.equal(texts, "").to_numpy(zero_copy_only=False)
    if pattern is not None:
        texts = pc.utf8_trim_whitespace(_found(pattern, texts))
    lengths = pc.binary_length(texts).to_numpy(zero_copy_only=False)
    control = pc.match_substring_regex(texts, _CONTROL).to_numpy(zero_copy_only=False)
    faults = np.select(
        [encoding, is_empty, lengths == 0, lengths > longest, control],
        [
            NameFault.ENCODING,
            NameFault.EMPTY,
            NameFault.PATTERN,
            NameFault.LONG,
            NameFault.CONTROL,
        ],
        NameFault.NONE,
    ).astype(np.uint8)
    if renames:
        raws = pa.array([raw.strip() for raw in renames], pa.string())
        mapped = pa.array([name.strip() for name in renames.values()], pa.string())
        texts = pc.coalesce(mapped.take(pc.index_in(texts, raws)), texts)
    return pc.if_else(pa.array(faults == 0), texts, pa.scalar(None, pa.string())), faults


def _found(pattern: re.Pattern[str], texts: Array) -> Array:
    """Return what the first group of a pattern finds in each text; an empty text for nothing."""
    matches = map(pattern.search, texts.to_pylist())
    return pa.array([match[1] or "" if match else "" for match in matches], pa.string())
