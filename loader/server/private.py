"""Users of the system, and directories that only one of them can enter."""

import hashlib
import os
import pwd
import shutil
import stat
from pathlib import Path
from typing import Any

from loader.errors import ServerError

ELSEWHERE = (
    "set LOADER_SERVER_DIR to a folder of your own, or PGHOST or LOADER_DSN to another database"
)


def make_private(directory: Path, owner: str | None) -> None:
    """Create a directory that only its owner can enter, and refuse one of somebody else."""
    uid = user_id(owner)
    new = [] if owner is None else [above for above in directory.parents if not above.exists()]
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        for above in new:
            # The owner has to pass, whatever our umask is.
            above.chmod(0o755)
        directory.mkdir(mode=0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise ServerError(f"cannot create {directory}: {error.strerror}; {ELSEWHERE}") from error
    status = directory.lstat()
    if owner is not None and stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid():
        # New, from us or from a process that does the same at this moment.
        shutil.chown(directory, owner, pwd.getpwnam(owner).pw_gid)
    check_private(directory, uid)
    if stat.S_IMODE(status.st_mode) != 0o700:
        directory.chmod(0o700)


def check_private(directory: Path, uid: int) -> None:
    """Check that a directory, if it exists, is one, and not a link, and of this user."""
    try:
        status = directory.lstat()
    except FileNotFoundError:
        return
    if status.st_uid != uid or not stat.S_ISDIR(status.st_mode):
        raise is_of_another(directory, status.st_uid)


def is_of_another(path: Path, uid: int) -> ServerError:
    """Return the error that something belongs to another user."""
    name = name_of(uid) or f"number {uid}"
    return ServerError(
        f"{path} belongs to another user ({name}), or is a link; run the command as {name}, or "
        f"{ELSEWHERE}"
    )


def name_of(uid: int) -> str | None:
    """Return the name of a user; None for one that has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None


def user_id(name: str | None) -> int:
    """Return the number of a user; without a name, ours."""
    return os.geteuid() if name is None else pwd.getpwnam(name).pw_uid


def nearest_existing(path: Path) -> Path:
    """Return a path, or the directory above it in which it would be created."""
    return next(parent for parent in (path, *path.parents) if parent.exists())


def as_user(name: str | None) -> dict[str, Any]:
    """Return the arguments of ``subprocess.run`` that run a program as a system user."""
    # Not in the current directory, which that user may not be allowed to enter.
    options: dict[str, Any] = {"cwd": "/"}
    if name is not None:
        entry = pwd.getpwnam(name)
        options |= {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    return options


def path_hash(path: Path) -> str:
    """Return a short name for a path, the same every time."""
    return hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:12]
