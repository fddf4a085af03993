"""Models of people's own below ``models/marts``: they get what dbt alone would give them."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from tests.support.dbt import Dbt, copy_project, messages, read_manifest
from tests.support.ledger import Ledger
from tests.support.scenarios import scenario

ALONE = """
name: alone
version: 1.0.0
config-version: 2
profile: video_events
models:
  +contract: {enforced: true}
"""
MODELS = {
    "parent.sql": "{{ config(materialized='table') }} select 1 as parent_id",
    "every_demand.sql": """
        {{ config(materialized='table', unlogged=true) }}
        select
            1 as id, 1 as parent_id, 1.005 as amount, 'abcde'::varchar as name,
            'x'::bpchar as letter, 'b'::text as sorted,
            '2024-05-13 12:00:00.123456Z'::timestamptz as seen_at, 3 as "Odd name"
    """,
    "in_batches.sql": """
        {{ config(
            materialized='incremental', unique_key='id', incremental_strategy='delete+insert',
            on_schema_change='append_new_columns',
        ) }}
        select 1 as id, {{ env_var('AMOUNT', '200') }}::numeric as amount
    """,
    "growing.sql": """
        {{ config(
            materialized='incremental', contract={'enforced': false},
            on_schema_change='append_new_columns',
        ) }}
        select 'short'::varchar({{ 9 if env_var('GROWN', '') else 5 }}) as name
        {%- if env_var('GROWN', '') %}, 2 as more{% endif %}
    """,
    "_models.yml": """
models:
  - name: parent
    columns:
      - {name: parent_id, data_type: int, constraints: [{type: not_null}, {type: primary_key}]}
  - name: every_demand
    constraints:
      - {type: check, expression: amount < id * 1000, name: is_small}
      - {type: unique, columns: [name, letter]}
      - type: foreign_key
        columns: [parent_id]
        to: ref('parent')
        to_columns: [parent_id]
    columns:
      - {name: id, data_type: int, constraints: [{type: primary_key}]}
      - {name: parent_id, data_type: int, constraints: [{type: not_null}]}
      - name: amount
        data_type: numeric(10,2)
        constraints: [{type: check, expression: amount > 1}]
      - {name: name, data_type: varchar(5), constraints: [{type: unique}]}
      - {name: letter, data_type: char}
      - {name: sorted, data_type: text, constraints: [{type: custom, expression: 'collate "C"'}]}
      - {name: seen_at, data_type: timestamptz(3)}
      - {name: Odd name, data_type: int, quote: true, constraints: [{type: not_null}]}
  - name: in_batches
    columns:
      - {name: id, data_type: int, constraints: [{type: not_null}, {type: unique}]}
      - name: amount
        data_type: numeric(10,2)
        constraints: [{type: check, expression: amount > 100}]
""",
}
# Of each of them dbt has something to say that is a failure to us.
ODD = {
    "warns.sql": "{% if execute %}{% do exceptions.warn('it is odd') %}{% endif %} select 1 as id",
    "hooked.sql": "{{ config(post_hook='select 1 / 0') }} select 1 as id",
    "typed.sql": "select '1'::xid8 as id",
    "sound.sql": "select 1 as id",
    "_models.yml": """
models:
  - {name: typed, columns: [{name: id, data_type: xid8}], config: {contract: {enforced: true}}}
""",
}
DEPRECATED = """
models:
  - {name: sound, deprecation_date: 2020-01-01}
"""
SHAPE = """
select
    tables.relname, tables.relpersistence,
    (select jsonb_agg(jsonb_build_array(
        attname, format_type(atttypid, atttypmod), attcollation::regcollation, attnotnull
     ) order by attname)
     from pg_attribute where attrelid = tables.oid and attnum > 0 and not attisdropped),
    (select jsonb_agg(replace(pg_get_constraintdef(oid), %s, '') order by conname)
     from pg_constraint where conrelid = tables.oid)
