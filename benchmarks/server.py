"""A server of the benchmarks' own, with the settings that the embedded server has."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

from loader.database.schema import ensure_schema
from loader.server.cluster import SETTINGS, Cluster
from loader.server.embedded import ensure_system_user, find_programs, reachable_programs
from loader.server.postmaster import PORT

PROJECT = Path(__file__).parents[1]
# What log_statement_stats writes of a statement. Its node stands in the comment that dbt puts
# before it.
_STATEMENT = re.compile(
    r"!\t([0-9.]+) s user, ([0-9.]+) s system, ([0-9.]+) s elapsed\n(?:\t!.*\n)*"
    r'.*STATEMENT: .*"node_id": "model\.video_events\.(\w+)"'
)


@dataclass(kw_only=True)
class Spent:
    """What a server spent on something, in seconds.

    Attributes:
        elapsed: from the beginning of its statements to their end, added up.
        processor: of these, on a processor. On a machine that does other things too this is what
            can be compared; that of parallel workers is not in it.
    """

    elapsed: float = 0.0
    processor: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One database on the benchmarks' server, and a place for files.

    Attributes:
        cluster: the server.
        database: the database.
        folder: the place for files.
        host: for a way other than by its socket.
    """

    cluster: Cluster
    database: str
    folder: Path
    host: str | None = None

    @property
    def uri(self) -> str:
        """Where the database is, as drivers want it that are not of libpq."""
        host = self.host or quote(str(self.cluster.socket_dir), safe="")
        return f"postgresql://postgres@{host}:{PORT}/{self.database}"

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which the loader, dbt and psql find the database."""
        ours = ("PG", "LOADER_", "DBT_", "PYTHONDONTWRITEBYTECODE")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        return kept | {
            "PGHOST": self.host or str(self.cluster.socket_dir),
            "PGUSER": "postgres",
            "PGDATABASE": self.database,
            "DBT_PROFILES_DIR": str(self.folder),
            "DBT_TARGET_PATH": str(self.folder / "target"),
            "DBT_LOG_PATH": str(self.folder / "logs"),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        }

    def run(self, *command: str) -> str:
        """Run a command of the project and return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=PROJECT, env=self.environment, check=False, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def dbt(self, *arguments: str) -> dict[str, Spent]:
        """Run dbt and return what the server spent on each model."""
        start = self.cluster.log_file.stat().st_size
        self.run("dbt.cli.main", *arguments)
        spent: dict[str, Spent] = {}
        with self.cluster.log_file.open(errors="replace") as log:
            log.seek(start)
            for user, system, elapsed, model in _STATEMENT.findall(log.read()):
                of_model = spent.setdefault(model, Spent())
                of_model.elapsed += float(elapsed)
                of_model.processor += float(user) + float(system)
        return spent

    def sql(self, statement: str) -> list[Any]:
        """Run a statement and return its rows."""
        with psycopg.connect(self.cluster.dsn(self.database), autocommit=True) as conn:
            cursor = conn.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


@contextmanager
def bench_server(
    programs: Path | None = None, *, log_statements: bool = True, **settings: str
) -> Iterator[Cluster]:
    """Start a server in a temporary directory, and remove it afterwards.

    Args:
        programs: of which PostgreSQL; None for the one that comes along.
        log_statements: needed to know what the server spends on a model of dbt.
        settings: of the server, on top of those that the embedded one has.
    """
    is_root = os.geteuid() == 0
    has_own = programs is None
    programs = programs or find_programs()
    home = Path(tempfile.mkdtemp(prefix="video-events-bench-"))
    cluster = Cluster(
        bin_dir=reachable_programs(programs, ensure_system_user())
        if is_root and has_own
        else programs,
        home=home,
        run_as=ensure_system_user() if is_root else None,
        settings={
            **SETTINGS,
            **settings,
            "log_statement_stats": "on" if log_statements else "off",
        },
    )
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.destroy()
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def bench_database(cluster: Cluster, database: str, *, has_seeds: bool = True) -> Iterator[Bench]:
    """Create a database with the raw schema and dbt's seeds, and drop it afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(cluster=cluster, database=database, folder=Path(folder))
        shutil.copy(PROJECT / "profiles.example.yml", bench.folder / "profiles.yml")
        cluster.ensure_database(database)
        with psycopg.connect(cluster.dsn(database), autocommit=True) as conn:
            ensure_schema(conn)
        if has_seeds:
            bench.run("dbt.cli.main", "seed")
        yield bench
    with psycopg.connect(cluster.dsn(), autocommit=True) as conn:
        conn.execute(f"drop database {database} with (force)".encode())
