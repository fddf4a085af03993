"""Several destinations: each has what its filter says, whatever becomes of the other one."""

import io
import json
import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from loader.database import ledger
from loader.database.connection import connect
from loader.delivery.delivery import Delivery, Missing
from loader.delivery.destinations import find_destinations
from loader.errors import DatabaseError
from loader.loading.observer import Observer
from loader.loading.options import LoadOptions
from loader.loading.result import LoadResult
from loader.reading.inputs import expand
from loader.reading.mapping import Mapping
from loader.server.cluster import Cluster
from loader.settings import read_settings
from tests.conftest import Outcome
from tests.support.cut import Cut

Run = Callable[..., Outcome]
Write = Callable[..., Path]
Configure = Callable[..., Path]

EVENTS = (
    "select to_char(event_time at time zone 'UTC', 'DD HH24:MI:SS'), event_type, source_name"
    " from raw.events join raw.sources using (source_id) join raw.event_types using (event_type_id)"
    " join raw.loads using (load_id) where load_seq is not null and withdrawn_seq is null"
    " order by 1, 2, 3"
)
LEDGER = (
    "select origin, rows_read, rows_loaded, rows_rejected from raw.loads"
    " where load_seq is not null order by load_seq"
)


def results(outcome: Outcome) -> list[dict[str, Any]]:
    found = json.loads(outcome.stdout)
    return found if isinstance(found, list) else [found]


def rows(conn: Connection, query: str) -> list[Any]:
    return conn.execute(query.encode()).fetchall()


def test_both_get_what_is_loaded(
    configure: Configure, run_loader: Run, write_events: Write, conn: Connection,
    archive: Connection,
) -> None:  # fmt: skip
    configure()
    path = write_events(count=4, bad=1)
    outcome = run_loader("load", path, "--json")
    assert outcome.exit_code == 3
    first, second = results(outcome)
    assert (first["destination"], second["destination"]) == ("realtime", "archive")
    assert list(first)[:-1] == [
        "load_id", "load_seq", "origin", "rows_read", "rows_loaded", "rows_rejected",
        "rows_duplicate", "rows_left_out", "already_loaded", "seconds", "first_event_at",
        "last_event_at",
    ]  # fmt: skip
    assert f"realtime: {path}: 4 rows loaded, 1 rejected" in outcome.stderr
    assert "see: loader rejects --load 1 --to archive" in outcome.stderr
    assert rows(conn, EVENTS) == rows(archive, EVENTS)
    assert rows(archive, LEDGER) == [(str(path), 5, 4, 1)]
    again = run_loader("load", path, "--json", "--quiet")
    assert again.exit_code == 0
    assert [one["already_loaded"] for one in results(again)] == [True, True]


def test_one_that_is_named_gets_it_alone(
    configure: Configure, run_loader: Run, write_events: Write, conn: Connection,
    archive: Connection,
) -> None:  # fmt: skip
    configure()
    outcome = run_loader("load", write_events(), "--to", "archive", "--json", "--quiet")
    assert json.loads(outcome.stdout)["destination"] == "archive"
    assert (len(rows(conn, EVENTS)), len(rows(archive, EVENTS))) == (0, 3)
    outcome = run_loader("load", write_events(), "--to", "realtime", "--to", "archive", "--quiet")
    assert outcome.exit_code == 0
    assert (len(rows(conn, EVENTS)), len(rows(archive, EVENTS))) == (3, 3)


MIXED = """time,type,source
2024-05-01T12:00:00Z,car,gate
2024-05-02T12:00:00Z,pedestrian,gate
2024-05-02T12:00:01Z,car,door
2024-05-03T12:00:00Z,car,gate
2024-05-04T12:00:00Z,car,gate
never,car,gate
never,van,gate
2024-05-03T12:00:00Z,,gate
"""


