"""Early alerts of loads: raised with the load, once, and never in its way."""

import json
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from loader.alerting import early_alerts, relay, states
from loader.alerting.rules import read_definitions
from loader.errors import DatabaseError
from loader.process.signals import StopRequest
from loader.server.cluster import Cluster
from tests.conftest import Outcome, variables_of
from tests.support.forks import FORKS, loader_on
from tests.support.killed import die_at_step
from tests.support.waits import PATIENCE

# What apprise imports says so on Python 3.11 and 3.12.
pytestmark = pytest.mark.filterwarnings("ignore")

RULE = "person_in_5_consecutive_events"
NOON = datetime(2024, 5, 13, 12, tzinfo=UTC)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write events, one a second, of these types from this second on."""

    def write_them(second: float, *types: str, source: str = "gate") -> Path:
        path = tmp_path / f"{source}-{second}.csv"
        rows = (
            f"{(NOON + timedelta(seconds=second + at)).isoformat()},{kind},{source}\n"
            for at, kind in enumerate(types)
        )
        path.write_text("time,type,source\n" + "".join(rows))
        return path

    return write_them


def alerts(outcome: Outcome) -> list[str]:
    assert outcome.exit_code == 0, outcome.stderr
    return [line for line in outcome.stderr.splitlines() if line.startswith("alert: ")]


def test_a_run_goes_on_over_loads_and_is_told_once(
    run_loader: Callable[..., Outcome], write: Callable[..., Path]
) -> None:
    first, second = write(0, "car", *["pedestrian"] * 3), write(4, "bicycle", *["pedestrian"] * 9)
    assert alerts(run_loader("load", first, "--alert")) == []
    told = ["alert: 2024-05-13T12:00:05Z " + RULE + ": gate, people"]
    assert alerts(run_loader("load", second, "--alert")) == told
    # Loaded already, and what follows in the same run: nothing new.
    assert alerts(run_loader("load", second, "--alert")) == []
    assert alerts(run_loader("load", write(20, "pedestrian"), "--alert")) == []


def clock(second: float) -> Callable[[Connection], int]:
    moment = NOON + timedelta(seconds=second)
    return lambda _: (moment - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)


def silence(at: str) -> list[str]:
    return [f"alert: 2024-05-13T{at}Z nobody: gate, people"]


@dataclass(frozen=True, kw_only=True)
class Silences:
    """People are missed after 5 minutes, by a clock that can be set to seconds after noon."""

    dsn: str
    rules: Path
    inbox: Path
    run_loader: Callable[..., Outcome]
    write: Callable[..., Path]
    # The clock of the server, as loaders see it.
    set_clock: Callable[[float], None]

    def load(self, second: float, *types: str, source: str = "gate") -> list[str]:
        path = self.write(second, *types or ["pedestrian"], source=source)
        return alerts(self.run_loader("load", path, "--alert", "--rules", self.rules))

    def watch(self, at: float, *files: Path) -> list[str]:
        self.set_clock(at)
        for file in files:
            file.rename(self.inbox / file.name)
        return alerts(watch_once(self.run_loader, self.inbox, self.rules))

    def looking(self, *, is_patient: bool = False) -> early_alerts.EarlyAlerts:
        definitions = read_definitions(self.rules, self.rules)
        return early_alerts.EarlyAlerts(self.dsn, definitions, (), (), is_patient=is_patient)


def watch_once(run_loader: Callable[..., Outcome], inbox: Path, rules: Path) -> Outcome:
    options = ("--once", "--settle", "0s", "--alert", "--rules", rules)
    return run_loader("watch", inbox, *options)


@pytest.fixture
def silences(
    dsn: str,
    run_loader: Callable[..., Outcome],
    write: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Silences:
    rules, inbox = tmp_path / "rules", tmp_path / "inbox"
    for directory in (rules, inbox):
        directory.mkdir()
    (rules / "event_types.csv").write_text("event_type,category\npedestrian,people\ncar,vehicles\n")
    (rules / "alert_rules.csv").write_text(
        "rule_name,kind,category,threshold,min_duration\nnobody,absence,people,,5 minutes\n"
    )
    return Silences(
        dsn=dsn,
        rules=rules,
        inbox=inbox,
        run_loader=run_loader,
        write=write,
        set_clock=lambda at: monkeypatch.setattr(states, "server_time", clock(at)),
    )


def test_a_silence_is_told_with_the_next_load_of_whatever_source(silences: Silences) -> None:
    # Events of one period are no silence, however far apart.
    (silences.rules / "categories.csv").write_text(
        "category,activity_gap,is_alerted,colour\npeople,10 minutes,,\n"
    )
    assert silences.load(0) == []
    assert silences.load(599, "car", source="yard") == []
    assert silences.load(600, "car", source="yard") == silence("12:05:00")
    assert silences.load(700, "car", source="yard") == []
    # Neither when it ends; the next one is told by the load that shows both of its ends.
    assert silences.load(900) == []
    assert silences.load(1501) == silence("12:20:00")


def test_the_clock_tells_of_a_silence_where_nothing_comes(
    silences: Silences, conn: Connection
) -> None:
    told, write = silences.watch, silences.write
    assert told(10, write(0, "pedestrian", "car", source="gate")) == []
    # History, which may be as long as it wants to; and what is not known by any name any more.
    assert told(20, write(-9999999, "pedestrian", source="old"), write(1, "car")) == []
    conn.execute(
        "insert into raw.alert_states select 99, 1, state from raw.alert_states"
        " join raw.sources using (source_id) where source_name = 'gate'"
    )
    assert told(299.999999) == []
    # Who else looks at the same moment leaves it to whoever came first.
    with conn.transaction():
        conn.execute("select from raw.alert_states for update")
        assert told(300) == []
    assert told(300) == silence("12:05:00")
    assert told(301) == []
    # The next event ends it, and begins another one, which is told of by an event that comes later.
    assert told(400, write(390, "pedestrian")) == []
    assert told(700, write(691, "pedestrian")) == silence("12:11:30")
    assert told(99999) == silence("12:16:31")
    assert conn.execute(
        "select count(*), count(load_id), count(passed_on_at) from raw.early_alerts"
    ).fetchone() == (3, 1, 3)


@pytest.mark.parametrize("by_clock", [True, False])
def test_of_a_source_only_what_was_to_come_is_told(silences: Silences, by_clock: bool) -> None:
    with (silences.rules / "alert_rules.csv").open("a") as rules:
        rules.write("no cars,absence,vehicles,,5 minutes\n")
    silences.set_clock(330)
    assert silences.load(320, "tram", source="yard") == []
    # Overdue already, by the clock and by the events of others; by its own it is not.
    assert silences.load(0, "car") == []
    assert silences.load(250) == []
    silences.set_clock(600)
    if by_clock:
        assert silences.watch(600) == silence("12:09:10")
    else:
        assert silences.load(560, "tram", source="yard") == silence("12:09:10")


def test_a_camera_whose_clock_runs_ahead_hides_no_silence(silences: Silences) -> None:
    silences.set_clock(10)
    assert silences.load(8800, "car", source="lane") == []
    assert silences.load(0) == []
    silences.set_clock(400)
    assert silences.load(390, "car", source="yard") == silence("12:05:00")


def test_of_many_that_look_at_once_one_tells(
    silences: Silences, conn: Connection, scalar: Callable[[str], object]
) -> None:
    silences.set_clock(10)
    for source in ("gate", "yard"):
        silences.load(0, source=source)
    count = "select count(*) from raw.early_alerts"
    # One that has just been started leaves what it missed to those that may load it still.
    with silences.looking(is_patient=True) as late:
        silences.set_clock(301)
        # Others load too.
        assert late.rest() == 300
        assert scalar(count) == 0
        silences.set_clock(901)
        late._silences.look_soon()
        late.rest()
        assert scalar(count) == 2
    conn.execute("truncate raw.early_alerts")
    conn.execute("update raw.alert_states set state = state - 'absent' - 'alerted'")
    together = threading.Barrier(8)

    def look() -> None:
        with silences.looking() as one:
            together.wait(PATIENCE)
            one.rest()

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert scalar(count) == 2


def test_what_fell_due_in_an_outage_waits_for_slower_ones(
    silences: Silences, scalar: Callable[[str], object]
) -> None:
    """The first one that is back would tell of what others are about to load."""
    with silences.looking(is_patient=True) as one:

        def told(second: float) -> object:
            silences.set_clock(second)
            one._silences.look_soon()
            one.rest()
            return scalar("select count(*) from raw.early_alerts")

        assert [told(second) for second in (0, 300, 600)] == [0] * 3
        silences.load(500, source="gate")
        silences.load(650, source="yard")
        # A camera with a clock that runs ahead.
        silences.load(8800, source="lane")
        assert told(800) == 1
        one._silences._dsn = "host=/nowhere"
        with pytest.raises(DatabaseError):
            told(950)
        one._silences._dsn = silences.dsn
        assert told(9000) == 1
        # What falls due from then on is told at once.
        assert [told(second) for second in (9099, 9100, 9599, 9600)] == [1, 2, 2, 3]


class Looking:
    """In the place of a watcher or a consumer: has nothing to load, looks once, and ends."""

    def __init__(self, **given: Any) -> None:
        self.observers = given["observers"] if "observers" in given else given["delivery"].observers

    def run(self, _: StopRequest) -> None:
        for observer in self.observers:
            observer.rest()


@pytest.mark.parametrize("command", ["watch", "consume"])
def test_a_command_that_goes_on_waits_for_slower_ones(
    silences: Silences, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """One that looks only once does not."""
    monkeypatch.setattr("loader.cli.watch.Watcher", Looking)
    monkeypatch.setattr("loader.cli.consume.TopicConsumer", Looking)
    monkeypatch.setattr("loader.cli.consume.Topic", lambda **_: None)
    silences.set_clock(10)
    silences.load(0)
    silences.set_clock(400)
    what = (silences.inbox,) if command == "watch" else ("--topic", "events")
    options = (command, *what, "--alert", "--rules", silences.rules)
    assert alerts(silences.run_loader(*options)) == []
    assert alerts(silences.run_loader(*options, "--once")) == silence("12:05:00")


def test_the_clock_is_that_of_the_server(conn: Connection) -> None:
    conn.execute("create schema ahead")
    conn.execute(
        "create function ahead.clock_timestamp() returns timestamptz language sql"
        " as $$ select pg_catalog.clock_timestamp() + interval '1 day' $$"
    )
    conn.execute("set search_path = ahead, pg_catalog")
    begun = datetime.now(UTC).timestamp()
    assert begun < states.server_time(conn) / 1e6 - 86400 < begun + PATIENCE


def test_the_clock_is_asked_when_something_falls_due(silences: Silences) -> None:
    silences.set_clock(10)
    silences.load(0)
    with silences.looking() as one:
        silences.set_clock(120)
        assert one.rest() == 180
        # No database is asked before, except after a load.
        one._silences._dsn = "host=/nowhere"
        assert 0 < one.rest() <= 180
        one.published(0)
        with pytest.raises(DatabaseError):
            one.rest()
        one._silences._dsn = silences.dsn
        silences.set_clock(299)
        assert one.rest() == 5


def _watch_until(silences: tuple[str, Path, Path], second: float, step: int) -> None:
    dsn, inbox, rules = silences
    vars(states)["server_time"] = clock(second)
    numbers = die_at_step(step)
    outcome = watch_once(loader_on(dsn), inbox, rules)
    (inbox / ".steps").write_text(str(next(numbers) - 1))
    raise SystemExit(outcome.exit_code)


def test_watchers_killed_at_any_step_tell_of_a_silence_once(
    silences: Silences, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The silence of one more source falls due for each of them."""
    where = (silences.dsn, silences.inbox, silences.rules)
    for step in count(1):
        silences.set_clock(step * 1000)
        silences.load(step * 1000, source=f"source {step}")
        process = FORKS.Process(
            target=_watch_until, args=(where, step * 1000 + 300, step), daemon=True
        )
        process.start()
        process.join(PATIENCE)
        if process.exitcode != -signal.SIGKILL:
            break
        assert step < 99
    assert process.exitcode == 0
    assert step == int((silences.inbox / ".steps").read_text()) + 1 > 12
    monkeypatch.setattr(relay, "FORGOTTEN_AFTER", timedelta(0))
    silences.watch(step * 1000 + 300)
    assert silences.watch(step * 1000 + 300) == []
    assert (
        conn.execute(
            "select source_name, count(*), count(passed_on_at) from raw.early_alerts"
            " right join raw.sources using (source_id) group by 1 having count(*) <> 1"
            " or count(passed_on_at) <> 1"
        ).fetchall()
        == []
    )


