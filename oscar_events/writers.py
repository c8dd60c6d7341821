"""Who writes a file at this moment: nobody, if the kernel grants a read lease on it.

In:  an open file. Out: its stat, and whether anybody has it open for writing.
Not here: what follows from it (oscar_ingest/sources/look.py announces, manager/local_objects.py explains).
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal


def under_lease(descriptor: int) -> tuple[os.stat_result, bool | None]:
    """Return the file's stat and whether somebody has it open for writing: nobody, if a read lease is granted.

    None where no lease can be had. The stat is taken under the lease, so that it is never that of a version
    half-written. Meanwhile an open for writing waits for us, some microseconds.
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        return without_lease(descriptor)
    try:
        # Who opens the file in that moment has the kernel signal us; SIGIO, the default, would end this process.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return os.fstat(descriptor), True if error.errno == errno.EAGAIN else None
    try:
        return os.fstat(descriptor), False
    finally:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)


def without_lease(descriptor: int) -> tuple[os.stat_result, bool | None]:
    """Return the file's stat; who writes it is not known."""
    return os.fstat(descriptor), None
