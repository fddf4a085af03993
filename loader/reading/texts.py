"""Texts: a column of byte strings, seen by Arrow and by NumPy without a copy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from loader.reading.arrow import Array, DataType, InvalidError, pa, pc

_BLANK = 32  # what is not above counts as white space around a value


class Texts:
    """Byte strings of a column; white space around them is not part of them.

    Attributes:
        array: Arrow binary, without nulls (a null became an empty string).
        lengths: bytes of each.
    """

    def __init__(self, array: Array, *, trim: bool = True) -> None:
        """Take an Arrow array of texts, of any validity of their UTF-8."""
        array = as_text(array)
        if array.null_count:
            array = array.fill_null("")
        self._set(array.view(pa.binary()))
        if trim and len(array) and self._is_padded():
            # Trimming knows ASCII only, so that bytes which are not UTF-8 pass unharmed.
            trimmed = pc.ascii_trim_whitespace(array)
            self._set(trimmed.view(pa.binary()))

    def __len__(self) -> int:
        return len(self.array)

    def take(self, rows: NDArray[np.int64]) -> Texts:
        """Only these rows, in this order."""
        return Texts(self.array.take(pa.array(rows)), trim=False)

    def bytes_at(self, place: int) -> NDArray[np.uint8]:
        """The byte at a place of each, which must have it; counted from the end if below zero."""
        found: NDArray[np.uint8] = self._data[self._offsets[place < 0 :][: len(self)] + place]
        return found

    def _set(self, array: Array) -> None:
        self.array = array
        _, offsets, data = array.buffers()
        self._data = np.frombuffer(data or b"", np.uint8)
        self._offsets = (
            np.frombuffer(offsets, np.int32)[array.offset : array.offset + len(array) + 1]
            if len(array)
            else np.zeros(1, np.int32)
        )
        self.lengths = np.diff(self._offsets)

    def _is_padded(self) -> bool:
        filled = self.lengths > 0
        starts, ends = self._offsets[:-1], self._offsets[1:]
        if not filled.all():
            starts, ends = starts[filled], ends[filled]
        data = self._data
        return bool((data[starts] <= _BLANK).any() or (data[ends - 1] <= _BLANK).any())


def as_text(column: Array) -> Array:
    """Return the values as string, of which nobody has checked that it is UTF-8."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if is_text(column.type) and not pa.types.is_string(column.type):
        return column.cast(pa.binary()).view(pa.string())
    return column.cast(pa.string())


def is_text(kind: DataType) -> bool:
    """Whether values of this type are texts, of whatever bytes."""
    types = pa.types
    kinds = (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary)
    return any(is_kind(kind) for is_kind in (*kinds, types.is_fixed_size_binary))


def joined(columns: Sequence[Array]) -> Array:
    """Make one column of several, such as a date and a time of day, with a blank between."""
    if len(columns) == 1:
        return columns[0]
    return pc.binary_join_element_wise(*[as_text(one).fill_null("") for one in columns], " ")


def valid(raw: Array) -> tuple[Array, NDArray[np.bool_] | None]:
    """Return binary as string, and which of them are no UTF-8 and became empty; None for none."""
    try:
        return raw.cast(pa.string()), None
    except InvalidError:
        # Only here one by one: such values are no names at all.
        bad = np.array([not is_utf8(value or b"") for value in raw.to_pylist()], np.bool_)
        return pc.if_else(pa.array(bad), b"", raw).cast(pa.string()), bad


def is_utf8(value: bytes) -> bool:
    """Whether bytes are UTF-8."""
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def value_at(column: Array, row: int) -> object:
    """A value of a column; text comes as bytes, for nobody has checked that it is UTF-8."""
    one = column.slice(row, 1)
    if pa.types.is_dictionary(one.type):
        one = one.dictionary_decode()
    if pa.types.is_string(one.type):
        one = one.view(pa.binary())
    elif pa.types.is_large_string(one.type):
        one = one.view(pa.large_binary())
    elif pa.types.is_timestamp(one.type):
        # As text it may lie outside Python's years, and without its zone needs no zone files.
        plain = one.cast(pa.timestamp(one.type.unit)).cast(pa.string())[0].as_py()
        return f"{plain}Z" if plain is not None and one.type.tz else plain
    try:
        return one[0].as_py()
    except (UnicodeDecodeError, OverflowError, ValueError) as error:
        return f"({error})"
