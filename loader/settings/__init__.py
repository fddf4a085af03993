"""The environment, read once into a frozen value. No other module reads ``os.environ``."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, cast, get_args

from loader.errors import UsageError

PartitionBy = Literal["month", "week", "day"]
PARTITION_SIZES: Final[tuple[PartitionBy, ...]] = get_args(PartitionBy)

_CONNECTION_VARIABLES = (
    "PGHOST",
    "PGHOSTADDR",
    "PGPORT",
    "PGDATABASE",
    "PGUSER",
    "PGPASSWORD",
    "PGPASSFILE",
    "PGSERVICE",
)

# Where a connection comes from, for messages.
PG_VARIABLES = "the PG* variables"

# The defaults of profiles.example.yml, so that dbt and the loader see one database when only
# some of the variables are set.
_PROFILE_DEFAULTS = {
    "PGDATABASE": "dbname=postgres",
    "PGHOST": "host=localhost",
    "PGUSER": "user=postgres",
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the environment and the global options say.

    Attributes:
        dsn: the conninfo to connect with, which libpq completes from the ``PG*`` variables;
            None for the embedded server.
        dsn_origin: where ``dsn`` comes from, for messages, which must not show the DSN itself.
        project_dir: the nearest directory with a ``dbt_project.yml`` or a ``loader.toml``, else the
            checkout that we were installed from, else where we are.
        server_dir: where the embedded server lives, without links and ``..``: what
            ``LOADER_SERVER_DIR`` says, else ``.postgres`` in the project, else below ``user_dir``.
        server_of: whose server that is, for messages.
        user_dir: what belongs to this user and to no project.
        dbt_schema: the dbt target schema (``DBT_SCHEMA``).
        kafka_brokers: where to find Kafka (``LOADER_KAFKA_BROKERS``).
        kafka_options: options of its client, ``key=value`` each on a line; may hold passwords
            (``LOADER_KAFKA_OPTIONS``).
        debug: show tracebacks (``LOADER_DEBUG``).
        variables: all of the environment; ``loader.toml`` names those with connection strings.
        config_file: another place for ``loader.toml`` (``LOADER_CONFIG``).
        other_dsns: further connection strings that must not be shown.
        partition_by: how long new partitions shall be (``LOADER_PARTITION_BY``).
        alert_urls: services that get early alerts (``LOADER_ALERT_URLS``); they hold secrets.
        is_program: a program calls us, and what commands call ``--to`` is ``to`` for it.
    """

    dsn: str | None = field(repr=False)
    dsn_origin: str
    project_dir: Path
    server_dir: Path
    server_of: str
    user_dir: Path
    dbt_schema: str = "analytics"
    kafka_brokers: str = "localhost:9092"
    kafka_options: str = field(default="", repr=False)
    debug: bool = False
    variables: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    config_file: Path | None = None
    other_dsns: tuple[str, ...] = field(default=(), repr=False)
    partition_by: PartitionBy | None = None
    alert_urls: tuple[str, ...] = field(default=(), repr=False)
    is_program: bool = False

    def option(self, name: str, value: str = "") -> str:
        """Return an option as whoever calls us writes it."""
        if self.is_program:
            return f'{name}="{value}"' if value else name
        return f"--{name} {value}".rstrip()

    @property
    def is_dsn_given(self) -> bool:
        """Whether the connection string is an option, which wins over ``loader.toml``."""
        return self.dsn_origin == self.option("dsn")


