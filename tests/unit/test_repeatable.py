from __future__ import annotations

import gzip
import os
import resource
import sys
import threading
from pathlib import Path

import pyarrow as pa
import pytest

from loader.delivery.repeatable import repeatable, repeatable_batches
from loader.errors import InputError, LoaderError
from loader.reading.inputs import Input, open_reading
from loader.reading.mapping import Mapping

CONTENT = b"time,type,source\n" + b"2024-05-13T15:00:00Z,car,north\n" * 3000


def rows_of(an_input: Input) -> tuple[int, str | None]:
    with open_reading(an_input, Mapping()) as reading:
        return sum(batch.rows_read for batch in reading), reading.fingerprint


@pytest.mark.parametrize(
    ("content", "name"),
    [(CONTENT, "events.csv"), (gzip.compress(CONTENT, mtime=0), "events.csv.gz")],
    ids=["plain", "gzip"],
)
def test_what_comes_once_can_be_read_twice(content: bytes, name: str, tmp_path: Path) -> None:
    (tmp_path / "regular.csv").write_bytes(CONTENT)
    fifo = tmp_path / name
    os.mkfifo(fifo)
    writer = threading.Thread(target=fifo.write_bytes, args=[content], daemon=True)
    writer.start()
    compression = "gz" if name.endswith("gz") else None
    once = Input(origin=str(fifo), format="csv", compression=compression)  # type: ignore[arg-type]
    regular = Input(origin=str(tmp_path / "regular.csv"), format="csv")
    with repeatable(regular) as same:
        assert same is regular
    with repeatable(once) as copy:
        assert Path(copy.origin).is_file()
        writer.join()
        assert copy.label == str(fifo)
        # The content is the same, whichever way it came.
        assert rows_of(copy) == rows_of(copy) == rows_of(regular)
    assert not Path(copy.origin).exists()


def test_a_full_disk_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "events.csv").write_bytes(CONTENT)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # At once, and when it is flushed.
    for room in (100, len(CONTENT) - 100):
        with (tmp_path / "events.csv").open() as stdin:
            monkeypatch.setattr(sys, "stdin", stdin)
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
            try:
                with (
                    pytest.raises(LoaderError, match=r"^-: for several databases it is copied to"),
                    repeatable(Input(origin="-", format="csv")),
                ):
                    pass
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_cannot_be_read_is_an_error_of_its_own(tmp_path: Path) -> None:
    gone = Input(origin=str(tmp_path / "gone.csv"), format="csv")
    with (
        repeatable(gone) as one,
        repeatable(Input(origin="/proc/self/mem", format="csv")) as other,
    ):
        # Whoever reads it will say so.
        assert one is gone
        assert isinstance(other, Input)
    with (
        pytest.raises(InputError, match="directory"),
        repeatable(Input(origin=str(tmp_path), format="csv")),
    ):
        pass


def test_batches_that_come_once_can_be_iterated_twice_at_once() -> None:
    made = [pa.record_batch({"n": [number, number]}) for number in range(50)]
    with repeatable_batches(iter(made), "a program") as again:
        pairs = list(zip(again, again, strict=True))
    assert [one.column("n")[0].as_py() for one, _ in pairs] == list(range(50))
    assert all(one.equals(other) for one, other in pairs)
    with repeatable_batches(iter([]), "a program") as nothing:
        assert list(nothing) == []
    with repeatable_batches(made, "a program") as same:
        assert same is made


def test_batches_of_several_schemas_are_refused() -> None:
    made = [pa.record_batch({"n": [1]}), pa.record_batch({"m": ["x"]})]
    with (
        pytest.raises(InputError, match="schema"),
        repeatable_batches(iter(made), "a program"),
    ):
        pass
