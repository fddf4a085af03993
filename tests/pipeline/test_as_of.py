"""What was reported: the functions ``*_as_of``, and what ``loader explain`` says of a load."""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from psycopg import Connection, errors
from psycopg.rows import TupleRow

from loader.database.activity import iso_utc
from loader.database.maintain import maintain
from loader.database.queries import value
from tests.conftest import Outcome
from tests.support.dbt import Dbt
from tests.support.ledger import Ledger
from tests.support.oracle import EVENTS, HOURLY
from tests.support.scenarios import BASE, Event, rounds

SHOWN = {
    "activity_periods": "activity_periods_live",
    "category_activity_periods": "category_activity_periods_live",
    "alerts": "alerts_live",
}
IN_STRETCH = {
    "activity_periods": "started_at < {until} and ended_at >= {since}",
    "category_activity_periods": "started_at < {until} and ended_at >= {since}",
    "alerts": "triggered_at >= {since} and triggered_at < {until}",
    "hourly_detections": "hour_started_at >= {since} and hour_started_at < {until}",
}


def test_what_was_reported_is_reported_again(
    conn: Connection[TupleRow], dbt: Dbt, ledger: Ledger,
    run_loader: Callable[..., Outcome], generator: random.Random,
) -> None:  # fmt: skip
    """For any moment and stretch, and a load is explained by the difference of two of them."""
    dbt("seed")
    conn.execute("insert into analytics_internal.categories values ('other', '2 min')")
    conn.execute(
        "insert into analytics_internal.alert_rules"
        " values ('a', 'absence', 'people', null, '2 min'),"
        " ('odd', 'unusual', 'people', null, null)"
    )
    dbt("build", "--exclude-resource-type", "test", "unit_test", "seed")
    visible: list[int] = []
    withdrawn: dict[int, int] = {}
    load_ids = [0]
    keep_what_is_shown(conn, 0)
    for number, batch in enumerate(rounds(12, generator, count=2, loads=2)):
        for events in batch:
            visible.append(ledger.load(events))
            load_ids.append(visible[-1])
            keep_what_is_shown(conn, len(load_ids) - 1)
        # First the one that ends last: where a mart ends then is not where the ledger does.
        ends_last = "select load_id from raw.loads order by last_event_at desc nulls last limit 1"
        gone = generator.choice(visible) if number else int(value(conn, ends_last))
        visible.remove(gone)
        ledger.withdraw(gone)
        load_ids.append(newest_load(conn))
        withdrawn[gone] = load_ids[-1]
        keep_what_is_shown(conn, len(load_ids) - 1)
        if number == 0:
            dbt("run")

    # The last run was after the third row of the ledger, and three more came since.
    assert (
        conn.execute(
            """
        select distinct load_seq, loads_behind, is_current, last_event_at, published_at
        from analytics.mart_freshness
        """
        ).fetchall()
        == conn.execute(
            """
        select 3::bigint, 3::bigint, false, max(last_event_at) filter (where load_seq <= 3
            and (withdrawn_seq <= 3) is not true), max(published_at) filter (where load_seq <= 3)
        from raw.loads
        """
        ).fetchall()
    )
    for seq, load_id in enumerate(load_ids):
        since = BASE + timedelta(minutes=generator.randrange(24 * 60))
        stretch = f"'{since}'", f"'{since + timedelta(minutes=generator.randrange(600))}'"
        for ends in [stretch, ("'-infinity'", "'infinity'")]:
            at = f"(select published_at from raw.loads where load_seq = {seq})"
            as_of = generator.choice([f"{seq}", at]) if seq else "0"
            assert list(differences(conn, seq, as_of, *ends)) == [], (as_of, ends)
        if seq:
            said = run_loader("explain", str(load_id), "--json")
            assert said.exit_code == 0, said.stderr
            assert explained(json.loads(said.stdout)) == changed(conn, seq), (seq, load_id)

    # What was withdrawn and purged is missed only where it was visible.
    dbt("run")
    ledger.purge()
    load_id, withdrawal_id = next(iter(withdrawn.items()))
    first, last = load_ids.index(load_id), load_ids.index(withdrawal_id)
    for seq in (first, last - 1):
        with pytest.raises(errors.NoDataFound, match=r"visible as of .* rows are gone by now"):
            list(differences(conn, seq, f"{seq}", "'-infinity'", "'infinity'"))
    said = run_loader("explain", str(load_id))
    assert (said.exit_code, said.stdout) == (2, "")
    assert "its rows are gone by now (loader maintain)" in said.stderr
    seq = len(load_ids) - 1
    assert list(differences(conn, seq, f"{seq}", "'-infinity'", "'infinity'")) == []
    with pytest.raises(errors.InvalidParameterValue, match="the ledger goes up to"):
        list(differences(conn, seq, f"{seq + 1}", "'-infinity'", "'infinity'"))

    # Nor is anything missed where maintenance brought chunks of several loads together.
    for events in batch:
        ledger.load([replace(one, time=one.time + timedelta(seconds=1)) for one in events])
        keep_what_is_shown(conn, seq := seq + 1)
    conn.execute("update analytics_internal.model_progress set load_seq = %s", [seq])
    ledger.purge()
    assert conn.execute(
        "select count(*) from raw.event_chunks where %s = any(load_ids)", [newest_load(conn)]
    ).fetchone() != (0,)
    for earlier in (seq - 1, seq):
        assert list(differences(conn, earlier, f"{earlier}", "'-infinity'", "'infinity'")) == []