def test_without_alert_and_in_a_dry_run_nothing_is_told(
    run_loader: Callable[..., Outcome], write: Callable[..., Path], conn: Connection
) -> None:
    path = write(0, *["pedestrian"] * 6)
    assert alerts(run_loader("load", path, "--alert", "--dry-run")) == []
    assert alerts(run_loader("load", path)) == []
    assert conn.execute("select count(*) from raw.early_alerts").fetchone() == (0,)


def test_a_load_that_fails_tells_nothing_and_changes_no_state(
    run_loader: Callable[..., Outcome], write: Callable[..., Path], conn: Connection
) -> None:
    path = write(0, *["pedestrian"] * 6)
    good = path.read_text()
    path.write_text(good + "never,car,gate\n")
    failed = run_loader("load", path, "--alert", "--max-rejects", "0")
    assert failed.exit_code == 4
    assert "alert:" not in failed.stderr
    assert conn.execute("select count(*) from raw.alert_states").fetchone() == (0,)
    path.write_text(good)
    assert len(alerts(run_loader("load", path, "--alert"))) == 1


def test_a_load_that_fails_late_leaves_no_alerts(
    run_loader: Callable[..., Outcome], write: Callable[..., Path], conn: Connection
) -> None:
    """It has written thousands of them when it comes to its last block."""
    path = write(0, *["car", *["pedestrian"] * 5] * 20_000)
    path.write_text(path.read_text() + "never,car,gate\n")
    options = ("--alert", "--cooldown", "0s", "--alert-to", "notify")
    failed = run_loader("load", path, *options, "--max-rejects", "0")
    assert failed.exit_code == 4
    last_id = "select last_value from raw.early_alerts_early_alert_id_seq"
    assert conn.execute(last_id).fetchone() > (1000,)  # type: ignore[operator]
    assert conn.execute("select count(*) from raw.early_alerts").fetchone() == (0,)


