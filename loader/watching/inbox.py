"""A directory that files come into: which of them are complete, and where they go.

A file that somebody still has open for writing is left alone, where the system tells that.

A file is moved into ``loading`` before it is read. Nobody who writes into the directory knows it
there, so what is moved on afterwards is what was read, and not a new file of the same name.
"""

import errno
import fcntl
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

from loader.errors import InputError
from loader.process.terminal import printable
from loader.reading.mapping import Mapping
from loader.reading.paths import Input, file_input, file_inputs, is_archive

Folder = Literal["loading", "done", "rejected", "failed"]
_FOLDERS: Final[tuple[Folder, ...]] = ("loading", "done", "rejected", "failed")
_NOT_EVENTS: Final = (".tmp", ".part", ".error.txt")
_ATTEMPTS: Final = ".attempts"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A file as it was at one moment; equal to itself later if nobody wrote to it meanwhile.

    The inode says which file it is, whatever its name; ``modified`` are nanoseconds since 1970.
    """

    path: Path
    inode: int
    size: int
    modified: int


@dataclass(frozen=True, kw_only=True)
class Look:
    """What there was at one moment: files to be loaded if they stay so, and names of others."""

    files: set[Seen] = field(default_factory=set)
    written: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)


class Inbox:
    """The directory that files come into, and in it one for each fate of a file.

    Several processes may work on one directory: only one at a time moves anything, and it moves
    only what is still the file that it looked at.
    """

    def __init__(self, directory: Path, mapping: Mapping) -> None:
        self._directory = directory
        self._mapping = mapping
        self._can_tell = False

    def prepare(self, *, dry_run: bool = False) -> None:
        """Create the directories for files that are dealt with, unless nothing is to be written."""
        if not self._directory.is_dir():
            raise InputError(f"{self._directory}: no such directory")
        if dry_run:
            return
        try:
            for folder in _FOLDERS:
                (self._directory / folder).mkdir(exist_ok=True)
            self._can_tell = can_tell(self._directory / "loading")
            with self._moving():
                self._remove_old_notes()
        except OSError as error:
            raise InputError(f"{error.filename}: {error.strerror}") from error

    def look(self) -> Look:
        """Return what there is now."""
        look = Look()
        # What a process left that was killed is taken up like a file that has just come.
        for directory in (self._directory, self._directory / "loading"):
            try:
                with os.scandir(directory) as entries:
                    for entry in entries:
                        if _may_be_events(entry):
                            self._note(Path(entry.path), look)
            except OSError as error:
                if isinstance(error, FileNotFoundError) and directory != self._directory:
                    continue
                raise InputError(f"{directory}: {error.strerror}") from error
        return look

    def _note(self, path: Path, look: Look) -> None:
        try:
            if not is_archive(path.name):
                file_input(str(path), self._mapping)
        except InputError:
            look.others.add(printable(path.name))
            return
        if self._is_written(path):
            look.written.add(printable(path.name))
        elif (seen := see(path)) is not None:
            look.files.add(seen)

    def _is_written(self, path: Path) -> bool:
        return self._can_tell and has_writer(path)

    def inputs_of(self, path: Path) -> list[Input]:
        """Return the inputs that are in a file, one as a rule, by the name under which it came."""
        try:
            found = file_inputs(str(path), self._mapping)
        except InputError as error:
            raise InputError(str(error).replace(str(path), self.name_of(path))) from error
        return [replace(one, name=str(self._directory / path.name)) for one in found]

    def name_of(self, path: Path) -> str:
        """Return the path under which a file came, on one line."""
        return printable(str(self._directory / path.name))

    def take(self, seen: Seen) -> Seen | None:
        """Move a file into ``loading``; None if it is gone, or not any more as it was."""
        if self._is_written(seen.path):
            return None
        if seen.path.parent.name != "loading":
            moved = self.put(seen, "loading")
            if moved is None:
                return None
            seen = replace(seen, path=moved)
        # If somebody wrote to it at the last moment, it is complete some other time.
        is_at_rest = see(seen.path) == seen and not self._is_written(seen.path)
        return seen if is_at_rest else None

    def put(self, seen: Seen, folder: Folder, note: str = "") -> Path | None:
        """Move a file into a folder, under a new name if there is one of its name already.

        A note goes into a file beside it. Where it is now is returned; None if another process has
        moved it.
        """
        try:
            with self._moving():
                now = see(seen.path)
                if now is None or now.inode != seen.inode:
                    return None
                # Whoever empties the directory may take our folders away too.
                (self._directory / folder).mkdir(exist_ok=True)
                target = self._free_path(folder, seen.path.name)
                try:
                    seen.path.rename(target)
                except FileNotFoundError:
                    return None
                if note:
                    beside = target.with_name(f"{target.name}.error.txt")
                    beside.write_text(f"{note}\n", encoding="utf-8")
                return target
        except OSError as error:
            name = printable(str(seen.path))
            raise InputError(f"{name}: cannot be moved to {folder}: {error.strerror}") from error

    @contextmanager
    def attempt(self, taken: Seen) -> Iterator[int | None]:
        """Note that a file in ``loading`` is being loaded; a process that dies leaves the note.

        Yielded is how many processes died of it before; None while another one is at it.
        """
        path = taken.path.with_name(f".{taken.inode}{_ATTEMPTS}")
        line = f"{taken.size} {taken.modified}\n".encode()
        with ExitStack() as stack:
            deaths: int | None = None
            try:
                with self._moving():
                    # Without a buffer: on a full disk that would fail once more when it is closed.
                    note = stack.enter_context(path.open("ab+", buffering=0))
                    with suppress(BlockingIOError):
                        # Whoever wrote the lines is dead, or we would not get it.
                        fcntl.flock(note, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        note.seek(0)
                        deaths = note.readlines().count(line)
                        note.write(line)
            except OSError as error:
                raise InputError(
                    f"{printable(str(path))}: cannot be written: {error.strerror}"
                ) from error
            try:
                yield deaths
            finally:
                if deaths is not None:
                    with suppress(OSError), self._moving():
                        path.unlink()

    def _remove_old_notes(self) -> None:
        # A process that dies after it moved a file on leaves the note of it.
        directory = self._directory / "loading"
        with os.scandir(directory) as entries:
            wanted = {f".{entry.inode()}{_ATTEMPTS}" for entry in entries}
        for note in directory.glob(f".*{_ATTEMPTS}"):
            if note.name not in wanted:
                note.unlink(missing_ok=True)

    def _free_path(self, folder: Folder, name: str) -> Path:
        target = self._directory / folder / name
        number = 1
        while os.path.lexists(target):
            number += 1
            target = target.with_name(f"{number}-{name}")
        return target

    @contextmanager
    def _moving(self) -> Iterator[None]:
        loading = self._directory / "loading"
        loading.mkdir(exist_ok=True)
        with (loading / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def see(path: Path) -> Seen | None:
    """Return how a file is now; None if it is gone."""
    try:
        found = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    return Seen(path=path, inode=found.st_ino, size=found.st_size, modified=found.st_mtime_ns)


def _may_be_events(entry: os.DirEntry[str]) -> bool:
    name = entry.name.lower()
    is_ready = not name.startswith(".") and not name.endswith(_NOT_EVENTS)
    return is_ready and entry.is_file(follow_symlinks=False)


def can_tell(directory: Path) -> bool:
    """Find out, with a file of our own, whether ``has_writer`` tells the truth in a directory."""
    if sys.platform != "linux":
        return False
    # It has no name, so nothing is left of it if we are killed.
    with tempfile.TemporaryFile(dir=directory) as written:
        reader = os.open(f"/proc/self/fd/{written.fileno()}", os.O_RDONLY)
        is_noticed = _is_refused(reader)
    try:
        return is_noticed and not _is_refused(reader)
    finally:
        os.close(reader)


def has_writer(path: Path) -> bool:
    """Tell whether somebody has a file open for writing; False if nobody tells us.

    Linux tells it to the owner of the file, whoever the writer is: a read lease is refused as long
    as there is one. File systems over a network, and other systems, do not tell.
    """
    try:
        reader = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        return _is_refused(reader)
    finally:
        # Which gives the lease back, too.
        os.close(reader)


def _is_refused(reader: int) -> bool:
    """Tell whether we are refused a lease because of a writer."""
    if sys.platform != "linux":
        return False
    try:
        # Whoever opens it for writing at this very moment waits until we give the lease back, and
        # we are sent a signal: one that nobody minds.
        fcntl.fcntl(reader, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(reader, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    return False