# A plan for anything that may be asked, and processes for each look-up; and indexes though tables
# are small.
HARSH = {
    "plan_cache_mode": "force_generic_plan", "parallel_setup_cost": 0, "parallel_tuple_cost": 0,
    "min_parallel_table_scan_size": 0, "min_parallel_index_scan_size": 0, "enable_seqscan": "off",
}  # fmt: skip
# The twelfth week ends with an hour that comes twice.
START = datetime(2024, 8, 5, tzinfo=UTC)
# Sources whose runs never end, which are seldom heard of, and which began late.
KINDS = {
    "people": ["pedestrian"], "mixed": ["pedestrian", "car", "bicycle"],
    "rare": ["car", "pedestrian"], "cars": ["car"], "late": ["pedestrian", "car"],
}  # fmt: skip


def events_of_week(week: int, generator: random.Random) -> list[Event]:
    """Return some events that begin in a week, in the middle sometimes in any other one."""
    found = []
    for source, types in KINDS.items():
        if (source == "rare" and week % 4) or (source == "late" and week < 9):
            continue
        is_late = 2 < week < 11 and generator.random() < 0.2
        began = generator.randrange(12) if is_late else week
        time = START + timedelta(weeks=began)
        for _ in range(2 if source == "rare" else generator.choice([5, 40, 80])):
            time += timedelta(seconds=generator.choice([1, 20, 50, 60, 61, 600, 3600, 7200, 25200]))
            found.append(Event(source=source, time=time, type=generator.choice(types)))
    return found


def load_weeks(
    conn: Connection[TupleRow], ledger: Ledger, generator: random.Random
) -> Iterator[int]:
    """Load twelve weeks, of which two are withdrawn; yield the ids of the rows of the ledger."""
    visible = []
    for week in range(12):
        visible.append(ledger.load(events_of_week(week, generator)))
        yield visible[-1]
        if week in (5, 9):
            ledger.withdraw(visible.pop(generator.randrange(week - 1)))
            yield newest_load(conn)


TWICE = datetime(2024, 10, 27, 1, 45, tzinfo=UTC)


def hour_that_comes_twice() -> list[list[Event]]:
    """Return loads: that an hour had less than usual is known when something comes later.

    Nothing is known of that hour but what came when it came for the second time. With more of five
    weeks that are long past, so few are nothing unusual any more.
    """

    def weeks(first: int, count: int) -> list[Event]:
        return [
            Event("twice", TWICE - timedelta(weeks=week, hours=1, seconds=number), "pedestrian")
            for week in range(first, 9)
            for number in range(count)
        ]

    once = [Event("twice", TWICE, seen) for seen in ("pedestrian", "car")]
    return [weeks(1, 9), once, [Event("twice", TWICE + timedelta(hours=2), "car")], weeks(4, 20)]