def test_duplicates_that_are_dropped_do_not_count(
    run_loader: Callable[..., Outcome], write: Callable[..., Path]
) -> None:
    path = write(0, *["pedestrian"] * 4)
    path.write_text(path.read_text() + path.read_text().splitlines()[-1] + "\n")
    assert alerts(run_loader("load", path, "--alert", "--dedupe", "exact")) == []
    more = write(4, "pedestrian")
    assert len(alerts(run_loader("load", more, "--alert", "--dedupe", "exact"))) == 1


def test_notify_and_the_cooldown(
    run_loader: Callable[..., Outcome], write: Callable[..., Path], dsn: str
) -> None:
    with psycopg.connect(dsn, autocommit=True) as listener:
        listener.execute("listen video_events_alerts")
        people = ["pedestrian"] * 5
        path = write(0, *people, "car", *people)
        assert alerts(run_loader("load", path, "--alert", "--alert-to", "notify")) == []
        later = write(300, "car", *people)
        run_loader("load", later, "--alert", "--alert-to", "notify")
        received = [
            json.loads(n.payload) for n in listener.notifies(timeout=PATIENCE, stop_after=2)
        ]
    assert received[0] == {
        "rule_name": RULE,
        "source_name": "gate",
        "category": "people",
        "started_at": "2024-05-13T12:00:00Z",
        "triggered_at": "2024-05-13T12:00:04Z",
    }
    assert received[1]["triggered_at"] == "2024-05-13T12:05:05Z"


