from pathlib import Path

import pytest

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
