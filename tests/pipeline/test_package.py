"""Another project installs this one as a package."""

import re
import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from dbt.cli.main import dbtRunner
from psycopg import Connection
from psycopg.rows import TupleRow

from tests.support.dbt import PROJECT, Dbt
from tests.support.ledger import Ledger
from tests.support.scenarios import Event

OTHER = Path(__file__).parent / "other_project"
NOON = datetime(2024, 5, 13, 12, tzinfo=UTC)
WITHOUT_UNIT_TESTS = ("--exclude-resource-type", "unit_test")
MARTS = (
    "fct_activity_periods", "fct_category_activity_periods", "fct_hourly_detections",
    "fct_daily_activity", "dim_sources", "dim_event_types",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Other:
    """The other project, building into a schema of its own.

    Attributes:
        dbt: dbt on this project.
        schema: where it builds.
        conn: a connection to the database.
    """

    dbt: Dbt
    schema: str
    conn: Connection[TupleRow]

    def build(self, *options: str) -> tuple[dict[str, str], list[TupleRow]]:
        """Build all; return the SQL that dbt ran for the project's own nodes, and what is there."""
        shutil.rmtree(self.dbt.target / "run", ignore_errors=True)
        self.dbt("build", *options)
        ran = self.dbt.target / "run" / "other"
        statements = {
            str(path.relative_to(ran)): self._neutral(path.read_text())
            for path in ran.rglob("*.*")
            if path.is_file() and "on_video_events" not in path.parts
        }
        return statements, self._catalogue()

    def _neutral(self, text: str) -> str:
        """Leave out the names of schemas and the times in names of temporary tables."""
        return re.sub(r"__dbt_tmp\d+", "__dbt_tmp", text.replace(self.schema, "SCHEMA"))

    def _catalogue(self) -> list[TupleRow]:
        return self.conn.execute(
            "select relname, relkind, relacl::text, obj_description(oid),"
            " array(select format('%%s %%s', attname, format_type(atttypid, atttypmod))"
            "     from pg_attribute where attrelid = relations.oid and attnum > 0 order by attnum),"
            " array(select pg_get_constraintdef(oid) from pg_constraint"
            "     where conrelid = relations.oid order by conname)"
            " from pg_class as relations where relnamespace = %s::regnamespace"
            " and relkind in ('r', 'v') and relname = any(%s) order by relname",
            [self.schema, ["visits", "amounts", "counted", "colours", "visits_over_time"]],
        ).fetchall()


@pytest.fixture
def other_dbt(dbt: Dbt, tmp_path: Path) -> Dbt:
    """Return dbt on a copy of the other project."""
    project = tmp_path / "other"
    shutil.copytree(OTHER, project)
    return replace(dbt, project=project, target=tmp_path / "other_target")


def test_its_own_models_are_as_without_it_and_the_law_holds(
    conn: Connection[TupleRow],
    other_dbt: Dbt,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DBT_SCHEMA", "alone")
    alone = Other(dbt=without_package(other_dbt), schema="alone", conn=conn)
    expected = [alone.build(), alone.build(), alone.build("--full-refresh")]

    monkeypatch.setenv("DBT_SCHEMA", "joint")
    joint = Other(dbt=with_package(other_dbt), schema="joint", conn=conn)
    ledger.load([Event("gate", NOON, "van"), Event("gate", NOON + timedelta(seconds=90), "van")])
    found = [joint.build(*WITHOUT_UNIT_TESTS)]
    # Those of one model show that they can be run here; its others are as in its own project.
    joint.dbt("test", "--select", "fct_activity_periods,test_type:unit")
    # The gap is a var, the name that of `generate_alias_name` of the other project.
    assert conn.execute(
        "select event_count from joint_marts.ve_fct_activity_periods"
    ).fetchall() == [(2,)]
    withdrawn = ledger.load([Event("gate", NOON - timedelta(minutes=n), "van") for n in range(9)])
    ledger.load([Event("door", NOON, "bicycle")])
    ledger.withdraw(withdrawn)
    # Who names the package here, as many packages ask to, gets nothing else.
    declare(
        other_dbt.project,
        dispatch=[{"macro_namespace": "dbt", "search_order": ["other", "video_events", "dbt"]}],
    )
    joint = replace(joint, dbt=replace(joint.dbt, manifest=None))
    found.append(joint.build(*WITHOUT_UNIT_TESTS))
    incremental = marts(conn)
    found.append(joint.build(*WITHOUT_UNIT_TESTS, "--full-refresh"))

    assert found == expected
    assert marts(conn) == incremental
    assert conn.execute("table joint.busy_sources order by 1").fetchall() == [
        ("door", 1),
        ("gate", 2),
    ]
    schemas = conn.execute(
        "select table_schema from information_schema.tables where table_schema like 'joint%'"
        " group by table_schema order by table_schema"
    ).fetchall()
    named = ("joint", "joint_marts", "joint_seeds", "joint_staging")
    # The marks, and what this project wants to be inside.
    assert {name for (name,) in schemas} == {*named, "joint_internal", "joint_marts_internal"}


def test_macros_are_described_and_none_can_be_dispatched_to_by_another_project() -> None:
    """It would hold for models of that project too; see decision 0024."""
    texts = [path.read_text() for path in (PROJECT / "macros").rglob("*.sql")]
    declared = re.findall(r"\{%-? macro (\w+)\((.*?)\)", "\n".join(texts))
    names = [name for name, _ in declared]
    assert [name for name in names if name.startswith(("postgres__", "default__"))] == []
    # Those that begin with `_` are described where they stand, those of changes once.
    called = {
        name: re.findall(r"(\w+)(?:=\S+)?(?:, |$)", arguments)
        for name, arguments in declared
        if not name.startswith("_") and arguments != "stored, batch"
    }
    described = yaml.safe_load((PROJECT / "macros" / "_macros.yml").read_text())["macros"]
    assert all(
        thing["description"]
        for macro in described
        for thing in [macro, *macro.get("arguments", [])]
    )
    assert called == {
        macro["name"]: [argument["name"] for argument in macro.get("arguments", [])]
        for macro in described
    }


def declare(project: Path, **settings: Any) -> None:
    """Add settings to the project; None removes what is there."""
    path = project / "dbt_project.yml"
    declared = yaml.safe_load(path.read_text()) | settings
    path.write_text(yaml.safe_dump({k: v for k, v in declared.items() if v is not None}))


def without_package(dbt: Dbt) -> Dbt:
    """Return dbt on a copy of the project that knows nothing of this one."""
    project = dbt.project.with_name("alone")
    shutil.copytree(dbt.project, project)
    shutil.rmtree(project / "models" / "on_video_events")
    own_models = yaml.safe_load((project / "dbt_project.yml").read_text())["models"]
    del own_models["video_events"]
    unset = dict.fromkeys(("vars", "seeds", "exposures", "metrics", "semantic-models"))
    declare(project, models=own_models, **unset)
    return replace(dbt, project=project, target=dbt.target.with_name("alone_target"))


def with_package(dbt: Dbt) -> Dbt:
    """Install this project into the other one."""
    packages = {"packages": [{"local": str(PROJECT)}]}
    (dbt.project / "packages.yml").write_text(yaml.safe_dump(packages))
    places = ("--project-dir", str(dbt.project), "--profiles-dir", str(dbt.profiles))
    result = dbtRunner().invoke(["deps", *places, "--quiet"])
    assert result.success, result.exception
    return dbt


def marts(conn: Connection[TupleRow]) -> dict[str, list[TupleRow]]:
    """Return the rows of each mart of the package."""
    query = "select * from joint_marts.ve_{} as mart order by mart::text"
    return {name: conn.execute(query.format(name).encode()).fetchall() for name in MARTS}
