"""Ingest: the sources, the publisher they share, and the listings that fill the gaps.

In:  a bus, what the ledger knows of services and executions, sources, listers. Out: events on the bus, until cancelled.
Not here: how objects are noticed (sources/), what a listing publishes (reconcile.py), where it is composed (standalone,
cluster).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from math import inf
from pathlib import Path
from typing import Protocol

from oscar_events.bus.port import Bus
from oscar_events.errors import UnavailableError
from oscar_events.log import logger
from oscar_events.settings import RetentionSettings
from oscar_ingest.listings.folder import FolderLister
from oscar_ingest.listings.port import AnyLister
from oscar_ingest.publisher import Publisher
from oscar_ingest.reconcile import Catalogue, Reconciler
from oscar_ingest.sources.folder import folder_source
from oscar_ingest.sources.port import Source

_log = logger(__name__)

# Seconds until a listing that the ledger interrupted is tried again: a ledger that restarts is back by then.
_RETRY_SECONDS = 1.0


class Role(Protocol):
    """Who may list, of several ingests; `oscar_events.ledger.tenure.Tenure` is one."""

    async def run(self, work: Callable[[int], Awaitable[None]]) -> None:
        """Do the work whenever the role can be had, until cancelled."""


@dataclass(frozen=True, slots=True)
class IngestSettings:
    """How ingest works.

    buckets: the directory whose directories are the buckets; None = there are no such here.
    reconcile_every: time between two listings: what no notification told of waits half of it on average, and listing
        100,000 files every half minute costs about 8 % of a core (measured: 23 µs per file).
    tombstone_life: how long the ledger remembers an execution that ended.
    aliases: other names of `local.default` in service files, like `minio.default` on a laptop.
    """

    buckets: Path | None = None
    reconcile_every: timedelta = timedelta(seconds=30)
    tombstone_life: timedelta = RetentionSettings().tombstones
    aliases: Mapping[str, str] = field(default_factory=dict)


class Ingest:
    """Brings what happens in storage onto the bus.

    sources, listers: beside those of the buckets on disk. Such sources ask for a listing themselves once they watch, as
    their servers may be away for long. role: held by the one ingest that lists; None = this is the only one. What
    another one asks for is not passed on to it: the holder's own sources miss a store that goes away too, and the next
    listing by the period looks at the same objects, so that a gap costs `reconcile.every` at most. ready: set once the
    buckets on disk are watched and, if this is the only ingest, the first listing is done. `run` it once.
    """

    def __init__(
        self,
        bus: Bus,
        catalogue: Catalogue,
        settings: IngestSettings,
        *,
        sources: Sequence[Source] = (),
        listers: Sequence[AnyLister] = (),
        role: Role | None = None,
    ) -> None:
        self.ready = asyncio.Event()
        self._due = asyncio.Event()
        self._taking: list[asyncio.Task[None]] = []
        self._every = settings.reconcile_every.total_seconds()
        self._publisher = Publisher(bus)
        self._sources, listing = list(sources), list(listers)
        self._folders: Source | None = None
        if settings.buckets is not None:
            self._folders = folder_source(settings.buckets)
            self._sources.append(self._folders)
            listing.append(FolderLister(settings.buckets))
        self._role = role
        self._reconciler = Reconciler(
            bus,
            catalogue,
            self._publisher,
            listing,
            tombstone_life=settings.tombstone_life,
            aliases=settings.aliases,
        )

    def request_listing(self) -> None:
        """Have everything listed now, or once more if a listing is under way."""
        self._due.set()

    @property
    def not_live(self) -> str:
        """Why this process should be started anew, empty if it should not: there is work, and none gets done."""
        texts = (self._publisher.progress.not_live, *(source.not_live for source in self._sources))
        return next((text for text in texts if text), "")

    @property
    def not_publishing(self) -> str:
        """Why what the sources put does not get to the bus, empty if it does."""
        return self._publisher.progress.not_ready

    @property
    def not_listed(self) -> str:
        """Why some buckets could not be listed by this ingest, empty if all could or another one lists."""
        return self._reconciler.trouble

    async def drain(self) -> None:
        """Take nothing more and list no more, and wait until the bus has acknowledged what was put."""
        for task in self._taking:
            task.cancel()
        await asyncio.gather(*self._taking, return_exceptions=True)
        await self._publisher.published()

    async def run(self) -> None:
        """Run until cancelled. Raises what a source or the bus cannot recover from."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._publisher.run(), name="ingest publisher")
            for number, source in enumerate(self._sources):
                running = source.run(self._publisher, self.request_listing)
                self._taking.append(tasks.create_task(running, name=f"ingest source {number}"))
            self._taking.append(tasks.create_task(self._list(), name="ingest reconciler"))

    async def _list(self) -> None:
        if self._folders is not None:
            await self._folders.ready.wait()
        if self._role is None:
            await self._reconcile()
        else:
            self.ready.set()  # one that waits for the role does all the rest
            await self._role.run(lambda _: self._reconcile())

    async def _reconcile(self) -> None:
        clock = asyncio.get_running_loop().time
        is_gap = True  # of what happened before this began, nobody may have been told
        # When what the listing after a gap found too young to judge by is old enough.
        settled_at = inf
        while True:
            self._due.clear()
            is_settled = clock() >= settled_at
            try:
                published = await self._reconciler.run_once(rested=not (is_gap or is_settled))
            except UnavailableError as error:
                _log.warning("a listing was interrupted, trying again", wait_s=_RETRY_SECONDS, error=str(error))
                wait = _RETRY_SECONDS
            else:
                if published:
                    _log.info("a listing found objects without a run", objects=published)
                self.ready.set()
                if is_gap or is_settled:
                    young = self._reconciler.settled_after.total_seconds()
                    settled_at = clock() + young if is_gap and young > 0 else inf
                is_gap = False
                wait = min(self._every, max(0.0, settled_at - clock()))
            with suppress(TimeoutError):
                async with asyncio.timeout(min(wait, self._every)):
                    await self._due.wait()
            is_gap = is_gap or self._due.is_set()
