"""``loader watch``: every file once, whatever its writer, the watcher or the server does."""

import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import IO, Any

import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from loader.database.connection import connect
from loader.delivery.delivery import Delivery
from loader.delivery.destinations import find_destinations
from loader.errors import DatabaseError
from loader.loading.observer import Observer
from loader.loading.options import LoadOptions
from loader.loading.result import LoadResult
from loader.process.signals import StopRequest
from loader.reading.mapping import Mapping
from loader.settings import read_settings
from loader.watching.inbox import Inbox, see
from loader.watching.watch import Watcher, WatchOptions
from tests.conftest import Outcome
from tests.support.forks import FORKS, loader_on, preload
from tests.support.killed import Killed
from tests.support.waits import PATIENCE, wait_until

from .test_crashes import NO_LOADER_IS_CONNECTED

Run = Callable[..., Outcome]
Write = Callable[..., Path]
Scalar = Callable[[str], object]

KILLS = int(os.environ.get("CRASH_KILLS", "5"))
HEADER = "time,type,source\n"
ROW = "2024-05-13T15:00:{:02}Z,car,gate\n"
preload(__name__)


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    directory = tmp_path / "inbox"
    directory.mkdir()
    return directory


def files_in(inbox: Path) -> dict[str, list[str]]:
    """Return the names of what is in the directory and its folders, but for the lock."""
    found: dict[str, list[str]] = {}
    for folder in (inbox, *sorted(path for path in inbox.iterdir() if path.is_dir())):
        names = sorted(path.name for path in folder.iterdir() if path.is_file())
        found[folder.name] = [name for name in names if name != ".lock"]
    return {folder: names for folder, names in found.items() if names}


def test_each_file_goes_where_it_belongs(
    inbox: Path, run_loader: Run, write_events: Write, scalar: Scalar
) -> None:
    write_events("inbox/good.csv", count=5)
    shutil.copy(inbox / "good.csv", inbox / "same content.csv")
    write_events("inbox/some bad.csv", count=2, bad=1, start="2024-05-14T00")
    (inbox / "other.csv").write_text("a,b,c\n1,2,3\n")
    (inbox / "empty.ndjson").touch()
    left = [".hidden.csv", "half.csv.tmp", "half.csv.part", "README.txt"]
    for name in left:
        (inbox / name).write_text(HEADER + ROW.format(59))
    (inbox / "link.csv").symlink_to(inbox / "README.txt")
    (inbox / "folder.csv").mkdir()
    outcome = run_loader("watch", inbox, "--once", "--settle", "0s", "--json")
    assert outcome.exit_code == 4
    assert files_in(inbox) == {
        "inbox": sorted([*left, "link.csv"]),
        "done": ["good.csv", "same content.csv"],
        "failed": ["empty.ndjson", "empty.ndjson.error.txt", "other.csv", "other.csv.error.txt"],
        "rejected": ["some bad.csv"],
    }
    results = [json.loads(line) for line in outcome.stdout.splitlines()]
    assert sorted((one["rows_loaded"], one["already_loaded"]) for one in results) == [
        (2, False), (5, False), (5, True),
    ]  # fmt: skip
    assert scalar("select count(*) from raw.events") == 7
    assert scalar("select origin from raw.loads where rows_rejected > 0") == str(
        inbox / "some bad.csv"
    )
    error = (inbox / "failed" / "empty.ndjson.error.txt").read_text()
    assert error == f"{inbox / 'empty.ndjson'}: is empty\n"
    assert f"loader: {error.strip()}; moved to failed\n" in outcome.stderr
    assert "left alone, for want of a format in the name or in --format: README.txt" in (
        outcome.stderr
    )
    again = run_loader("watch", inbox, "--once", "--settle", "0s", "--quiet")
    assert (again.exit_code, again.stdout) == (0, "")


