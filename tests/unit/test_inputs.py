from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import sys
import threading
import zipfile
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from loader.errors import InputError
from loader.reading.inputs import Input, expand, open_reading, open_stored
from loader.reading.limits import Limits
from loader.reading.mapping import Mapping

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.conftest import Read

CONTENT = b"time,type,source\n" + b"2024-05-13T15:00:00Z,car,north\n" * 5000
EVENTS = [("2024-05-13 15:00:00", "car", "north")] * 5000
SMALL = Limits(block_bytes=1000)


def gz(content: bytes) -> bytes:
    # Without the time of day: it would be in the names of tests, which would differ.
    return gzip.compress(content, mtime=0)


def zst(content: bytes) -> bytes:
    compressed: bytes = pa.compress(content, codec="zstd", asbytes=True)
    return compressed


def zipped(files: dict[str, bytes], *, encrypted: bool = False, damaged: bool = False) -> bytes:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w") as archive:
        for name, content in files.items():
            # Of a fixed time: it would be in the names of tests.
            archive.writestr(zipfile.ZipInfo(name), content)
    found = bytearray(output.getvalue())
    if encrypted:
        found[found.rfind(b"PK\x01\x02") + 8] |= 1
    if damaged:
        found[found.find(b"north")] ^= 1
    return bytes(found)


def names(inputs: list[Input], folder: Path) -> list[str]:
    return [os.path.relpath(one.origin, folder) for one in inputs]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        *("b.csv", "a.CSV.gz", "deep/er/c.ndjson.zst", "deep/d.jsonl", "e.parquet"),
        *("notes.txt", "f.csv.part", ".hidden.csv", ".git/g.csv", "h.gz"),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def test_directories_stand_for_the_files_in_them(folder: Path) -> None:
    found = expand([str(folder)], Mapping())
    expected = ["a.CSV.gz", "b.csv", "deep/d.jsonl", "deep/er/c.ndjson.zst", "e.parquet"]
    assert names(found, folder) == expected
    kinds = [(one.format, one.compression) for one in found]
    assert kinds == [
        ("csv", "gz"),
        ("csv", None),
        ("ndjson", None),
        ("ndjson", "zst"),
        ("parquet", None),
    ]
    only = expand([str(folder)], Mapping(format="ndjson"))
    assert names(only, folder) == ["deep/d.jsonl", "deep/er/c.ndjson.zst"]


def test_globs_are_resolved_in_order_and_nothing_comes_twice(folder: Path) -> None:
    found = expand([f"{folder}/e*", f"{folder}/**/*.jsonl", f"{folder}/e.parquet"], Mapping())
    assert names(found, folder) == ["e.parquet", "deep/d.jsonl"]


def test_globs_do_not_go_through_links_that_lead_upwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With a second one, there would be a million million ways that match.
    deep = tmp_path / "deep" / "er"
    deep.mkdir(parents=True)
    (deep / "upwards").symlink_to(tmp_path)
    (tmp_path / ".hidden").mkdir()
    for folder in (tmp_path, deep, tmp_path / ".hidden"):
        (folder / "a.csv").touch()
    monkeypatch.chdir(tmp_path)
    for pattern, found in {
        "**/*.csv": ["a.csv", "deep/er/a.csv"],
        "**/**/*.csv": ["a.csv", "deep/er/a.csv"],
        "d*/**/a.csv": ["deep/er/a.csv"],
        f"{tmp_path}/**/er/*.csv": [f"{deep}/a.csv"],
    }.items():
        assert [one.origin for one in expand([pattern], Mapping())] == found


def test_a_file_may_have_a_name_with_signs_of_globs(tmp_path: Path) -> None:
    path = tmp_path / "a[1]*.csv"
    path.touch()
    assert [one.origin for one in expand([str(path)], Mapping())] == [str(path)]


