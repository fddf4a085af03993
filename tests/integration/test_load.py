import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection

Run = Callable[..., Any]
Write = Callable[..., Path]
Scalar = Callable[[str], object]


def test_a_load_is_what_its_result_says(
    run_loader: Run, write_events: Write, conn: Connection
) -> None:
    outcome = run_loader("load", write_events(count=5), "--json")
    assert outcome.exit_code == 0
    result = json.loads(outcome.stdout)
    assert result.pop("seconds") >= 0
    assert result.pop("origin").endswith("events.csv")
    assert result == {
        "load_id": 1,
        "load_seq": 1,
        "rows_read": 5,
        "rows_loaded": 5,
        "rows_rejected": 0,
        "rows_duplicate": 0,
        "rows_left_out": 0,
        "already_loaded": False,
        "first_event_at": "2024-05-13T15:00:00Z",
        "last_event_at": "2024-05-13T15:00:04Z",
    }
    rows = conn.execute(
        "select to_char(event_time, 'HH24:MI:SS'), source_name, event_type, load_id, attributes"
        " from raw.events join raw.sources using (source_id)"
        " join raw.event_types using (event_type_id) order by event_time"
    ).fetchall()
    assert rows == [(f"15:00:0{n}", f"camera {n % 3}", "car", 1, None) for n in range(5)]


def test_the_same_file_again_changes_nothing(
    run_loader: Run, write_events: Write, scalar: Scalar, nothing_left: Callable[[], None]
) -> None:
    file = write_events(count=3, bad=1)
    assert run_loader("load", file).exit_code == 3
    again = run_loader("load", file, "--json")
    assert again.exit_code == 0
    result = json.loads(again.stdout)
    assert result["already_loaded"] is True
    assert result["load_id"] == 1
    assert scalar("select count(*) from raw.events") == 3
    assert scalar("select load_seq from raw.load_counter") == 1
    nothing_left()


def test_a_known_format_is_its_options_in_the_ledger_too(
    run_loader: Run, tmp_path: Path, scalar: Scalar
) -> None:
    sample = Path(__file__).parents[2] / "docs/samples/frigate.ndjson"
    columns = ("time", "start_time"), ("type", "label"), ("source", "camera")
    options = [f"--{what}-column=after.{key}" for what, key in columns]
    loaded = run_loader("load", sample, *options, "--time-format", "epoch_s", "--json")
    assert json.loads(loaded.stdout)["rows_loaded"] == 3
    again = run_loader("load", sample, "--as", "frigate", "--json")
    assert json.loads(again.stdout)["already_loaded"] is True
    # The same in a folder; --where adds to what the format says.
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    shutil.copy(sample, inbox)
    watch = ("watch", inbox, "--once", "--settle", "0s", "--json", "--as", "frigate")
    watched = json.loads(run_loader(*watch, "--where", "type=new").stdout)
    assert (watched["rows_loaded"], watched["rows_left_out"]) == (2, 1)
    assert scalar("select count(*) from raw.events") == 5


def test_the_same_content_on_standard_input_changes_nothing(
    start_loader: Run, write_events: Write, scalar: Scalar, nothing_left: Callable[[], None]
) -> None:
    text = write_events(count=3, bad=1).read_text()
    options = ("load", "-", "--format", "csv", "--json")
    first, _ = start_loader(*options).communicate(text)
    second, _ = start_loader(*options).communicate(text)
    assert json.loads(first)["already_loaded"] is False
    assert json.loads(second)["already_loaded"] is True
    assert scalar("select count(*) from raw.events") == 3
    assert scalar("select count(*) from raw.rejected_events") == 1
    nothing_left()


def test_rejected_rows_are_kept_and_counted(
    run_loader: Run, write_events: Write, conn: Connection
) -> None:
    outcome = run_loader("load", write_events(count=2, bad=3))
    assert outcome.exit_code == 3
    assert "loader rejects --load 1" in outcome.stdout
    assert conn.execute(
        "select rows_read, rows_loaded, rows_rejected, rows_duplicate from raw.loads"
    ).fetchall() == [(5, 2, 3, 0)]
    assert conn.execute(
        "select line_number, column_name, raw_text, raw_bytes from raw.rejected_events order by 1"
    ).fetchall() == [(4 + n, "time", f"bad,car,camera {n}", None) for n in range(3)]


def test_rows_that_are_not_wanted_are_counted(
    run_loader: Run, tmp_path: Path, conn: Connection
) -> None:
    (tmp_path / "cam7").mkdir()
    path = tmp_path / "cam7" / "a.csv"
    rows = [f"2024-05-13,15:00:0{n},{'car' if n % 2 else 'van'},0.{n}\n" for n in range(8)]
    path.write_text("day,hour,type,score\n" + "".join(rows) + "never,,car,1\n")
    options = ("--time-column", "day,hour", "--timezone", "UTC", "--types", "car,bus",
               "--source-from-path", "{source}/*", "--where", "score>=0.3",
               "--until", "2024-05-13T15:00:07Z")  # fmt: skip
    outcome = run_loader("load", path, *options)
    assert outcome.exit_code == 3
    assert "2 rows loaded, 1 rejected, 6 left out" in outcome.stdout
    assert conn.execute(
        "select rows_read, rows_left_out, options -> 'selection' -> 'where' from raw.loads"
    ).fetchall() == [(9, 6, ["score>=0.3"])]
    assert conn.execute("select source_name from raw.sources").fetchall() == [("cam7",)]
    assert "2 loaded + 1 rejected + 0 duplicate + 6 left out" in run_loader("status").stdout


