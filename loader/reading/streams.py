"""Streams: the decompressed bytes of an input, counted and hashed on their way, as UTF-8."""

import bz2
import codecs
import hashlib
import lzma
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any, BinaryIO, Final, Literal, Protocol, get_args

from loader.errors import InputError
from loader.reading.arrow import ArrowError, pa

Compression = Literal["gz", "zst", "bz2", "xz"]
COMPRESSIONS: Final[tuple[Compression, ...]] = get_args(Compression)
SNIFFED: Final = 10  # bytes by which a compression is known
_BEGINNINGS: Final[dict[Compression, re.Pattern[bytes]]] = {
    "gz": re.compile(rb"\x1f\x8b"),
    "zst": re.compile(rb"\x28\xb5\x2f\xfd"),
    "bz2": re.compile(rb"BZh[1-9]1AY&SY"),
    "xz": re.compile(rb"\xfd7zXZ\0"),
}
_ARROWS: Final[dict[Compression, str]] = {"gz": "gzip", "zst": "zstd"}
# What xz itself needs at most for what it packs is a quarter of that.
_XZ_MEMORY: Final = 256 << 20
_AT_ONCE: Final = 1 << 16
# The longer ones first: a mark of UTF-32 begins like one of UTF-16.
_MARKS: Final = {
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
# A byte that no text in UTF-8 has stands for what cannot be decoded: who holds it is rejected.
codecs.register_error("no_text", lambda error: ("\udcff", error.end))  # type: ignore[attr-defined]


# What the libraries raise for damaged archives, which none of them tells in one place.
BAD_ARCHIVE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    IndexError,
    KeyError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
)
_DAMAGED: Final = (OSError, ArrowError, *BAD_ARCHIVE)


class ByteSource(Protocol):
    """Bytes to read, a block at a time."""

    def read(self, size: int) -> bytes:
        """Return up to so many bytes, fewer only at the end, none when there are no more."""
        ...


class Counted:
    """A binary file that counts the bytes that are read from it, as they are stored."""

    closed = False

    def __init__(self, file: BinaryIO, *, start: bytes = b"") -> None:
        """Take over a file of which ``start`` was read already."""
        self._file = file
        self._start = start
        self.count = 0

    def read(self, size: int = -1) -> bytes:
        """Return up to so many bytes; a pipe may give fewer."""
        if self._start:
            data, self._start = self._start[:size], self._start[size:]
        else:
            data = self._file.read(size) or b""
        self.count += len(data)
        return data

    def readable(self) -> bool:
        """Say so to Arrow."""
        return True

    def close(self) -> None:
        """Leave the file to whoever opened it."""


class Content:
    """The content of an input: decompressed, hashed, in blocks of the size that was asked for.

    InputError, on reading: it is not so compressed, or cut short.
    """

    def __init__(
        self,
        stored: Counted,
        compression: Compression | None,
        *,
        hashing: bool,
    ) -> None:
        self._compression = compression
        self._hash = hashlib.sha256() if hashing else None
        self._source: ByteSource = stored
        if compression == "bz2":
            self._source = _Unpacked(stored, bz2.BZ2Decompressor)
        elif compression == "xz":
            xz = partial(lzma.LZMADecompressor, lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
            self._source = _Unpacked(stored, xz)
        elif compression is not None:
            python_file = pa.PythonFile(stored, mode="r")
            self._source = pa.CompressedInputStream(python_file, _ARROWS[compression])

    def read(self, size: int) -> bytes:
        """Return so many bytes, fewer only at the end."""
        parts = []
        while size > 0:
            try:
                part = self._source.read(size)
            except _DAMAGED as error:
                raise self._broken(error) from error
            if not part:
                break
            parts.append(part)
            size -= len(part)
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        if self._hash is not None:
            self._hash.update(data)
        return data

    def digest(self, meaning: bytes) -> str:
        """Return the fingerprint of what was read, together with what it means."""
        if self._hash is None:
            raise AssertionError("this content is not hashed")
        mine = self._hash.copy()
        mine.update(b"\0mapping\0" + meaning)
        return mine.hexdigest()

    def _broken(self, error: Exception) -> InputError:
        if self._compression is None:
            return InputError(f"cannot be read: {error}")
        return InputError(
            f"the .{self._compression} data is damaged or cut short; copy or compress it again"
        )


class _Unpacked:
    """What one decompressor after the other makes of bytes, which hold nothing else."""

    def __init__(self, stored: Counted, new: Callable[[], Any]) -> None:
        self._stored = stored
        self._new = new
        self._one = new()

    def read(self, size: int) -> bytes:
        """Return up to so many bytes, none at the end."""
        while True:
            data = b""
            if self._one.eof:
                data = self._one.unused_data or self._stored.read(_AT_ONCE)
                if not data:
                    return b""
                self._one = self._new()
            elif self._one.needs_input:
                data = self._stored.read(_AT_ONCE)
                if not data:
                    raise EOFError("cut short")
            found: bytes = self._one.decompress(data, size)
            if found:
                return found


class Decoded:
    """Text as UTF-8; a mark at its beginning wins over the encoding that was named."""

    def __init__(self, content: ByteSource, encoding: str | None) -> None:
        self._content = content
        self._encoding = encoding or "utf-8"
        self._decoder: codecs.IncrementalDecoder | None = None
        self._is_begun = self._is_ended = False
        self._rest = b""

    def read(self, size: int) -> bytes:
        """Return so many bytes, fewer only at the end."""
        if not self._is_begun:
            self._begin(size)
        while len(self._rest) < size and not self._is_ended:
            # What is decoded may become shorter.
            wanted = size if self._decoder else size - len(self._rest)
            stored = self._content.read(wanted)
            self._is_ended = len(stored) < wanted
            self._rest += self._decoded(stored)
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def _begin(self, size: int) -> None:
        self._is_begun = True
        wanted = max(size, 4)
        start = self._content.read(wanted)
        self._is_ended = len(start) < wanted
        for mark, encoding in _MARKS.items():
            if start.startswith(mark):
                self._encoding = encoding
                start = start[len(mark) :]
                break
        name = codecs.lookup(self._encoding).name
        if start and name in ("utf-16", "utf-32"):
            raise InputError(f"has no mark to tell its bytes' order: --encoding {name}-le or -be")
        if name != "utf-8":
            self._decoder = codecs.getincrementaldecoder(self._encoding)("no_text")
        self._rest = self._decoded(start)

    def _decoded(self, stored: bytes) -> bytes:
        if self._decoder is None:
            return stored
        return self._decoder.decode(stored, self._is_ended).encode("utf-8", "surrogateescape")


def looks_like_json(start: bytes) -> bool:
    """Tell from its first bytes whether content is rather JSON than anything else."""
    return start.removeprefix(codecs.BOM_UTF8).lstrip().startswith((b"{", b"["))


def sniff(start: bytes) -> Compression | None:
    """Tell the compression of content from its first bytes, `SNIFFED` of them."""
    for compression, beginning in _BEGINNINGS.items():
        if beginning.match(start):
            return compression
    return None