def test_what_everybody_may_hear_need_not_say_anything(
    run_loader: Callable[..., Outcome], write: Callable[..., Path], dsn: str
) -> None:
    with psycopg.connect(dsn, autocommit=True) as listener:
        listener.execute("listen video_events_alerts")
        path = write(0, *["pedestrian"] * 5)
        run_loader("load", path, "--alert", "--alert-to", "wake", "--alert-to", "stderr")
        assert [n.payload for n in listener.notifies(timeout=PATIENCE, stop_after=1)] == ["{}"]


def test_names_of_sources_do_no_harm_where_alerts_are_shown(
    run_loader: Callable[..., Outcome], write: Callable[..., Path], dsn: str
) -> None:
    """A terminal would turn the rest of the line around; a program gets the name as it is."""
    path = write(0, *["pedestrian"] * 5)
    path.write_text(path.read_text().replace("gate", "ga\u202e\x9bte"), encoding="utf-8")
    with psycopg.connect(dsn, autocommit=True) as listener:
        listener.execute("listen video_events_alerts")
        told = alerts(run_loader("load", path, "--alert"))
        (payload,) = [n.payload for n in listener.notifies(timeout=PATIENCE, stop_after=1)]
    assert told == ["alert: 2024-05-13T12:00:04Z " + RULE + r": ga\u202e\x9bte, people"]
    assert json.loads(payload)["source_name"] == "ga\u202e\x9bte"


