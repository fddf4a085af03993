"""Header: which field of a row is which column, and whether the input is CSV at all."""

import csv
import re
from collections.abc import Sequence
from typing import Final

from loader.errors import InputError
from loader.reading.fields import alike, folded
from loader.reading.mapping import Mapping

_PAGE: Final = (
    "is a web page, perhaps one that asks to log in; look at it in a browser, and download the data"
)
_SIGNATURES: Final = {
    b"PAR1": "is Parquet; see --format parquet",
    b"PK\x03\x04": "is a zip archive, as spreadsheets (.xlsx, .ods) are; save the sheet as CSV, or "
    "name the archive so that it ends in .zip",
    b"\xd0\xcf\x11\xe0": "is a spreadsheet or document of an old Office; save the sheet as CSV",
    b"%PDF-": "is a PDF, which people can read and programs cannot; ask for the data as CSV",
    b"BZh91AY&SY": "is compressed with bzip2; name it so that it ends in .bz2",
    b"\xfd7zXZ": "is compressed with xz; name it so that it ends in .xz",
    b"7z\xbc\xaf": "is a 7z archive; unpack it",
    b"Obj\x01": "is Avro; write it as Parquet, CSV or NDJSON",
    b"ORC": "is ORC; write it as Parquet, CSV or NDJSON",
    b"ARROW1": "is Arrow (Feather); write it as Parquet",
    b"\x1f\x8b": "is compressed with gzip; name it so that it ends in .gz",
    b"\x28\xb5\x2f\xfd": "is compressed with zstd; name it so that it ends in .zst",
    b"SQLite format 3": "is a SQLite database; export the table as CSV",
}
_MARKUP: Final = {
    b"<!doctype html": _PAGE,
    b"<html": _PAGE,
    b"<?xml": "is XML; write it as CSV or NDJSON",
}
# A spreadsheet's word to itself of what separates the fields.
_SEPARATOR: Final = re.compile(rb'"?sep=([,;|\t])"?[ \t,;|]*', re.IGNORECASE)
_COUNTS: Final = {"enter", "exit", "enters", "exits", "entries", "in", "out", "count", "counts"}
_TIME: Final = re.compile(rb'(?:^|[,;|\t])"?\d{4}-?\d\d-?\d\d[T ]\d\d:?\d\d')
BOM: Final = b"\xef\xbb\xbf"
_LOOKED_AT: Final = 8192
_TEXT_CONTROLS: Final = b"\t\n\r\f\x1e"


def check_text(start: bytes) -> None:
    """Refuse content that is no text, with an InputError that says what it seems to be."""
    for signature, what in _SIGNATURES.items():
        if start.startswith(signature):
            raise InputError(what)
    begun = start[:_LOOKED_AT].lstrip().lower()
    for sign, what in _MARKUP.items():
        if begun.startswith(sign):
            raise InputError(what)
    looked = start[:_LOOKED_AT]
    odd, even = looked[1::2].count(0), looked[::2].count(0)
    if max(odd, even) * 4 > len(looked) > 8 and min(odd, even) * 16 < len(looked):
        raise InputError(
            f"seems to be UTF-16 without a mark: --encoding utf-16-{'le' if odd > even else 'be'}"
        )
    controls = sum(byte < 32 and byte not in _TEXT_CONTROLS for byte in looked)
    if controls * 10 > len(looked):
        text = looked.rstrip(b"\0")
        why = "is not text; see --format"
        if text.strip() and b"\0" not in text:
            why = "ends in NUL bytes, as files do after a power cut; take them away "
            why += "(tr -d '\\0' < FILE | loader load -)"
        raise InputError(why)


def separator(line: bytes) -> str | None:
    """Return the delimiter that a line ``sep=;`` tells; None when it is another line."""
    found = _SEPARATOR.fullmatch(line.strip(b"\r\n "))
    return found[1].decode() if found else None


def hint(lines: Sequence[bytes], first: int, mapping: Mapping) -> str:
    """Say what the first line of CSV may be, when it is no header with the needed columns.

    ``lines`` are that line, whose number counted from 1 is ``first``, and those behind it.
    """
    if lines[0].lstrip().startswith((b"{", b"[{")):
        return "; it looks like JSON: --format ndjson"
    if lines[0].lstrip().startswith(b"<"):
        return "; it looks like XML or a web page"
    wanted = {folded(name) for name in mapping.needed_columns}
    for number, line in enumerate(lines[1:], first + 1):
        text = line.decode(errors="replace")
        for delimiter in dict.fromkeys((mapping.separator, ";", "\t", ",", "|")):
            if wanted <= {folded(one.strip('"')) for one in text.split(delimiter)}:
                option = "" if delimiter == mapping.separator else f" --delimiter {delimiter!r}"
                return f"; line {number} looks like the header: --skip-lines {number - 1}{option}"
    names = {folded(one.strip('"')) for one in lines[0].decode(errors="replace").split(",")}
    if names & _COUNTS:
        return "; it looks like counts per interval, not events: ask for what was seen one by one"
    if lines[0].startswith(b"#"):
        return "; it looks like a comment: leave such lines out (grep -v '^#' FILE | loader load -)"
    is_row = _TIME.search(lines[0])
    return "; it seems to have no header: name its columns with --columns" if is_row else ""


def parse(line: bytes, delimiter: str) -> tuple[str, ...]:
    """Split a header line into column names; InputError if it is none."""
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise InputError(
            f"the header is not UTF-8 (byte {error.start + 1}); say its --encoding, such "
            "as cp1252, or save the file as UTF-8"
        ) from error
    if any(ord(character) < 32 and character != "\t" for character in text):
        raise InputError("the first line is not a header of CSV but holds binary data")
    try:
        (fields,) = csv.reader(
            [text], delimiter=delimiter, strict=True, skipinitialspace=delimiter != " "
        )
    except (csv.Error, ValueError) as error:
        raise InputError(f"the header cannot be read: {error}") from error
    return tuple(fields)


def position(found: Sequence[str], name: str, mapping: Mapping, key: str | None = None) -> int:
    """Find a column that a mapping names, or a key of it, if only but for case and blanks around.

    InputError: it is missing or there more than once; it names those that are there.
    """
    wanted = name if key is None else key
    columns = alike(wanted, found)
    at = [place for place, column in enumerate(found) if column in columns]
    if len(at) == 1:
        return at[0]
    if at:
        places = " and ".join(str(place + 1) for place in at)
        raise InputError(
            f'column "{wanted}" is there {len(at)} times (columns {places}); rename all but one'
        )
    there = ", ".join(f'"{column.strip()}"' for column in found[:20])
    if len(found) > 20:
        there += ", ..."
    option = mapping.options[name]
    advice = f"say with {option} which one it is"
    if option == "--type-column":
        advice += ", or with --type NAME what all of them are"
    if option == "--source-column":
        advice += ", or with --source NAME where all of it comes from"
    if len(found) == 1 and mapping.format in (None, "csv"):
        other = next((sign for sign in ";\t|," if sign in found[0]), None)
        if other is not None and other != mapping.separator:
            advice = f"say with --delimiter {other!r} what separates the columns"
    raise InputError(f'no column "{name}"; there are {there}; {advice}')
