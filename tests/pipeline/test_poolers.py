"""dbt behind a pooler that gives each transaction another session."""

from datetime import UTC, datetime, timedelta

import pytest
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow

from loader.server.cluster import Cluster
from tests.support.dbt import Dbt
from tests.support.ledger import Ledger
from tests.support.poolers import check_unchanged, noise, pooler, what_others_see
from tests.support.scenarios import Event

NOON = datetime(2024, 5, 13, 12, tzinfo=UTC)


def test_dbt_needs_no_session_of_its_own(
    cluster: Cluster,
    database: str,
    conn: Connection[TupleRow],
    dbt: Dbt,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dbt.connects_anew = True
    with pooler(cluster, database, "transaction", "server_round_robin = 1") as dsn:
        before = what_others_see(dsn, "transaction")
        monkeypatch.setenv("PGHOST", "127.0.0.1")
        monkeypatch.setenv("PGPORT", str(conninfo_to_dict(dsn)["port"]))
        with noise(dsn):
            dbt("seed")
            for batch in range(2):
                ledger.load([Event("gate", NOON + timedelta(hours=batch), "car")])
                dbt("run", "--select", "+fct_activity_periods")
        found = conn.execute("select count(*) from analytics.fct_activity_periods").fetchone()
        assert found == (2,)
        check_unchanged(before, what_others_see(dsn, "transaction"))