def read_settings(
    *,
    dsn: str | None = None,
    debug: bool = False,
    is_program: bool = False,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    installed_from: Path | None = None,
) -> Settings:
    """Combine options and environment; an option wins, and an empty variable is not set.

    The search for the project starts in ``cwd``, and ends where this package was installed from.
    """
    env = os.environ if environ is None else environ
    found, origin = (dsn, "dsn" if is_program else "--dsn") if dsn else _find_dsn(env)
    here = _current_directory() if cwd is None else cwd
    project = _find_project(here, installed_from or Path(__file__).resolve().parents[2])
    user_dir = _user_dir(env, here)
    server_dir, server_of = _find_server(env, project, user_dir)
    return Settings(
        dsn=found,
        dsn_origin=origin,
        is_program=is_program,
        project_dir=project or here,
        server_dir=server_dir,
        server_of=server_of,
        user_dir=user_dir,
        dbt_schema=env.get("DBT_SCHEMA") or "analytics",
        kafka_brokers=env.get("LOADER_KAFKA_BROKERS") or "localhost:9092",
        kafka_options=env.get("LOADER_KAFKA_OPTIONS") or "",
        debug=debug or env.get("LOADER_DEBUG", "") not in ("", "0"),
        variables=dict(env),
        config_file=Path(env["LOADER_CONFIG"]).absolute() if env.get("LOADER_CONFIG") else None,
        partition_by=_partition_size(env.get("LOADER_PARTITION_BY") or None),
        alert_urls=tuple(env.get("LOADER_ALERT_URLS", "").split()),
    )


def _current_directory() -> Path:
    try:
        return Path.cwd()
    except OSError as error:
        raise UsageError(
            f"the directory where you are cannot be found any more ({error.strerror}); "
            "go to another one: cd"
        ) from error


def export(variables: Mapping[str, str | None]) -> None:
    """Put variables where dbt in this process, and libpq, look for them; None unsets one."""
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def without_pg_variables() -> dict[str, str]:
    """Return the environment without what a server of PostgreSQL would take for its defaults."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def how_to_install(extra: str) -> str:
    """Return the command that installs an extra; the name on PyPI is not ours."""
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").is_file():
        return f"pip install --editable '{checkout}[{extra}]'"
    return f"pip install '.[{extra}]' in a checkout of video-events"


@contextmanager
def with_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Have libpq see these variables too for a moment."""
    before = {name: os.environ.get(name) for name in variables}
    export(variables)
    try:
        yield
    finally:
        export(before)


def _find_dsn(env: Mapping[str, str]) -> tuple[str | None, str]:
    if env.get("LOADER_DSN"):
        return env["LOADER_DSN"], "LOADER_DSN"
    if not any(env.get(name) for name in _CONNECTION_VARIABLES):
        return None, "the embedded server"
    if env.get("PGSERVICE"):
        return "", PG_VARIABLES
    given = {name for name, value in env.items() if value}
    if "PGHOSTADDR" in given:
        given.add("PGHOST")
    missing = [default for name, default in _PROFILE_DEFAULTS.items() if name not in given]
    return " ".join(missing), PG_VARIABLES


def _partition_size(name: str | None) -> PartitionBy | None:
    if name is not None and name not in PARTITION_SIZES:
        raise UsageError(f'LOADER_PARTITION_BY "{name}" is not one of {", ".join(PARTITION_SIZES)}')
    return cast("PartitionBy | None", name)


def _find_project(here: Path, installed_from: Path) -> Path | None:
    """Return the nearest directory that is a project, else the checkout that we are of."""
    for directory in (here, *here.parents, installed_from):
        if any((directory / name).is_file() for name in ("dbt_project.yml", "loader.toml")):
            return directory
    return None


def _user_dir(env: Mapping[str, str], here: Path) -> Path:
    """Return the directory for data of this user; where nobody has a home, it is here."""
    base = env.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")  # noqa: PTH111
    return Path(os.path.realpath(here if base.startswith("~") else base)) / "video-events"


def _find_server(env: Mapping[str, str], project: Path | None, user_dir: Path) -> tuple[Path, str]:
    """Return where the embedded server lives, and whose it is."""
    if env.get("LOADER_SERVER_DIR"):
        found, owner = Path(env["LOADER_SERVER_DIR"]), "LOADER_SERVER_DIR"
    elif project is not None:
        found, owner = project / ".postgres", f"the project {project}"
    else:
        found, owner = user_dir / "server", "this user, outside of any project"
    # However it is spelled, it is one place: another name for it would be another server.
    return Path(os.path.realpath(found)), owner
