"""A PostgreSQL cluster of our own: programs in one directory, data in another.

The server listens on a Unix socket only, in a directory that nobody but its owner (and root)
can enter, so that it can trust whoever reaches it. It keeps running after the command that
started it has ended.
"""

import fcntl
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from loader.errors import ServerError
from loader.server.postmaster import (
    PORT,
    SOCKET_DIR,
    STATUS,
    can_hold_a_socket,
    disown_stale_files,
    line_of,
    pid_of,
)
from loader.server.private import (
    ELSEWHERE,
    as_user,
    check_private,
    is_of_another,
    make_private,
    name_of,
    nearest_existing,
    path_hash,
    user_id,
)
from loader.settings import without_pg_variables

USER = "postgres"

SETTINGS: Mapping[str, str] = {
    "max_connections": "100",
    "shared_buffers": "256MB",
    "work_mem": "64MB",
    "maintenance_work_mem": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    "random_page_cost": "1.1",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """One cluster below ``home``: ``data``, ``run`` (the socket), ``log`` and ``lock``.

    Attributes:
        bin_dir: where ``initdb``, ``pg_ctl`` and ``postgres`` are.
        home: the directory that belongs to the cluster; created when missing.
        run_as: the system user that runs the server; None for the current user.
        private_dir: a directory in which nobody but us may create anything; for the socket, when
            the path of ``home`` is too long for one.
        settings: configuration, given on the command line at every start.
    """

    bin_dir: Path
    home: Path
    run_as: str | None = None
    private_dir: Path | None = None
    settings: Mapping[str, str] = field(default_factory=lambda: SETTINGS)

    @property
    def data_dir(self) -> Path:
        """The data directory of the server."""
        return self.home / "data"

    @property
    def log_file(self) -> Path:
        """What the server has to say."""
        return self.home / "log"

    @property
    def socket_dir(self) -> Path:
        """The directory of the socket: that of the running server, else where it would be.

        That is ``home/run`` or, when no socket can have that path, ``private_dir`` or ``/tmp``.
        """
        recorded = line_of(self.data_dir, SOCKET_DIR)
        if recorded and pid_of(self.data_dir) is not None:
            # Another session, with other variables, may have started it.
            return Path(recorded)
        preferred = self.home / "run"
        if can_hold_a_socket(preferred):
            return preferred
        if self.private_dir is not None:
            private = self.private_dir / f"run-{path_hash(self.home)}"
            if can_hold_a_socket(private) and os.access(
                nearest_existing(private), os.W_OK | os.X_OK
            ):
                return private
        return Path("/tmp") / f"video-events-{path_hash(self.home)}"  # noqa: S108

    @property
    def exists(self) -> bool:
        """Whether the cluster was created."""
        self.check_owner()
        return (self.data_dir / "PG_VERSION").exists()

    def dsn(self, database: str = "postgres") -> str:
        """Return the conninfo of a database of this cluster.

        It is for the server of our user only: with it, libpq sends nothing to another one.
        """
        return make_conninfo(
            "",
            host=str(self.socket_dir),
            port=PORT,
            user=USER,
            dbname=database,
            requirepeer=name_of(self._owner_id()),
        )

    def check_owner(self) -> None:
        """Check that the cluster is of the user who would run its server, if there is one."""
        try:
            status = self.home.lstat()
        except FileNotFoundError:
            return
        except OSError as error:
            raise ServerError(f"{self.home}: {error.strerror}; {ELSEWHERE}") from error
        # Root may have made the directory for the user that runs its server.
        if status.st_uid not in (self._owner_id(), os.geteuid()):
            raise is_of_another(self.home, status.st_uid)

    def is_running(self) -> bool:
        """Tell whether the server answers on the socket."""
        self.check_owner()
        if not self.home.exists():
            return False
        # Before anything is sent there: its name can be guessed, and others may create it in /tmp.
        check_private(self.socket_dir, self._owner_id())
        try:
            psycopg.connect(self.dsn(), connect_timeout=5).close()
        except psycopg.OperationalError:
            # It may also be running without a free connection.
            return pid_of(self.data_dir) is not None and "ready" in line_of(self.data_dir, STATUS)
        return True

    def start(self) -> bool:
        """Start the server unless it runs, creating the cluster at first; True if started.

        Safe when several processes do it at once: all but one wait for the first.
        """
        if self.is_running():
            return False
        self._check_empty()
        self._check_names()
        make_private(self.home, self.run_as)
        with self._locked():
            if self.is_running():
                return False
            if not (self.data_dir / "PG_VERSION").exists():
                self._initialize()
            make_private(self.socket_dir, self.run_as)
            if pid_of(self.data_dir) is not None:
                self._wait_until_ready()
                return False
            disown_stale_files(self.data_dir, self.socket_dir)
            options = {"listen_addresses": "", **self.settings, "port": str(PORT)}
            options["unix_socket_directories"] = str(self.socket_dir)
            options["unix_socket_permissions"] = "0700"
            arguments = " ".join(f"-c {name}={shlex.quote(v)}" for name, v in options.items())
            self._run(
                "pg_ctl", "-D", self.data_dir, "-l", self.log_file, "-o", arguments,
                "-w", "-t", "300", "start",
            )  # fmt: skip
            return True

    def stop(self, mode: str = "fast") -> bool:
        """Stop the server, if it runs; True if it was stopped."""
        self.check_owner()
        if not self.home.exists():
            return False
        with self._locked():
            if pid_of(self.data_dir) is None:
                return False
            self._run("pg_ctl", "-D", self.data_dir, "-m", mode, "-w", "-t", "120", "stop")
            return True

    def destroy(self) -> None:
        """Stop the server and delete everything that the cluster consists of."""
        socket_dir = self.socket_dir
        self.stop("immediate")
        for path in (self.data_dir, socket_dir):
            shutil.rmtree(path, ignore_errors=True)
        self.log_file.unlink(missing_ok=True)

    def ensure_database(self, name: str) -> None:
        """Create a database unless it exists."""
        try:
            ours = psycopg.connect(self.dsn(), autocommit=True)
        except psycopg.Error as error:
            # It answers; a variable that libpq or psycopg reads makes no sense.
            raise ServerError(f"cannot connect: {error}") from error
        with ours as conn:
            found = conn.execute("select 1 from pg_database where datname = %s", [name])
            if found.fetchone() is None:
                with suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
                    conn.execute(sql.SQL("create database {}").format(sql.Identifier(name)))

    def _initialize(self) -> None:
        # Into another directory first: an initdb that is interrupted leaves half a cluster.
        unfinished = self.home / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        self._run(
            "initdb", "-D", unfinished, "-U", USER, "--auth=trust", "--encoding=UTF8",
            "--locale=C", "--no-instructions",
        )  # fmt: skip
        unfinished.rename(self.data_dir)

    def _wait_until_ready(self) -> None:
        """Wait for a server whose starter went away while it still recovered from a crash."""
        for _ in range(3000):
            if self.is_running():
                return
            time.sleep(0.1)
        raise ServerError(f"the server does not become ready{self._end_of_log()}")

    def _owner_id(self) -> int:
        return user_id(self.run_as)

    def _check_empty(self) -> None:
        """Refuse a directory with other things in it, which would be closed to others."""
        ours = {"data", "data.new", "run", "log", "lock"}
        try:
            others = {path.name for path in self.home.iterdir()} - ours
        except FileNotFoundError:
            return
        if others:
            raise ServerError(
                f"{self.home} has other things in it, such as {min(others)}; a server needs a "
                "folder of its own: set LOADER_SERVER_DIR to one that is new or empty"
            )

    def _check_names(self) -> None:
        """Refuse paths that pg_ctl cannot start a server with: it hands them to a shell."""
        for path in (self.home, self.bin_dir):
            if found := re.search(r'[$`"\n]', str(path)):
                raise ServerError(
                    f"{path}: pg_ctl starts no server where a path has {found[0]!r} in it; "
                    f"{ELSEWHERE}"
                )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.home / "lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _run(self, program: str, *arguments: str | Path) -> None:
        command = [str(self.bin_dir / program), *map(str, arguments)]
        # Files and not pipes: the server would inherit them, and the pipe would never end.
        with tempfile.TemporaryFile() as output:
            result = subprocess.run(  # noqa: S603
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                check=False,
                env=without_pg_variables(),
                **as_user(self.run_as),
            )
            output.seek(0)
            said = output.read().decode(errors="replace").strip().splitlines()
        if result.returncode != 0:
            log = self._end_of_log() if program == "pg_ctl" else ""
            what = " | ".join(said[-3:]) or "it said nothing"
            raise ServerError(f"{program} failed: {what}{log}")

    def _end_of_log(self) -> str:
        try:
            lines = self.log_file.read_text(errors="replace").strip().splitlines()
        except OSError:
            return ""
        return f"; the end of {self.log_file}: " + " | ".join(lines[-3:])
