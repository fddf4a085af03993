"""Names: event types and sources, checked once per distinct value instead of once per row."""

import re
from collections import abc
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from loader.reading.arrow import Array, pa, pc
from loader.reading.mapping import Mapping
from loader.reading.texts import as_text, valid

# The database takes all of these but NUL, yet nobody can type or even see them in a query.
_CONTROL: Final = r"[\x00-\x1f\x7f]"
_SHOWN: Final = 60
# Why a value is not a name; a fault is the place of its reason, and 0 is none.
_REASONS: Final = (
    "",
    "the {what} is not UTF-8; see --encoding",
    "the {what} is empty",
    "--{what}-pattern finds nothing in {shown}",
    "the {what} {shown} is longer than {longest} bytes",
    "the {what} {shown} holds a control character",
)
_EMPTY: Final = 2


class Names:
    """Reads the types or the sources of rows, which stand in ``column``.

    That is None when all rows have one name, which the mapping gives.
    """

    def __init__(self, what: Literal["type", "source"], mapping: Mapping, longest: int) -> None:
        is_type = what == "type"
        self._what = what
        self._longest = longest
        self._given = mapping.type if is_type else mapping.source
        self._renames = mapping.type_map if is_type else {}
        pattern = mapping.type_pattern if is_type else mapping.source_pattern
        self._pattern = None if pattern is None or self._given is not None else re.compile(pattern)
        column = mapping.type_column if is_type else mapping.source_column
        self.column = column if self._given is None else None

    def read(self, columns: abc.Mapping[str, Array], count: int) -> tuple[Array, NDArray[np.uint8]]:
        """Make clean names of so many rows; white space around them is not part of them.

        A column has texts of any bytes, numbers, or a dictionary of these; nulls count as empty.

        Returns:
            dictionary<int32, string> with nulls where a fault is, and the fault of each row.
        """
        if self.column is None:
            only = pa.array([self._given], pa.string())
            column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), only)
        else:
            column = columns[self.column]
        if not pa.types.is_dictionary(column.type):
            column = _texts(column).dictionary_encode()
        indices = column.indices.cast(pa.int32())
        names, faults = self._clean(as_text(_texts(column.dictionary)).view(pa.binary()))
        # Values that differ only by white space or were renamed to the same become one.
        merged = names.dictionary_encode()
        is_same = len(merged.dictionary) == len(names)
        names_at = indices if is_same else merged.indices.take(indices)
        found = pa.DictionaryArray.from_arrays(names_at, merged.dictionary)
        if not faults.any() and not indices.null_count:
            return found, np.zeros(len(column), np.uint8)
        at = indices.fill_null(len(names)).to_numpy(zero_copy_only=False)
        return found, np.append(faults, np.uint8(_EMPTY))[at]

    def reason(self, fault: int, text: str) -> str:
        """Say what is wrong with a value."""
        shown = repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")
        return _REASONS[fault].format(what=self._what, shown=shown, longest=self._longest)

    def _clean(self, values: Array) -> tuple[Array, NDArray[np.uint8]]:
        """Trim, check and rename distinct values; the faulty ones become null."""
        values = values.fill_null(b"")
        texts, undecoded = valid(values)
        encoding = np.zeros(len(values), np.bool_) if undecoded is None else undecoded
        texts = pc.utf8_trim_whitespace(texts)
        is_empty = pc.equal(texts, "").to_numpy(zero_copy_only=False)
        if self._pattern is not None:
            texts = pc.utf8_trim_whitespace(_found(self._pattern, texts))
        lengths = pc.binary_length(texts).to_numpy(zero_copy_only=False)
        control = pc.match_substring_regex(texts, _CONTROL).to_numpy(zero_copy_only=False)
        # In the order of their reasons.
        wrong = [encoding, is_empty, lengths == 0, lengths > self._longest, control]
        faults = np.select(wrong, list(range(1, len(_REASONS))), 0).astype(np.uint8)
        if self._renames:
            raws = pa.array([raw.strip() for raw in self._renames], pa.string())
            mapped = pa.array([name.strip() for name in self._renames.values()], pa.string())
            texts = pc.coalesce(mapped.take(pc.index_in(texts, raws)), texts)
        return pc.if_else(pa.array(faults == 0), texts, pa.scalar(None, pa.string())), faults


def _texts(values: Array) -> Array:
    """Values of which the texts are names: whole floats as integers."""
    if pa.types.is_floating(values.type) or pa.types.is_decimal(values.type):
        # A column of integers with a gap becomes one of floats in many tools: 82.0 means 82.
        texts = pc.replace_substring_regex(values.cast(pa.string()), r"(\.\d*?)0+$", r"\1")
        return pc.replace_substring_regex(texts, r"\.$", "")
    return values if pa.types.is_integer(values.type) else as_text(values)


def _found(pattern: re.Pattern[str], texts: Array) -> Array:
    """Return what the first group of a pattern finds in each text; an empty text for nothing."""
    matches = map(pattern.search, texts.to_pylist())
    return pa.array([match[1] or "" if match else "" for match in matches], pa.string())
