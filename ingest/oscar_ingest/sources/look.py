"""Looks at one file: is it complete, so that it may be announced?

In:  a path, its place, the time. Out: the `File` as it is at this moment, or when to look again, or nothing.
Not here: who waits (waiting.py), who asks (inotify.py, polling.py, reconcile.py).

No file is read half-written. On Linux a read lease tells: the kernel refuses one (EAGAIN) while anybody has the file
open, or mapped, for writing. Where no lease is to be had (not the owner, a file system without leases, not Linux) the
file has to have been still for two seconds. The same is asked of names with a dot in front: tools write such a name and
rename it when they are done, so what keeps one is a file in its own right.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass

from oscar_events.log import logger
from oscar_events.paths import is_hidden
from oscar_ingest.folder_record import File
from oscar_ingest.sources.listing import Place

_log = logger(__name__)

# Tools finish with a file within milliseconds of its last write; slower writers pause for less than this.
STILL_NS = 2_000_000_000
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Later:
    """Not yet. seconds: when looking again makes sense; None = when the writer has closed it."""

    seconds: float | None


# Given a descriptor: the file's stat, and whether somebody writes it, or None where that cannot be known.
Examine = Callable[[int], tuple[os.stat_result, bool | None]]


def look(path: bytes, place: Place, now_ns: int, examine: Examine) -> File | Later | None:
    """Return the file if it may be announced now; None if it is gone or no regular file."""
    try:
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode):
            return None
        status, written = _opened(path, status, examine)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        _log.warning("a file cannot be looked at: it is not announced", error=str(error))
        return None
    if written:
        return Later(None)
    if written is None or is_hidden(place.key):
        # ctime: every change of size, mtime or name sets it, and nobody else can. A clock set back must not hold it.
        missing_ns = min(status.st_ctime_ns + STILL_NS - now_ns, STILL_NS)
        if missing_ns > 0:
            return Later(missing_ns / 1e9)
    return File.from_stat(*place, status)


def _opened(path: bytes, seen: os.stat_result, examine: Examine) -> tuple[os.stat_result, bool | None]:
    try:
        descriptor = os.open(path, _OPEN)
    except FileNotFoundError:
        raise
    except OSError:  # not readable for us, or a link by now: what lstat said is all there is to know
        return seen, None
    try:
        return examine(descriptor)
    finally:
        os.close(descriptor)
