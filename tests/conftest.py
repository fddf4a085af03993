"""PostgreSQL servers and databases for the tests.

``--postgres embedded|15|BIN_DIR`` chooses the server: that of the wheel (default), the system's
PostgreSQL 15, or any directory with its programs. Every pytest-xdist worker has its own.
"""

import io
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import hypothesis
import psycopg
import pytest
from psycopg import Connection

from loader.cli import main
from loader.database.connection import connect
from loader.database.schema import ensure_schema
from loader.server.cluster import SETTINGS, Cluster
from loader.server.embedded import ensure_system_user, find_programs, reachable_programs


def examples(number: int) -> int:
    """Return how many examples are tried of those that `make soak` tries: a third, or all there."""
    return number if "FUZZ_EXAMPLES" in os.environ else number // 3


# How long an example takes says more about the machine than about the code. CI tries the same
# examples each time: what it says is about the change. Everybody else looks for new ones.
hypothesis.settings.register_profile(
    "patient",
    deadline=None,
    derandomize="CI" in os.environ,
    max_examples=examples(100),
)
hypothesis.settings.load_profile("patient")

ROOT = Path(__file__).parents[1]
TEMPLATE = "template_raw"
LONGEST = (
    "test_dbt_commands", "test_law", "test_crashes", "test_retention_crashes", "test_kafka_crashes",
    "test_concurrency", "test_server_crashes", "test_migrate", "test_silence", "test_cluster",
    "test_share_by_source", "test_retention", "test_restored", "test_readers", "test_defer",
    "test_roles", "test_builds", "test_marts", "test_site", "test_board",
)  # fmt: skip
# They parse projects that no other test has; the first time costs a process four times the next.
PARSING = ("test_dbt_commands", "test_own_models", "test_package", "test_seeds")
# The last of them have begun when so much of the others is done: what comes last is short.
LAST = 0.85
# The version before, and the last one that did not look at raw.schema_version.
PREVIOUS = "88292b17104f544d552f992ea4a5feb8572e7cfd"
# Tests want speed, and their data does not outlive them. Compiling a query of a thousand
# expressions takes seconds, on the builds of PostgreSQL that do it.
UNSAFE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "jit": "off"}


def pytest_configure() -> None:
    """Let Ctrl-C reach what tests start, though a shell has started them in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--postgres",
        default="embedded",
        help="the PostgreSQL to test on: embedded, a major version such as 15, or a directory",
    )
    parser.addoption(
        "--citus",
        metavar="DSN",
        help="a database of a Citus cluster, named *test*, which the tests empty: its superuser's",
    )


# First, for xdist reads the groups when its turn comes.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep together, when tests are spread over workers, those that share something prepared.

    What takes longest comes first, so that nobody waits for it at the end; and of each folder as
    much at any time, as some work while others wait.
    """
    folders: dict[str, list[pytest.Item]] = {}
    for item in sorted(items, key=place_among_longest):
        folders.setdefault(item.path.relative_to(ROOT).parts[1], []).append(item)
    place = {
        item: number / len(folder) * (LAST if name == "pipeline" else 1)
        for name, folder in folders.items()
        for number, item in enumerate(folder)
    }
    items.sort(key=lambda item: place[item])
    for item in items:
        fixtures = getattr(item, "_fixtureinfo").name2fixturedefs.values()  # noqa: B009
        if any(one.scope == "module" for found in fixtures for one in found):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.split("::")[0]))
        elif item.path.stem in PARSING:
            item.add_marker(pytest.mark.xdist_group("parsing"))


def place_among_longest(item: pytest.Item) -> int:
    """Return which of the longest a test is; the number of those for any other."""
    stem = item.path.stem
    return LONGEST.index(stem) if stem in LONGEST else len(LONGEST)


@pytest.fixture
def generator() -> random.Random:
    """Random numbers; a test that fails shows the seed, and TEST_SEED gives them again."""
    seed = new_seed()
    print(f"TEST_SEED={seed}")  # noqa: T201
    return random.Random(seed)


def new_seed() -> int:
    """Return a new seed, or the one that is asked for."""
    return int(os.environ.get("TEST_SEED", random.randrange(2**32)))


@pytest.fixture(scope="session")
def postgres_programs(request: pytest.FixtureRequest) -> Path:
    """The directory with the programs of the PostgreSQL to test on."""
    choice = str(request.config.getoption("--postgres"))
    if choice == "embedded":
        directory = find_programs()
        return reachable_programs(directory, ensure_system_user()) if is_root() else directory
    directory = Path(f"/usr/lib/postgresql/{choice}/bin") if choice.isdigit() else Path(choice)
    if not (directory / "initdb").exists():
        pytest.skip(f"no PostgreSQL programs in {directory}")
    return directory


@pytest.fixture(scope="session")
def make_cluster(postgres_programs: Path) -> Iterator[Callable[[], Cluster]]:
    """Create a cluster of one's own, which is deleted at the end of the session."""
    clusters: list[Cluster] = []

    def make() -> Cluster:
        # Not below pytest's directory, which the user that runs the server cannot enter.
        home = Path(tempfile.gettempdir()) / f"video-events-test-{uuid.uuid4().hex[:12]}"
        run_as = ensure_system_user() if is_root() else None
        cluster = Cluster(
            bin_dir=postgres_programs, home=home, run_as=run_as, settings={**SETTINGS, **UNSAFE}
        )
        clusters.append(cluster)
        return cluster

    yield make
    for cluster in clusters:
        cluster.destroy()
        shutil.rmtree(cluster.home, ignore_errors=True)