@pytest.mark.built
def test_alerts_of_a_stretch_need_what_reaches_into_it(
    conn: Connection[TupleRow], dbt: Dbt, ledger: Ledger,
    run_loader: Callable[..., Outcome], generator: random.Random,
) -> None:  # fmt: skip
    dbt.variables = {"report_timezone": "Europe/Berlin"}
    dbt.build("--select", "alerts_as_of", "alerts_of_change_as_of")
    conn.execute(
        "insert into analytics_internal.alert_rules values"
        " ('a', 'absence', 'people', null, '2 hours'), ('odd', 'unusual', 'people', null, null),"
        " ('v', 'absence', 'vehicles', null, '3 days'), ('c', 'consecutive', 'vehicles', 3, null),"
        " ('p', 'presence', 'vehicles', null, '3 minutes')"
    )
    load_ids = [0, *load_weeks(conn, ledger, generator)]
    last_week = len(load_ids) - 1
    load_ids += [ledger.load(events) for events in hour_that_comes_twice()]
    newest = len(load_ids) - 1
    for seq in range(newest + 1):
        conn.execute(
            f"create table public.alerts_{seq} as"
            f" select * from analytics.alerts_as_of({seq}, '-infinity', 'infinity')".encode()
        )

    def differing(seq: int, since: datetime, until: datetime) -> list[TupleRow]:
        return conn.execute(
            f"""
            with shown as (
                select * from public.alerts_{seq}
                where triggered_at >= '{since}' and triggered_at < '{until}'
            ),
            given as (select * from analytics.alerts_as_of({seq}, '{since}', '{until}'))
            (table shown except all table given) union all (table given except all table shown)
            """.encode()
        ).fetchall()

    def stretch() -> tuple[datetime, datetime]:
        since = START + timedelta(hours=generator.randrange(90 * 24), minutes=7 * (seq % 2))
        return since, since + timedelta(hours=generator.choice([1, 24, 72, 240, 960]))

    for seq in [*range(newest + 1), newest, newest]:
        ends = stretch()
        assert differing(seq, *ends) == [], (seq, ends)
    for seq in [*generator.sample(range(1, newest - 1), 5), newest - 1, newest]:
        said = run_loader("explain", str(load_ids[seq]), "--json")
        assert (said.exit_code, said.stderr) == (0, "")
        assert alerts_in(explained(json.loads(said.stdout))) == changed_alerts(conn, seq), seq

    # The last load but one has made an alert of that hour, and the last one took it away.
    for seq, side in ((newest - 1, "after"), (newest, "before")):
        changed = {(row[0], *row[1:3], row[4]) for row in changed_alerts(conn, seq)}
        assert (side, "odd", "twice", 1) in changed
    assert differing(newest - 1, TWICE, TWICE + timedelta(hours=1)) == []

    # What is read follows what is asked, whatever the caller has set.
    some = chunks_read(conn, f"{newest}, '2024-10-10', '2024-10-10 01:00'")
    assert some * 2 < chunks_read(conn, f"{newest}, '-infinity', 'infinity'")

    # What retention has dropped is missed only where it is needed.
    conn.execute("delete from analytics_internal.alert_rules where kind = 'unusual'")
    conn.execute("update analytics_internal.model_progress set load_seq = %s", [newest])
    dropped = maintain(conn, 0, age="30 days", now=START + timedelta(days=75)).dropped_partitions
    assert dropped == ["event_chunks_2024_08"]
    for seq in range(newest + 1):
        conn.execute(f"delete from public.alerts_{seq} where rule_name = 'odd'".encode())
    refusals = []
    for day in range(36, 84, 4):
        since = START + timedelta(days=day)
        try:
            assert differing(newest, since, since + timedelta(days=1)) == [], since
        except errors.NoDataFound as error:
            refusals.append(str(error))
    assert len(refusals) < 10
    assert all("the run of" in one and "began before 2024-09-01" in one for one in refusals)
    with pytest.raises(errors.NoDataFound, match=r"raw events before 2024-09-01 .* were dropped"):
        differing(newest, START + timedelta(days=20), START + timedelta(days=80))
    last = run_loader("explain", str(load_ids[last_week]), "--json")
    assert last.exit_code == 0, last.stderr
    # The source that sees nothing but people has one run since its beginning.
    assert "not shown: the run of people at people began before 2024-09-01" in last.stderr
    found, changed = alerts_in(explained(json.loads(last.stdout))), changed_alerts(conn, last_week)
    assert found <= changed
    for _, _, source, category, *_ in changed - found:
        assert f"of {category} at {source} began before" in last.stderr


