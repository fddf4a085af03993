"""Inputs that do not hold still: changed while they are read, written slowly, never ended."""

import errno
import gzip
import io
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loader.errors import InputError
from loader.loading.load import load_input
from loader.loading.options import LoadOptions
from loader.loading.result import LoadResult
from loader.reading import inputs, parquet
from loader.reading.limits import Limits
from loader.reading.mapping import Mapping
from tests.conftest import Outcome
from tests.support.waits import PATIENCE

Scalar = Callable[[str], object]
Start = Callable[..., "subprocess.Popen[str]"]

COUNT = 400
ROWS = [f"2024-05-13T15:{row // 60 % 60:02d}:{row % 60:02d}Z,car,{row}" for row in range(COUNT)]
CSV = "\n".join(["time,type,source", *ROWS, ""]).encode()


def as_ndjson() -> bytes:
    line = '{{"time": "{}", "type": "{}", "source": "{}"}}\n'
    return "".join(line.format(*row.split(",")) for row in ROWS).encode()


def as_parquet() -> bytes:
    columns = zip(*(row.split(",") for row in ROWS), strict=True)
    output = io.BytesIO()
    table = pa.table(dict(zip(("time", "type", "source"), map(list, columns), strict=True)))
    pq.write_table(table, output, row_group_size=COUNT // 20)
    return output.getvalue()


CONTENTS = {
    "a.csv": CSV,
    # Hardly compressed, so that there is still something to read when it changes.
    "a.csv.gz": gzip.compress(CSV, 0, mtime=0),
    "a.ndjson": as_ndjson(),
    "a.parquet": as_parquet(),
}


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(ROWS[0].encode() + b"\n")


def cut_in_half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def write_over(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))


@pytest.fixture
def load(dsn: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., LoadResult]:
    """Load a file in small pieces, and do something to it behind the first one."""
    monkeypatch.setattr(inputs, "Limits", partial(Limits, block_bytes=1000))
    monkeypatch.setattr(parquet, "_ROWS_AT_ONCE", 20)

    def load(path: Path, change: Callable[[Path], None] = lambda _: None) -> LoadResult:
        changes = [change]

        def progress(*_: object) -> None:
            if changes:
                changes.pop()(path)

        (an_input,) = inputs.expand([str(path)], Mapping())
        return load_input(dsn, an_input, Mapping(), LoadOptions(), progress)

    return load


@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("change", [grow, cut_in_half, empty, write_over])
def test_a_file_that_changes_while_it_is_read_is_not_loaded(
    load: Callable[..., LoadResult],
    tmp_path: Path,
    nothing_left: Callable[[], None],
    scalar: Scalar,
    name: str,
    change: Callable[[Path], None],
) -> None:
    path = tmp_path / name
    path.write_bytes(CONTENTS[name])
    with pytest.raises(InputError, match=f"{name}: ") as caught:
        load(path, change)
    assert "\n" not in str(caught.value)
    assert scalar("select count(*) from raw.events") == 0
    nothing_left()
    path.write_bytes(CONTENTS[name])
    assert load(path).rows_loaded == COUNT
    assert scalar("select count(distinct source_id) from raw.events") == COUNT


def test_a_file_that_is_replaced_is_loaded_as_it_was_and_then_as_it_is(
    load: Callable[..., LoadResult], tmp_path: Path, scalar: Scalar
) -> None:
    path, other = tmp_path / "a.csv", tmp_path / "b.csv"
    path.write_bytes(CSV)
    other.write_bytes(CSV.replace(b"car", b"bus"))
    assert load(path, other.replace).rows_loaded == COUNT
    assert load(path).rows_loaded == COUNT
    assert scalar("select count(*) from raw.events") == 2 * COUNT
    assert scalar("select count(distinct event_type_id) from raw.events") == 2


def test_a_file_that_is_removed_is_loaded_as_it_was(
    load: Callable[..., LoadResult], tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(CSV)
    assert load(path, Path.unlink).rows_loaded == COUNT


@pytest.mark.parametrize(
    ("name", "content", "exit_code"),
    [
        ("a.csv", CSV, 0),
        ("a.csv.gz", gzip.compress(CSV, mtime=0), 0),
        ("a.csv.gz", gzip.compress(CSV, mtime=0)[:-50], 4),
        ("a.csv", b"", 4),
        ("a.csv", CSV + b"2024-05-13T15", 3),
    ],
    ids=["whole", "compressed", "compressed and cut short", "empty", "cut short"],
)
def test_a_pipe_may_be_slow_and_close_early(
    run_loader: Callable[..., Outcome],
    tmp_path: Path,
    scalar: Scalar,
    nothing_left: Callable[[], None],
    name: str,
    content: bytes,
    exit_code: int,
) -> None:
    path = tmp_path / name
    os.mkfifo(path)
    feeder = threading.Thread(target=feed, args=[path, content])
    feeder.start()
    outcome = run_loader("load", path)
    feeder.join()
    assert outcome.exit_code == exit_code, outcome.stderr
    assert outcome.stderr.count("\n") == (1 if exit_code == 4 else 0)
    assert scalar("select count(*) from raw.events") == (0 if exit_code == 4 else COUNT)
    nothing_left()


def feed(path: Path, content: bytes) -> None:
    """Write to a pipe bit by bit."""
    with path.open("wb", buffering=0) as file:
        size = len(content) // 7 + 1
        for at in range(0, len(content), size):
            file.write(content[at : at + size])
            # A reader that takes what there is for all that will come fails.
            time.sleep(0.01)


def test_a_pipe_that_nobody_writes_to_can_be_left(
    start_loader: Start, tmp_path: Path, nothing_left: Callable[[], None]
) -> None:
    path = tmp_path / "a.csv"
    os.mkfifo(path)
    loader = start_loader("load", path)
    writer = open_for_writing(path)
    loader.send_signal(signal.SIGTERM)
    _, stderr = loader.communicate(timeout=PATIENCE)
    os.close(writer)
    assert (loader.returncode, stderr) == (143, "loader: terminated\n")
    nothing_left()


def open_for_writing(path: Path) -> int:
    """Wait until somebody reads from a pipe, and open it."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO or time.monotonic() > end:
                raise
            time.sleep(0.02)


def test_standard_input_may_be_named_as_a_file(start_loader: Start, scalar: Scalar) -> None:
    loader = start_loader("load", "/dev/stdin", "--format", "csv")
    stdout, stderr = loader.communicate(CSV.decode())
    assert (loader.returncode, stderr) == (0, ""), stdout
    assert scalar("select count(*) from raw.events") == COUNT