from pg_class as tables
where tables.relnamespace = %s::regnamespace and tables.relname = any (%s)
order by tables.relname
"""


def test_contracts_hold_as_dbt_alone_makes_them_hold(
    tmp_path: Path, conn: Connection[TupleRow], dbt: Dbt, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = tmp_path / "alone"
    ours = copy_project(tmp_path / "ours")
    for models in (alone / "models", ours / "models" / "marts" / "mine"):
        models.mkdir(parents=True)
        for name, text in MODELS.items():
            (models / name).write_text(text)
    (alone / "dbt_project.yml").write_text(ALONE)

    found = {}
    names = [name.removesuffix(".sql") for name in MODELS if name.endswith(".sql")]
    for project in (alone, ours):
        monkeypatch.setenv("DBT_SCHEMA", project.name)
        some = replace(dbt, project=project, target=tmp_path / f"target-{project.name}")
        some("run", "--select", *names)
        with monkeypatch.context() as later:
            later.setenv("GROWN", "yes")
            later.setenv("AMOUNT", "300.005")
            some("run", "--select", "in_batches", "growing")
        found[project.name] = (
            conn.execute(SHAPE, [f"{project.name}.", project.name, names]).fetchall(),
            conn.execute(f"select * from {project.name}.every_demand".encode()).fetchall(),
            conn.execute(f"select * from {project.name}.in_batches".encode()).fetchall(),
            conn.execute(f"select * from {project.name}.growing".encode()).fetchall(),
        )
    assert found["ours"] == found["alone"]
    shapes = {row[0]: row[1:] for row in found["ours"][0]}
    assert shapes["every_demand"][0] == "u"
    assert {"PRIMARY KEY (id)", "UNIQUE (name, letter)"} <= set(shapes["every_demand"][2])
    assert found["ours"][3] == [("short", None), ("short", 2)]


@pytest.mark.built
def test_a_model_of_ours_that_breaks_its_contract_is_refused(dbt: Dbt, ledger: Ledger) -> None:
    """A view whose contract alone is another one, and a batch."""
    dbt.manifest = read_manifest(dbt.parsed())
    broken = ("rpt_activity_periods", "fct_hourly_detections")
    for name in broken:
        columns = dbt.manifest.nodes[f"model.video_events.{name}"].columns
        columns["event_count"].data_type = "int"
    # A crash would empty it, and leave its mark.
    dbt.manifest.nodes["model.video_events.dim_sources"].config["unlogged"] = True
    ledger.load(scenario(0, random.Random(0)))
    result = dbt.attempt("run", "--select", *broken, "dim_sources")
    assert not result.success
    said = messages(result)
    assert said.count("This model has an enforced contract that failed") == len(broken)
    assert "dim_sources is to be unlogged" in said


def test_what_dbt_warns_of_fails_in_tests(tmp_path: Path, dbt: Dbt) -> None:
    """Tests leave out what dbt does for its log: they must not leave out what is wrong."""
    models = tmp_path / "alone" / "models"
    models.mkdir(parents=True)
    for name, text in ODD.items():
        (models / name).write_text(text)
    file = models.parent / "dbt_project.yml"
    file.write_text(
        "{name: alone, version: 1.0.0, profile: video_events,"
        " on-run-end: \"select 1 / {{ var('divisor', 1) }}\"}"
    )
    some = replace(dbt, project=models.parent)

    assert some.attempt("run", "--select", "sound").success
    result = some.attempt("run", "--exclude", "sound")
    said = messages(result)
    assert not result.success
    assert len(said.splitlines()) > 3
    for reason in ("it is odd", "division by zero", "5069"):
        assert reason in said, said
    assert not some.attempt("run", "--select", "sound", "--vars", "divisor: 0").success

    (models / "_deprecated.yml").write_text(DEPRECATED)
    with pytest.raises(AssertionError, match="deprecat"):
        replace(some, manifest=None).attempt("run", "--select", "sound")