@pytest.mark.built
def test_rows_that_are_gone_are_missed_where_a_rule_may_have_counted_them(
    conn: Connection[TupleRow], ledger: Ledger, run_loader: Callable[..., Outcome]
) -> None:
    """Of a source with fewer events than rules count, what was purged may be part of any run."""

    def people(source: str, day: int, count: int) -> list[Event]:
        time = START + timedelta(days=day)
        return [Event(source, time + timedelta(hours=n), "pedestrian") for n in range(count)]

    def asked(function: str) -> list[TupleRow]:
        columns = "source_name, event_count, started_at"
        return conn.execute(f"select {columns} from analytics.{function}".encode()).fetchall()

    def one(source: str, day: int, seen: str) -> Event:
        return Event(source, START + timedelta(days=day), seen)

    conn.execute(
        "insert into analytics_internal.alert_rules values"
        " ('q', 'absence', 'vehicles', null, '3 days'), ('c', 'consecutive', 'vehicles', 3, null)"
    )
    days = [f"'{START + timedelta(days=day)}'" for day in range(60)]
    steady = [*people("steady", 40, 5), one("steady", 41, "car"), one("steady", 52, "car")]
    gone = ledger.load(people("few", 0, 3))
    load_id = ledger.load(
        [
            *people("few", 40, 2), *steady, *people("steady", 50, 6),
            *(one("cars", day, "car") for day in (10, 11, 12, 14, 15)),
            one("seldom", 10, "car"), one("seldom", 11, "bicycle"), one("seldom", 11, "dog"),
            one("seldom", 20, "car"), *(one("daily", day, "pedestrian") for day in range(30, 35)),
        ]
    )  # fmt: skip
    # What was not visible then counts for nothing.
    ledger.load(people("few", 39, 6))
    ids: dict[str, int] = dict(
        conn.execute("select source_name, source_id from raw.sources").fetchall()
    )
    few, many = ("few", 5, START), ("steady", 5, START + timedelta(days=40))
    late = ("steady", 6, START + timedelta(days=50))
    silent = ("steady", 0, START + timedelta(days=41))
    of_day_40, of_day_50 = f"{days[40]}, {days[41]}", f"{days[50]}, {days[51]}"
    of_few, of_steady, of_cars, of_seldom = (
        f"'{{{ids[name]}}}'" for name in ("few", "steady", "cars", "seldom")
    )
    assert asked(f"alerts_as_of(2, {of_day_40})") == [few, many]
    assert asked(f"alerts_of_change_as_of(2, {of_few}, {of_day_40})") == [few]
    ledger.withdraw(gone)
    conn.execute("update analytics_internal.model_progress set load_seq = 4")
    ledger.purge()

    refused = pytest.raises(errors.NoDataFound, match=f"load {gone}, which was visible as of 2,")
    with refused:
        asked(f"alerts_as_of(2, {of_day_40})")
    with refused:
        asked(f"alerts_of_change_as_of(2, {of_few}, {of_day_40})")
    said = run_loader("explain", str(load_id))
    assert (said.exit_code, said.stdout) == (2, "")
    assert f"load {gone}, which was visible as of" in said.stderr
    # Where enough came before, or nothing in the stretch, nothing is missed.
    assert asked(f"alerts_as_of(2, {of_day_50})") == [late]
    assert asked(f"alerts_as_of(2, {days[25]}, {days[26]})") == []
    assert asked(f"alerts_as_of(2, {days[44]}, {days[45]})") == [silent]
    assert asked(f"alerts_as_of(4, {of_day_40})") == [many]
    daily = ("daily", 5, START + timedelta(days=30))
    assert asked(f"alerts_as_of(4, {days[34]}, {days[35]})") == [daily]
    # A change may touch the runs on both sides of it, and the silence that begins with it.
    assert late in asked(f"alerts_of_change_as_of(2, {of_steady}, {of_day_50})")
    cars = ("cars", 5, START + timedelta(days=10))
    assert asked(f"alerts_of_change_as_of(4, {of_cars}, {days[13]}, {days[13]})") == [cars]
    quiet = ("seldom", 0, START + timedelta(days=10))
    assert asked(f"alerts_of_change_as_of(4, {of_seldom}, {days[10]}, {days[10]})") == [quiet]


def chunks_read(conn: Connection[TupleRow], stretch: str) -> int:
    """Return how many chunks the alerts of a stretch read."""
    # Also what transactions before this one read, as long as nobody has been told of it.
    so_far = (
        "select coalesce(sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)), 0)::int"
        " from pg_stat_xact_user_tables where relname ~ 'event_chunks_'"
    )
    with conn.transaction():
        for name, value in HARSH.items():
            conn.execute(f"set local {name} = {value}".encode())
        (before,) = conn.execute(so_far).fetchone() or (0,)
        conn.execute(f"select from analytics.alerts_as_of({stretch})".encode())
        (after,) = conn.execute(so_far).fetchone() or (0,)
    return int(after - before)


