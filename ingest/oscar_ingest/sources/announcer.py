"""Announces files: looks at each, and puts its event where events go once it is complete.

In:  paths that something happened to. Out: events in the sink, or bytes of a path that cannot be a key refused there.
Not here: how it is known that something happened (inotify.py, polling.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from oscar_events.errors import EventError
from oscar_events.log import logger
from oscar_ingest.folder_record import KIND, File, folder_event
from oscar_ingest.sources.listing import place_of
from oscar_ingest.sources.look import Examine, Later, look
from oscar_ingest.sources.port import Sink
from oscar_ingest.sources.waiting import Waiter, WaitingRoom

_log = logger(__name__)


async def announce(sink: Sink, file: File, reason: str, service_uids: tuple[str, ...] = ()) -> None:
    """Put the event of a file in the sink; refuse there what can be no object."""
    try:
        event = folder_event(file, reason, datetime.now(UTC), service_uids)
    except EventError as error:
        await sink.refuse(f"{file.bucket}/".encode() + file.key, KIND, str(error))
    else:
        await sink.put(event)


class Announcer:
    """Announces each file as soon as it may be. `run` has to run for those that may not yet."""

    def __init__(self, root: bytes, sink: Sink, on_gap: Callable[[], None], examine: Examine) -> None:
        self._root, self._sink, self._on_gap, self._examine = root, sink, on_gap, examine
        self._waiting = WaitingRoom()

    async def announce(self, path: bytes, reason: str) -> None:
        """Announce the file at path now or when it is complete; do nothing if it is no object."""
        await self._consider(Waiter(path, reason))

    async def run(self) -> None:
        """Announce the files that had to wait, until cancelled."""
        while True:
            await self._consider(await self._waiting.next())

    async def _consider(self, waiter: Waiter) -> None:
        place = place_of(self._root, waiter.path)
        if place is None or not place.key:
            return
        match look(waiter.path, place, time.time_ns(), self._examine):
            case File() as file:
                await announce(self._sink, file, waiter.reason)
            case Later(seconds):
                again = Waiter(waiter.path, waiter.reason, waiter.looks + 1)
                if not self._waiting.add(again, seconds):
                    _log.warning(
                        "too many files are being written at once to wait for each", waiting=len(self._waiting)
                    )
                    self._on_gap()
