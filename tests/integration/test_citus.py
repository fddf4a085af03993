"""Events on the nodes of a Citus cluster: the same as on one machine, through the loss of nodes."""

import json
import os
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pytest
from psycopg import Connection

from loader import periods
from loader.database import citus
from loader.database.connection import connect
from loader.loading.copy import Copier
from loader.loading.encode import EncodedRows
from tests.conftest import Outcome
from tests.support.nodes import death, one_away
from tests.support.waits import wait_until

KILLS = int(os.environ.get("CITUS_KILLS", "4"))

# What everybody can see, in an order of its own.
SEEN = """
select source_name, event_type, event_time, attributes, load_id
from raw.events
inner join raw.sources using (source_id)
inner join raw.event_types using (event_type_id)
inner join raw.loads using (load_id)
where loads.load_seq is not null and loads.withdrawn_seq is null
order by 1, 2, 3, 4, 5
"""
# Of each load: whether all of its events, and no others, are there.
COMPLETE = """
select loads.load_id, loads.rows_loaded, count(events.load_id)
from raw.loads
cross join raw.retention
left join (select load_id from raw.events offset 0) as events using (load_id)
where
    loads.load_seq is not null
    and loads.kind = 'load'
    and loads.purged_at is null
    and (loads.first_event_at < retention.dropped_before) is not true
group by loads.load_id, loads.rows_loaded
having loads.rows_loaded <> count(events.load_id)
"""


@pytest.fixture
def loader_of(run_loader: Callable[..., Outcome], citus_dsn: str) -> Callable[..., Outcome]:
    """Run a ``loader`` command on the cluster."""
    return lambda *arguments: run_loader(*arguments, LOADER_DSN=citus_dsn)


@pytest.fixture
def cluster_conn(citus_dsn: str) -> Iterator[Connection]:
    with connect(citus_dsn, purpose="test") as conn:
        yield conn


def test_without_the_extension_there_is_nothing_to_distribute_over(
    run_loader: Callable[..., Outcome],
) -> None:
    found = run_loader("cluster", "init")

    assert found.exit_code == 2
    assert found.stderr.startswith("loader: this database has no extension citus")


def test_a_database_is_distributed_with_what_is_in_it(
    loader_of: Callable[..., Outcome], cluster_conn: Connection, write_events: Callable[..., Path]
) -> None:
    assert loader_of("load", write_events(count=3000)).exit_code == 0
    before = cluster_conn.execute(SEEN.encode()).fetchall()

    first, again = loader_of("cluster", "init"), loader_of("cluster", "init")

    assert first.stdout.startswith("3,000 events are on ")
    assert again.stdout.startswith("the events are distributed already, over ")
    assert cluster_conn.execute(SEEN.encode()).fetchall() == before
    (size,) = cluster_conn.execute("select pg_relation_size('raw.event_chunks_2024_05')").fetchall()
    assert size == (0,)
    # Partitions that are made later follow.
    assert loader_of("load", write_events("later.csv", start="2024-09-01T10")).exit_code == 0
    assert len(cluster_conn.execute(SEEN.encode()).fetchall()) == 3003
    nodes = cluster_conn.execute(
        "select count(distinct nodeport) from citus_shards"
        " where table_name = 'raw.event_chunks_2024_09'::regclass"
    ).fetchone()
    assert nodes is not None
    assert nodes[0] > 1


def test_a_load_adds_partitions_whenever_it_needs_one(
    loader_of: Callable[..., Outcome], cluster_conn: Connection, tmp_path: Path
) -> None:
    assert loader_of("cluster", "init").exit_code == 0
    file = tmp_path / "months.parquet"
    what = ["--events", "500000", "--sources", "9", "--days", "100", "--format", "parquet"]
    assert loader_of("generate", *what, "--output", file).exit_code == 0

    # Each batch of it is of days after those of the one before, which is being copied meanwhile.
    found = loader_of("load", "--workers", "2", file)

    assert found.exit_code == 0, found.stderr
    assert cluster_conn.execute(COMPLETE.encode()).fetchall() == []