def alerts_in(found: set[tuple[object, ...]]) -> set[tuple[object, ...]]:
    return {one for one in found if one[1] is not None}


def changed_alerts(conn: Connection[TupleRow], seq: int) -> set[tuple[object, ...]]:
    """Return the difference of two moments: the alerts that went, and those that came."""
    columns = "rule_name, source_name, category, event_count, started_at, ended_at, triggered_at"
    found: set[tuple[object, ...]] = set()
    for one, other, side in [(seq - 1, seq, "before"), (seq, seq - 1, "after")]:
        rows = conn.execute(
            f"select {columns} from public.alerts_{one} except all"
            f" select {columns} from public.alerts_{other}".encode()
        ).fetchall()
        found |= {(side, *row[:4], *map(plain, row[4:])) for row in rows}
    return found


def keep_what_is_shown(conn: Connection[TupleRow], seq: int) -> None:
    """Remember what the live views show, and the counts, which have none."""
    for name, view in SHOWN.items():
        # What goes on has no place in the past.
        conn.execute(
            f"create table public.{name}_{seq} as select * from analytics.{view}"
            " where ended_at is not null".encode()
        )
    hours = f"with {EVENTS} {HOURLY}".format(schema="analytics", events="raw.events", gap="1 min")
    conn.execute(f"create table public.hourly_detections_{seq} as {hours}".encode())


def differences(
    conn: Connection[TupleRow], seq: int, as_of: str, since: str, until: str
) -> Iterator[tuple[str, TupleRow]]:
    """Yield what the functions give too much and too little, in a stretch."""
    for name, condition in IN_STRETCH.items():
        columns = ", ".join(
            str(column)
            for (column,) in conn.execute(
                "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0",
                [f"public.{name}_{seq}"],
            )
        )
        for row in conn.execute(
            f"""
            with shown as (
                select {columns} from public.{name}_{seq}
                where {condition.format(since=since, until=until)}
            ),
            given as (
                select {columns} from analytics.{name}_as_of({as_of}, {since}, {until})
            )
            (select 'missing', * from (table shown except all table given) m)
            union all
            (select 'too many', * from (table given except all table shown) m)
            """.encode()
        ):
            yield name, row


def changed(conn: Connection[TupleRow], seq: int) -> set[tuple[object, ...]]:
    """Return the difference of two moments: what went, and what came."""
    found: set[tuple[object, ...]] = set()
    for name, rule, due in [
        ("activity_periods", "null", "null::timestamptz"),
        ("alerts", "rule_name", "triggered_at"),
    ]:
        columns = f"{rule} as rule, source_name, category, event_count, started_at, ended_at, {due}"
        for one, other, side in [(seq - 1, seq, "before"), (seq, seq - 1, "after")]:
            rows = conn.execute(
                f"""
                select * from (
                    select {columns} from public.{name}_{one}
                    except all select {columns} from public.{name}_{other}
                ) changed
                """.encode()
            ).fetchall()
            found |= {(side, *row[:4], *map(plain, row[4:])) for row in rows}
    return found


def explained(changes: list[dict[str, object]]) -> set[tuple[object, ...]]:
    """Return the same of what is explained; what belongs together has the right name."""
    found: set[tuple[object, ...]] = set()
    for change in changes:
        counts = tuple(len(change[side]) for side in ("before", "after"))  # type: ignore[arg-type]
        match counts:
            case 0, _:
                name = "made"
            case _, 0:
                name = "removed"
            case _, 1 if counts[0] > 1:
                name = "joined"
            case 1, _ if counts[1] > 1:
                name = "split"
            case _:
                name = "changed"
        assert change["change"] == name
        for side in ("before", "after"):
            found |= {
                (
                    side, change["rule_name"], change["source_name"], change["category"],
                    one["event_count"], one["started_at"], one["ended_at"], one["triggered_at"],
                )
                for one in change[side]  # type: ignore[attr-defined]
            }  # fmt: skip
    return found


def plain(moment: object) -> object:
    """Return a time as the loader's JSON has it."""
    return iso_utc(moment) if isinstance(moment, datetime) else moment


def newest_load(conn: Connection[TupleRow]) -> int:
    """Return the newest row of the ledger: that of a withdrawal."""
    row = conn.execute("select max(load_id) from raw.loads").fetchone()
    assert row is not None
    return int(row[0])
