"""The reconciler sees in the ledger which services there are and what has run."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from oscar_events.bus.memory import MemoryBus
from oscar_events.ledger import services
from oscar_events.ledger.claims import Sighting, claim
from oscar_events.ledger.sqlite import SqliteLedger
from oscar_ingest.app import Ingest, IngestSettings
from oscar_ingest.catalogue import LedgerCatalogue
from oscar_ingest.folder_record import File, folder_event
from oscar_ingest.reconcile import Content
from tests.unit.oscar_ingest.doubles import ALWAYS, events, reconciled, running

SERVICE = reconciled("u", "pics").service.service
SINCE = datetime(2026, 11, 21, tzinfo=UTC)


async def test_services_come_with_the_time_of_each_input(tmp_path: Path) -> None:
    async with SqliteLedger(tmp_path / "ledger.db") as ledger:
        applied = await ledger.write(lambda connection: services.apply(connection, "default", SERVICE, SINCE))
        (found,) = await LedgerCatalogue(ledger).reconciled_inputs()
    assert (found.service.uid, found.service.service, found.since) == (applied.uid, SERVICE, (SINCE,))


async def test_what_has_an_execution_is_not_published_again(tmp_path: Path) -> None:
    bucket, bus = tmp_path / "buckets" / "pics", MemoryBus()
    bucket.mkdir(parents=True)
    for name in ("done", "new"):
        (bucket / name).write_bytes(b"x")
    done = folder_event(File.from_stat("pics", b"done", (bucket / "done").lstat()), "close_write", SINCE)
    async with SqliteLedger(tmp_path / "ledger.db") as ledger:
        await ledger.write(lambda connection: services.apply(connection, "default", SERVICE, ALWAYS))
        catalogue = services.Catalogue()
        await ledger.write(lambda connection: claim(connection, catalogue, [Sighting(done, b"{}")]))
        ingest = Ingest(bus, LedgerCatalogue(ledger), IngestSettings(bucket.parent))
        async with running(ingest):
            await ingest._publisher.published()
    assert [event.key for event in await events(bus)] == [b"new"]


async def test_contents_are_known_by_key_and_etag_together(tmp_path: Path) -> None:
    async with SqliteLedger(tmp_path / "ledger.db") as ledger:
        applied = await ledger.write(lambda connection: services.apply(connection, "default", SERVICE, ALWAYS))
        catalogue = services.Catalogue()
        had = [(b"caf\xe9", "e1"), (b"b", "e2"), *((b"%d" % number, "e") for number in range(600))]
        for inode, (key, etag) in enumerate(had):
            event = replace(folder_event(File("pics", key, 1, inode, 1, 1), "close_write", SINCE), etag=etag)
            await ledger.write(partial(claim, catalogue=catalogue, sightings=[Sighting(event, b"{}")]))
        asked = [*had, (b"caf\xe9", "e2"), (b"b", "e1")]
        contents = [Content("local.default", "pics", key, etag) for key, etag in asked]
        found = await LedgerCatalogue(ledger).known_contents([*contents, contents[0]._replace(bucket="other")])
    assert [bool(uids) for uids in found.values()] == [True] * len(had) + [False] * 3
    assert found[contents[0]] == {applied.uid}