def test_loads_at_once_add_partitions_beside_each_other(
    loader_of: Callable[..., Outcome],
    start_loader: Callable[..., "subprocess.Popen[str]"],
    citus_dsn: str,
    cluster_conn: Connection,
    tmp_path: Path,
) -> None:
    """Each of them needs one after the other, which Citus adds beside no COPY."""
    assert loader_of("cluster", "init").exit_code == 0
    loads = []
    for number in range(3):
        file = tmp_path / f"{number}.parquet"
        what = ["--events", "200000", "--sources", "9", "--days", "300", "--seed", str(number)]
        assert loader_of("generate", *what, "--format", "parquet", "--output", file).exit_code == 0
        options = [[], ["--workers", "2"], ["--dedupe", "exact"]][number]
        loads.append(start_loader("load", *options, file, LOADER_DSN=citus_dsn))

    said = ["".join(load.communicate()) for load in loads]

    assert [load.returncode for load in loads] == [0, 0, 0], said
    assert cluster_conn.execute(COMPLETE.encode()).fetchall() == []


def test_a_load_that_adds_a_partition_waits_for_others_and_they_do_not(
    loader_of: Callable[..., Outcome],
    start_loader: Callable[..., "subprocess.Popen[str]"],
    citus_dsn: str,
    cluster_conn: Connection,
    write_events: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not for their input either, which may take hours; and not for each other at two nodes."""
    assert loader_of("cluster", "init").exit_code == 0
    assert loader_of("load", write_events()).exit_code == 0
    monkeypatch.setattr(citus, "_SECONDS_OF_A_COPY", 3)
    rows = EncodedRows(
        event_time=np.full(20, 1_715_612_400_000_000),
        source_id=np.arange(1, 21, dtype=np.int32),
        event_type_id=np.ones(20, dtype=np.int16),
        attributes=pa.nulls(20, pa.string()),
    )
    # The nodes are asked one after the other.
    at_last_node = (
        "select source_id from generate_series(1, 20) as source_id inner join citus_shards on"
        " shardid = get_shard_id_for_distribution_column('raw.event_chunks', source_id)"
        " order by nodeport desc"
    )
    (first,) = cluster_conn.execute(at_last_node.encode()).fetchall()[0]
    copying = (
        "select bool_or(result::bool) from run_command_on_workers($$ select exists (select from"
        " pg_locks where relation::regclass::text like '%event_chunks%' and mode like 'Row%') $$)"
    )
    adding = (
        "select exists (select from pg_stat_activity where datname = current_database()"
        " and state = 'active' and (query like 'alter%attach%' or wait_event_type = 'Lock'))"
    )

    with Copier(
        dsn=citus_dsn, table="event_chunks", load_id=99, has_attributes=True, workers=1
    ) as copier:
        copier.put(rows.take(np.full(20_000, first - 1)), 0)
        wait_until(lambda: cluster_conn.execute(copying.encode()).fetchone() == (True,))
        impatient = f"{citus_dsn} options='-c lock_timeout=30s'"
        load = start_loader(
            "load", "--dsn", impatient, write_events("later.csv", start="2024-09-01T10")
        )
        wait_until(lambda: cluster_conn.execute(adding.encode()).fetchone() == (True,))
        copier.put(rows, 0)
        said = "".join(load.communicate())
        copier.finish()

    assert load.returncode == 0, said
    there = "select count(*) from raw.events where load_id = 99"
    assert cluster_conn.execute(there).fetchone() == (20_020,)


def test_a_load_in_progress_keeps_a_database_from_being_distributed(
    loader_of: Callable[..., Outcome], cluster_conn: Connection, write_events: Callable[..., Path]
) -> None:
    assert loader_of("load", write_events()).exit_code == 0
    cluster_conn.execute(
        "insert into raw.loads (schema_version, origin, loader_version) values (3, 'x', 'x')"
    )

    found = loader_of("cluster", "init")

    assert found.exit_code == 1
    assert "load 2 is being worked on" in found.stderr
    assert cluster_conn.execute("select to_regclass('raw.cluster')").fetchone() == (None,)


def test_everything_is_as_on_one_machine(
    loader_of: Callable[..., Outcome],
    run_loader: Callable[..., Outcome],
    conn: Connection,
    cluster_conn: Connection,
    write_events: Callable[..., Path],
    tmp_path: Path,
) -> None:
    assert loader_of("cluster", "init").exit_code == 0
    both = (run_loader, conn), (loader_of, cluster_conn)

    def do(*arguments: str | Path) -> None:
        """Run a command on both; what it says, but for sizes and times, is the same."""
        said = [_result(run(*arguments)) for run, _ in both]
        assert said[0] == said[1]
        seen = [one.execute(SEEN.encode()).fetchall() for _, one in both]
        assert seen[0] == seen[1]
        assert cluster_conn.execute(COMPLETE.encode()).fetchall() == []

    do("load", "--json", "--workers", "3", write_events("a.csv", count=2000, bad=2))
    do("load", "--json", "--dedupe", "exact", write_events("b.csv", count=2100))
    do("load", "--json", "--dedupe", "exact", write_events("bad.csv", count=0, bad=3))
    for minute in range(4):
        text = f"time,type,source,zone\n2024-06-01T10:0{minute}:00Z,car,camera 1,north\n"
        (tmp_path / f"{minute}.csv").write_text(text)
        do("load", "--json", "--attributes", "zone", tmp_path / f"{minute}.csv")
    do("maintain", "--json")  # brings the short ones together
    do("withdraw", "5")  # one of those
    do("load", "--json", "--dedupe", "exact", tmp_path / "1.csv")
    do("rejects", "--load", "1")
    do("withdraw", "1")
    do("maintain", "--json")
    do("load", "--json", write_events("old.csv", count=50, start="2023-01-05T10"))
    do("maintain", "--json", "--retain", "1year")
    do("status", "--json")
    do("loads", "--json")
    last = "select * from raw.dropped_sources order by source_id"
    assert conn.execute(last).fetchall() == cluster_conn.execute(last).fetchall()


def test_alerts_are_told_early(
    loader_of: Callable[..., Outcome], cluster_conn: Connection, tmp_path: Path
) -> None:
    assert loader_of("cluster", "init").exit_code == 0
    rows = "".join(
        f"2024-05-13T15:00:0{n}Z,pedestrian,camera {s}\n" for n in range(6) for s in (1, 2)
    )
    (tmp_path / "people.csv").write_text("time,type,source\n" + rows)

    found = loader_of("load", "--alert", tmp_path / "people.csv")

    assert found.exit_code == 0
    assert found.stderr.count("alert") >= 2
    assert cluster_conn.execute(
        "select count(distinct source_id) from raw.early_alerts where passed_on_at is not null"
    ).fetchone() == (2,)


def test_what_comes_into_a_folder_is_loaded(
    loader_of: Callable[..., Outcome], cluster_conn: Connection, tmp_path: Path
) -> None:
    assert loader_of("cluster", "init").exit_code == 0
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    good = "2024-05-13T15:00:00Z,car,gate\n"
    for name, text in {"a": good, "b": good.replace("gate", "yard") + "x,car,gate\n"}.items():
        (inbox / f"{name}.csv").write_text("time,type,source\n" + text)
    (inbox / "c.csv").write_text("a,b\n1,2\n")

    found = loader_of("watch", "--once", "--settle", "0s", inbox)

    assert "Traceback" not in found.stderr
    folders = {"a.csv": "done", "b.csv": "rejected", "c.csv": "failed"}
    assert all((inbox / into / name).is_file() for name, into in folders.items())
    assert len(cluster_conn.execute(SEEN.encode()).fetchall()) == 2
    assert cluster_conn.execute(COMPLETE.encode()).fetchall() == []


def test_the_coordinator_may_be_the_only_one_that_holds_events(
    loader_of: Callable[..., Outcome], cluster_conn: Connection, write_events: Callable[..., Path]
) -> None:
    """Its database is counted once."""
    give = (
        "select citus_set_node_property(nodename, nodeport, 'shouldhaveshards', {})"
        " from pg_dist_node order by {}"
    )
    cluster_conn.execute(give.format("groupid = 0", "groupid").encode())
    try:
        assert loader_of("cluster", "init").exit_code == 0
        assert loader_of("load", write_events(count=3000)).exit_code == 0
        status = json.loads(loader_of("status", "--json").stdout)
        assert loader_of("withdraw", "1").exit_code == 0
        assert json.loads(loader_of("maintain", "--json").stdout)["purged_rows"] == 3000
    finally:
        cluster_conn.execute(give.format("groupid <> 0", "groupid desc").encode())

    sizes = cluster_conn.execute(
        "select sum(result::bigint) from run_command_on_all_nodes("
        "'select pg_database_size(current_database())')"
    ).fetchone()
    assert sizes is not None
    assert 0.8 < status["ledger"]["database_bytes"] / float(sizes[0]) < 1.2


def test_roles_come_to_the_nodes(
    loader_of: Callable[..., Outcome], cluster_conn: Connection, write_events: Callable[..., Path]
) -> None:
    roles = [f"--{name}-role=citus_test_{name}" for name in ("loader", "transformer", "reader")]
    assert loader_of("cluster", "init").exit_code == 0

    assert loader_of("roles", *roles).exit_code == 0

    cluster_conn.execute("set role citus_test_loader")
    assert loader_of("load", write_events()).exit_code == 0
    cluster_conn.execute("set role citus_test_transformer")
    assert cluster_conn.execute("select count(*) from raw.events").fetchone() == (3,)
    cluster_conn.execute("select raw.wait_for_commits()")


def test_who_reads_live_views_waits_while_a_model_commits(
    loader_of: Callable[..., Outcome], citus_dsn: str, cluster_conn: Connection
) -> None:
    assert loader_of("cluster", "init").exit_code == 0
    cluster_conn.execute("create schema analytics")
    cluster_conn.execute("create table analytics.fct_x ()")
    cluster_conn.execute(
        "create view analytics.category_activity_periods_live as select 'people'::text as category,"
        " 1::bigint as event_count, now() as started_at, now() as ended_at"
    )
    waiting = "select exists (select from pg_locks where locktype = 'advisory' and not granted)"
    found: list[int] = []
    reader = Thread(target=lambda: found.append(len(periods(dsn=citus_dsn))))

    with connect(citus_dsn) as model, model.transaction():
        model.execute(
            "select pg_advisory_xact_lock(hashtextextended('video-events mark fct_x', 0))"
        )
        reader.start()
        wait_until(lambda: cluster_conn.execute(waiting.encode()).fetchone() == (True,))
        assert found == []
    reader.join()

    assert found == [1]


def test_who_reads_live_views_sees_what_a_node_has_not_committed_yet(
    loader_of: Callable[..., Outcome], citus_dsn: str, cluster_conn: Connection
) -> None:
    """It went away after PREPARE, and is back; Citus makes up for that once a minute only."""
    assert loader_of("cluster", "init").exit_code == 0
    cluster_conn.execute("create schema analytics")
    cluster_conn.execute("create table analytics.fct_x (source_id int)")
    cluster_conn.execute("select create_distributed_table('analytics.fct_x', 'source_id')")
    cluster_conn.execute(
        "create view analytics.category_activity_periods_live as select 'people'::text as category,"
        " 1::bigint as event_count, now() as started_at, now() as ended_at from analytics.fct_x"
    )
    name, port, table, group = cluster_conn.execute(
        "select nodename, nodeport, shard_name, groupid from citus_shards inner join pg_dist_node"
        " using (nodename, nodeport) where table_name = 'analytics.fct_x'::regclass"
    ).fetchall()[0]
    gid = "citus_0_1_1_0"
    prepare = f"begin; insert into {table} values (1); prepare transaction '{gid}'"
    cluster_conn.execute(
        "select master_run_on_worker(%s, %s, %s, false)", [[name], [port], [prepare]]
    )
    # As it is where the coordinator has committed.
    cluster_conn.execute("insert into pg_dist_transaction values (%s, %s)", [group, gid])

    assert len(periods(dsn=citus_dsn)) == 1


def test_chunks_stay_while_a_statement_of_before_may_ask_for_them(
    loader_of: Callable[..., Outcome],
    citus_dsn: str,
    write_events: Callable[..., Path],
) -> None:
    assert loader_of("cluster", "init").exit_code == 0
    assert loader_of("load", write_events()).exit_code == 0

    with connect(citus_dsn) as reader, reader.transaction():
        reader.execute("select count(*) from raw.events")
        assert loader_of("withdraw", "1").exit_code == 0
        waits = loader_of("maintain", "--json")
        assert reader.execute("select count(*) from raw.events").fetchone() == (3,)
    done = loader_of("maintain", "--json")

    assert waits.exit_code == done.exit_code == 0
    assert "to be done with raw.event_chunks" in json.loads(waits.stdout)["purge_waits_for"]
    assert json.loads(done.stdout)["purged_rows"] == 3


def test_the_schema_is_brought_up_to_date_where_it_is_distributed(
    loader_of: Callable[..., Outcome], cluster_conn: Connection, write_events: Callable[..., Path]
) -> None:
    assert loader_of("cluster", "init").exit_code == 0
    cluster_conn.execute("comment on schema raw is 'video-events of before'")

    assert loader_of("load", write_events()).exit_code == 0


def test_a_node_that_is_away_is_named_and_nothing_is_left(
    loader_of: Callable[..., Outcome], cluster_conn: Connection, write_events: Callable[..., Path]
) -> None:
    assert loader_of("load", write_events()).exit_code == 0
    assert loader_of("cluster", "init").exit_code == 0

    with one_away(cluster_conn):
        found = loader_of("load", write_events("more.csv", count=500))
        status = loader_of("status")
        with pytest.raises(psycopg.errors.ConnectionFailure, match=r"does not answer: .*:1\n"):
            cluster_conn.execute("select raw.wait_for_commits('0 s')")

    assert found.exit_code == 5
    assert found.stderr.startswith("loader: the cluster is not whole: ")
    assert "these nodes of the cluster do not answer: " in status.stderr
    assert loader_of("load", write_events("more.csv", count=500)).exit_code == 0
    assert cluster_conn.execute("select count(*) from raw.events").fetchone() == (503,)
    assert cluster_conn.execute("select count(*) from raw.loads").fetchone() == (2,)


def test_nodes_die_at_random(
    loader_of: Callable[..., Outcome],
    cluster_conn: Connection,
    tmp_path: Path,
    generator: random.Random,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert loader_of("cluster", "init").exit_code == 0
    expected: dict[int, int] = {}
    deaths = between = 0
    number = 0
    while deaths < KILLS:
        number += 1
        path = _random_events(tmp_path / f"{number}.csv", generator)
        options = generator.choice([[], ["--workers", "3"], ["--dedupe", "exact"]])
        withdrawn = generator.choice(list(expected)) if number % 4 == 0 and expected else None
        command = (
            ["withdraw", str(withdrawn)] if withdrawn else ["load", "--json", *options, str(path)]
        )
        with death(cluster_conn, generator) as died:
            found = loader_of(*command)
        deaths += died.is_dead
        between += died.is_dead and died.is_between
        if found.exit_code == 0:
            # Whole at once, whatever is still to be made up for on a node that has just come back.
            assert cluster_conn.execute(COMPLETE.encode()).fetchall() == []
        else:
            assert found.exit_code in {1, 5}, found.stderr
            assert "Traceback" not in found.stderr
            again = loader_of(*command)
            if withdrawn:
                assert again.exit_code == 0 or "was withdrawn already" in again.stderr
            else:
                assert again.exit_code == 0, again.stderr
        if number % 10 == 0:
            assert loader_of("maintain", "--quiet").exit_code == 0
        if withdrawn:
            del expected[withdrawn]
        else:
            (load_id,) = cluster_conn.execute("select max(load_id) from raw.loads").fetchall()[0]
            expected[load_id] = len(path.read_text().splitlines()) - 1
        assert cluster_conn.execute(COMPLETE.encode()).fetchall() == []
    with capsys.disabled():
        print(f"{deaths} deaths, {between} between PREPARE and COMMIT, {number} commands")  # noqa: T201
    assert loader_of("maintain", "--quiet").exit_code == 0
    visible = cluster_conn.execute(
        "select load_id, rows_loaded from raw.loads where load_seq is not null and kind = 'load'"
        " and withdrawn_seq is null"
    ).fetchall()
    assert dict(visible) == expected
    cluster_conn.execute("select raw.wait_for_commits()")
    there = cluster_conn.execute("select load_id, count(*) from raw.events group by load_id")
    assert dict(there.fetchall()) == {one: rows for one, rows in expected.items() if rows}


def _random_events(path: Path, generator: random.Random) -> Path:
    """Write events that no other file has."""
    seconds = sorted(generator.sample(range(3 * 86_400), generator.randint(20, 3000)))
    rows = [
        f"2024-05-{13 + at // 86_400}T{at // 3600 % 24:02d}:{at // 60 % 60:02d}:{at % 60:02d}"
        f".{path.stem:0>6}Z,car,camera {generator.randrange(20)}\n"
        for at in seconds
    ]
    path.write_text("time,type,source\n" + "".join(rows))
    return path


def _result(found: Outcome) -> Any:
    """Return what a command did, without what may differ."""
    assert found.exit_code in {0, 3}, found.stderr
    if not found.stdout.startswith(("{", "[")):
        return found.exit_code, found.stdout
    return found.exit_code, _without_times(json.loads(found.stdout))


def _without_times(found: Any) -> Any:
    differ = {
        "seconds",
        "started_at",
        "published_at",
        "last_published_at",
        "database_bytes",
        "analyzed",
    }
    if isinstance(found, dict):
        return {k: _without_times(v) for k, v in found.items() if k not in differ}
    return [_without_times(one) for one in found] if isinstance(found, list) else found
