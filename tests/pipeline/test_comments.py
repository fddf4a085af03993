"""What is described is what is there, and the database says it too: BI tools show it."""

from datetime import UTC, datetime, timedelta

import pytest
from dbt.contracts.graph.manifest import Manifest
from dbt.contracts.graph.nodes import ModelNode, SeedNode
from psycopg import Connection
from psycopg.rows import TupleRow

from tests.support.dbt import PROJECT, Dbt
from tests.support.ledger import Ledger
from tests.support.scenarios import Event

NOON = datetime(2024, 5, 13, 12, tzinfo=UTC)
# None for the relation itself, which has no column.
Comments = dict[tuple[str, str], dict[str | None, str | None]]


def comments_of(conn: Connection[TupleRow]) -> Comments:
    """Return the comments on all relations of the three schemas and on their columns."""
    found: Comments = {}
    for schema, relation, column, comment in conn.execute(
        """
        select c.relnamespace::regnamespace::text, c.relname, a.attname,
               case when a.attname is null then obj_description(c.oid, 'pg_class')
                    else col_description(c.oid, a.attnum) end
        from pg_class c
        cross join lateral (
            select null as attname, 0 as attnum
            union all
            select attname, attnum from pg_attribute
            where attrelid = c.oid and attnum > 0 and not attisdropped
        ) a
        where c.relkind in ('r', 'p', 'v') and not c.relispartition
          and c.relnamespace::regnamespace::text in ('raw', 'analytics', 'analytics_internal')
        """
    ):
        found.setdefault((schema, relation), {})[column] = comment
    return found


def descriptions_in(manifest: Manifest) -> Comments:
    """Return the descriptions of all relations that dbt builds, and of their columns."""
    return {
        (node.schema, node.alias): {
            None: node.description,
            **{name: column.description for name, column in node.columns.items()},
        }
        for node in manifest.nodes.values()
        if isinstance(node, ModelNode | SeedNode)
    }


@pytest.mark.built
def test_every_relation_and_column_is_described_in_the_database_too(
    conn: Connection[TupleRow], dbt: Dbt, ledger: Ledger
) -> None:
    written = "select objoid, objsubid, xmin::text from pg_description where objoid >= 16384"
    there_before = conn.execute(written.encode()).fetchall()
    for number, options in enumerate([[], ["--full-refresh"]]):
        ledger.load([Event("gate", NOON + number * timedelta(hours=1), "car")])
        if number == 0:
            # One that somebody has written by hand, or an earlier version.
            conn.execute("comment on column analytics.dim_sources.source_id is 'a key'")
        dbt("run", *options)
        if number == 0:
            # What is as it should be is not written again.
            now = conn.execute(written.encode()).fetchall()
            assert 0 < len({*now} - {*there_before}) < 20
        assert dbt.manifest is not None
        described = descriptions_in(dbt.manifest)
        there = comments_of(conn)
        assert {name for name in there if name[0] != "raw"} - set(described) == {
            ("analytics_internal", "model_progress")
        }
        for relation, descriptions in described.items():
            assert all(descriptions.values()), (relation, descriptions)
            assert there[relation] == descriptions, relation


@pytest.mark.built
def test_sources_functions_and_exposures_are_described_as_they_are(
    conn: Connection[TupleRow], dbt: Dbt
) -> None:
    dbt("ls", "--select", "dim_sources")
    assert dbt.manifest is not None
    there = comments_of(conn)
    for source in dbt.manifest.sources.values():
        described = {name: column.description for name, column in source.columns.items()}
        assert all(described.values()), (source.name, described)
        columns = set(there[(source.schema, source.identifier)]) - {None}
        assert set(described) == columns, source.name
        assert source.description
    for function in dbt.manifest.functions.values():
        assert function.description
        assert all(argument.description for argument in function.arguments), function.name

    read = {
        "activity_board": "\n".join(path.read_text() for path in PROJECT.glob("charts/*.yml")),
        "loader_commands": (PROJECT / "loader/database/activity.py").read_text(),
    }
    models = [node for node in dbt.manifest.nodes.values() if isinstance(node, ModelNode)]
    for exposure in dbt.manifest.exposures.values():
        if exposure.name in read:
            named = {
                node.unique_id
                for node in models
                if f"ref('{node.name}')" in read[exposure.name]
                or f'"{node.name}"' in read[exposure.name]
            }
            assert set(exposure.depends_on.nodes) == named, exposure.name
        else:
            assert exposure.name == "bi_weekly_review"
