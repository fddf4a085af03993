"""What a load says when it ends: how many, from when to when, and what is odd about that."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from loader.cli import main
from loader.cli.report import describe_load
from loader.loading.result import LoadResult
from loader.reading.batch import doubts

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
RESULT = LoadResult(
    load_id=7,
    load_seq=7,
    origin="a.csv",
    rows_read=3,
    rows_loaded=2,
    rows_rejected=1,
    rows_duplicate=0,
    rows_left_out=0,
    already_loaded=False,
    seconds=0.1,
    first_event_at=NOW,
    last_event_at=NOW + timedelta(hours=1),
    first_reject="line 2: the row is too long",
)


@pytest.mark.parametrize(
    ("first", "last", "rows", "says"),
    [
        (NOW - timedelta(days=900), NOW + timedelta(hours=23), 9, []),
        (NOW, NOW, 5, []),
        (NOW, NOW, 6, ["all of its 6 events have the same time"]),
        (datetime(1970, 1, 20, tzinfo=UTC), NOW, 9, ["January 1970"]),
        (datetime(1970, 2, 1, tzinfo=UTC), NOW, 9, []),
        (datetime(1969, 12, 31, tzinfo=UTC), NOW, 9, []),
        (NOW, NOW + timedelta(hours=25), 9, ["in the future, up to 2026-03-03"]),
    ],
)
def test_odd_times_are_doubted(first: datetime, last: datetime, rows: int, says: list[str]) -> None:
    found = doubts(first, last, rows, NOW)
    assert len(found) == len(says)
    assert all(text in doubt for text, doubt in zip(says, found, strict=True))


def test_nothing_is_doubted_where_nothing_was_loaded() -> None:
    assert doubts(None, None, 0, NOW) == []


def test_a_result_tells_when_and_why_nothing_came() -> None:
    span = "from 2026-03-02 08:00:00Z to 2026-03-02 09:00:00Z"
    some = describe_load(RESULT, dry_run=False)
    assert span in some
    assert "too long" not in some
    tried = describe_load(RESULT, dry_run=True)
    assert span in tried
    assert "the first is line 2: the row is too long" in tried
    assert "inspect" not in tried


def test_where_no_row_is_usable_inspect_is_named(tmp_path: Path) -> None:
    path = tmp_path / "an export.csv"
    path.touch()
    result = replace(RESULT, origin=str(path), rows_read=1, rows_loaded=0)
    assert f"too long; for what is in it: loader inspect '{path}'" in describe_load(
        result, dry_run=True
    )
    assert "inspect" not in describe_load(replace(result, origin="-"), dry_run=True)


@pytest.mark.parametrize(
    ("content", "options", "exit_code", "stdout", "stderr"),
    [
        ("1704067200,car,a\n", ["epoch_ms"], 0, "at 1970-01-20 17:21:07Z", "January 1970"),
        ("1704067200,car,a\n", ["epoch_s"], 0, "at 2024-01-01 00:00:00Z", ""),
        ("1704067200000,car,a\n", ["epoch_s"], 3, "milliseconds: --time-format epoch_ms", ""),
        ("1704067200123456789,car,a\n", ["epoch_us"], 3, "nanoseconds: --time-format epoch_ns", ""),
        ("1704067200123456789,car,a\n", ["epoch_ns"], 0, "at 2024-01-01 00:00:00Z", ""),
        ("2198-01-01T00:00:00Z,car,a\n", ["iso"], 0, "at 2198-01-01", "in the future"),
        ("2024-01-01T00:00:00Z,car,a\x1b\n", ["iso"], 3, "line 2: column source", ""),
    ],
)
def test_a_dry_run_tells_it_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, options: list[str],
    exit_code: int, stdout: str, stderr: str,
) -> None:  # fmt: skip
    path = tmp_path / "a.csv"
    path.write_text(f"time,type,source\n{content}")
    assert main(["load", str(path), "--dry-run", "--time-format", *options]) == exit_code
    said = capsys.readouterr()
    assert stdout in said.out
    assert "\x1b" not in said.out
    assert (stderr in said.err) if stderr else not said.err
    assert main(["load", str(path), "--dry-run", "--quiet", "--time-format", *options]) == exit_code
    quiet = capsys.readouterr()
    assert quiet.out == ""
    assert quiet.err == said.err
