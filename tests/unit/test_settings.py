from pathlib import Path

import pytest
import yaml
from jinja2 import Environment

from loader.settings import Settings, read_settings


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


@pytest.mark.parametrize("unset", [None, ""])
def test_an_empty_variable_is_none_for_the_profile_of_dbt_either(unset: str | None) -> None:
    profiles = Path(__file__).parents[2] / "profiles.example.yml"
    template = Environment(autoescape=False)  # noqa: S701 - no page
    template.filters["as_number"] = int
    rendered = template.from_string(profiles.read_text()).render(
        env_var=lambda name, default: default if unset is None or name == "PGHOST" else unset
    )
    found = yaml.safe_load(rendered)["video_events"]["outputs"]["default"]
    assert (found["host"], found["port"], found["user"]) == ("localhost", "5432", "postgres")
    assert (found["dbname"], found["schema"], found["threads"]) == ("postgres", "analytics", "4")
    assert (found["password"], found["sslmode"]) == ("", "prefer")


@pytest.mark.parametrize("name", ["dbt_project.yml", "loader.toml"])
def test_the_project_is_around_us_else_the_one_that_we_were_installed_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    below = tmp_path / "project" / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / "project" / name).touch()
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout" / "dbt_project.yml").touch()
    packages = tmp_path / "site-packages"

    def settings(cwd: Path, installed_from: Path, **environ: str) -> Settings:
        return read_settings(environ=environ, cwd=cwd, installed_from=installed_from)

    inside = settings(below, tmp_path / "checkout")
    assert inside.project_dir == tmp_path / "project"
    assert inside.server_dir == tmp_path / "project" / ".postgres"
    elsewhere = settings(tmp_path, tmp_path / "checkout")
    assert elsewhere.project_dir == tmp_path / "checkout"
    assert elsewhere.server_dir == tmp_path / "checkout" / ".postgres"
    assert elsewhere.server_of == f"the project {tmp_path}/checkout"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    without = settings(tmp_path, packages)
    assert without.project_dir == tmp_path
    assert without.server_dir == tmp_path / "home/.local/share/video-events/server"
    told = settings(tmp_path, packages, XDG_DATA_HOME=str(tmp_path / "data"))
    assert told.server_dir == tmp_path / "data/video-events/server"


def test_zero_does_not_switch_debugging_on() -> None:
    assert [read_settings(environ={"LOADER_DEBUG": value}).debug for value in ("", "0", "1")] == [
        False,
        False,
        True,
    ]
    assert read_settings(environ={"DBT_SCHEMA": ""}).dbt_schema == "analytics"