def test_a_dry_run_moves_and_writes_nothing(
    inbox: Path, run_loader: Run, write_events: Write, conn: Connection
) -> None:
    options = ("--once", "--settle", "0s", "--max-rejects", "1", "--dedupe", "exact")
    write_events("inbox/good.csv", count=2, bad=1)
    write_events("inbox/bad.csv", count=2, bad=2)
    outcome = run_loader("watch", inbox, *options, "--dry-run")
    assert (outcome.exit_code, files_in(inbox)) == (4, {"inbox": ["bad.csv", "good.csv"]})
    assert "2 rows usable, 1 rejected" in outcome.stdout
    assert "nothing was written" in outcome.stdout
    assert "more than 1 rows are rejected" in outcome.stderr
    assert conn.execute("select count(*) from raw.loads").fetchone() == (0,)
    assert run_loader("watch", inbox, *options, "--where", "source!=camera 9").exit_code == 4
    assert files_in(inbox) == {
        "failed": ["bad.csv", "bad.csv.error.txt"],
        "rejected": ["good.csv"],
    }
    shutil.copy(inbox / "rejected" / "good.csv", inbox / "again.csv")
    again = run_loader("watch", inbox, *options, "--json", "--quiet")
    (result,) = map(json.loads, again.stdout.splitlines())
    # Without the condition it is another load; what is there already is dropped.
    assert [result[f"rows_{what}"] for what in ("read", "loaded", "rejected", "duplicate")] == [
        3, 0, 1, 2,
    ]  # fmt: skip


def test_an_archive_is_moved_when_all_in_it_is_loaded(
    inbox: Path, run_loader: Run, conn: Connection
) -> None:
    def put(name: str, **files: str) -> None:
        with zipfile.ZipFile(inbox / name, "w") as archive:
            for member, text in files.items():
                archive.writestr(f"{member}.csv", text)

    good = HEADER + ROW.format(1)
    put("good.zip", a=good, b=HEADER + ROW.format(2))
    put("some bad.zip", a=HEADER + ROW.format(3) + "never,car,a\n", b=good)
    put("unusable.zip", a=HEADER + ROW.format(4), b="1,2\n")
    (inbox / "none.zip").write_bytes(b"x")
    outcome = run_loader("watch", inbox, "--once", "--settle", "0s")
    assert outcome.exit_code == 4
    assert files_in(inbox) == {
        "done": ["good.zip"],
        "rejected": ["some bad.zip"],
        "failed": ["none.zip", "none.zip.error.txt", "unusable.zip", "unusable.zip.error.txt"],
    }
    notes = [
        (inbox / "failed" / f"{name}.zip.error.txt").read_text() for name in ("none", "unusable")
    ]
    assert notes[0] == f"{inbox}/none.zip: is no zip archive, or is cut short\n"
    assert notes[1].startswith(f'{inbox}/unusable.zip/b.csv: no column "time"')
    origins = conn.execute("select origin from raw.loads order by load_id").fetchall()
    names = ["good.zip/a.csv", "good.zip/b.csv", "some bad.zip/a.csv", "unusable.zip/a.csv"]
    assert sorted(origins) == [(f"{inbox}/{name}",) for name in names]


def test_nothing_is_overwritten(inbox: Path, run_loader: Run, write_events: Write) -> None:
    for count in (1, 2, 3):
        write_events("inbox/a.csv", count=count)
        write_events("inbox/b.csv", count=count, bad=count)
        (inbox / "c.csv").write_text(f"nothing {count}\n")
        outcome = run_loader("watch", inbox, "--once", "--settle", "0s", "--quiet")
        assert outcome.exit_code == 4
    names = ["2-{}.csv", "3-{}.csv", "{}.csv"]
    assert files_in(inbox) == {
        "done": [name.format("a") for name in names],
        "rejected": [name.format("b") for name in names],
        "failed": [f"{name.format('c')}{end}" for name in names for end in ("", ".error.txt")],
    }
    assert (inbox / "failed" / "3-c.csv").read_text() == "nothing 3\n"


def test_rejects_and_usage_are_told_by_the_exit_code(
    inbox: Path, run_loader: Run, write_events: Write
) -> None:
    options = ("--once", "--settle", "0s")
    write_events("inbox/a.csv", count=1, bad=1)
    assert run_loader("watch", inbox, *options).exit_code == 3
    assert run_loader("watch", inbox / "missing", *options).exit_code == 4
    assert run_loader("watch", inbox, "--every", "0s").exit_code == 2


