"""Tools that people read the marts with: every readable relation, its lengths and local times."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import ibis  # type: ignore[import-untyped]
import pandas as pd  # type: ignore[import-untyped]
import polars as pl
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from adbc_driver_postgresql import dbapi  # type: ignore[import-untyped]
from psycopg import Connection
from psycopg.rows import TupleRow

from loader.server.cluster import Cluster
from tests.support.dbt import Dbt
from tests.support.ledger import Ledger
from tests.support.oracle import LIVE_VIEWS, MARTS, REPORTS
from tests.support.proxies import Proxy
from tests.support.scenarios import Event

MONDAY = datetime(2024, 5, 12, 23, tzinfo=UTC)
ZONE = "Europe/Berlin"
JDBC = Path("/usr/share/java/postgresql.jar")
# Of a relation: how many rows it has, the sum of each length, the latest of each local time.
Figures = dict[str, Any]


@pytest.fixture
def address(cluster: Cluster, database: str) -> Iterator[str]:
    """The database behind a TCP port, for JDBC knows no sockets; of another zone than reports."""
    with psycopg.connect(cluster.dsn(), autocommit=True) as admin:
        admin.execute(f"alter database {database} set timezone = 'Asia/Tokyo'".encode())
    proxy = Proxy()
    proxy.target = cluster.socket_dir / ".s.PGSQL.5432"
    yield f"postgresql://postgres@{proxy.address}/{database}"
    proxy.close()


@pytest.mark.filterwarnings("ignore:.*future.infer_string:DeprecationWarning")
def test_every_readable_relation_is_read(
    address: str, conn: Connection[TupleRow], dbt: Dbt, ledger: Ledger
) -> None:
    # Some minutes of people at once, in each of two weeks: every relation has a row.
    ledger.load(
        Event("gate", MONDAY + timedelta(weeks=week, seconds=20.25 * number), "pedestrian")
        for week in (0, 1)
        for number in range(40)
    )
    ledger.load(Event("yard", MONDAY + timedelta(seconds=n), "car") for n in (0, 100, 100.000001))
    dbt.variables = {"report_timezone": ZONE}
    dbt.build()
    queries, expected = {}, {}
    for name in readable(dbt):
        queries[name], expected[name] = figures(conn, name)
    assert {*MARTS, *REPORTS, *LIVE_VIEWS} <= expected.keys()
    assert all(wanted["rows"] for wanted in expected.values())
    backend = ibis.connect(address)
    for name, query in queries.items():
        wanted = expected[name]
        frame = pd.read_sql_query(query, address.replace("://", "+psycopg://"))
        assert of_columns(frame, wanted) == pytest.approx(wanted), ("pandas", name)
        for engine in ("connectorx", "adbc"):
            found = pl.read_database_uri(query, address, engine=engine)
            assert of_columns(found, wanted) == pytest.approx(wanted), ("polars", engine, name)
        with dbapi.connect(address) as adbc, adbc.cursor() as cursor:
            # All of its columns, intervals too.
            cursor.execute(f"select * from analytics.{name}")
            table = cursor.fetch_arrow_table()
        assert of_arrow(table, wanted) == pytest.approx(wanted), ("ADBC", name)
        relation = backend.table(name, database="analytics")
        whole = relation.aggregate(
            rows=relation.count(),
            **{column: relation[column].sum() for column in wanted if column.endswith("_seconds")},
            **{column: relation[column].max() for column in wanted if column.endswith("_local")},
        )
        (answer,) = whole.execute().to_dict("records")
        assert plain(answer) == pytest.approx(wanted), ("ibis", name)
    backend.disconnect()
    for name, read in zip(queries, over_jdbc(address, list(queries.values())), strict=True):
        assert read == pytest.approx(expected[name]), ("JDBC", name)


def readable(dbt: Dbt) -> list[str]:
    """Return the relations that readers may read."""
    assert dbt.manifest is not None
    nodes = dbt.manifest.nodes.values()
    return sorted(node.name for node in nodes if getattr(node, "access", None) == "public")


def figures(conn: Connection[TupleRow], name: str) -> tuple[str, Figures]:
    """Return a query of all but intervals, and what a tool must find: from these, and from UTC."""
    types: dict[str, str] = dict(
        conn.execute(
            "select attname, format_type(atttypid, null) from pg_attribute"
            " where attrelid = %s::regclass and attnum > 0 and not attisdropped order by attnum",
            [f"analytics.{name}"],
        ).fetchall()
    )
    lengths = {column for column, type_ in types.items() if type_ == "interval"}
    assert {f"{length}_seconds" for length in lengths} <= types.keys(), name
    asked = {"rows": "count(*)"}
    for column in types:
        length, time = column.removesuffix("_seconds"), column.removesuffix("_local")
        if column.endswith("_seconds"):
            seconds = f"extract(epoch from {length})" if length in lengths else column
            asked[column] = f"coalesce(sum({seconds}), 0)::double precision"
        elif column.endswith("_local"):
            local = f"{time} at time zone '{ZONE}'" if time in types else column
            asked[column] = f"max({local})"
    row = conn.execute(
        f"select {', '.join(asked.values())} from analytics.{name}".encode()
    ).fetchone()
    columns = ", ".join(column for column in types if column not in lengths)
    return f"select {columns} from analytics.{name}", plain(
        dict(zip(asked, row or (), strict=True))
    )


def of_columns(frame: Any, wanted: Figures) -> Figures:
    """Return the figures of a frame of pandas or polars."""
    found = {"rows": len(frame)}
    for column in wanted.keys() - found.keys():
        values = frame[column]
        found[column] = values.sum() if column.endswith("_seconds") else values.max()
    return plain(found)


def of_arrow(table: pa.Table, wanted: Figures) -> Figures:
    """Return the figures of a table of Arrow."""
    found: Figures = {"rows": table.num_rows}
    for column in wanted.keys() - found.keys():
        is_length = column.endswith("_seconds")
        found[column] = (pc.sum if is_length else pc.max)(table[column], min_count=0).as_py()
    return plain(found)


def plain(found: Figures) -> Figures:
    """Return times as texts, which are compared exactly; sums depend on the order."""
    return {c: str(value) if c.endswith("_local") else value for c, value in found.items()}


def over_jdbc(address: str, queries: list[str]) -> list[Figures]:
    """Return the figures of each query, read in a JVM of a third zone."""
    if not (JDBC.exists() and shutil.which("javac")):
        pytest.skip("no JDBC; Debian: default-jdk-headless libpostgresql-jdbc-java")
    where, user = address.removeprefix("postgresql://").split("@")[1], "postgres"
    program = Path(__file__).with_name("ReadAll.java")
    done = subprocess.run(
        ["java", "-Duser.timezone=America/New_York", "-classpath", JDBC, program,
         f"jdbc:postgresql://{where}?user={user}"],
        input="\n".join(queries), check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [
        plain(
            {c: datetime.fromisoformat(v) if isinstance(v, str) else v for c, v in answer.items()}
        )
        for answer in map(json.loads, done.stdout.splitlines())
    ]