def test_what_a_crash_left_is_told_later(
    run_loader: Callable[..., Outcome], write: Callable[..., Path], conn: Connection
) -> None:
    assert len(alerts(run_loader("load", write(0, *["pedestrian"] * 5), "--alert"))) == 1
    # As it is when the loader dies between the commit and the notification.
    conn.execute(
        "with old as (update raw.loads set published_at = published_at - interval '1 h')"
        " update raw.early_alerts set passed_on_at = null"
    )
    told = alerts(run_loader("load", write(60, "car"), "--alert"))
    assert told == ["alert: 2024-05-13T12:00:04Z " + RULE + ": gate, people"]
    assert alerts(run_loader("load", write(61, "car"), "--alert")) == []


@pytest.mark.parametrize("written_at_once", [1, 1000])
def test_the_second_of_two_watches_takes_the_state_of_the_first(
    dsn: str, conn: Connection, monkeypatch: pytest.MonkeyPatch, written_at_once: int
) -> None:
    """The race itself: both have read the state before either is published.

    The second one has found, and perhaps written, that it is met by its own five.
    """
    monkeypatch.setattr(early_alerts, "_WRITTEN_AT_ONCE", written_at_once)
    import numpy as np  # noqa: PLC0415

    from loader.alerting.rules import ConsecutiveRule, Definitions  # noqa: PLC0415
    from loader.database.connection import connect  # noqa: PLC0415
    from loader.loading.encode import EncodedRows  # noqa: PLC0415

    rule = ConsecutiveRule(name="r", category="people", threshold=5)
    definitions = Definitions(rules=(rule,), categories={"pedestrian": "people"})
    conn.execute("insert into raw.sources values (1, 'gate')")
    conn.execute("insert into raw.event_types values (1, 'pedestrian')")
    conn.execute(
        "create table raw.all_of_it partition of raw.event_chunks for values from (minvalue)"
        " to (maxvalue)"
    )
    watches = []
    with connect(dsn) as first, connect(dsn) as second:
        for load_id, session, seconds in ((1, first, (1, 2, 3)), (2, second, (4, 5, 6, 7, 8))):
            times = np.array([second * 1_000_000 for second in seconds])
            watch = early_alerts.EarlyAlerts(dsn, definitions, (), ())
            watch.begin(session, load_id, is_deduped=False)
            ones = np.ones(len(seconds))
            watch.see(
                EncodedRows(
                    event_time=times,
                    source_id=ones.astype(np.int32),
                    event_type_id=ones.astype(np.int16),
                )
            )
            conn.execute(
                "insert into raw.event_chunks select min(t), max(t), %s, 1, count(*),"
                " array_agg(t order by t), array_agg(1) from unnest(%s::int[]) as s,"
                " to_timestamp(s) as t",
                [load_id, list(seconds)],
            )
            watches.append((session, watch))
        for session, watch in watches:
            with session.transaction():
                watch.settle()
    found = conn.execute(
        "select load_id, extract(epoch from triggered_at)::int from raw.early_alerts"
    ).fetchall()
    assert found == [(2, 5)]


