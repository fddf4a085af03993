"""Names that lead to something else than a readable file."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from loader.errors import InputError
from loader.reading.inputs import Input, expand, open_reading
from loader.reading.mapping import Mapping
from tests.conftest import is_root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from loader.reading.mapping import Format

CONTENT = b"time,type,source\n2024-05-13T15:00:00Z,car,north\n"


@contextmanager
def as_somebody_else() -> Iterator[None]:
    """Give up root's right to read everything for a while."""
    if not is_root():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def read(path: str) -> None:
    for an_input in expand([path], Mapping(format="csv")):
        with open_reading(an_input, Mapping()) as reading:
            list(reading)


def test_links_lead_on_or_are_said_not_to(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(CONTENT)
    (tmp_path / "good.csv").symlink_to("a.csv")
    read(str(tmp_path / "good.csv"))
    (tmp_path / "lost.csv").symlink_to("nowhere.csv")
    (tmp_path / "round.csv").symlink_to("round.csv")
    for path, says in (
        (tmp_path / "lost.csv", "No such file"),
        (tmp_path, "lost.csv: No such file"),
        (tmp_path / "round.csv", "Too many levels of symbolic links"),
    ):
        with pytest.raises(InputError, match=says):
            read(str(path))


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("", "an empty name"),
        ("a" * 300 + ".csv", "File name too long"),
        ("a/" * 3000 + "a.csv", "File name too long"),
        ("a.csv/b.csv", "no such file or directory"),
        ("[.csv", "no such file or directory"),
        ("socket.csv", "No such device or address"),
        ("/dev/null", "is empty"),
        ("/dev/zero", "is not text"),
    ],
)
def test_names_of_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_bytes(CONTENT)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.csv")
        with pytest.raises(InputError, match=says):
            read(path)


@pytest.mark.parametrize("path", [".", "secret", "secret/b.csv", "hidden.csv"])
def test_what_may_not_be_read_is_never_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o755)
    (tmp_path / "secret").mkdir()
    for name in ("a.csv", "secret/b.csv", "hidden.csv"):
        (tmp_path / name).write_bytes(CONTENT)
    (tmp_path / "hidden.csv").chmod(0o000)
    (tmp_path / "secret").chmod(0o000)
    try:
        with as_somebody_else(), pytest.raises(InputError, match=r"(secret|hidden).*denied"):
            read(path)
    finally:
        (tmp_path / "secret").chmod(0o700)


def test_a_pipe_in_a_directory_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(CONTENT)
    os.mkfifo(tmp_path / "b.csv")
    (tmp_path / "c.csv").symlink_to("b.csv")
    found = expand([str(tmp_path)], Mapping())
    assert found == [Input(origin=str(tmp_path / "a.csv"), format="csv")]


def test_closed_standard_input_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(InputError, match="standard input is closed"):
        read("-")


@pytest.mark.parametrize("format_", ["csv", "ndjson"])
def test_what_is_no_text_is_refused_without_reading_to_its_end(
    tmp_path: Path, format_: Format
) -> None:
    # Endless, and in one line; a reader that goes on to the line's end hangs.
    path = tmp_path / f"zeros.{format_}"
    path.symlink_to("/dev/zero")
    with (
        open_reading(Input(origin=str(path), format=format_), Mapping()) as reading,
        pytest.raises(InputError, match="is not text"),
    ):
        list(reading)


def test_an_endless_first_line_is_refused_at_once(tmp_path: Path) -> None:
    start = b"time,type," + b"x" * 4_000_000
    path = tmp_path / "pipe"
    os.mkfifo(path)
    feeder = threading.Thread(target=feed_without_end, args=[path, start])
    feeder.start()
    with open_reading(Input(origin=str(path), format="csv"), Mapping()) as reading:
        with pytest.raises(InputError, match="the first line is longer than 1,048,576"):
            list(reading)
        assert reading.bytes_read < 2 * len(start)
    feeder.join()


def feed_without_end(path: Path, data: bytes) -> None:
    with suppress(BrokenPipeError), path.open("wb") as file:
        while True:
            file.write(data)
