"""Whether somebody still has a file open for writing.

Linux tells it to the owner of the file, whoever the writer is: a read lease is refused as long as
there is one. File systems over a network, and other systems, do not tell.
"""

import errno
import fcntl
import os
import signal
import sys
import tempfile
from pathlib import Path


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
    """Tell whether somebody has a file open for writing; False if nobody tells us."""
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
