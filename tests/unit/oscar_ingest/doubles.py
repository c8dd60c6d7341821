"""What ingest's tests share: a catalogue in memory, services on folders, and what has come to the bus.

In:  services, executions said to be known. Out: the `Catalogue` of reconcile.py; events read back from a MemoryBus.
Not here: the bus itself (oscar_events/bus/memory.py), waiting (tests/waiting.py).
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from oscar_events import codec
from oscar_events.bus.memory import MemoryBus
from oscar_events.bus.port import EVENTS
from oscar_events.errors import LedgerError
from oscar_events.event import StorageEvent
from oscar_events.matching import ActiveService
from oscar_events.record import Record
from oscar_events.service import Service
from oscar_ingest.app import Ingest
from oscar_ingest.plan import Reconciled
from oscar_ingest.reconcile import Content
from tests.waiting import wait_until

ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)


def reconciled(
    uid: str,
    *paths: str,
    since: datetime = ALWAYS,
    provider: str = "local",
    suffix: str = "",
    reconcile: bool = True,
) -> Reconciled:
    """A service with inputs on these paths."""
    places = [{"storage_provider": provider, "path": path, "suffix": [suffix] if suffix else []} for path in paths]
    document = {"name": f"service-{uid}", "image": "busybox", "script": "true", "input": places}
    service = Service.from_document({**document, "dispatch": {"reconcile": reconcile}})
    return Reconciled(ActiveService(uid, "default", service), tuple(since for _ in paths))


# Beyond the end of any partition of a test: intake has read everything.
READ_ALL = dict.fromkeys(range(64), 2**40)


class CatalogueDouble:
    """Knows what it is told. away: while set, it raises LedgerError. read: how far intake has come."""

    def __init__(self, *services: Reconciled) -> None:
        self.services: Sequence[Reconciled] = services
        self.executions: set[str] = set()
        self.contents: dict[Content, set[str]] = {}
        self.read: Mapping[int, int] = READ_ALL
        self.away = False
        self.listings = 0

    async def reconciled_inputs(self) -> Sequence[Reconciled]:
        if self.away:
            raise LedgerError("asked for by the test")
        self.listings += 1
        return self.services

    async def known(self, execution_ids: Collection[str]) -> set[str]:
        return self.executions & set(execution_ids)

    async def known_contents(self, contents: Collection[Content]) -> Mapping[Content, Collection[str]]:
        return {content: self.contents.get(content, set()) for content in contents}

    async def positions(self, topic_id: str) -> Mapping[int, int]:
        return self.read


async def records(bus: MemoryBus, topic: str) -> list[Record]:
    """Everything on a topic, in order per partition."""
    starts = dict.fromkeys(await bus.partitions(topic), 0)
    return [delivery.record for delivery in await bus.read(starts, 1_000_000)]


async def events(bus: MemoryBus) -> list[StorageEvent]:
    """Every event on the bus, in order per object."""
    return [codec.decode(record.value) for record in await records(bus, EVENTS)]


async def all_events(bus: MemoryBus, bucket: Path) -> list[StorageEvent]:
    """Every event of what happened in the bucket until now, in order per object."""
    marker = bucket / f"marker-{uuid.uuid4().hex}"
    marker.touch()  # the kernel tells of it last, and the publisher keeps the order
    found: list[StorageEvent] = []

    async def told() -> bool:
        found[:] = await events(bus)
        return marker.name.encode() in {event.key for event in found}

    await wait_until(told, "a file just made")
    return [event for event in found if not event.key.startswith(b"marker-")]


async def listed(ingest: Ingest, catalogue: CatalogueDouble) -> None:
    """Have everything listed, and wait until it is: the second listing starts when the first is done."""
    goal = catalogue.listings + 2

    def reached() -> bool:
        ingest.request_listing()
        return catalogue.listings >= goal

    await wait_until(reached, "two listings")


@asynccontextmanager
async def running(ingest: Ingest) -> AsyncIterator[None]:
    """Run ingest, ready, until the block ends."""
    task = asyncio.create_task(ingest.run())
    try:
        await wait_until(lambda: ingest.ready.is_set() or task.done(), "ingest to be ready")
        yield
    finally:
        task.cancel()
        outcome = (await asyncio.gather(task, return_exceptions=True))[0]
    assert isinstance(outcome, asyncio.CancelledError), outcome
