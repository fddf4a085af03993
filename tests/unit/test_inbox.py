import resource
import shutil
from pathlib import Path

import pytest

from loader.errors import InputError
from loader.reading.mapping import Mapping
from loader.watching.inbox import Inbox, see


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    inbox = Inbox(tmp_path, Mapping())
    inbox.prepare()
    return inbox


def test_only_the_file_that_was_seen_is_moved(inbox: Inbox, tmp_path: Path) -> None:
    """Another watcher may have moved it on, and taken a new one of its name."""
    path = tmp_path / "loading" / "a.csv"
    path.write_text("old")
    seen = see(path)
    assert seen is not None
    path.rename(tmp_path / "done" / "a.csv")
    path.write_text("new")
    assert inbox.put(seen, "done") is None
    assert path.read_text() == "new"
    assert sorted(file.name for file in (tmp_path / "done").iterdir()) == ["a.csv"]


def test_folders_that_were_taken_away_are_made_again(inbox: Inbox, tmp_path: Path) -> None:
    for folder in tmp_path.iterdir():
        shutil.rmtree(folder)
    (tmp_path / "a.csv").write_text("some")
    (seen,) = inbox.look().files
    taken = inbox.take(seen)
    assert taken is not None
    assert inbox.put(taken, "done") == tmp_path / "done" / "a.csv"


def test_only_a_file_that_is_as_it_was_seen_is_taken(inbox: Inbox, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("some")
    (seen,) = inbox.look().files
    path.write_text("something")
    assert inbox.take(seen) is None
    (again,) = inbox.look().files
    taken = inbox.take(again)
    assert taken is not None
    assert taken.path.read_text() == "something"


def test_that_nothing_can_be_written_is_said_with_the_name(inbox: Inbox, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("some")
    (seen,) = inbox.look().files
    taken = inbox.take(seen)
    assert taken is not None
    # As where a disk is full.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.raises(InputError, match=r"attempts: cannot be written"), inbox.attempt(taken):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_deaths_are_counted_by_file_and_only_those_of_the_dead(
    inbox: Inbox, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("some")
    (seen,) = inbox.look().files
    taken = inbox.take(seen)
    assert taken is not None
    with inbox.attempt(taken) as deaths, inbox.attempt(taken) as second:
        assert (deaths, second) == (0, None)
    with pytest.raises(KeyError), inbox.attempt(taken) as deaths:
        raise KeyError
    for expected in range(3):
        died = inbox.attempt(taken)
        assert died.__enter__() == expected
        # As the system does for a process that dies: the lock is gone, and the note is there.
        note = tmp_path / "loading" / f".{taken.inode}.attempts"
        copy = note.read_bytes()
        died.__exit__(None, None, None)
        note.write_bytes(copy)
    with taken.path.open("a") as file:
        file.write("thing")
    now = see(taken.path)
    assert now is not None
    with inbox.attempt(now) as deaths:
        assert deaths == 0
    assert sorted(one.name for one in (tmp_path / "loading").iterdir()) == [".lock", "a.csv"]


def test_what_was_noted_of_a_file_that_was_moved_on_is_removed(
    inbox: Inbox, tmp_path: Path
) -> None:
    """A watcher that dies after it moved a file leaves the note behind."""
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("some")
    notes = []
    for seen in inbox.look().files:
        taken = inbox.take(seen)
        assert taken is not None
        notes.append(tmp_path / "loading" / f".{taken.inode}.attempts")
        notes[-1].write_text("as of a process that died\n")
    (tmp_path / "loading" / "a.csv").rename(tmp_path / "done" / "a.csv")
    Inbox(tmp_path, Mapping()).prepare()
    (left,) = (note for note in notes if note.exists())
    assert left.name == f".{(tmp_path / 'loading' / 'b.csv').stat().st_ino}.attempts"
