"""The component `ingest` of a cluster, composed.

In:  as component.py. Out: events of all its sources on the broker.
Not here: the sources (oscar_ingest).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress

from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from oscar_events.bus.port import EVENTS, Bus
from oscar_events.cluster.component import Component, holder_name
from oscar_events.config import PlatformConfig
from oscar_events.datadir import DataDirectory
from oscar_events.errors import BusError, NotFoundError, UnavailableError
from oscar_events.feeds import Feeds, feeds
from oscar_events.ledger.port import Ledger
from oscar_events.ledger.tenure import Tenure
from oscar_events.lifecycle import Stop
from oscar_events.manager.undefined_providers import warn_of_undefined_providers
from oscar_events.progress import Progress
from oscar_ingest.app import Ingest, IngestSettings
from oscar_ingest.catalogue import LedgerCatalogue
from oscar_ingest.sources.configured import ConfiguredSources
from oscar_ingest.sources.webhook import Webhook

# The role of the one ingest that lists.
_RECONCILER = "reconciler"
# A question of a millisecond, as often as whoever is at the front of several ingests asks.
_ASK_S = 5.0
_RETRY_AFTER = {"Retry-After": "1"}


class ClusterIngest(Component):
    """One ingest of several: sources over HTTP and others, each event acknowledged when the broker has it."""

    def __init__(self, directory: DataDirectory, config: PlatformConfig, stop: Stop) -> None:
        super().__init__("ingest", config, config.settings.ingest, stop)
        self._sources = ConfiguredSources(directory, config)
        self._webhook: Webhook | None = None
        self._feeds: Feeds | None = None
        self._ingest: Ingest | None = None
        self._tenure: Tenure | None = None
        self._broker = Progress("asking the broker")
        self._broker.rest()

    def routes(self) -> list[BaseRoute]:
        return [Route("/ingest/{source:path}", endpoint=self, max_body_size=sys.maxsize)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a source's request (ASGI)."""
        answer: ASGIApp | None = self._webhook
        if answer is None:
            # What it says of the broker or database is for its operator, and anybody may ask here.
            why = f"{self._waiting_for.partition(':')[0] or 'the platform is stopping'}; send it again"
            answer = JSONResponse({"error": why}, status_code=503, headers=_RETRY_AFTER)
        await answer(scope, receive, send)

    async def _watch_broker(self, bus: Bus) -> None:
        """Ask the broker from time to time: while nobody sends anything, nobody else does."""
        while True:
            with suppress(UnavailableError), self._broker.asking("asking the broker"):
                try:
                    await bus.topic_id(EVENTS)
                except NotFoundError as error:  # somebody deleted it, and may make it again
                    raise BusError(str(error)) from error
            await asyncio.sleep(_ASK_S)

    async def work(self, ledger: Ledger, bus: Bus, stack: AsyncExitStack) -> None:
        settings = self._config.settings
        self._feeds = fed = feeds(bus, ledger, self._config, {}, listed=True)
        warn_of_undefined_providers(self._config, {})
        self._tenure = Tenure(ledger, _RECONCILER, holder_name(), settings.dispatcher.role_ttl)
        self._ingest = ingest = Ingest(
            bus,
            LedgerCatalogue(ledger),
            IngestSettings(None, settings.reconcile.every, settings.retention.tombstones),
            sources=fed.sources,
            listers=fed.listers,
            role=self._tenure,
        )
        self._webhook = Webhook(bus, self._sources)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(ingest.run(), name="ingest")
            tasks.create_task(self._sources.watch(), name="configuration")
            tasks.create_task(self._watch_broker(bus), name="broker")

    async def drain(self) -> None:
        await self.last_answers()
        if self._ingest is not None:
            await self._ingest.drain()

    async def last_answers(self) -> None:
        if self._webhook is not None:
            await self._webhook.close()

    def not_ready(self) -> str:
        if self._ingest is None or self._webhook is None:
            return ""
        return self._broker.not_ready or self._webhook.not_acknowledging or self._ingest.not_publishing

    def not_live(self) -> str:
        if self._ingest is None or self._tenure is None:
            return ""
        return self._ingest.not_live or self._tenure.progress.not_live

    def troubles(self) -> Mapping[str, str]:
        self._sources.refresh()
        found = (self._feeds.troubles() if self._feeds is not None else {}) | {
            "config.yaml": self._sources.problem,
            "storage_providers": self._sources.waiting,
            "sources": self._webhook.trouble if self._webhook is not None else "",
            "buckets": self._ingest.not_listed if self._ingest is not None else "",
            "database": self._tenure.progress.not_ready if self._tenure is not None else "",
        }
        return {part: trouble for part, trouble in found.items() if trouble}
