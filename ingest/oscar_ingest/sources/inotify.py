"""Folders on Linux: the kernel tells of every file closed after writing or moved in.

In:  the directory that holds the buckets. Out: an event per file, milliseconds after it is complete.
Not here: looking at files (look.py), other systems (polling.py), what was there before (reconcile.py).

inotify watches directories one by one, so a new directory is watched first and listed then: a file is either in the
listing or told of. All watches are set from the event loop's thread: set elsewhere, an event could arrive before the
library knows its watch and would be lost in it.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from asyncinotify import Event, Inotify, Mask, Watch

from oscar_events.errors import ConfigurationError
from oscar_events.log import logger
from oscar_events.writers import under_lease
from oscar_ingest.sources.announcer import Announcer
from oscar_ingest.sources.listing import entries, place_of
from oscar_ingest.sources.port import Sink, Source

_log = logger(__name__)

# CREATE for new directories, and for files that appear complete (a hard link, a file linked from nowhere).
_MASK = Mask.CLOSE_WRITE | Mask.MOVED_TO | Mask.MOVED_FROM | Mask.CREATE
_WATCH = _MASK | Mask.ONLYDIR | Mask.DONT_FOLLOW | Mask.EXCL_UNLINK
# Events per read of the kernel's queue, with the longest names: 64 of them are 18 KB.
_READ = 64


class WatchedFolders(Source):
    """The buckets below root, watched."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = os.fsencode(root.resolve())

    async def run(self, sink: Sink, on_gap: Callable[[], None]) -> None:
        os.makedirs(self._root, exist_ok=True)
        announcer = Announcer(self._root, sink, on_gap, under_lease)
        with _open() as inotify:
            reader = _Reader(self._root, Watches(inotify), announcer, on_gap)
            await reader.adopt(self._root, announce=False)
            self.ready.set()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(announcer.run())
                async for event in inotify:
                    await reader.take(event)


class Watches:
    """Which directories are watched, under the path they have now."""

    def __init__(self, inotify: Inotify) -> None:
        self._inotify = inotify
        self._by_path: dict[bytes, Watch] = {}

    def add(self, path: bytes) -> bool:
        """Watch a directory; return False if it was watched, at this path. Raises OSError."""
        watch = self._inotify.add_watch(path, _WATCH)
        if self._by_path.get(path) is watch:
            return False
        # The kernel watches the directory, not the path: one that moved keeps its watch, with the old path in it.
        if self._by_path.get(os.fsencode(watch.path)) is watch:
            del self._by_path[os.fsencode(watch.path)]
        watch.path = Path(os.fsdecode(path))
        self._by_path[path] = watch
        return True

    def remove(self, path: bytes) -> None:
        """Stop watching a directory that went elsewhere, and all below it."""
        for gone in [known for known in self._by_path if known == path or known.startswith(path + b"/")]:
            try:
                self._inotify.rm_watch(self._by_path.pop(gone))
            except OSError as error:
                if error.errno != errno.EINVAL:  # the kernel removed it first: the directory was deleted
                    raise

    def forget(self, watch: Watch) -> None:
        """Take note that the kernel ended a watch."""
        path = os.fsencode(watch.path)
        if self._by_path.get(path) is watch:
            del self._by_path[path]

    def __iter__(self) -> Iterator[bytes]:
        return iter(list(self._by_path))


class _Reader:
    """Makes something of each kernel event."""

    def __init__(self, root: bytes, watches: Watches, announcer: Announcer, on_gap: Callable[[], None]) -> None:
        self._root, self._watches, self._announcer, self._on_gap = root, watches, announcer, on_gap

    async def take(self, event: Event) -> None:
        """Follow one kernel event."""
        mask = event.mask
        if Mask.Q_OVERFLOW in mask:
            await self._recover()
        elif Mask.IGNORED in mask:
            if event.watch is not None:
                self._watches.forget(event.watch)
        elif event.path is not None and event.name is not None:
            path = os.fsencode(event.path)
            if Mask.ISDIR not in mask:
                await self._take_file(path, mask)
            elif Mask.MOVED_FROM in mask:
                self._watches.remove(path)
            elif mask & (Mask.CREATE | Mask.MOVED_TO):
                await self.adopt(path, announce=True)

    async def _take_file(self, path: bytes, mask: Mask) -> None:
        if Mask.CLOSE_WRITE in mask:
            await self._announcer.announce(path, "close_write")
        elif Mask.MOVED_TO in mask:
            await self._announcer.announce(path, "moved_to")
        elif Mask.CREATE in mask and _holds_bytes(path):
            # open(2) tells of the creation before it counts as a writer, but the file is empty then; what has content
            # is being written, and waits for that, or was linked here as it is and will see no other event.
            await self._announcer.announce(path, "listed")

    async def adopt(self, top: bytes, *, announce: bool, again: bool = False) -> set[bytes]:
        """Watch a directory and all below it; return which there are.

        announce: also the files in those that were not watched yet. again: look below those that were.
        """
        seen: set[bytes] = set()
        pending = [top]
        while pending:
            directory = pending.pop()
            if directory != self._root and place_of(self._root, directory) is None:
                continue
            try:
                is_new = self._watch(directory)
            except (FileNotFoundError, NotADirectoryError):
                continue
            seen.add(directory)
            if not is_new and not again:
                continue
            found = await asyncio.to_thread(entries, directory)
            pending.extend(found.directories)
            if announce and is_new:
                for path in found.files:
                    await self._announcer.announce(path, "listed")
        return seen

    def _watch(self, directory: bytes) -> bool:
        try:
            return self._watches.add(directory)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                raise
            _log.error(
                "a directory cannot be watched: its files are only seen by the listings",
                directory=os.fsdecode(directory),
                error=str(error),
                fix="raise the sysctl fs.inotify.max_user_watches" if error.errno == errno.ENOSPC else "see the error",
            )
            self._on_gap()
            return True

    async def _recover(self) -> None:
        """Events were lost, of directories too: watch what is there now, then have the files listed."""
        _log.error(
            "the kernel's queue of file events overflowed: listing everything",
            fix="raise the sysctl fs.inotify.max_queued_events if this happens often",
        )
        there = await self.adopt(self._root, announce=True, again=True)
        for path in self._watches:
            if path not in there:
                self._watches.remove(path)
        self._on_gap()


def _open() -> Inotify:
    try:
        return Inotify(cache_size=_READ)
    except OSError as error:
        raise ConfigurationError(
            f"inotify cannot be used: {error}; raise the sysctl fs.inotify.max_user_instances"
        ) from error


def _holds_bytes(path: bytes) -> bool:
    try:
        return os.lstat(path).st_size > 0
    except OSError:
        return False