def test_the_option_wins_over_the_name(folder: Path) -> None:
    (one,) = expand([f"{folder}/notes.txt"], Mapping(format="csv"))
    assert one.format == "csv"
    (one,) = expand([f"{folder}/h.gz"], Mapping(format="ndjson"))
    assert (one.format, one.compression) == ("ndjson", "gz")
    assert expand(["-"], Mapping()) == [Input(origin="-", format="csv")]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("missing.csv", "no such file or directory"),
        ("x*.csv", "no such file or directory"),
        ("notes.txt", "--format"),
        ("h.gz", "--format"),
        (".git/../empty", "no file in this directory ends in"),
    ],
)
def test_paths_that_match_nothing(folder: Path, path: str, says: str) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(InputError, match=says) as caught:
        expand([f"{folder}/b.csv", f"{folder}/{path}"], Mapping())
    assert str(caught.value).startswith(f"{folder}/{path}: ")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", CONTENT),
        ("a.csv.gz", gz(CONTENT)),
        ("b.csv.gz", gz(CONTENT[:99]) + gz(CONTENT[99:])),
        ("a.csv.zst", zst(CONTENT)),
        ("a.csv.bz2", bz2.compress(CONTENT)),
        ("b.csv.BZ2", bz2.compress(CONTENT[:99]) + bz2.compress(CONTENT[99:])),
        ("a.csv.xz", lzma.compress(CONTENT)),
        ("b.csv.xz", lzma.compress(CONTENT[:99]) + lzma.compress(CONTENT[99:])),
    ],
)
def test_compressed_or_not_it_is_the_same_input(read: Read, name: str, content: bytes) -> None:
    found = read(content, name, SMALL)
    assert found.events == EVENTS
    assert found.fingerprint == read(CONTENT, "plain.csv").fingerprint


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv.gz", b"", "is empty"),
        ("a.csv.gz", gz(b""), "is empty"),
        ("a.csv.gz", gz(CONTENT)[:-20], "damaged or cut short"),
        ("a.csv.gz", gz(CONTENT)[:-1], "damaged or cut short"),
        ("a.csv.gz", gz(CONTENT)[:-9] + bytes(9), "damaged or cut short"),
        ("a.csv.zst", zst(CONTENT)[:-5], "damaged or cut short"),
        ("a.csv.bz2", bz2.compress(CONTENT)[:-5], "damaged or cut short"),
        ("a.csv.bz2", bz2.compress(CONTENT) + b"more", "damaged or cut short"),
        ("a.csv.xz", lzma.compress(CONTENT)[:-1], "damaged or cut short"),
        ("a.csv.xz", lzma.compress(CONTENT) + b"more", "damaged or cut short"),
        ("a.csv.gz", CONTENT, "is not compressed with .gz"),
        ("a.csv.gz", zst(CONTENT), "is not compressed with .gz"),
        ("a.csv", gz(CONTENT), "ends in .gz"),
        ("a.ndjson", zst(CONTENT), "ends in .zst"),
        ("a.csv", bz2.compress(CONTENT), "ends in .bz2"),
        ("a.csv", lzma.compress(CONTENT), "ends in .xz"),
        ("a.csv", zipped({"a.csv": CONTENT}), "zip archive.*ends in .zip"),
        ("a.zip", CONTENT, "is no zip archive, or is cut short"),
        ("a.zip", zipped({"a.csv": CONTENT})[:-30], "is no zip archive, or is cut short"),
        ("a.zip", zipped({"a.txt": CONTENT, "a/": b""}), r"no file in this archive ends in .csv"),
        ("a.zip", zipped({"a.parquet": CONTENT}), "has Parquet in it"),
        ("a.zip", zipped({"a.csv": CONTENT}, encrypted=True), "is encrypted"),
        ("a.zip", zipped({"a.csv": CONTENT}).replace(b"\x50", b"\x51", 1), "is damaged"),
        ("a.zip", zipped({"a.csv": CONTENT}, damaged=True), "Bad CRC-32"),
        ("a.parquet.gz", gz(b"PAR1"), "Parquet is compressed inside"),
    ],
)
def test_unusable_content(read: Read, name: str, content: bytes, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        read(content, name)
    assert f"{name}: " in str(caught.value)


def test_an_archive_is_like_a_folder(tmp_path: Path) -> None:
    files = {
        "b.tsv": CONTENT.replace(b",", b"\t"),
        "cam1/a.csv": CONTENT,
        "cam1/c.csv.gz": gz(CONTENT + b"x"),
        "__MACOSX/cam1/._a.csv": b"x",
        ".hidden.csv": b"x",
        "README.txt": b"x",
        "empty/": b"",
    }
    path = tmp_path / "week.zip"
    path.write_bytes(zipped(files))
    inputs = expand([str(tmp_path)], Mapping())
    assert inputs == expand([str(path)], Mapping())
    assert [one.label for one in inputs] == [
        f"{path}/{name}" for name in ("b.tsv", "cam1/a.csv", "cam1/c.csv.gz")
    ]
    mapping = Mapping(source_from_path="{source}/*")
    found = []
    for one in inputs:
        with open_reading(one, mapping) as reading:
            rows = [row for batch in reading for row in batch.events.to_pylist()]
        found.append((len(rows), rows[0]["source"], reading.fingerprint))
    assert [(count, source) for count, source, _ in found] == [
        (5000, "week.zip"), (5000, "cam1"), (5000, "cam1"),
    ]  # fmt: skip
    # What is in an archive is the same input as the file itself.
    (tmp_path / "cam1").mkdir()
    (tmp_path / "cam1" / "a.csv").write_bytes(CONTENT)
    (one,) = expand([str(tmp_path / "cam1")], mapping)
    with open_reading(one, mapping) as reading:
        assert reading.fingerprint == found[1][2]
    error = inputs[0].explain(InputError(f"{path}: is empty"))
    assert error == f"{path}/b.tsv: is empty"
    path.write_bytes(zipped({"a.csv": b"x"}) + zipped({"a.csv": b"y"}))
    assert len(expand([str(path)], mapping)) == 1


def test_a_directory_or_a_missing_file_cannot_be_opened(tmp_path: Path) -> None:
    for origin in (tmp_path, tmp_path / "missing.csv"):
        an_input = Input(origin=str(origin), format="csv")
        with pytest.raises(InputError, match=str(origin)), open_reading(an_input, Mapping()):
            pass


def test_fingerprints_tell_apart_what_matters(read: Read) -> None:
    plain = read(CONTENT).fingerprint
    assert plain is not None
    assert len(plain) == len(hashlib.sha256().hexdigest())
    assert plain == read(CONTENT, "other.csv", SMALL).fingerprint
    assert plain == read(CONTENT, format="csv").fingerprint
    others = [
        read(CONTENT + b"\n").fingerprint,
        read(CONTENT, timezone="UTC").fingerprint,
        read(CONTENT, source="north").fingerprint,
        read(CONTENT, source="south").fingerprint,
        read(CONTENT, type_map={"car": "van"}).fingerprint,
        read(CONTENT, type="car").fingerprint,
        read(CONTENT, encoding="cp1252").fingerprint,
        read(b"\n" + CONTENT, skip_lines=1).fingerprint,
        read(CONTENT, attributes=("type",)).fingerprint,
        read(CONTENT, columns=("time", "type", "source")).fingerprint,
        read(CONTENT, type_column="source", source_column="type").fingerprint,
    ]
    assert len({plain, *others}) == 1 + len(others)
    # What is not read has no meaning.
    assert (
        read(CONTENT, source="a").fingerprint
        == read(CONTENT, source="a", source_column="x").fingerprint
    )


@pytest.mark.parametrize("compress", [bytes, gz, zst])
def test_a_stream_is_read_once(tmp_path: Path, read: Read, compress: type[bytes]) -> None:
    fifo = tmp_path / "fifo.csv"
    os.mkfifo(fifo)

    def feed() -> None:
        # In small pieces, as pipes give them.
        with fifo.open("wb", buffering=0) as file:
            stored = compress(CONTENT)
            for at in range(0, len(stored), 999):
                file.write(stored[at : at + 999])

    thread = threading.Thread(target=feed)
    thread.start()
    with open_reading(Input(origin=str(fifo), format="csv"), Mapping(), SMALL) as reading:
        assert (reading.fingerprint, reading.bytes_total) == (None, None)
        count = sum(batch.events.num_rows for batch in reading)
    thread.join()
    assert count == len(EVENTS)
    assert reading.bytes_read == len(compress(CONTENT))
    assert reading.fingerprint == read(CONTENT).fingerprint


def test_standard_input(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(CONTENT)))
    (an_input,) = expand(["-"], Mapping())
    with open_reading(an_input, Mapping()) as reading:
        assert sum(batch.events.num_rows for batch in reading) == len(EVENTS)
    assert reading.fingerprint == read(CONTENT).fingerprint


