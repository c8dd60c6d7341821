"""What lies below the directory that holds the buckets, and under which bucket and key.

In:  the root directory, paths below it as bytes. Out: places (bucket, key), directories, files with their stat.
Not here: being told of changes (inotify.py, polling.py), whether a file may be announced (look.py).

Each directory below the root is a bucket; the root itself holds no objects. Symbolic links are not followed: a link
out of the buckets would make any file of the host an input. Everything here blocks; walk in a thread.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from oscar_events.log import logger
from oscar_events.paths import STAGING
from oscar_ingest.folder_record import File

_log = logger(__name__)

_STAGING = STAGING.encode()


class Place(NamedTuple):
    """Where an object is. key: empty for the bucket itself."""

    bucket: str
    key: bytes


@dataclass(slots=True)
class Entries:
    """The paths in one directory, without what is ours and what is neither directory nor regular file."""

    directories: list[bytes] = field(default_factory=list)
    files: list[bytes] = field(default_factory=list)


def place_of(root: bytes, path: bytes) -> Place | None:
    """Return bucket and key of a path below root, or None if it is in no bucket.

    None: the root itself, what lies below a name that begins with a dot, is not UTF-8 (buckets are named in service
    files) or is our staging directory.
    """
    bucket, _, key = path.removeprefix(root + b"/").partition(b"/")
    if path == root or bucket.startswith(b".") or _STAGING in key.split(b"/"):
        return None
    try:
        return Place(bucket.decode(), key)
    except UnicodeDecodeError:
        return None


def entries(directory: bytes) -> Entries:
    """Return what is in a directory; nothing if it vanished, or (with a message) if it cannot be read."""
    found = Entries()
    try:
        with os.scandir(directory) as listing:
            for entry in listing:
                if entry.is_dir(follow_symlinks=False):
                    found.directories.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    found.files.append(entry.path)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        _log.warning("a directory cannot be listed: its files are not seen", error=str(error))
    return found


def walk(root: bytes, tops: Iterable[Place]) -> Iterator[File]:
    """Yield every regular file at or below these places, in no order. Files that vanish meanwhile are left out."""
    paths = [os.path.join(root, os.fsencode(bucket), key).rstrip(b"/") for bucket, key in tops]
    pending = [(path, _moved_with_parents_ns(root, path)) for path in paths if _is_real_directory(root, path)]
    while pending:
        directory, moved_ns = pending.pop()
        found = entries(directory)
        pending.extend(
            (path, max(moved_ns, _moved_ns(path))) for path in found.directories if place_of(root, path) is not None
        )
        for path in found.files:
            place = place_of(root, path)
            if place is None or not place.key:
                continue
            with suppress(OSError):  # gone, or in a directory of which only the names may be read
                yield File.from_stat(*place, os.lstat(path), moved_ns)


def buckets(root: bytes) -> list[Place]:
    """Return the buckets there are."""
    places = (place_of(root, path) for path in entries(root).directories)
    return [place for place in places if place is not None]


def _moved_ns(directory: bytes) -> int:
    """Return when the directory was last moved, 0 if nothing says so.

    A move sets its ctime alone, as a chmod does, which counts as one; whatever is put into it sets mtime and ctime
    together, and hides an earlier move.
    """
    with suppress(OSError):
        status = os.lstat(directory)
        if status.st_ctime_ns > status.st_mtime_ns:
            return status.st_ctime_ns
    return 0


def _moved_with_parents_ns(root: bytes, path: bytes) -> int:
    moved_ns = 0
    while path != root:
        moved_ns = max(moved_ns, _moved_ns(path))
        path = os.path.dirname(path)
    return moved_ns


def _is_real_directory(root: bytes, path: bytes) -> bool:
    """Tell whether a walk from root would get there, without following a link."""
    while path != root:
        if os.path.islink(path) or not os.path.isdir(path):
            return False
        path = os.path.dirname(path)
    return True