def test_files_are_mapped_and_alerts_raised(inbox: Path, run_loader: Run) -> None:
    rows = [f"{1772438405 + second};Fahrrad\n" for second in range(5)]
    (inbox / "export.txt").write_text("".join(rows))
    outcome = run_loader(
        "watch", inbox, "--once", "--settle", "0s", "--format", "csv", "--delimiter", ";",
        "--columns", "time,type", "--source", "gate", "--time-format", "epoch_s",
        "--type-map", "Fahrrad=bicycle", "--alert", "--alert-to", "stderr",
    )  # fmt: skip
    assert outcome.exit_code == 0
    assert "person_in_5_consecutive_events: gate, people" in outcome.stderr


class Script(StopRequest):
    """Instead of waiting, does what happens meanwhile; when nothing is left, it is time to stop."""

    def __init__(self, *steps: Callable[[], object]) -> None:
        super().__init__()
        self._steps = list(steps)

    def wait(self, seconds: float) -> bool:  # noqa: ARG002
        if self._steps:
            self._steps.pop(0)()
        else:
            self.set()
        return self.is_set()


@pytest.fixture
def play(dsn: str, inbox: Path) -> Callable[..., tuple[list[LoadResult], list[str]]]:
    """Let a watcher run while a script goes on; give its loads and complaints."""

    def run(
        *steps: Callable[[], object],
        loaded: Callable[[], object] = lambda: None,
        observers: Sequence[Observer] = (),
    ) -> tuple[list[LoadResult], list[str]]:
        results: list[LoadResult] = []
        complaints: list[str] = []

        def note(result: LoadResult) -> None:
            results.append(result)
            loaded()

        watcher = Watcher(
            delivery=Delivery(
                find_destinations(read_settings(dsn=dsn)),
                Mapping(),
                LoadOptions(workers=1),
                observers=observers,
            ),
            inbox=Inbox(inbox, Mapping()),
            options=WatchOptions(),
            loaded=note,
            batch_loaded=lambda: None,
            unusable=complaints.append,
            say=complaints.append,
        )
        watcher.run(Script(*steps))
        return results, complaints

    return run


def nothing() -> None:
    pass


class Resting(Observer):
    """Counts how often it hears that nothing waits to be loaded."""

    count = 0

    def rest(self) -> float:
        self.count += 1
        return 1


def test_observers_look_while_nothing_waits_to_be_loaded(inbox: Path, play: Any) -> None:
    resting = Resting()
    counts: list[int] = []

    def note() -> None:
        counts.append(resting.count)

    def write_and_note() -> None:
        (inbox / "new.csv").write_text(HEADER + ROW.format(0))
        note()

    # Nobody may tell of a silence that a file would end which has come meanwhile.
    play(note, note, write_and_note, note, note, note, observers=[resting])
    assert counts == [1, 2, 3, 3, 3, 4]
    assert files_in(inbox) == {"done": ["new.csv"]}


def test_a_database_that_is_down_while_observers_look_is_waited_for(inbox: Path, play: Any) -> None:
    class Down(Resting):
        def rest(self) -> float:
            super().rest()
            if self.count in (2, 3):
                raise DatabaseError("cannot connect")
            return 1

    down = Down()

    def write() -> None:
        (inbox / "new.csv").write_text(HEADER + ROW.format(0))

    results, said = play(nothing, nothing, write, nothing, nothing, observers=[down])
    assert said == [
        "cannot connect; trying again in 1 s", "cannot connect; trying again in 2 s",
        "it works again",
    ]  # fmt: skip
    assert (len(results), down.count) == (1, 5)


def test_a_file_that_is_being_written_is_left_until_it_rests(inbox: Path, play: Any) -> None:
    file = inbox / "slow.csv"
    file.write_text(HEADER)

    def write() -> None:
        with file.open("a") as opened:
            opened.write(ROW.format(write.count))  # type: ignore[attr-defined]
        write.count += 1  # type: ignore[attr-defined]

    write.count = 0  # type: ignore[attr-defined]
    # By turns: how long a file must settle, how long until the next look.
    results, complaints = play(write, write, write, nothing, nothing, nothing)
    assert ([one.rows_loaded for one in results], complaints) == ([3], [])
    assert files_in(inbox) == {"done": ["slow.csv"]}