def test_each_takes_what_its_filter_says(
    configure: Configure, run_loader: Run, conn: Connection, archive: Connection, tmp_path: Path
) -> None:
    configure(
        realtime='types = ["car"]\nsources = ["gate"]\nsince = 2024-05-02T00:00:00Z\n'
        "until = 2024-05-04T12:00:00Z",
    )
    (tmp_path / "mixed.csv").write_text(MIXED)
    outcome = run_loader("load", tmp_path / "mixed.csv", "--json", "--quiet")
    taken, everything = results(outcome)
    counts = ("rows_read", "rows_loaded", "rows_rejected", "rows_left_out")
    # A van is not taken, whatever its time; without a type nobody can tell.
    assert [taken[name] for name in counts] == [8, 1, 2, 5]
    assert [everything[name] for name in counts] == [8, 5, 3, 0]
    assert rows(conn, EVENTS) == [("03 12:00:00", "car", "gate")]
    assert rows(conn, "select line_number from raw.rejected_events order by 1") == [(7,), (9,)]
    assert rows(conn, "select event_type from raw.event_types") == [("car",)]
    assert len(rows(archive, EVENTS)) == 5
    again = run_loader("load", tmp_path / "mixed.csv", "--json", "--quiet")
    assert [one["already_loaded"] for one in results(again)] == [True, True]
    # The ledger says what was taken; nothing of it at all is taken note of, too.
    (options,) = rows(conn, "select options -> 'selection' from raw.loads")
    assert options[0]["types"] == ["car"]
    (tmp_path / "buses.csv").write_text("time,type,source\n2024-05-02T12:00:00Z,bus,gate\n")
    (nothing, one) = results(run_loader("load", tmp_path / "buses.csv", "--json", "--quiet"))
    assert (nothing["rows_left_out"], nothing["load_id"], one["rows_left_out"]) == (1, 2, 0)


def test_what_is_old_is_left_out_where_it_is_not_kept(
    configure: Configure, run_loader: Run, write_events: Write, conn: Connection,
    archive: Connection,
) -> None:  # fmt: skip
    configure(realtime='retain = "14d"\npartition_by = "day"', archive='retain = "30years"')
    assert run_loader("load", write_events("old.csv"), "--quiet").exit_code == 0
    done = run_loader("maintain", "--json", "--ahead", "1")
    assert done.exit_code == 0
    realtime, kept = json.loads(done.stdout)
    assert realtime["destination"] == "realtime"
    assert realtime["dropped_partitions"] == ["event_chunks_2024_05_13"]
    assert (kept["destination"], kept["dropped_partitions"]) == ("archive", [])
    assert all(
        len(name) == len("event_chunks_2024_05_13") for name in realtime["created_partitions"]
    )
    assert all(len(name) == len("event_chunks_2024_05") for name in kept["created_partitions"])
    # Late, and older than what is kept: of no interest there, and no fault of the rows.
    outcome = run_loader("load", write_events("late.csv", count=5, bad=1), "--json", "--quiet")
    late, whole = results(outcome)
    assert (late["rows_left_out"], late["rows_loaded"], late["rows_rejected"]) == (5, 0, 1)
    assert (whole["rows_read"], whole["rows_loaded"], whole["rows_rejected"]) == (6, 5, 1)
    assert (len(rows(conn, EVENTS)), len(rows(archive, EVENTS))) == (0, 8)
    outcome = run_loader("maintain", "--to", "archive", "--retain", "8 weeks")
    assert "archive: dropped partitions older" in outcome.stdout
    assert "realtime" not in outcome.stdout


@pytest.mark.parametrize("content", [MIXED.encode(), b""], ids=["events", "empty"])
def test_a_pipe_goes_to_both(
    content: bytes, configure: Configure, run_loader: Run, conn: Connection, archive: Connection,
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    configure(realtime='types = ["pedestrian"]')
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    for _ in range(2):
        reads, writes = os.pipe()
        with os.fdopen(reads, "rb") as stdin, os.fdopen(writes, "wb") as writer:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stdin))
            writer.write(content)
            writer.close()
            outcome = run_loader("load", "-", "--json", "--quiet")
    if not content:
        assert outcome.exit_code == 4
        assert "realtime: -: is empty" in outcome.stderr
        assert not list(tmp_path.glob("loader-*"))
        return
    assert outcome.exit_code == 0
    assert [one["origin"] for one in results(outcome)] == ["-", "-"]
    assert [one["already_loaded"] for one in results(outcome)] == [True, True]
    assert (len(rows(conn, EVENTS)), len(rows(archive, EVENTS))) == (1, 5)
    assert rows(conn, LEDGER) == [("-", 8, 1, 1)]
    assert not list(tmp_path.glob("loader-*"))


