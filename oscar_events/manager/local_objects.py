"""How an object of the local store lies in its folder at this moment.

In:  bucket and key. Out: an `ObjectState`; nothing is followed out of the buckets, nothing is changed.
Not here: what follows from it (why.py), announcing files (oscar_ingest/sources).
"""

from __future__ import annotations

import difflib
import os
import stat
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Protocol

from oscar_events.errors import EventError
from oscar_events.manager.why import ObjectState
from oscar_events.paths import printable, split_key
from oscar_events.writers import under_lease

# Names that are compared with a missing one: enough for a folder that people look through, and milliseconds.
_COMPARED = 2000
_SIMILAR = 3


class Objects(Protocol):
    """A local store, to be looked at."""

    def has(self, bucket: str) -> bool:
        """Return whether the bucket is a directory here."""

    def look(self, bucket: str, key: bytes) -> ObjectState:
        """Return the state of the object; `missing` also for a key that no file can have."""


class LocalObjects:
    """The buckets below `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def has(self, bucket: str) -> bool:
        try:
            (component,) = split_key(os.fsencode(bucket))
        except (EventError, ValueError):
            return False
        return os.path.isdir(os.path.join(os.fsencode(self._root), component))

    def look(self, bucket: str, key: bytes) -> ObjectState:
        try:
            components = [*split_key(os.fsencode(bucket)), *split_key(key.rstrip(b"/"))]
        except EventError:
            return ObjectState(f"{self._root}/{bucket}/{printable(key)}", "missing")
        path, moved = os.fsencode(self._root), 0.0
        for index, component in enumerate(components):
            folder, path = path, os.path.join(path, component)
            is_last = index == len(components) - 1
            try:
                status = os.lstat(path)
            except OSError:
                return ObjectState(printable(path), "missing", similar=_similar(folder, component))
            if stat.S_ISLNK(status.st_mode):
                return ObjectState(printable(path), "link")
            if not is_last and status.st_ctime > status.st_mtime:  # the mark of a folder that was moved here
                moved = max(moved, status.st_ctime)
        if not stat.S_ISREG(status.st_mode):
            return ObjectState(printable(path), "folder" if stat.S_ISDIR(status.st_mode) else "other")
        arrived = datetime.fromtimestamp(max(status.st_ctime, moved), UTC)
        return ObjectState(printable(path), "file", status.st_size, arrived, _is_written(path))


class NoLocalObjects:
    """The local store of a cluster: there is none."""

    def has(self, bucket: str) -> bool:
        return False

    def look(self, bucket: str, key: bytes) -> ObjectState:
        return ObjectState(f"{bucket}/{printable(key)}", "missing")


def _is_written(path: bytes) -> bool | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # not ours to read
        return None
    try:
        return under_lease(descriptor)[1]
    finally:
        os.close(descriptor)


def _similar(folder: bytes, name: bytes) -> tuple[str, ...]:
    try:
        with os.scandir(folder) as entries:
            names = [printable(entry.name) for entry in islice(entries, _COMPARED)]
    except OSError:
        return ()
    return tuple(difflib.get_close_matches(printable(name), names, _SIMILAR))
