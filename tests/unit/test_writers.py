import sys
from pathlib import Path

import pytest

from loader.watching.inbox import can_tell, has_writer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who writes")


def test_a_file_has_a_writer_as_long_as_one_has_it_open(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with path.open("w"), path.open("a"):
        assert has_writer(path)
    assert not has_writer(path)
    with path.open():
        assert not has_writer(path)
    # Asking holds nobody up afterwards.
    path.write_text("more")


def test_what_is_gone_or_a_link_has_none(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    (tmp_path / "link.csv").symlink_to(path)
    assert not has_writer(path)
    with path.open("w"):
        assert not has_writer(tmp_path / "link.csv")


def test_finding_out_leaves_nothing(tmp_path: Path) -> None:
    assert can_tell(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_other_systems_do_not_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loader.watching.inbox.sys.platform", "darwin")
    path = tmp_path / "a.csv"
    with path.open("w"):
        assert not has_writer(path)
    assert not can_tell(tmp_path)
