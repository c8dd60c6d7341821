"""The listings of folders: the files below the directories that are buckets.

In:  the directory that holds the buckets. Out: files, and the events of those that are complete.
Not here: walking (sources/listing.py), being told of files (sources/inotify.py), what is complete (sources/look.py).
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

from oscar_events.datadir import LOCAL_PROVIDER
from oscar_events.event import StorageEvent
from oscar_events.writers import under_lease
from oscar_ingest.folder_record import KIND, File, folder_event
from oscar_ingest.listings.port import Lister
from oscar_ingest.sources.listing import Place, walk
from oscar_ingest.sources.look import look

# Files per page: enough to hide the cost of a thread and of a query, few enough to hold in memory at any size.
PAGE = 500


class FolderLister(Lister[File]):
    """The files below `root`. They need no age, as the kernel tells which are complete, and cost little to list."""

    provider = LOCAL_PROVIDER
    source = KIND
    min_age = rest = timedelta(0)

    def __init__(self, root: Path) -> None:
        self._root = os.fsencode(root.resolve())

    async def pages(self, bucket: str, folders: Sequence[bytes]) -> AsyncGenerator[Sequence[File]]:
        files = walk(self._root, [Place(bucket, folder) for folder in folders])
        while page := await asyncio.to_thread(lambda: list(islice(files, PAGE))):
            yield page

    async def event(self, found: File, recorded: datetime, service_uids: tuple[str, ...]) -> StorageEvent | None:
        path = os.path.join(self._root, os.fsencode(found.bucket), found.key)
        # Another file by now, or somebody writes it: its turn comes later.
        if look(path, Place(found.bucket, found.key), time.time_ns(), under_lease) != found:
            return None
        return folder_event(found, "listed", recorded, service_uids)
