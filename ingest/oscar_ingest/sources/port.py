"""A source as the rest of ingest sees it: it runs, and events come out.

In:  where events go (`Sink`), what to do when some may have been missed. Out: events, in order per object.
Not here: any technology (one module each beside this one), the bus (publisher.py).
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol

from oscar_events.event import StorageEvent


class Sink(Protocol):
    """Where a source puts what it found. Both wait while there is no room: the source then stops reading."""

    async def put(self, event: StorageEvent) -> None:
        """Take an event. It will be published, unless this process ends before."""

    async def refuse(self, body: bytes, source: str, reason: str) -> None:
        """Take bytes that are no usable event."""


class Source(ABC):
    """One place events come from. ready: set once whatever happens from then on is seen."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()

    @property
    def not_live(self) -> str:
        """Why this process should be started anew, empty if it should not: there is work, and none gets done."""
        return ""

    @abstractmethod
    async def run(self, sink: Sink, on_gap: Callable[[], None]) -> None:
        """Yield events until cancelled. on_gap: called when some may have been missed, so that a listing is due.

        What was there before `ready` is not announced: a listing after it finds that.
        """
