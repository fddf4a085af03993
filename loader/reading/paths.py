"""Paths: what the user named, resolved to inputs."""

import glob
import os
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NoReturn

from loader.errors import InputError
from loader.process.terminal import printable
from loader.reading.mapping import Format, Mapping
from loader.reading.streams import BAD_ARCHIVE, COMPRESSIONS, Compression, looks_like_json

STANDARD_INPUT: Final = "-"
_ENDINGS: Final[dict[str, Format]] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "ndjson",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_ARCHIVE: Final = ".zip"
_PACKED: Final = ", ".join([*(f".{one}" for one in COMPRESSIONS), _ARCHIVE])


@dataclass(frozen=True, kw_only=True)
class Input:
    """One file or stream to read.

    Attributes:
        origin: path as the user gave it, or ``-`` for standard input.
        format: format of its content.
        compression: how the content is compressed, None when it is not (of a stream, None
            means that its first bytes tell).
        name: what to call it, when that is not the origin.
        member: of an archive, the file in it.
    """

    origin: str
    format: Format
    compression: Compression | None = None
    name: str | None = None
    member: str | None = None

    @property
    def path(self) -> str:
        """Where it came from; an archive is like a folder."""
        path = self.origin if self.name is None else self.name
        return path if self.member is None else f"{path}/{self.member}"

    @property
    def label(self) -> str:
        """Its name on one line that can be printed and stored, whatever bytes it holds."""
        return printable(self.path)

    def explain(self, error: InputError) -> str:
        """Return the message of an error, which names the input in any case."""
        text = str(error).replace(self.origin, self.label)
        return text if self.label in text else f"{self.label}: {text}"


def expand(paths: Sequence[str], mapping: Mapping) -> list[Input]:
    """Resolve files, directories, globs and ``-`` to inputs, in the order given.

    A directory stands for all files in it, at any depth, whose name ends as the formats do, and so
    does an archive. A named pipe is read when it is named itself; in a directory nobody may ever
    write to it. InputError: a path matches nothing, or its name does not tell the format, or a
    directory cannot be read.
    """
    inputs: list[Input] = []
    for path in paths:
        try:
            inputs += _expand(path, mapping)
        except OSError as error:
            where = path if error.filename is None else error.filename
            raise InputError(f"{where}: {error.strerror}") from error
    return list(dict.fromkeys(inputs))


def _expand(path: str, mapping: Mapping) -> list[Input]:
    if path == STANDARD_INPUT:
        return [Input(origin=path, format=mapping.format or "csv")]
    if path == "":
        # Not the current directory: more likely a variable that is not set.
        raise InputError('"": an empty name; for the files of the current directory say .')
    # The shell expands globs mostly; not in a container's command or a crontab.
    found = [path] if Path(path).exists() else sorted(set(_glob(path)))
    if not found:
        raise InputError(f"{path}: no such file or directory")
    inputs: list[Input] = []
    for one in found:
        inputs += (_directory if Path(one).is_dir() else file_inputs)(one, mapping)
    return inputs


def _glob(pattern: str) -> list[str]:
    """Return what a pattern matches."""
    before, *after = re.split(r"(?<![^/])\*\*(?:/+|$)", pattern, maxsplit=1)
    if not after:
        return glob.glob(pattern)  # noqa: PTH207
    starts = glob.glob(before) if before else ["."]  # noqa: PTH207
    return [
        str(Path(one))
        for start in starts
        for folder, _ in _walk(start)
        for one in _glob(f"{glob.escape(folder)}/{after[0] or '*'}")
    ]


def _walk(path: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the folders in one, and the names in each; not behind links, which may lead upwards."""
    for folder, folders, names in os.walk(path, onerror=_raise):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield folder, names


def _directory(path: str, mapping: Mapping) -> list[Input]:
    inputs = []
    for folder, names in _walk(path):
        for name in sorted(names):
            file = Path(folder) / name
            # A link to nothing is kept: it may well be a file that was lost.
            if name.startswith(".") or (file.exists() and not file.is_file()):
                continue
            if is_archive(name):
                inputs += _members(str(file), mapping)
            else:
                inputs += _wanted(str(file), name, mapping)
    if not inputs:
        raise InputError(f"{path}: no file in this directory ends in {_endings()}")
    return sorted(inputs, key=lambda one: one.origin)


def _raise(error: OSError) -> NoReturn:
    """Files that cannot be seen must not be left out silently."""
    raise error


def is_archive(path: str) -> bool:
    """Tell by its name whether a file holds other files."""
    return path.lower().endswith(_ARCHIVE)


def file_inputs(path: str, mapping: Mapping) -> list[Input]:
    """Return the input that one file is, or those that are in an archive, at least one."""
    if not is_archive(path):
        return [file_input(path, mapping)]
    try:
        inputs = _members(path, mapping)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    if not inputs:
        raise InputError(f"{path}: no file in this archive ends in {_endings()}")
    return inputs


def _members(path: str, mapping: Mapping) -> list[Input]:
    try:
        with zipfile.ZipFile(path) as archive:
            found = archive.infolist()
    except BAD_ARCHIVE as error:
        raise InputError(f"{path}: is no zip archive, or is cut short") from error
    inputs = []
    for member in found:
        parts = member.filename.split("/")
        if member.is_dir() or any(one.startswith((".", "__MACOSX")) for one in parts):
            continue
        for one in _wanted(path, member.filename, mapping):
            if member.flag_bits & 1:
                raise InputError(f"{path}: is encrypted; unpack it")
            if one.format == "parquet":
                why = "has Parquet in it, which is read from its end; unpack it"
                raise InputError(f"{path}: {why}")
            inputs.append(replace(one, member=member.filename))
    if len(set(inputs)) < len(inputs):
        raise InputError(f"{path}: has two files of the same name in it; unpack it")
    return inputs


def _wanted(path: str, name: str, mapping: Mapping) -> list[Input]:
    """Return the input that a file is if its name says so, and the mapping wants it."""
    found, compression = _by_name(name)
    if found is None or mapping.format not in (None, found):
        return []
    return [Input(origin=path, format=found, compression=compression)]


def _endings() -> str:
    return f"{', '.join(_ENDINGS)} (or {_PACKED} behind that)"


def file_input(path: str, mapping: Mapping) -> Input:
    """Return the input that one file is; InputError if nothing tells its format."""
    found, compression = _by_name(path)
    found = mapping.format or found
    if found is None and Path(path).is_file():
        with Path(path).open("rb") as file:
            found = "ndjson" if looks_like_json(file.read(64)) else None
    if found is None:
        raise InputError(f"{path}: its name does not tell the format; say it with --format")
    return Input(origin=path, format=found, compression=compression)


def _by_name(path: str) -> tuple[Format | None, Compression | None]:
    suffixes = ["", *(suffix.lower() for suffix in Path(path).suffixes)]
    compression = next((one for one in COMPRESSIONS if f".{one}" == suffixes[-1]), None)
    if compression is not None:
        suffixes.pop()
    return _ENDINGS.get(suffixes[-1]), compression