class Service(BaseHTTPRequestHandler):
    """Takes alerts, or refuses them, or lets them wait, as the path says."""

    def do_POST(self) -> None:
        if self.path == "/slow":
            self.server.release.wait(PATIENCE)  # type: ignore[attr-defined]
        self.server.received.append(self.rfile.read(int(self.headers["Content-Length"])))  # type: ignore[attr-defined]
        self.send_response(500 if self.path == "/broken" else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def service() -> Iterator[HTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    server.received = []  # type: ignore[attr-defined]
    server.release = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("path", ["fine", "broken"])
def test_apprise(
    path: str,
    service: HTTPServer,
    run_loader: Callable[..., Outcome],
    write: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = f"json://secret@127.0.0.1:{service.server_port}/{path}"
    monkeypatch.setenv("LOADER_ALERT_URLS", url)
    outcome = run_loader("load", write(0, *["pedestrian"] * 5), "--alert")
    assert len(alerts(outcome)) == 1
    (body,) = service.received  # type: ignore[attr-defined]
    assert RULE in body.decode()
    failed = "an alert could not be passed on: a service of LOADER_ALERT_URLS did not take it"
    assert (failed in outcome.stderr) == (path == "broken")
    assert "secret" not in outcome.stderr + outcome.stdout


def test_a_slow_service_holds_up_no_batch(
    service: HTTPServer,
    start_loader: Callable[..., "subprocess.Popen[str]"],
    wait_for: Callable[[str], None],
    write: Callable[..., Path],
    tmp_path: Path,
) -> None:
    """It has not answered the first alert yet when the third batch is loaded."""
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    watcher = start_loader(
        "watch", inbox, "--every", "0.1s", "--settle", "0s", "--alert", "--cooldown", "0s",
        LOADER_ALERT_URLS=f"json://127.0.0.1:{service.server_port}/slow?rto=60",
    )  # fmt: skip
    for number in range(3):
        write(number * 10, "car", *["pedestrian"] * 5).rename(inbox / f"{number}.csv")
        wait_for(f"select count(*) = {number + 1} from raw.loads where load_seq is not null")
    wait_for("select count(*) = 3 from raw.early_alerts where passed_on_at is null")
    assert service.received == []  # type: ignore[attr-defined]
    service.release.set()  # type: ignore[attr-defined]
    wait_for("select count(*) = 3 from raw.early_alerts where passed_on_at is not null")
    assert len(service.received) == 3  # type: ignore[attr-defined]
    watcher.terminate()
    _, stderr = watcher.communicate(timeout=PATIENCE)
    assert watcher.returncode == 0
    assert [line for line in stderr.splitlines() if line.startswith("alert: ")] == [
        f"alert: 2024-05-13T12:00:{second:02}Z {RULE}: gate, people" for second in (5, 15, 25)
    ]


def test_urls_that_mean_nothing_are_not_shown(
    run_loader: Callable[..., Outcome], write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOADER_ALERT_URLS", "nonsense://secret")
    outcome = run_loader("load", write(0, "car"), "--alert")
    assert outcome.exit_code == 2
    assert "URL 1 in LOADER_ALERT_URLS" in outcome.stderr
    assert "secret" not in outcome.stderr


def test_two_loaders_of_one_source_tell_its_alert_once(
    start_loader: Callable[..., "subprocess.Popen[str]"],
    wait_for: Callable[[str], None],
    run_loader: Callable[..., Outcome],
    write: Callable[..., Path],
    cluster: Cluster,
    database: str,
) -> None:
    """The slow one has read where the source stands before the fast one moves it.

    And it finds its database by the PG* variables alone: its DSN is empty.
    """
    named = {"LOADER_DSN": "", **variables_of(cluster, database)}
    slow = start_loader("load", "-", "--format", "csv", "--alert", **named)
    assert slow.stdin is not None
    slow.stdin.write("time,type,source\n" + f"{NOON.isoformat()},car,gate\n" * 400_000)
    slow.stdin.flush()
    wait_for("select count(*) > 0 from pg_stat_activity where application_name like '%(copy%'")
    assert alerts(run_loader("load", write(1, *["pedestrian"] * 4), "--alert")) == []
    _, stderr = slow.communicate(f"{(NOON + timedelta(seconds=5)).isoformat()},bicycle,gate\n")
    told = [line for line in stderr.splitlines() if line.startswith("alert: ")]
    assert told == ["alert: 2024-05-13T12:00:05Z " + RULE + ": gate, people"]