def test_standard_input_is_read_from_where_it_stands(
    configure: Configure, run_loader: Run, conn: Connection, archive: Connection,
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    """A file, of which somebody has read a part; and a named pipe, with the same content."""
    configure()
    (tmp_path / "file").write_text(f"a line of somebody else\n{MIXED}")
    fifo = tmp_path / "fifo.csv"
    os.mkfifo(fifo)
    writer = threading.Thread(target=fifo.write_text, args=[MIXED])
    writer.start()
    with (tmp_path / "file").open() as stdin:
        os.lseek(stdin.fileno(), len("a line of somebody else\n"), os.SEEK_SET)
        monkeypatch.setattr(sys, "stdin", stdin)
        outcome = run_loader("load", "-", fifo, "--json", "--quiet")
    writer.join()
    assert [(one["rows_loaded"], one["already_loaded"]) for one in results(outcome)] == [
        (5, False), (5, False), (5, True), (5, True),
    ]  # fmt: skip
    assert len(rows(conn, EVENTS)) == len(rows(archive, EVENTS)) == 5


def test_one_that_is_down_is_completed_later(
    configure: Configure, run_loader: Run, write_events: Write, conn: Connection,
    archive: Connection, archive_dsn: str, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    configure()
    paths = [write_events("1.csv"), write_events("2.csv", start="2024-05-14T00")]
    monkeypatch.setenv("ARCHIVE_DSN", "host=127.0.0.1 port=1 user=me password=S3cret dbname=x")
    outcome = run_loader("load", *paths, "--json")
    assert outcome.exit_code == 5
    found = results(outcome)
    assert [(one["destination"], one["origin"]) for one in found] == [
        (name, str(path)) for path in paths for name in ("realtime", "archive")
    ]
    assert [one["rows_loaded"] for one in found] == [3, 0, 3, 0]
    assert [one["load_id"] for one in found] == [1, None, 2, None]
    assert ["error" in one for one in found] == [False, True, False, True]
    assert "cannot connect" in found[1]["error"]
    assert "loader: archive lacks 2 of 2 inputs; the same command again" in outcome.stderr
    assert "S3cret" not in outcome.stdout + outcome.stderr
    monkeypatch.setenv("ARCHIVE_DSN", archive_dsn)
    outcome = run_loader("load", *paths, "--json")
    assert outcome.exit_code == 0
    assert [one["already_loaded"] for one in results(outcome)] == [True, False, True, False]
    assert rows(conn, EVENTS) == rows(archive, EVENTS)
    assert len(rows(conn, EVENTS)) == 6


@pytest.mark.parametrize("when", ["before", "after"])
def test_one_that_goes_down_while_it_publishes_is_completed_later(
    when: Any, configure: Configure, run_loader: Run, write_events: Write, conn: Connection,
    archive: Connection, cluster: Cluster, archive_dsn: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Its answer to COMMIT is lost, and nobody can connect any more: it may have it, or not."""
    monkeypatch.setattr(ledger, "PATIENCE_SECONDS", 0)
    configure()
    cut = Cut(
        server=cluster.socket_dir / ".s.PGSQL.5432", directory=tmp_path, when=when, is_final=True
    )
    monkeypatch.setenv("ARCHIVE_DSN", cut.dsn(archive.info.dbname))
    paths = [write_events("1.csv", count=50), write_events("2.csv", start="2024-05-14T00")]
    outcome = run_loader("load", *paths, "--json", "--quiet")
    assert outcome.exit_code == 5
    assert cut.cuts == 1
    assert [one["load_id"] for one in results(outcome)] == [1, None, 2, None]
    monkeypatch.setenv("ARCHIVE_DSN", archive_dsn)
    outcome = run_loader("load", *paths, "--json", "--quiet")
    assert outcome.exit_code == 0
    assert [one["already_loaded"] for one in results(outcome)] == [
        True, when == "after", True, False,
    ]  # fmt: skip
    assert rows(conn, EVENTS) == rows(archive, EVENTS)
    assert len(rows(archive, EVENTS)) == 53
    assert rows(archive, "select count(*) from raw.loads where load_seq is null") == [(0,)]


def test_killed_between_two_publications(
    configure: Configure, run_loader: Run, write_events: Write, conn: Connection,
    archive: Connection, archive_dsn: str, wait_for: Callable[[str], None],
) -> None:  # fmt: skip
    configure()
    path = write_events(count=100)
    with connect(archive_dsn) as other, other.transaction():
        # Whoever publishes there waits.
        other.execute("select load_seq from raw.load_counter for update")
        process = subprocess.Popen(
            [sys.executable, "-m", "loader", "load", path],
            env=dict(os.environ),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_for("select count(*) = 1 from raw.loads where load_seq is not null")
        with connect(archive_dsn) as watching:
            while not rows(
                watching, "select 1 from pg_stat_activity where wait_event_type = 'Lock'"
                " and datname = current_database() and query like '%load_counter%'",
            ):  # fmt: skip
                assert process.poll() is None, process.communicate()[1]
        process.kill()
        process.communicate()
    assert rows(archive, "select count(*) from raw.loads where load_seq is not null") == [(0,)]
    outcome = run_loader("load", path, "--json", "--quiet")
    assert outcome.exit_code == 0
    assert [one["already_loaded"] for one in results(outcome)] == [True, False]
    assert rows(conn, EVENTS) == rows(archive, EVENTS)
    assert rows(archive, "select count(*) from raw.events") == [(100,)]


def test_an_unusable_input_is_told_for_each(
    configure: Configure, run_loader: Run, write_events: Write, tmp_path: Path
) -> None:
    configure(realtime='types = ["van"]')
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    bad = write_events("bad.csv", bad=2)
    outcome = run_loader("load", tmp_path / "other.csv", bad, "--max-rejects", "1", "--json")
    assert outcome.exit_code == 4
    found = results(outcome)
    assert ['no column "time"' in one["error"] for one in found[:2]] == [True, True]
    # The rows with a bad time are cars, which are not taken there.
    assert ["error" in one for one in found[2:]] == [False, True]
    assert "lacks" not in outcome.stderr


def test_a_dry_run_needs_no_database(
    configure: Configure, run_loader: Run, write_events: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(realtime='types = ["van"]')
    monkeypatch.delenv("ARCHIVE_DSN")
    outcome = run_loader("load", write_events(), "--dry-run", "--json")
    assert [one["rows_loaded"] for one in results(outcome)] == [0, 3]
    assert "archive: " in outcome.stderr


def test_commands_about_one_ledger_say_when_they_need_a_name(
    configure: Configure, run_loader: Run, write_events: Write
) -> None:
    configure()
    run_loader("load", write_events(count=2, bad=1), "--to", "archive")
    for command in (("status",), ("loads",), ("rejects",), ("withdraw", "1"), ("periods",)):
        outcome = run_loader(*command)
        assert outcome.exit_code == 2
        assert "say which one: --to realtime or --to archive" in outcome.stderr
    assert json.loads(run_loader("status", "--to", "archive", "--json").stdout)["ledger"][
        "rows_loaded"
    ] == 2  # fmt: skip
    assert json.loads(run_loader("loads", "--to", "realtime", "--json").stdout) == []
    assert "bad" in run_loader("rejects", "--to", "archive").stdout
    assert run_loader("withdraw", "1", "--to", "archive").exit_code == 0
    assert run_loader("withdraw", "1", "--to", "realtime").exit_code == 2


def test_a_database_that_is_named_otherwise_is_the_only_one(
    configure: Configure, run_loader: Run, write_events: Write, dsn: str, conn: Connection
) -> None:
    configure(realtime='types = ["van"]')
    outcome = run_loader("load", write_events(), "--dsn", dsn, "--json", "--quiet")
    assert "destination" not in json.loads(outcome.stdout)
    assert len(rows(conn, EVENTS)) == 3
    assert run_loader("loads", "--dsn", dsn).exit_code == 0
    outcome = run_loader("load", write_events(), "--dsn", dsn, "--to", "archive")
    assert (outcome.exit_code, "give one of them" in outcome.stderr) == (2, True)


def test_a_file_without_destinations_changes_little(
    configure: Configure, run_loader: Run, write_events: Write, dsn: str, conn: Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    configure(text='partition_by = "day"')
    monkeypatch.setenv("LOADER_DSN", dsn)
    outcome = run_loader("load", write_events(), "--json", "--quiet")
    assert "destination" not in json.loads(outcome.stdout)
    assert rows(conn, "select to_regclass('raw.event_chunks_2024_05_13') is not null") == [(True,)]
    outcome = run_loader("load", write_events(), "--to", "archive")
    assert outcome.exit_code == 2
    assert "there are no destinations in" in outcome.stderr


def test_alerts_are_raised_once(
    configure: Configure, run_loader: Run, tmp_path: Path, conn: Connection, archive: Connection
) -> None:
    configure()
    path = tmp_path / "people.csv"
    seen = (f"2024-05-13T15:00:0{second}Z,pedestrian,gate\n" for second in range(6))
    path.write_text("time,type,source\n" + "".join(seen))
    outcome = run_loader("load", path, "--alert", "--alert-to", "stderr")
    assert outcome.stderr.count("alert: ") == 1
    count = "select count(*) from raw.early_alerts"
    assert (rows(conn, count), rows(archive, count)) == ([(1,)], [(0,)])


def test_who_may_not_look_at_the_first_is_told_its_name_and_loads_into_the_others(
    configure: Configure, dsn: str
) -> None:
    class Refused(Observer):
        def rest(self) -> float:
            raise psycopg.errors.InsufficientPrivilege("permission denied for alert_states")

    configure()
    both = Delivery(
        find_destinations(read_settings()), Mapping(), LoadOptions(), observers=[Refused()]
    )
    with pytest.raises(DatabaseError, match=r"^realtime: the database refuses: permission denied"):
        both.rest()
    one = find_destinations(read_settings(dsn=dsn))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        Delivery(one, Mapping(), LoadOptions(), observers=[Refused()]).rest()


def test_a_file_that_changes_between_two_destinations_is_not_loaded_into_the_second(
    configure: Configure, run_loader: Run, write_events: Write, archive: Connection
) -> None:
    assert run_loader is not None
    configure()
    path = write_events()
    (an_input,) = expand([str(path)], Mapping())
    bringing = Delivery(find_destinations(read_settings()), Mapping(), LoadOptions())
    bringing.begin()
    outcomes = bringing.bring(an_input)
    assert isinstance(next(outcomes), LoadResult)
    path.write_text(path.read_text() + "2024-05-13T16:00:00Z,car,gate\n")
    (outcome,) = outcomes
    assert isinstance(outcome, Missing)
    assert str(outcome) == f"archive: {path}: was changed meanwhile; load it again"
    assert rows(archive, "select count(*) from raw.loads") == [(0,)]
    (outcome,) = bringing.bring(an_input, except_to=["realtime"])
    assert isinstance(outcome, LoadResult)


def test_no_room_for_a_copy_is_said(
    configure: Configure, archive: Connection, tmp_path: Path
) -> None:
    """A limit of 8 kB stands for a directory that is full."""
    configure()
    done = subprocess.run(
        ["bash", "-c", f"ulimit -f 8; {shlex.quote(sys.executable)} -m loader load -"],
        input="time,type,source\n" + "2024-05-13T15:00:00Z,car,gate\n" * 1000,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert f"-: for several databases it is copied to {tmp_path}, which is full; set TMPDIR" in (
        done.stderr
    )
    assert "Traceback" not in done.stderr
    assert rows(archive, "select count(*) from raw.loads") == [(0,)]
    assert not list(tmp_path.glob("loader-*"))
