"""dbt on the database of a test."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Outcome
from tests.support.dbt import PROJECT, Dbt
from tests.support.ledger import Ledger


@pytest.fixture
def ledger(run_loader: Callable[..., Outcome], tmp_path: Path) -> Ledger:
    """The loader on the new database."""
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    return Ledger(run_loader=run_loader, inbox=inbox)


@pytest.fixture
def profiles(tmp_path: Path) -> Path:
    """A directory with the example profile, which reads the environment."""
    directory = tmp_path / "profiles"
    directory.mkdir()
    example = (PROJECT / "profiles.example.yml").read_text()
    (directory / "profiles.yml").write_text(example)
    return directory


@pytest.fixture
def dbt(
    run_loader: Callable[..., Outcome],  # noqa: ARG001 - first, it clears the environment
    pg_environment: dict[str, str],
    profiles: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Dbt:
    """Return dbt on the new database."""
    for name, value in pg_environment.items():
        if name.startswith("PG"):
            monkeypatch.setenv(name, value)
    monkeypatch.delenv("DBT_SCHEMA", raising=False)
    return Dbt(profiles=profiles, target=tmp_path / "target")


@pytest.fixture
def builds(dbt: Dbt, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the builds of the loader find profiles, leave tests out, and write elsewhere."""
    monkeypatch.setenv("DBT_PROFILES_DIR", str(dbt.profiles))
    monkeypatch.setenv("DBT_TARGET_PATH", str(dbt.target))
    monkeypatch.setenv("DBT_LOG_PATH", str(dbt.target))
    monkeypatch.setenv("DBT_EXCLUDE_RESOURCE_TYPES", "test unit_test")
