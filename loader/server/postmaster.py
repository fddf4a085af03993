"""What a server leaves in files while it runs: its process, its socket, whether it is ready."""

import os
import re
import subprocess
from pathlib import Path
from typing import Final

PORT: Final = 5432
# Lines of postmaster.pid.
_PID, _DATA, SOCKET_DIR, STATUS = 0, 1, 4, 7

# sockaddr_un holds 108 bytes, one of them the final NUL.
_SOCKET_PATH_LIMIT: Final = 107
# No process can have this id (the kernel's limit is 2^22).
_IMPOSSIBLE_PID: Final = 2**30


def line_of(data_dir: Path, line: int) -> str:
    """Return a line of postmaster.pid, empty if there is none."""
    try:
        return (data_dir / "postmaster.pid").read_text(errors="surrogateescape").split("\n")[line]
    except (OSError, IndexError):
        return ""


def pid_of(data_dir: Path) -> int | None:
    """Return the process id in postmaster.pid if that process is the server of this data."""
    try:
        pid = int(line_of(data_dir, _PID))
    except ValueError:
        return None
    command, name = _command_line(pid), line_of(data_dir, _DATA)
    if str(data_dir) in command:
        return pid
    # It may have been started under another name of the same directory.
    return pid if name and name in command and _is_same(Path(name), data_dir) else None


def disown_stale_files(data_dir: Path, socket_dir: Path) -> None:
    """Make lock files harmless whose process id now belongs to some other program.

    After a reboot, or in a new container, the id of the old server is soon in use again, and the
    server would refuse to start. The file is kept, with an id that cannot exist, because the server
    uses the rest of it to find survivors of a crash that still use the data.
    """
    for path in (data_dir / "postmaster.pid", socket_dir / f".s.PGSQL.{PORT}.lock"):
        if path.exists() and pid_of(data_dir) is None:
            lines = path.read_text(errors="surrogateescape").split("\n")
            text = "\n".join([str(_IMPOSSIBLE_PID), *lines[1:]])
            path.write_text(text, errors="surrogateescape")


def can_hold_a_socket(directory: Path) -> bool:
    """Tell whether the path of a socket in a directory is one that all programs take."""
    path = str(directory / f".s.PGSQL.{PORT}.lock")
    # libpq splits PGHOST at commas, and the server its list of directories.
    return len(os.fsencode(path)) <= _SOCKET_PATH_LIMIT and bool(re.fullmatch(r"[\w./+@=-]+", path))


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _command_line(pid: int) -> str:
    try:
        return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        if Path("/proc/self").exists():
            return ""
    command = ["ps", "-o", "args=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603