@pytest.mark.parametrize("shape", ["lines", "array"])
def test_json_is_known_by_looking_where_no_name_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: str
) -> None:
    event = {"time": "2024-05-13T15:00:00Z", "type": "car", "source": "north"}
    text = json.dumps(event) + "\n" if shape == "lines" else json.dumps([event], indent=1)
    path = tmp_path / "export.txt"
    path.write_text("\ufeff" + text, "utf-8")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(path.read_bytes())))
    for origin in ("-", str(path)):
        (an_input,) = expand([origin], Mapping())
        with open_reading(an_input, Mapping()) as reading:
            assert sum(batch.events.num_rows for batch in reading) == 1


def test_an_empty_stream_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with (
        open_reading(Input(origin="-", format="csv"), Mapping()) as reading,
        pytest.raises(InputError, match="-: is empty"),
    ):
        list(reading)


def test_parquet_is_not_read_from_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"PAR1")))
    with (
        pytest.raises(InputError, match="cannot be read from a stream"),
        open_reading(Input(origin="-", format="parquet"), Mapping()),
    ):
        pass


def test_progress(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(CONTENT)
    (an_input,) = expand([str(path)], Mapping())
    with open_reading(an_input, Mapping(), SMALL) as reading:
        assert (reading.bytes_total, reading.bytes_read) == (len(CONTENT), 0)
        seen = [reading.bytes_read for _ in reading]
    assert seen == sorted(seen)
    assert 0 < seen[0] < len(CONTENT) == seen[-1]


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(CONTENT)
    (an_input,) = expand([str(path)], Mapping())
    with open_reading(an_input, Mapping(), SMALL) as reading:
        batches = iter(reading)
        next(batches)
        path.write_bytes(CONTENT + CONTENT)
        with pytest.raises(InputError, match="was changed while it was read"):
            list(batches)


def test_reading_may_stop_early(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(CONTENT)
    (an_input,) = expand([str(path)], Mapping())
    with open_reading(an_input, Mapping(), SMALL) as reading:
        next(iter(reading))
    assert not [one for one in threading.enumerate() if one.name == "prefetch"]


def test_what_fails_while_standard_input_is_open_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "events.csv"
    path.touch()
    with path.open() as stdin, monkeypatch.context() as changes:
        changes.setattr(sys, "stdin", stdin)
        with (
            pytest.raises(OSError, match="somebody else's"),
            open_stored(Input(origin="-", format="csv")),
        ):
            raise OSError("somebody else's")