@pytest.fixture(scope="session")
def cluster(make_cluster: Callable[[], Cluster]) -> Cluster:
    """A running server, with a template database that has the raw schema."""
    cluster = make_cluster()
    cluster.start()
    cluster.ensure_database(TEMPLATE)
    with connect(cluster.dsn(TEMPLATE)) as conn:
        ensure_schema(conn)
    return cluster


_numbers = count(1)


@pytest.fixture
def database(cluster: Cluster) -> Iterator[str]:
    """The name of a new database with the raw schema."""
    with new_database(cluster, f"test_{next(_numbers)}") as name:
        yield name


@contextmanager
def new_database(cluster: Cluster, name: str, template: str = TEMPLATE) -> Iterator[str]:
    """Create a database with what a template holds, and drop it at the end."""
    with psycopg.connect(cluster.dsn(), autocommit=True) as admin:
        admin.execute(f"create database {name} template {template}".encode())
        yield name
        admin.execute(f"drop database {name} with (force)".encode())


@pytest.fixture
def dsn(cluster: Cluster, database: str) -> str:
    """The DSN of a new database with the raw schema."""
    return cluster.dsn(database)


@pytest.fixture
def archive_dsn(cluster: Cluster) -> Iterator[str]:
    """The DSN of a second new database with the raw schema."""
    with new_database(cluster, f"archive_{next(_numbers)}") as name:
        yield cluster.dsn(name)


@pytest.fixture
def conn(dsn: str) -> Iterator[Connection]:
    """A connection, in autocommit mode, to the new database."""
    with connect(dsn, purpose="test") as connection:
        yield connection


@pytest.fixture
def citus_dsn(request: pytest.FixtureRequest) -> str:
    """The DSN of an empty database of a cluster of at least two nodes, not distributed yet."""
    dsn = request.config.getoption("--citus")
    if dsn is None:
        pytest.skip("no cluster was named: make citus CITUS_DSN=..., see docs/howto")
    with psycopg.connect(dsn, autocommit=True) as admin:
        assert "test" in admin.info.dbname, "the tests empty this database: name it so"
        admin.execute("drop view if exists raw.events cascade")
        schemas = "raw, analytics, analytics_internal, analytics_by_source"
        admin.execute(f"drop schema if exists {schemas} cascade".encode())
    return str(dsn)


@pytest.fixture
def pg_environment(cluster: Cluster, database: str) -> dict[str, str]:
    """The environment in which dbt, psql and the loader find the new database."""
    return environment_of(cluster, database)


def environment_of(cluster: Cluster, database: str) -> dict[str, str]:
    """Return an environment that names a database, and no other one."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "LOADER_", "DBT_"))}
    return {**kept, **variables_of(cluster, database)}


def variables_of(cluster: Cluster, database: str) -> dict[str, str]:
    """Return the variables that name a database."""
    return {
        "PGHOST": str(cluster.socket_dir),
        "PGPORT": "5432",
        "PGUSER": "postgres",
        "PGDATABASE": database,
    }


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a command did: its exit code and what it printed."""

    exit_code: int
    stdout: str
    stderr: str


@pytest.fixture
def environment(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have commands find the new database, and nothing of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith(("PG", "LOADER_", "DBT_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LOADER_DSN", dsn)


@pytest.fixture
def run_loader(
    environment: None,  # noqa: ARG001
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Outcome]:
    """Run a ``loader`` command on the new database, in this process; with variables, if need be."""

    def run(*arguments: str | Path, **variables: str) -> Outcome:
        capsys.readouterr()
        with monkeypatch.context() as changes:
            for name, value in variables.items():
                changes.setenv(name, value)
            exit_code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(exit_code=exit_code, stdout=captured.out, stderr=captured.err)

    return run


@pytest.fixture
def start_loader(
    environment: None,  # noqa: ARG001
) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Start `loader ...` as a process of its own; those still running at the end are killed."""
    processes: list[subprocess.Popen[str]] = []

    def start(*arguments: str | Path, **changes: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", "loader", *map(str, arguments)],
            env={**os.environ, **changes},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the version before: the package and the dbt project."""
    found = subprocess.run(["git", "archive", PREVIOUS], cwd=ROOT, capture_output=True, check=False)
    if found.returncode != 0:
        pytest.skip(f"this clone has no history back to {PREVIOUS[:7]}")
    folder = tmp_path_factory.mktemp("previous")
    with tarfile.open(fileobj=io.BytesIO(found.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def run_previous(
    start_loader: Callable[..., subprocess.Popen[str]], previous: Path
) -> Callable[..., tuple[int, str]]:
    """Run a command of the version before; return its exit code and what it said."""

    def run(*arguments: str | Path) -> tuple[int, str]:
        process = start_loader(*arguments, PYTHONPATH=str(previous), PYTHONSAFEPATH="1")
        said = "".join(process.communicate())
        return process.returncode, said

    return run


def is_root() -> bool:
    """Tell whether the tests run as root, for whom PostgreSQL does not start."""
    return os.geteuid() == 0
