"""Header: which field of a row is which column, and whether the input is CSV at all."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Final

from loader.errors import InputError
from loader.reading.mapping import folded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loader.reading.mapping import Mapping

_OPTIONS: Final = ("--time-column", "--type-column", "--source-column")
_SIGNATURES: Final = {
    b"PAR1": "is Parquet; see --format parquet",
    b"PK\x03\x04": "is a zip archive or a spreadsheet; unpack it, or save it as CSV",
    b"\x1f\x8b": "is compressed with gzip; name it so that it ends in .gz",
    b"\x28\xb5\x2f\xfd": "is compressed with zstd; name it so that it ends in .zst",
    b"SQLite format 3": "is a SQLite database; export the table as CSV",
    b"\xff\xfe": "is UTF-16; save it as UTF-8",
    b"\xfe\xff": "is UTF-16; save it as UTF-8",
}
BOM: Final = b"\xef\xbb\xbf"
_LOOKED_AT: Final = 8192
_TEXT_CONTROLS: Final = b"\t\n\r\f"


def check_text(start: bytes, origin: str) -> None:
    """Refuse content that is no text.

    Raises:
        InputError: it says what the content seems to be.
    """
    for signature, what in _SIGNATURES.items():
        if start.startswith(signature):
            raise InputError(f"{origin}: {what}")
    looked = start[:_LOOKED_AT]
    odd, even = looked[1::2].count(0), looked[::2].count(0)
    if max(odd, even) * 4 > len(looked) > 8 and min(odd, even) * 16 < len(looked):
        raise InputError(f"{origin}: seems to be UTF-16; save it as UTF-8")
    controls = sum(byte < 32 and byte not in _TEXT_CONTROLS for byte in looked)
    if controls * 10 > len(looked):
        raise InputError(f"{origin}: is not text; see --format")


def parse(line: bytes, delimiter: str, origin: str) -> tuple[str, ...]:
    """Split a header line into column names.

    Raises:
        InputError: it is not one.
    """
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise InputError(
            f"{origin}: the header is not UTF-8 (byte {error.start + 1}); save the file as UTF-8"
        ) from error
    if any(ord(character) < 32 and character != "\t" for character in text):
        raise InputError(f"{origin}: the first line is not a header of CSV but holds binary data")
    try:
        (fields,) = csv.reader([text], delimiter=delimiter, strict=True)
    except (csv.Error, ValueError) as error:
        raise InputError(f"{origin}: the header cannot be read: {error}") from error
    return tuple(fields)


def positions(
    found: Sequence[str], wanted: Sequence[str], mapping: Mapping, origin: str
) -> dict[str, int]:
    """Find columns, exactly or but for case and spaces around.

    Returns:
        Wanted name -> position in ``found``.

    Raises:
        InputError: one is missing or there more than once; it names those that are there.
    """
    return {name: _position(found, name, mapping, origin) for name in wanted}


def _position(found: Sequence[str], name: str, mapping: Mapping, origin: str) -> int:
    for form in (str, folded):
        at = [place for place, column in enumerate(found) if form(column) == form(name)]
        if len(at) == 1:
            return at[0]
        if at:
            places = " and ".join(str(place + 1) for place in at)
            raise InputError(
                f'{origin}: column "{name}" is there {len(at)} times (columns {places}); '
                "rename all but one"
            )
    there = ", ".join(f'"{column.strip()}"' for column in found[:20])
    if len(found) > 20:
        there += ", ..."
    option = dict(zip(mapping.needed_columns, _OPTIONS, strict=False)).get(name, "--attributes")
    advice = f"say with {option} which one it is"
    if option == "--source-column":
        advice += ", or with --source NAME where all of it comes from"
    if len(found) == 1 and mapping.format in (None, "csv"):
        other = next((sign for sign in ";\t|," if sign in found[0]), None)
        if other is not None and other != mapping.delimiter:
            advice = f"say with --delimiter {other!r} what separates the columns"
    raise InputError(f'{origin}: no column "{name}"; there are {there}; {advice}')
