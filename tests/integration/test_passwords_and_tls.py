"""A server that wants passwords, over TCP, without TLS and then with it."""

import os
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from loader.server.cluster import Cluster
from loader.server.private import as_user
from tests.support.servers import is_answering
from tests.support.waits import wait_until

Run = Callable[..., Any]
Write = Callable[..., Path]

SECRET = "s3cret"  # noqa: S105
# All that means something in a URI, in key=value or to a shell.
PASSWORD = f"{SECRET} @:/?#[]%41&='\"\\{{}}$;{SECRET}"


@dataclass(frozen=True, kw_only=True)
class Server:
    """Where it listens, and its certificates.

    Attributes:
        root: the certificate that it shows, which is its own root.
        other_root: one that did not sign it.
    """

    port: int
    data_dir: Path
    root: Path
    other_root: Path
    pg_ctl: Callable[..., None]

    def dsn(self, password: str = PASSWORD, **options: str) -> str:
        """A conninfo in key=value form."""
        address = {"host": "localhost", "hostaddr": "127.0.0.1", "port": str(self.port)}
        return make_conninfo(
            "",
            **{**address, "user": "alice", "dbname": "postgres", "password": password, **options},
        )

    def uri(self, password: str = PASSWORD, port: int | None = None) -> str:
        """A URI."""
        return (
            f"postgresql://alice:{quote(password, safe='')}@127.0.0.1:{port or self.port}/postgres"
        )