def test_a_load_of_nothing_but_rejects_is_in_the_ledger(
    run_loader: Run, write_events: Write, scalar: Scalar
) -> None:
    assert run_loader("load", write_events(count=0, bad=2)).exit_code == 3
    assert scalar("select rows_rejected from raw.loads where load_seq = 1") == 2


def test_more_rejects_than_allowed_load_nothing(
    run_loader: Run, write_events: Write, scalar: Scalar, nothing_left: Callable[[], None]
) -> None:
    file = write_events(count=2, bad=3)
    outcome = run_loader("load", file, "--max-rejects", "2")
    assert outcome.exit_code == 4
    assert "--max-rejects" in outcome.stderr
    assert scalar("select count(*) from raw.loads") == 0
    assert scalar("select count(*) from raw.events") == 0
    nothing_left()
    assert run_loader("load", file, "--max-rejects", "3").exit_code == 3
    assert scalar("select count(*) from raw.events") == 2


def test_a_dry_run_writes_nothing(run_loader: Run, write_events: Write, scalar: Scalar) -> None:
    outcome = run_loader("load", write_events(count=2, bad=1), "--dry-run", "--json")
    assert outcome.exit_code == 3
    result = json.loads(outcome.stdout)
    assert (result["rows_loaded"], result["rows_rejected"], result["load_id"]) == (2, 1, None)
    for table in ("loads", "events", "sources", "rejected_events"):
        assert scalar("select count(*) from raw." + table) == 0


def test_an_unusable_input_does_not_keep_the_others_from_being_loaded(
    run_loader: Run, write_events: Write, tmp_path: Path, scalar: Scalar
) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("no,such,columns\n1,2,3\n")
    outcome = run_loader("load", bad, write_events(count=2), "--json")
    assert outcome.exit_code == 4
    assert "bad.csv" in outcome.stderr
    assert [result["rows_loaded"] for result in json.loads(outcome.stdout)] == [2]
    assert scalar("select count(*) from raw.loads") == 1


def test_a_missing_file_is_an_unusable_input(run_loader: Run, tmp_path: Path) -> None:
    outcome = run_loader("load", tmp_path / "nowhere.csv")
    assert outcome.exit_code == 4
    assert outcome.stderr.startswith("loader: ")
    assert outcome.stderr.count("\n") == 1


@pytest.mark.parametrize("dedupe", ["none", "exact"])
def test_attributes_are_kept_as_json(
    run_loader: Run, tmp_path: Path, conn: Connection, dedupe: str
) -> None:
    file = tmp_path / "events.csv"
    file.write_text(
        "time,type,source,lane,speed\n"
        '2024-05-13T15:00:00Z,car,gate,"left ü",50\n'
        "2024-05-13T15:00:01Z,car,gate,right,70\n"
    )
    options = ("--attributes", "lane,speed", "--dedupe", dedupe)
    assert run_loader("load", file, *options).exit_code == 0
    found = conn.execute("select attributes ->> 'lane' from raw.events order by event_time")
    assert found.fetchall() == [("left ü",), ("right",)]


def test_quiet_says_nothing(run_loader: Run, write_events: Write) -> None:
    outcome = run_loader("load", write_events(), "--quiet")
    assert (outcome.exit_code, outcome.stdout, outcome.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "options", [["--workers", "0"], ["--indexes", "drop"], ["--type-map", "x"], ["--nonsense"]]
)
def test_wrong_options_are_usage_errors(
    run_loader: Run, write_events: Write, options: list[str]
) -> None:
    assert run_loader("load", write_events(), *options).exit_code == 2


def test_many_batches_over_several_connections_arrive_once(
    run_loader: Run, tmp_path: Path, conn: Connection
) -> None:
    file = tmp_path / "events.csv"
    with file.open("w") as output:
        output.write("time,type,source\n")
        # Months alternate, so that partitions appear while a COPY runs.
        for row in range(300_000):
            output.write(f"2024-{1 + row // 40_000:02d}-01T00:00:00.{row:06d}Z,car,gate\n")
    assert run_loader("load", file, "--workers", "3").exit_code == 0
    assert conn.execute(
        "select count(*), count(distinct event_time) from raw.events"
    ).fetchone() == (300_000, 300_000)
    partitions = conn.execute(
        "select tableoid::regclass::text, min(to_char(first_event_at, 'YYYY_MM'))"
        " from raw.event_chunks group by 1 having min(to_char(first_event_at, 'YYYY_MM'))"
        " = max(to_char(last_event_at, 'YYYY_MM')) order by 1"
    ).fetchall()
    assert partitions == [(f"raw.event_chunks_2024_0{m}", f"2024_0{m}") for m in range(1, 9)]
