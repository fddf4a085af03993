"""Streams: the decompressed bytes of an input, counted and hashed on their way."""

from __future__ import annotations

import hashlib
import zlib
from typing import TYPE_CHECKING, BinaryIO, Final, Literal, Protocol

from loader.errors import InputError
from loader.reading.arrow import ArrowError, pa

if TYPE_CHECKING:
    from collections.abc import Iterator

Compression = Literal["gz", "zst"]
MAGIC: Final[dict[Compression, bytes]] = {"gz": b"\x1f\x8b", "zst": b"\x28\xb5\x2f\xfd"}
CODECS: Final[dict[Compression, str]] = {"gz": "gzip", "zst": "zstd"}


class ByteSource(Protocol):
    """Bytes to read, a block at a time."""

    def read(self, size: int) -> bytes:
        """Return up to so many bytes, fewer only at the end, none when there are no more."""
        ...


class Counted:
    """A binary file that counts what is read from it.

    Attributes:
        count: bytes read so far, as stored.
    """

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

    Args:
        stored: the bytes as stored.
        compression: how they are compressed.
        origin: what errors call it.
        hashing: whether to hash what is read.

    Raises:
        InputError: on reading, when they are not so compressed, or cut short.
    """

    def __init__(
        self,
        stored: Counted,
        compression: Compression | None,
        origin: str,
        *,
        hashing: bool,
    ) -> None:
        self._origin = origin
        self._compression = compression
        self._hash = hashlib.sha256() if hashing else None
        self._source: ByteSource = stored
        if compression is not None:
            python_file = pa.PythonFile(stored, mode="r")
            self._source = pa.CompressedInputStream(python_file, CODECS[compression])

    def read(self, size: int) -> bytes:
        """Return so many bytes, fewer only at the end."""
        parts = []
        while size > 0:
            try:
                part = self._source.read(size)
            except (OSError, EOFError, zlib.error, ArrowError) as error:
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
            return InputError(f"{self._origin}: cannot be read: {error}")
        return InputError(
            f"{self._origin}: the .{self._compression} data is damaged or cut short; "
            "copy or compress it again"
        )


def sniff(start: bytes) -> Compression | None:
    """Tell the compression of content from its first bytes."""
    for compression, magic in MAGIC.items():
        if start.startswith(magic):
            return compression
    return None


def blocks(content: ByteSource, size: int) -> Iterator[bytes]:
    """Yield the content in blocks of this size."""
    while data := content.read(size):
        yield data
