"""What an ingest that is told to stop still does: what its sources put is published, and nothing more is taken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from oscar_events.bus.memory import MemoryBus
from oscar_events.errors import BusError
from oscar_events.event import StorageEvent
from oscar_ingest.app import Ingest, IngestSettings
from oscar_ingest.folder_record import File, folder_event
from oscar_ingest.sources.port import Sink, Source
from tests.unit.oscar_ingest.doubles import CatalogueDouble, events
from tests.waiting import running, wait_until


def event(number: int) -> StorageEvent:
    return folder_event(File("in", b"a", 7, number, number, number), "listed", datetime.now(UTC))


class Busy(Source):
    """Puts one event after the other, as long as it may."""

    put = 0

    async def run(self, sink: Sink, on_gap: Callable[[], None]) -> None:
        while True:
            await sink.put(event(self.put))
            self.put += 1


async def test_what_was_put_before_the_end_is_published_though_the_bus_is_away_at_first() -> None:
    bus, source = MemoryBus(), Busy()
    for _ in range(3):
        bus.fail_next_publish(BusError("away"), stored=False)
    ingest = Ingest(bus, CatalogueDouble(), IngestSettings(), sources=[source])
    async with running(ingest.run()):
        await wait_until(lambda: source.put > 0, "something to be put")
        await ingest.drain()
        put = source.put
        assert [one.size for one in await events(bus)] == list(range(put))
        assert (ingest.not_live, ingest.not_publishing) == ("", "")
    assert source.put == put


async def test_an_ingest_that_has_not_begun_has_nothing_to_wait_for() -> None:
    async with asyncio.timeout(5):
        await Ingest(MemoryBus(), CatalogueDouble(), IngestSettings()).drain()