@pytest.fixture(scope="module")
def server(
    make_cluster: Callable[[], Cluster], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server on a port of its own that wants a password, without TLS."""
    cluster = make_cluster()
    cluster.start()
    with psycopg.connect(cluster.dsn(), autocommit=True) as admin:
        password = sql.Literal(PASSWORD)
        admin.execute(sql.SQL("create role alice superuser login password {}").format(password))
    cluster.stop()
    hba = cluster.data_dir / "pg_hba.conf"
    hba.write_text("host all all 127.0.0.1/32 scram-sha-256\n")
    certificates = tmp_path_factory.mktemp("certificates")
    for name in ("server", "other"):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "2", "-subj", "/CN=localhost",
             "-addext", "subjectAltName=DNS:localhost",
             "-keyout", str(certificates / f"{name}.key"),
             "-out", str(certificates / f"{name}.crt")],
            check=True, capture_output=True,
        )  # fmt: skip
    for suffix in ("crt", "key"):
        target = cluster.data_dir / f"server.{suffix}"
        shutil.copy(certificates / f"server.{suffix}", target)
        target.chmod(0o600)
        if cluster.run_as is not None:
            shutil.chown(target, cluster.run_as)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])

    def pg_ctl(*arguments: str) -> None:
        command = [str(cluster.bin_dir / "pg_ctl"), "-D", str(cluster.data_dir), *arguments]
        # Not a pipe, which the server would inherit and keep open.
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **as_user(cluster.run_as))

    options = {
        **cluster.settings,
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "",
    }
    text = " ".join(f"-c {name}={shlex.quote(value)}" for name, value in options.items())
    pg_ctl("-w", "-l", str(cluster.log_file), "-o", text, "start")
    yield Server(
        port=port,
        data_dir=cluster.data_dir,
        root=certificates / "server.crt",
        other_root=certificates / "other.crt",
        pg_ctl=pg_ctl,
    )
    pg_ctl("-m", "immediate", "stop")


@pytest.fixture(scope="module")
def with_tls(server: Server) -> Server:
    """The same server, with TLS from now on; that of the wheel can do none."""
    with psycopg.connect(server.dsn()) as conn:
        if conn.execute("show ssl_library").fetchone() == ("",):
            pytest.skip("this PostgreSQL was built without TLS; make postgres15 has it")
    with (server.data_dir / "postgresql.conf").open("a") as file:
        file.write("ssl = on\n")
    server.pg_ctl("reload")
    wait_until(lambda: is_answering(server.dsn(sslmode="require")))
    return server


def check_silent(outcome: Any, *, lines: int = 1) -> None:
    """Check that nothing shows the password, nor a part of it, in any form."""
    assert SECRET not in outcome.stdout + outcome.stderr
    assert outcome.stderr.count("\n") == lines


def test_a_password_may_have_any_characters_and_is_stored_nowhere(
    server: Server, run_loader: Run, write_events: Write
) -> None:
    for number, dsn in enumerate((server.dsn(), server.uri()), start=1):
        outcome = run_loader("load", write_events(f"{number}.csv", count=number), LOADER_DSN=dsn)
        assert outcome.exit_code == 0, outcome.stderr
        check_silent(outcome, lines=0)
    with psycopg.connect(server.dsn()) as conn:
        ledger = conn.execute("select string_agg(loads::text, ' ') from raw.loads").fetchone()
        assert ledger is not None
        assert "1.csv" in ledger[0]
        assert SECRET not in ledger[0]
    for command in (["status", "--json"], ["loads", "--json"], ["maintain", "--json"]):
        outcome = run_loader(*command, LOADER_DSN=server.uri())
        assert outcome.exit_code == 0
        check_silent(outcome, lines=0)


def test_a_password_is_never_shown_when_something_fails(server: Server, run_loader: Run) -> None:
    wrong = f"{PASSWORD} wrong"
    unreachable = server.dsn(host="no-such-host.invalid", hostaddr="")
    for dsn, complaint in (
        (server.dsn(wrong), 'password authentication failed for user "alice"'),
        (server.uri(wrong), 'password authentication failed for user "alice"'),
        (server.dsn(port="1"), "Connection refused"),
        (server.uri(port=1), "Connection refused"),
        (unreachable, "no-such-host.invalid"),
        (server.dsn(dbname=SECRET[::-1]), f'database "{SECRET[::-1]}" does not exist'),
    ):
        outcome = run_loader("status", LOADER_DSN=dsn)
        assert outcome.exit_code == 5
        assert outcome.stderr.startswith("loader: cannot connect: ")
        assert complaint in outcome.stderr
        check_silent(outcome)
        debugged = run_loader("--debug", "status", LOADER_DSN=dsn)
        assert "Traceback" in debugged.stderr
        assert SECRET not in debugged.stderr


def test_a_password_among_the_arguments_is_refused_wherever_it_stands(
    server: Server, run_loader: Run
) -> None:
    for dsn in (server.uri(), server.dsn(), f"sslkey=k sslpassword={SECRET}"):
        for arguments in (
            ["--dsn", dsn, "status"],
            ["status", "--dsn", dsn],
            [f"--dsn={dsn}", "db", "env"],
        ):
            outcome = run_loader(*arguments)
            assert outcome.exit_code == 2
            assert "LOADER_DSN" in outcome.stderr
            assert "PGPASSFILE" in outcome.stderr
            check_silent(outcome)


def test_a_password_may_stand_in_a_file(server: Server, run_loader: Run, tmp_path: Path) -> None:
    file = tmp_path / "passwords"
    escaped = PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
    file.write_text(f"localhost:*:*:alice:{escaped}\n")
    file.chmod(0o600)
    outcome = run_loader("--dsn", server.dsn(password=""), "maintain", PGPASSFILE=str(file))
    assert outcome.exit_code == 0, outcome.stderr


def test_other_programs_are_led_to_the_database_that_the_loader_uses(
    server: Server, run_loader: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services, passwords = tmp_path / "services", tmp_path / "passwords"
    services.write_text(
        f"[events]\nhost=127.0.0.1\nport={server.port}\nuser=alice\ndbname=postgres\n"
    )
    escaped = PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
    passwords.write_text(f"127.0.0.1:*:*:alice:{escaped}\n")
    passwords.chmod(0o600)
    files = {"PGSERVICEFILE": str(services), "PGPASSFILE": str(passwords)}
    variables = {"PGHOST": "127.0.0.1", "PGPORT": str(server.port), "PGUSER": "alice"}
    ask = (
        "import psycopg; conn = psycopg.connect(''); print(conn.info.port,"
        "conn.info.user, conn.info.dbname, conn.execute('show work_mem').fetchone()[0])"
    )
    for given, work_mem in (
        ({"LOADER_DSN": f"{server.uri()}?sslmode=disable&options=-c%20work_mem%3D7MB"}, "7MB"),
        ({"LOADER_DSN": server.dsn()}, "64MB"),
        ({"LOADER_DSN": "service=events", **files}, "64MB"),
        ({"LOADER_DSN": "", "PGSERVICE": "events", **files}, "64MB"),
        ({"LOADER_DSN": "", **variables, "PGPASSWORD": PASSWORD}, "64MB"),
        # What was evaluated before, of another database, must not win.
        ({"LOADER_DSN": server.uri(), "PGSERVICE": "events", "PGHOST": "nowhere", **files}, "64MB"),
    ):
        outcome = run_loader("db", "env", **given)
        assert outcome.exit_code == 0, outcome.stderr
        if "alice" not in given["LOADER_DSN"]:
            check_silent(outcome, lines=0)
        script = f"{outcome.stdout}\nunset LOADER_DSN\n{shlex.join([sys.executable, '-c', ask])}"
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "LOADER_"))}
        done = subprocess.run(
            ["sh", "-c", script], env=kept | given, check=False, capture_output=True, text=True
        )
        assert done.stdout.split() == [str(server.port), "alice", "postgres", work_mem], done.stderr
    unreachable = run_loader("db", "env", LOADER_DSN=server.dsn(port="1"))
    assert (unreachable.exit_code, unreachable.stdout) == (5, "")
    monkeypatch.setattr("loader.cli.db.is_terminal", lambda: True)
    shown = run_loader("db", "env", LOADER_DSN=server.dsn())
    check_silent(shown, lines=0)
    assert "# PGPASSWORD is not shown on a terminal" in shown.stdout


def test_a_dsn_in_the_wrong_place_does_not_show_its_password(
    server: Server, run_loader: Run
) -> None:
    for dsn in (server.dsn(), server.uri(), server.uri().replace("%40", "@")):
        for arguments in (["load", dsn], ["status", dsn], [dsn], ["load", "--workers", dsn, "-"]):
            outcome = run_loader(*arguments)
            assert outcome.exit_code in (2, 4)
            assert SECRET not in outcome.stdout + outcome.stderr, arguments


def test_a_server_without_tls_is_refused_where_tls_is_required(
    server: Server, run_loader: Run
) -> None:
    for mode in ("require", "verify-full"):
        root = {"sslrootcert": str(server.root)} if mode == "verify-full" else {}
        outcome = run_loader("status", LOADER_DSN=server.dsn(sslmode=mode, **root))
        assert outcome.exit_code == 5
        assert "server does not support SSL, but SSL was required" in outcome.stderr
        check_silent(outcome)


def test_the_certificate_of_the_server_is_checked(
    with_tls: Server, run_loader: Run, tmp_path: Path, write_events: Write
) -> None:
    right = with_tls.dsn(sslmode="verify-full", sslrootcert=str(with_tls.root))
    assert run_loader("load", write_events("tls.csv", count=9), LOADER_DSN=right).exit_code == 0
    with psycopg.connect(right) as conn:
        row = conn.execute("select ssl from pg_stat_ssl where pid = pg_backend_pid()").fetchone()
        assert row == (True,)
    nowhere = str(tmp_path / "nowhere.crt")
    for options, complaint in (
        ({"sslrootcert": str(with_tls.other_root)}, "certificate verify failed"),
        ({"sslrootcert": str(with_tls.root), "host": "db.example"}, 'host name "db.example"'),
        ({"sslrootcert": nowhere}, f'root certificate file "{nowhere}" does not exist'),
    ):
        dsn = with_tls.dsn(**{"sslmode": "verify-full", **options})
        outcome = run_loader("status", LOADER_DSN=dsn)
        assert outcome.exit_code == 5
        assert complaint in outcome.stderr
        check_silent(outcome)
