"""Folders where the kernel does not tell: the buckets are listed again and again.

In:  the directory that holds the buckets. Out: an event per new or changed file, three seconds after its
last write.
Not here: looking at files (look.py), Linux (inotify.py), what was there before (reconcile.py).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from oscar_events.writers import without_lease
from oscar_ingest.folder_record import File
from oscar_ingest.sources.announcer import Announcer
from oscar_ingest.sources.listing import buckets, walk
from oscar_ingest.sources.port import Sink, Source

# A walk over 10,000 files takes a tenth of it; a file has to be still for twice as long anyway.
INTERVAL_SECONDS = 1.0


class PolledFolders(Source):
    """The buckets below root, listed every interval seconds. Holds a path and an id per file there is."""

    def __init__(self, root: Path, interval: float = INTERVAL_SECONDS) -> None:
        super().__init__()
        self._root, self._interval = os.fsencode(root.resolve()), interval

    async def run(self, sink: Sink, on_gap: Callable[[], None]) -> None:
        os.makedirs(self._root, exist_ok=True)
        announcer = Announcer(self._root, sink, on_gap, without_lease)
        before = await asyncio.to_thread(self._list)
        self.ready.set()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(announcer.run())
            while True:
                await asyncio.sleep(self._interval)
                now = await asyncio.to_thread(self._list)
                for path, version in now.items():
                    if before.get(path) != version:
                        await announcer.announce(path, "listed")
                before = now

    def _list(self) -> dict[bytes, str]:
        return {self._path(file): file.event_id for file in walk(self._root, buckets(self._root))}

    def _path(self, file: File) -> bytes:
        return os.path.join(self._root, os.fsencode(file.bucket), file.key)
