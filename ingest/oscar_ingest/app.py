"""Ingest: the sources, the publisher they share, and the listings that fill the gaps.

In:  a bus, what the ledger knows of services and executions, settings. Out: events on the bus, until cancelled.
Not here: how files are noticed (sources/), what a listing publishes (reconcile.py), where it is composed (standalone).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from oscar_events.bus.port import Bus
from oscar_events.errors import UnavailableError
from oscar_events.log import logger
from oscar_ingest.publisher import Publisher
from oscar_ingest.reconcile import Catalogue, Reconciler
from oscar_ingest.sources.folder import folder_source
from oscar_ingest.sources.port import Source

_log = logger(__name__)

# Seconds until a listing that the ledger interrupted is tried again: a ledger that restarts is back by then.
_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class IngestSettings:
    """How ingest works.

    buckets: the directory whose directories are the buckets.
    reconcile_every: time between two listings: what no notification told of waits half of it on average, and listing
        100,000 files every half minute costs about 8 % of a core (measured: 23 µs per file).
    tombstone_life: how long the ledger remembers an execution that ended; it forgets none yet, so ten years.
    aliases: other names of `local.default` in service files, like `minio.default` on a laptop.
    """

    buckets: Path
    reconcile_every: timedelta = timedelta(seconds=30)
    tombstone_life: timedelta = timedelta(days=3650)
    aliases: Mapping[str, str] = field(default_factory=dict)


class Ingest:
    """Brings what happens in storage onto the bus. ready: set once sources watch and the first listing is done."""

    def __init__(
        self, bus: Bus, catalogue: Catalogue, settings: IngestSettings, *, source: Source | None = None
    ) -> None:
        self.ready = asyncio.Event()
        self._due = asyncio.Event()
        self._every = settings.reconcile_every.total_seconds()
        self._publisher = Publisher(bus)
        self._source = source or folder_source(settings.buckets)
        self._reconciler = Reconciler(
            settings.buckets,
            catalogue,
            self._publisher,
            tombstone_life=settings.tombstone_life,
            aliases=settings.aliases,
        )

    def request_listing(self) -> None:
        """Have everything listed now, or once more if a listing is under way."""
        self._due.set()

    async def run(self) -> None:
        """Run until cancelled. Raises what a source or the bus cannot recover from."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._publisher.run(), name="ingest publisher")
            tasks.create_task(self._source.run(self._publisher, self.request_listing), name="ingest source")
            tasks.create_task(self._reconcile(), name="ingest reconciler")

    async def _reconcile(self) -> None:
        await self._source.ready.wait()
        while True:
            self._due.clear()
            wait = self._every
            try:
                published = await self._reconciler.run_once()
            except UnavailableError as error:
                _log.warning("a listing was interrupted, trying again", wait_s=_RETRY_SECONDS, error=str(error))
                wait = min(_RETRY_SECONDS, wait)
            else:
                if published:
                    _log.info("a listing found files without a run", files=published)
                self.ready.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._due.wait()
