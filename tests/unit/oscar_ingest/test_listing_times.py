"""When listings happen: at the start, at times, when something may have been missed, and by one ingest of several."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from oscar_events.bus.memory import MemoryBus
from oscar_events.ledger.sqlite import SqliteLedger
from oscar_events.ledger.tenure import Tenure
from oscar_ingest.app import Ingest, IngestSettings
from oscar_ingest.sources.port import Sink, Source
from tests.unit.oscar_ingest.doubles import CatalogueDouble, reconciled, running
from tests.unit.oscar_ingest.listings.synthetic import SyntheticLister
from tests.waiting import wait_until

HOUR = timedelta(hours=1)


class Silent(Source):
    """A source whose server is away: it never watches, and tells of gaps when the test wants."""

    on_gap: Callable[[], None]

    async def run(self, sink: Sink, on_gap: Callable[[], None]) -> None:
        self.on_gap = on_gap
        await asyncio.Event().wait()


def ingest(lister: SyntheticLister, every: timedelta = HOUR, **more: object) -> Ingest:
    catalogue = CatalogueDouble(reconciled("u", "pics/in", provider="minio.default"))
    return Ingest(MemoryBus(), catalogue, IngestSettings(None, every), listers=[lister], **more)  # type: ignore[arg-type]


async def test_a_source_whose_server_is_away_holds_up_no_listing() -> None:
    lister = SyntheticLister()
    async with running(ingest(lister, sources=[Silent()])):
        assert lister.listings == 1


async def test_a_gap_is_listed_at_once_though_the_store_rests_and_again_when_the_young_are_old_enough() -> None:
    source, lister = Silent(), SyntheticLister(rest=HOUR, min_age=timedelta(milliseconds=200))
    async with running(ingest(lister, sources=[source])):
        await wait_until(lambda: lister.listings == 2, "what the start's listing found too young")
        source.on_gap()
        await wait_until(lambda: lister.listings == 4, "the gap, and what was too young then")


async def test_a_store_that_rests_is_not_listed_each_time_folders_are() -> None:
    lister, busy = SyntheticLister(rest=HOUR), SyntheticLister(provider="minio.busy")
    both = ingest(lister, timedelta(milliseconds=20))
    both._reconciler._listers = [lister, busy]
    both._reconciler._catalogue = CatalogueDouble(
        reconciled("u", "pics/in", provider="minio.default"), reconciled("v", "pics/in", provider="minio.busy")
    )
    async with running(both):
        await wait_until(lambda: busy.listings >= 5, "listings of the other")
    assert lister.listings == 1


@asynccontextmanager
async def candidate(ledger: SqliteLedger, name: str) -> AsyncIterator[SyntheticLister]:
    """One ingest of several, which lists every 20 ms if it may."""
    lister = SyntheticLister()
    role = Tenure(ledger, "reconciler", name, timedelta(seconds=2))
    async with running(ingest(lister, timedelta(milliseconds=20), role=role)):
        yield lister


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[SqliteLedger]:
    async with SqliteLedger(tmp_path / "ledger.db") as ledger:
        yield ledger


async def test_of_several_ingests_one_lists_and_another_takes_over_when_it_is_gone(ledger: SqliteLedger) -> None:
    async with candidate(ledger, "standby") as standby:
        await wait_until(lambda: standby.listings > 0, "the only one to list")
        async with candidate(ledger, "later") as later:  # ready, though it may not list
            before = standby.listings
            await wait_until(lambda: standby.listings > before + 5, "the first to go on")
            assert later.listings == 0
    async with candidate(ledger, "successor") as successor:
        await wait_until(lambda: successor.listings > 0, "the next one to take over")
