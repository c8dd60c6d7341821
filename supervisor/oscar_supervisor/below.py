"""Opens files and directories below a directory without ever leaving it.

In:  an open directory and path components that paths.py has checked. Out: descriptors, the caller's to close.
Not here: which names are acceptable (oscar_events/paths.py).

One component at a time with O_NOFOLLOW: a symbolic link anywhere on the way is refused with ELOOP or ENOTDIR by the
kernel, so there is no moment between looking and opening. O_NONBLOCK: a FIFO never blocks whoever opens it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def open_root(path: str | os.PathLike[str] | bytes) -> int:
    """Open a directory that was named by the operator, through symbolic links if there are any."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def open_directory(root: int, components: Sequence[bytes], create: bool = False) -> int:
    """Open the directory below root. create: make what is missing, durably. Raises OSError."""
    here = os.dup(root)
    try:
        for component in components:
            if create:
                _make(here, component)
            below = os.open(component, _DIRECTORY, dir_fd=here)
            os.close(here)
            here = below
    except BaseException:
        os.close(here)
        raise
    return here


def open_regular(root: int, components: Sequence[bytes]) -> int:
    """Open the regular file below root for reading. Raises OSError, IsADirectoryError for anything else there is."""
    directory = open_directory(root, components[:-1])
    try:
        file = os.open(components[-1], _FILE, dir_fd=directory)
    finally:
        os.close(directory)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise IsADirectoryError(f"{os.fsdecode(components[-1])!r} is no regular file")
    return file


def _make(directory: int, name: bytes) -> None:
    try:
        os.mkdir(name, dir_fd=directory)
    except FileExistsError:
        return
    os.fsync(directory)