def test_a_file_that_is_replaced_while_it_is_loaded_is_loaded_too(inbox: Path, play: Any) -> None:
    file = inbox / "same.csv"
    file.write_text(HEADER + ROW.format(0))
    contents = iter([HEADER + ROW.format(1), HEADER + ROW.format(2) * 2])

    def replace() -> None:
        if (content := next(contents, None)) is not None:
            (inbox / ".new").write_text(content)
            (inbox / ".new").rename(file)

    results, complaints = play(*[nothing] * 8, loaded=replace)
    assert ([one.rows_loaded for one in results], complaints) == ([1, 1, 2], [])
    assert files_in(inbox) == {"done": ["2-same.csv", "3-same.csv", "same.csv"]}


def test_a_file_that_somebody_has_open_is_left_until_it_is_closed(inbox: Path, play: Any) -> None:
    """However long the writer rests: here nothing has to settle."""
    file = inbox / "a.csv"
    writer = file.open("w")
    writer.write(HEADER + ROW.format(0))
    writer.flush()
    other = inbox / "b.csv"
    other.write_text(HEADER + ROW.format(1))
    opened: list[IO[str]] = []

    def open_other() -> None:
        # Before it is taken, but after it was seen.
        opened.append(other.open("a"))

    def close() -> None:
        with writer:
            writer.write(ROW.format(2) * 2)
        opened[0].close()

    results, complaints = play(open_other, nothing, nothing, close, nothing, nothing)
    assert sorted(one.rows_loaded for one in results) == [1, 3]
    assert complaints == [
        "left until nobody has it open for writing: a.csv",
        "left until nobody has it open for writing: b.csv",
    ]
    assert files_in(inbox) == {"done": ["a.csv", "b.csv"]}


def write_more(file: Path) -> None:
    with file.open("a") as opened:
        opened.write(ROW.format(1))


def test_a_file_that_changes_at_the_last_moment_waits_for_the_next_look(
    inbox: Path, play: Any
) -> None:
    for name in ("a.csv", "b.csv"):
        (inbox / name).write_text(HEADER + ROW.format(name == "b.csv"))
    writes = iter([write_more])

    def loaded() -> None:
        # The first file is loaded, the second one is about to be taken.
        for write in writes:
            write(inbox / "b.csv")

    results, complaints = play(nothing, nothing, nothing, nothing, loaded=loaded)
    assert ([one.rows_loaded for one in results], complaints) == ([1, 2], [])
    assert files_in(inbox) == {"done": ["a.csv", "b.csv"]}


def test_a_file_that_grew_while_it_was_loaded_is_no_success(inbox: Path, play: Any) -> None:
    (inbox / "a.csv").write_text(HEADER + ROW.format(0))
    # Noticed at once, for there may be no later look.
    results, complaints = play(nothing, loaded=lambda: write_more(inbox / "loading" / "a.csv"))
    assert [one.rows_loaded for one in results] == [1]
    assert "was still written to after load 1 had read it" in complaints[0]
    assert "loader withdraw 1" in (inbox / "failed" / "a.csv.error.txt").read_text()


def test_a_file_that_grew_after_it_was_moved_is_no_success_any_more(
    inbox: Path, play: Any, scalar: Scalar, run_loader: Run
) -> None:
    """Its writer has it open, which not every system tells."""
    for name, content in (("a.csv", ROW.format(0)), ("b.csv", ROW.format(2) + "never,car,gate\n")):
        (inbox / name).write_text(HEADER + content)

    def grow() -> None:
        write_more(inbox / "done" / "a.csv")
        write_more(inbox / "rejected" / "b.csv")

    results, complaints = play(nothing, grow, nothing, nothing)
    assert [one.rows_loaded for one in results] == [1, 1]
    assert files_in(inbox) == {
        "failed": ["a.csv", "a.csv.error.txt", "b.csv", "b.csv.error.txt"],
    }
    told = f"{inbox / 'a.csv'}: was still written to after load 1 had read it; to load it whole: "
    assert complaints[0].startswith(told + "loader withdraw 1, then move it back;")
    # As the message says.
    assert run_loader("withdraw", "1").exit_code == 0
    (inbox / "failed" / "a.csv").rename(inbox / "a.csv")
    assert run_loader("watch", inbox, "--once", "--settle", "0s", "--quiet").exit_code == 0
    visible = "select count(*) from raw.events join raw.loads using (load_id)"
    assert scalar(f"{visible} where load_seq is not null and withdrawn_seq is null") == 3


