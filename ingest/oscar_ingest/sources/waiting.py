"""Files that may not be announced yet, each with the time to look at it again.

In:  paths with a delay. Out: the same paths when the delay is over.
Not here: looking (look.py).
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass

# Paths and times of so many files are a few MB; more are left to the listing.
LIMIT = 10_000
# The kernel tells of a close just before it stops counting the writer, so the first look again is soon; a writer that
# is really there is looked at ever less, but a close nobody told us of (a lost event, a mapping) is seen within 2 s.
_WRITER_SECONDS = (0.001, 0.01, 0.1, 1.0, 2.0)


@dataclass(frozen=True, slots=True)
class Waiter:
    """A file that waits. looks: how often it was looked at in vain."""

    path: bytes
    reason: str
    looks: int = 0


class WaitingRoom:
    """Holds each path at most once; a path that comes again starts anew."""

    def __init__(self, limit: int = LIMIT, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._clock = limit, clock
        self._waiters: dict[bytes, tuple[int, Waiter]] = {}
        self._due: list[tuple[float, int, bytes]] = []
        self._tickets = itertools.count()
        self._came = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiters)

    def add(self, waiter: Waiter, seconds: float | None) -> bool:
        """Let a file wait for so long, or, None, for its writer; return False if there is no room."""
        if len(self._due) >= self._limit:
            return False
        if seconds is None:
            seconds = _WRITER_SECONDS[min(waiter.looks, len(_WRITER_SECONDS) - 1)]
        ticket = next(self._tickets)
        self._waiters[waiter.path] = ticket, waiter
        heapq.heappush(self._due, (self._clock() + seconds, ticket, waiter.path))
        self._came.set()
        return True

    async def next(self) -> Waiter:
        """Wait for the next file whose time has come, and take it out."""
        while True:
            self._came.clear()
            if self._due and self._due[0][0] <= self._clock():
                _, ticket, path = heapq.heappop(self._due)
                if self._waiters.get(path, (None,))[0] == ticket:
                    return self._waiters.pop(path)[1]
                continue
            try:
                async with asyncio.timeout(self._due[0][0] - self._clock() if self._due else None):
                    await self._came.wait()
            except TimeoutError:
                pass
