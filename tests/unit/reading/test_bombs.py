"""Megabytes that stand for a gigabyte: read in bounded memory, each row with its right fate."""

from __future__ import annotations

import gzip
import subprocess
import sys
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from loader.errors import InputError
from tests.unit.conftest import read_path

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PIECE = 1 << 24
# Of which Python with Arrow, NumPy and psycopg takes 110.
MOST_MEMORY_MB = 400
HEADER = b"time,type,source\n"
ROW = b"2024-05-13T15:00:00Z,car,north\n"
OBJECT = b'{"time": "2024-05-13T15:00:00Z", "type": "car", "source": "north"}\n'
BAD = b"2024-05-13T15:00:00Z,car,"


def gz(content: bytes) -> bytes:
    return gzip.compress(content, 1, mtime=0)


def zst(content: bytes) -> bytes:
    compressed: bytes = pa.compress(content, codec="zstd", asbytes=True)
    return compressed


# The memory of a process is said by itself: what the system tells of a child that has ended counts
# what its parent had when it was started, and pytest may have more than all of it.
PROGRAM = """
import resource, sys
from loader.cli import main

code = main(["load", "--dry-run", *sys.argv[1:]])
used = resource.getrusage(resource.RUSAGE_SELF)
try:
    with open("/proc/self/status") as status:
        memory = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
except OSError:
    memory = used.ru_maxrss
print(memory // 1024, used.ru_utime + used.ru_stime)
sys.exit(code)
"""


def dry_run(path: Path, *options: str) -> tuple[int, str, int, float]:
    """Read a file in a process of its own.

    Returns:
        Its exit code, what it said, its memory in MB, and its seconds of processor time.
    """
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    *said, measured = done.stdout.splitlines()
    memory, seconds = measured.split()
    return done.returncode, "\n".join(said), int(memory), float(seconds)


@pytest.mark.parametrize(
    ("name", "start", "fill", "end", "pieces", "compress", "exit_code", "says"),
    [
        # One row without an end: a gigabyte of it, and fields of 100 MB.
        ("a.csv", HEADER + ROW + BAD, b"x", b"\n" + ROW, 64, zst, 3, "2 rows"),
        ("a.csv", HEADER + ROW + BAD + b'"', b"x", b'"\n' + ROW, 6, gz, 3, "2 rows"),
        ("a.ndjson", OBJECT + OBJECT[:-3], b"x", b'"}\n' + OBJECT, 6, zst, 3, "2 rows"),
        # Nothing but zeros, or blank lines.
        ("a.csv", b"", b"\0", b"", 64, zst, 4, "is not text"),
        ("a.csv", HEADER + ROW, b"\n", ROW, 1, zst, 0, "2 rows"),
        ("a.ndjson", OBJECT, b"\n", OBJECT, 1, zst, 0, "2 rows"),
    ],
)
def test_what_unpacks_to_far_more_takes_no_more_memory(
    tmp_path: Path, name: str, start: bytes, fill: bytes, end: bytes, pieces: int,
    compress: Callable[[bytes], bytes], exit_code: int, says: str,
) -> None:  # fmt: skip
    path = tmp_path / f"{name}.{compress.__name__}"
    path.write_bytes(compress(start) + compress(fill * PIECE) * pieces + compress(end))
    assert path.stat().st_size < 1_000_000
    found, said, memory, _ = dry_run(path)
    assert found == exit_code, said
    assert says in said
    if exit_code == 3:
        assert "1 rejected" in said
    assert memory < MOST_MEMORY_MB


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("a.csv", HEADER + ROW, b"25:00,car,north\n"),
        ("a.csv", HEADER + ROW, b'2024-05-13T15:00:00Z,car,"north\n'),
        ("a.ndjson", OBJECT, OBJECT.replace(b'"car"', b'"car')),
        ("a.ndjson", OBJECT, OBJECT.replace(b'"car"', b"null")),
    ],
)
def test_a_million_rejects_take_seconds_and_no_more_memory(
    tmp_path: Path, name: str, good: bytes, bad: bytes
) -> None:
    path = tmp_path / f"{name}.zst"
    path.write_bytes(zst(good) + zst(bad * 1_000_000))
    found, said, memory, seconds = dry_run(path)
    assert found == 3
    assert "1 rows usable, 1,000,000 rejected" in said
    assert memory < MOST_MEMORY_MB
    # One to six, twice that on a busy machine; hours where a reject costs more than the one before.
    assert seconds < 60


@pytest.mark.parametrize("lines", [1, 40_000])
def test_a_key_for_every_line_takes_no_column_each(tmp_path: Path, lines: int) -> None:
    path = tmp_path / "a.ndjson"
    keys = [b'"k%d": 1' % number for number in range(40_000)]
    per_line = len(keys) // lines
    with path.open("wb") as file:
        for at in range(0, len(keys), per_line):
            file.write(OBJECT[:-2] + b", " + b", ".join(keys[at : at + per_line]) + b"}\n")
    found, said, memory, _ = dry_run(path, "--attributes", "k7")
    assert (found, f"{lines:,} rows usable" in said) == (0, True), said
    assert memory < MOST_MEMORY_MB


@pytest.mark.parametrize("compress", [gz, zst])
@pytest.mark.parametrize("garbage", [b"\0", b"\n", ROW, bytes(512)])
def test_what_follows_compressed_data_is_never_passed_over(
    tmp_path: Path, compress: Callable[[bytes], bytes], garbage: bytes
) -> None:
    path = tmp_path / f"a.csv.{compress.__name__}"
    path.write_bytes(compress(HEADER + ROW) + garbage)
    with pytest.raises(InputError, match="damaged or cut short"):
        read_path(path)
