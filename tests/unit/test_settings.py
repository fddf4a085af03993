from pathlib import Path

import pytest

from loader.settings import read_settings


@pytest.mark.parametrize(
    ("option", "environ", "dsn"),
    [
        (None, {}, None),
        (None, {"PGHOST": "", "LOADER_DSN": ""}, None),
        (None, {"PGOPTIONS": "-c x=y", "PGTZ": "UTC"}, None),
        (None, {"PGHOST": "h", "PGUSER": "u", "PGDATABASE": "d"}, ""),
        (None, {"PGHOST": "h"}, "dbname=postgres user=postgres"),
        (None, {"PGDATABASE": "d"}, "host=localhost user=postgres"),
        (None, {"PGSERVICE": "s"}, ""),
        (None, {"LOADER_DSN": "host=l", "PGHOST": "h"}, "host=l"),
        ("host=o", {"LOADER_DSN": "host=l", "PGHOST": "h"}, "host=o"),
    ],
)
def test_the_nearest_place_that_names_a_database_wins(
    option: str | None, environ: dict[str, str], dsn: str | None
) -> None:
    assert read_settings(dsn=option, environ=environ, cwd=Path("/")).dsn == dsn


def test_the_project_is_where_dbt_project_is(tmp_path: Path) -> None:
    (tmp_path / "dbt_project.yml").touch()
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert read_settings(environ={}, cwd=below).project_dir == tmp_path
    (tmp_path / "dbt_project.yml").unlink()
    assert read_settings(environ={}, cwd=below).project_dir == below


def test_zero_does_not_switch_debugging_on() -> None:
    assert [read_settings(environ={"LOADER_DEBUG": value}).debug for value in ("", "0", "1")] == [
        False,
        False,
        True,
    ]
    assert read_settings(environ={"DBT_SCHEMA": ""}).dbt_schema == "analytics"
