import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from psycopg import Connection

from loader.database.connection import connect
from loader.database.locks import DEDUPE, lock

Run = Callable[..., Any]
Start = Callable[..., Any]

FIRST = "2024-05-13T15:00:00Z,car,gate\n"
OTHERS = "2024-05-13T15:00:00Z,van,gate\n2024-05-13T15:00:00Z,car,yard\n"


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(["time,type,source\n", *lines]))
    return path


def counts(outcome: Any) -> tuple[int, int, int]:
    result = json.loads(outcome.stdout)
    return result["rows_read"], result["rows_loaded"], result["rows_duplicate"]


def test_events_equal_in_source_time_and_type_are_loaded_once(
    run_loader: Run, tmp_path: Path, conn: Connection
) -> None:
    one = write(tmp_path / "1.csv", FIRST, FIRST)
    two = write(tmp_path / "2.csv", FIRST, OTHERS, FIRST)
    exact = ("--dedupe", "exact", "--json")
    assert counts(run_loader("load", one, *exact)) == (2, 1, 1)
    assert counts(run_loader("load", two, *exact)) == (4, 2, 2)
    assert conn.execute(
        "select load_id, count(*) from raw.events group by load_id order by load_id"
    ).fetchall() == [(1, 1), (2, 2)]


def test_without_dedupe_equal_events_stay(run_loader: Run, tmp_path: Path) -> None:
    file = write(tmp_path / "1.csv", FIRST, FIRST)
    assert counts(run_loader("load", file, "--json")) == (2, 2, 0)


def test_withdrawn_events_are_no_reason_to_drop_others(run_loader: Run, tmp_path: Path) -> None:
    assert run_loader("load", write(tmp_path / "1.csv", FIRST)).exit_code == 0
    assert run_loader("withdraw", "1").exit_code == 0
    file = write(tmp_path / "2.csv", FIRST, OTHERS)
    assert counts(run_loader("load", file, "--dedupe", "exact", "--json")) == (3, 3, 0)


def test_of_equal_events_the_first_one_stays(
    run_loader: Run, tmp_path: Path, conn: Connection
) -> None:
    file = tmp_path / "1.csv"
    lines = [f"2024-05-13T15:00:00Z,car,gate,{number}\n" for number in range(50)]
    file.write_text("".join(["time,type,source,number\n", *lines]))
    options = ("--dedupe", "exact", "--attributes", "number")
    assert run_loader("load", file, *options).exit_code == 0
    found = conn.execute("select attributes ->> 'number' from raw.events").fetchall()
    assert found == [("0",)]


def test_two_loaders_at_once_load_an_event_once(
    start_loader: Start,
    tmp_path: Path,
    dsn: str,
    conn: Connection,
    wait_for: Callable[[str], None],
) -> None:
    files = [
        write(tmp_path / "1.csv", FIRST),
        write(tmp_path / "2.csv", FIRST, OTHERS),
    ]
    with connect(dsn) as blocker, blocker.transaction():
        # The first one has looked for duplicates, and cannot publish yet.
        blocker.execute("update raw.load_counter set load_seq = load_seq")
        first = start_loader("load", files[0], "--dedupe", "exact", "--json")
        wait_for("select count(*) > 0 from raw.events")
        second = start_loader("load", files[1], "--dedupe", "exact", "--json")
        wait_for("select count(*) > 0 from pg_locks where not granted and locktype = 'advisory'")
    loaded = [json.loads(p.communicate()[0])["rows_loaded"] for p in (first, second)]
    assert loaded == [1, 2]
    assert conn.execute("select count(*) from raw.events").fetchone() == (3,)


def test_nothing_of_a_failed_load_stays(
    run_loader: Run, tmp_path: Path, nothing_left: Callable[[], None]
) -> None:
    file = write(tmp_path / "1.csv", FIRST, "bad,car,gate\n")
    options = ("--dedupe", "exact", "--max-rejects", "0")
    assert run_loader("load", file, *options).exit_code == 4
    nothing_left()


def test_what_was_copied_and_got_lost_is_no_duplicate(
    run_loader: Run,
    start_loader: Start,
    wait_for: Callable[[str], None],
    dsn: str,
    conn: Connection,
    tmp_path: Path,
) -> None:
    """As when a node of a cluster crashes and is back, which empties tables that are not logged."""
    file = write(tmp_path / "1.csv", FIRST, OTHERS)
    with connect(dsn) as other:
        lock(other, DEDUPE)
        load = start_loader("load", file, "--dedupe", "exact")
        wait_for("select count(*) > 0 from pg_locks where not granted and locktype = 'advisory'")
        conn.execute("truncate raw.staging_1")
    said = "".join(load.communicate())

    assert load.returncode == 5
    assert "3 of 3 copied events were lost with a node of the cluster; nothing was loaded" in said
    assert counts(run_loader("load", file, "--dedupe", "exact", "--json")) == (3, 3, 0)