def test_only_one_process_at_a_time_moves_files(inbox: Path) -> None:
    """Two that look for a free name at the same moment would both take it."""
    taking = Inbox(inbox, Mapping())
    taking.prepare()
    (inbox / "new.csv").write_text(HEADER)
    found = see(inbox / "new.csv")
    assert found is not None
    thread = threading.Thread(target=taking.take, args=[found])
    with (inbox / "loading" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        thread.start()
        # A line with an arrow is of somebody who waits for a lock on this file.
        of_file = f":{os.fstat(lock.fileno()).st_ino} "
        wait_until(
            lambda: any(
                " -> " in line and of_file in line
                for line in Path("/proc/locks").read_text().splitlines()
            )
        )
        assert files_in(inbox) == {"inbox": ["new.csv"]}
    thread.join()
    assert files_in(inbox) == {"loading": ["new.csv"]}


def test_a_file_that_vanishes_is_no_error(inbox: Path, play: Any) -> None:
    file = inbox / "a.csv"
    file.write_text(HEADER + ROW.format(0))
    assert play(file.unlink, nothing, nothing) == ([], [])


def test_what_is_left_in_loading_is_loaded_at_the_next_start(
    inbox: Path, run_loader: Run, write_events: Write, scalar: Scalar
) -> None:
    assert run_loader("watch", inbox, "--once", "--settle", "0s").exit_code == 0
    file = write_events("inbox/loading/a.csv", count=3)
    assert run_loader("load", file).exit_code == 0
    write_events("inbox/loading/b.csv", count=2)
    assert run_loader("watch", inbox, "--once", "--settle", "0s").exit_code == 0
    assert files_in(inbox) == {"done": ["a.csv", "b.csv"]}
    assert scalar("select count(*) from raw.events") == 5


def test_it_waits_for_the_server_and_stops_when_told(
    inbox: Path,
    start_loader: Callable[..., "subprocess.Popen[str]"],
    write_events: Write,
    cluster: Any,
    database: str,
    scalar: Scalar,
) -> None:
    process = start_loader("watch", inbox, "--every", "0.1s", "--settle", "0.2s", "--quiet")
    assert process.stderr is not None
    write_events(".1.csv", count=2).rename(inbox / "1.csv")
    wait_until((inbox / "done" / "1.csv").exists)
    with connect(cluster.dsn()) as admin:
        admin.execute(f"alter database {database} allow_connections false".encode())
        write_events(".2.csv", count=3).rename(inbox / "2.csv")
        complaint = process.stderr.readline()
        assert "cannot connect" in complaint
        assert complaint.endswith("trying again in 1 s\n")
        assert "trying again in 2 s" in process.stderr.readline()
        admin.execute(f"alter database {database} allow_connections true".encode())
    wait_until((inbox / "done" / "2.csv").exists)
    process.send_signal(signal.SIGTERM)
    stdout, _ = process.communicate(timeout=PATIENCE)
    assert (process.returncode, stdout) == (0, "")
    assert scalar("select count(*) from raw.events") == 5


def _watch(dsn: str, inbox: Path, *options: str) -> None:
    arguments = ("watch", inbox, "--every", "0.05s", "--settle", "0s", "--quiet", *options)
    raise SystemExit(loader_on(dsn)(*arguments).exit_code)


@pytest.fixture
def start_watcher(dsn: str, inbox: Path) -> Iterator[Callable[..., ForkServerProcess]]:
    """Start a watcher in a process of its own; those still running at the end are killed."""
    started: list[ForkServerProcess] = []

    def start(*options: str) -> ForkServerProcess:
        process = FORKS.Process(target=_watch, args=(dsn, inbox, *options), daemon=True)
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.join()


@pytest.mark.parametrize(
    ("signals", "exit_code", "moved"),
    [([signal.SIGTERM], 0, {"done": ["1.csv"]}),
     ([signal.SIGINT, signal.SIGTERM], 130, {"loading": ["1.csv"]})],
)  # fmt: skip
def test_the_first_signal_lets_it_finish_the_file_and_the_second_does_not(
    inbox: Path,
    dsn: str,
    start_watcher: Callable[..., ForkServerProcess],
    write_events: Write,
    wait_for: Callable[[str], None],
    nothing_left: Callable[[], None],
    signals: list[signal.Signals],
    exit_code: int,
    moved: dict[str, list[str]],
) -> None:
    for number in (1, 2):
        write_events(f"inbox/{number}.csv", count=number)
    with connect(dsn, purpose="test") as holder, holder.transaction():
        # Nobody publishes a load meanwhile.
        holder.execute("lock raw.load_counter in exclusive mode")
        process = start_watcher()
        wait_for(
            "select count(*) > 0 from pg_stat_activity where wait_event_type = 'Lock'"
            " and application_name = 'video-events loader (main)'"
        )
        for one in signals:
            os.kill(process.pid or 0, one)
        if len(signals) > 1:
            process.join(PATIENCE)
    process.join(PATIENCE)
    assert process.exitcode == exit_code
    assert files_in(inbox) == {"inbox": ["2.csv"], **moved}
    nothing_left()


def test_a_file_that_kills_the_loader_twice_is_set_aside(
    inbox: Path,
    dsn: str,
    start_watcher: Callable[..., ForkServerProcess],
    run_loader: Run,
    write_events: Write,
    wait_for: Callable[[str], None],
    scalar: Scalar,
) -> None:
    for number in (1, 2):
        write_events(f"inbox/{number}.csv", count=number)
    for _ in range(2):
        with connect(dsn, purpose="test") as holder, holder.transaction():
            holder.execute("lock raw.load_counter in exclusive mode")
            process = start_watcher()
            wait_for(
                "select count(*) > 0 from pg_stat_activity where wait_event_type = 'Lock'"
                " and application_name = 'video-events loader (main)'"
            )
            process.kill()
            process.join(PATIENCE)
        wait_for(NO_LOADER_IS_CONNECTED)
        assert files_in(inbox)["inbox"] == ["2.csv"]
    outcome = run_loader("watch", inbox, "--once", "--settle", "0s", "--quiet")
    assert outcome.exit_code == 4
    assert "1.csv: the loader died 2 times while it loaded this file" in outcome.stderr
    assert files_in(inbox) == {"done": ["2.csv"], "failed": ["1.csv", "1.csv.error.txt"]}
    (inbox / "failed" / "1.csv").rename(inbox / "1.csv")
    assert run_loader("watch", inbox, "--once", "--settle", "0s", "--quiet").exit_code == 0
    assert scalar("select count(*) from raw.events") == 3


def test_watchers_that_are_killed_at_any_moment_load_each_file_once(
    dsn: str,
    inbox: Path,
    tmp_path: Path,
    start_watcher: Callable[..., ForkServerProcess],
    run_loader: Run,
    conn: Connection[TupleRow],
    wait_for: Callable[[str], None],
    nothing_left: Callable[[], None],
    generator: random.Random,
) -> None:
    (tmp_path / "written").mkdir()
    killed = Killed(dsn=dsn, directory=tmp_path / "written")
    options = ("--attributes", "note")
    deaths = 0
    for _ in range(KILLS):
        watchers = [start_watcher(*options) for _ in range(2)]
        for _ in range(3):
            original = killed.write()
            shutil.copy(original, inbox / ".new")
            (inbox / ".new").rename(inbox / original.name)
        for watcher in watchers:
            watcher.join(generator.uniform(0, 0.4))
            watcher.kill()
            watcher.join(PATIENCE)
            deaths += watcher.exitcode == -signal.SIGKILL
    assert deaths == 2 * KILLS
    wait_for(NO_LOADER_IS_CONNECTED)
    run_loader("watch", inbox, "--once", "--settle", "0s", "--quiet", *options)
    for path in (inbox / "failed").glob("*.csv"):
        # Set aside because it happened to be loaded when two watchers were killed.
        path.rename(inbox / path.name)
        path.with_name(f"{path.name}.error.txt").unlink()
    outcome = run_loader("watch", inbox, "--once", "--settle", "0s", "--quiet", *options)
    assert outcome.exit_code in (0, 3), outcome.stderr
    assert killed.differences(conn) == {"missing": {}, "too many": {}}
    assert killed.accounts(conn) == killed.expected_accounts()
    nothing_left()
    assert files_in(inbox) == {"rejected": sorted(file.name for file in killed.files)}
    for file in killed.files:
        assert (inbox / "rejected" / file.name).read_bytes() == file.read_bytes()
