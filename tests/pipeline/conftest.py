"""dbt on the database of a test."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from loader.server.cluster import Cluster
from tests.conftest import TEMPLATE, Outcome, new_database, variables_of
from tests.support.dbt import PROJECT, Dbt
from tests.support.ledger import Ledger
from tests.support.processes import Processes

# What dbt has parsed names the database: with one name, it serves all tests.
DATABASE = "events"


BUILT = "template_built"


@pytest.fixture
def database(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a new database with the raw schema; of a test marked built, with all models."""
    is_built = request.node.get_closest_marker("built")
    template = request.getfixturevalue("built") if is_built else TEMPLATE
    with new_database(cluster, DATABASE, template):
        yield DATABASE


@pytest.fixture(scope="session")
def built(cluster: Cluster, manifests: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A template database with all models, built when nothing was loaded."""
    directory = tmp_path_factory.mktemp("built")
    with pytest.MonkeyPatch.context() as environment, new_database(cluster, DATABASE):
        for name in [name for name in os.environ if name.startswith(("PG", "LOADER_", "DBT_"))]:
            environment.delenv(name)
        for name, value in variables_of(cluster, DATABASE).items():
            environment.setenv(name, value)
        write_profiles(directory)
        Dbt(profiles=directory, target=directory / "target", manifests=manifests).build()
        with psycopg.connect(cluster.dsn(), autocommit=True) as admin:
            admin.execute(f"create database {BUILT} template {DATABASE}".encode())
    return BUILT


@pytest.fixture(scope="session")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of what dbt has parsed, which all workers share."""
    base = tmp_path_factory.getbasetemp()
    directory = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "manifests"
    directory.mkdir(exist_ok=True)
    return directory


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
    write_profiles(directory)
    return directory


def write_profiles(directory: Path) -> None:
    """Write the example profile, which reads the environment."""
    shutil.copy(PROJECT / "profiles.example.yml", directory / "profiles.yml")


@pytest.fixture
def dbt(
    run_loader: Callable[..., Outcome],  # noqa: ARG001 - first, it clears the environment
    pg_environment: dict[str, str],
    profiles: Path,
    manifests: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Dbt:
    """Return dbt on the new database."""
    for name, value in pg_environment.items():
        if name.startswith("PG"):
            monkeypatch.setenv(name, value)
    monkeypatch.delenv("DBT_SCHEMA", raising=False)
    return Dbt(profiles=profiles, target=tmp_path / "target", manifests=manifests)


@pytest.fixture
def processes(dsn: str, dbt: Dbt, tmp_path: Path) -> Iterator[Processes]:
    """Start loaders and dbt as processes of their own; all of them have ended afterwards."""
    some = Processes(dsn=dsn, commands=dbt, directory=tmp_path)
    yield some
    for process in some.started:
        process.kill()
        process.join()


@pytest.fixture
def builds(dbt: Dbt, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the builds of the loader find profiles, leave tests out, and write elsewhere."""
    monkeypatch.setenv("DBT_PROFILES_DIR", str(dbt.profiles))
    monkeypatch.setenv("DBT_TARGET_PATH", str(dbt.target))
    monkeypatch.setenv("DBT_LOG_PATH", str(dbt.target))
    monkeypatch.setenv("DBT_EXCLUDE_RESOURCE_TYPES", "test unit_test")
