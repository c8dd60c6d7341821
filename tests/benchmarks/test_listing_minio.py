"""50,000 objects on a real MinIO: what it takes to find them, and to see that all of them are known.

Beside the library's own listing of the same bucket, which asks the same pages and compares nothing.
"""

from __future__ import annotations

import asyncio
import io
import tarfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from oscar_events.bus.memory import MemoryBus
from oscar_events.codec import encode
from oscar_events.ledger import claims, services
from oscar_events.ledger.claims import Sighting
from oscar_events.ledger.sqlite import SqliteLedger
from oscar_events.minio_client import minio_client
from oscar_ingest.catalogue import LedgerCatalogue
from oscar_ingest.listings.s3 import S3Lister
from oscar_ingest.publisher import Publisher
from oscar_ingest.reconcile import Reconciler
from tests.benchmarks import figures
from tests.testbed.minio import MinioServer
from tests.unit.oscar_ingest.doubles import ALWAYS, READ_ALL, events, reconciled

pytestmark = pytest.mark.benchmark

OBJECTS = 50_000
ROUNDS = 3


# What the library sends in one piece; MinIO unpacks no multipart upload.
PER_ARCHIVE = 2_500


def packed(numbers: range) -> bytes:
    """Return an archive of files with these numbers, which MinIO unpacks into objects."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for number in numbers:
            file = tarfile.TarInfo(f"in/{number:06d}.png")
            file.size = 1
            file.mtime = time.time()  # becomes the object's own
            archive.addfile(file, io.BytesIO(b"x"))
    return packed.getvalue()


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # the archive, by the library
async def test_how_long_50_000_objects_take(
    minio: MinioServer, new_bucket: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = new_bucket("many")
    async with minio_client(minio.settings) as client:
        unpacked: dict[str, str | list[str] | tuple[str]] = {"X-Amz-Meta-Snowball-Auto-Extract": "true"}
        for start in range(0, OBJECTS, PER_ARCHIVE):
            body = packed(range(start, start + PER_ARCHIVE))
            await client.put_object(bucket, "some.tar", io.BytesIO(body), len(body), metadata=unpacked)

    requests = 0
    ask = S3Lister._ask

    async def counted(lister: S3Lister, *arguments: object) -> bytes:
        nonlocal requests
        requests += 1
        return await ask(lister, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(S3Lister, "_ask", counted)
    async with SqliteLedger(tmp_path / "ledger.db") as ledger:
        service = reconciled("u", f"{bucket}/in", provider="minio.default").service.service
        await ledger.write(lambda connection: services.apply(connection, "default", service, ALWAYS))
        bus, view = MemoryBus(), LedgerCatalogue(ledger)

        async def read_all(topic_id: str) -> dict[int, int]:
            return READ_ALL

        monkeypatch.setattr(view, "positions", read_all)
        lister = S3Lister("minio.default", minio.settings, timedelta(0))
        publisher = Publisher(bus)
        running = asyncio.create_task(publisher.run())
        reconciler = Reconciler(bus, view, publisher, [lister], tombstone_life=timedelta(days=60), aliases={})
        started = time.perf_counter()
        assert await reconciler.run_once() == OBJECTS
        await publisher.published()
        found_s = time.perf_counter() - started
        running.cancel()
        asked = requests
        assert asked <= OBJECTS / 1000 + 2  # MinIO does not fill all of its pages: 50,000 objects came in 51
        told = await events(bus)
        catalogue = services.Catalogue()
        for start in range(0, OBJECTS, 1000):
            some = [Sighting(event, encode(event).value) for event in told[start : start + 1000]]
            await ledger.write(lambda connection, some=some: claims.claim(connection, catalogue, some))  # type: ignore[misc]
        ours, theirs = [], []
        for _ in range(ROUNDS):
            again = Reconciler(bus, view, Publisher(bus), [lister], tombstone_life=timedelta(days=60), aliases={})
            started = time.perf_counter()
            assert await again.run_once() == 0
            ours.append(OBJECTS / (time.perf_counter() - started))
            theirs.append(OBJECTS / await _bare_listing(minio, bucket))
    print(f"\n{OBJECTS:,} objects found and published in {found_s:.1f} s, with {asked} requests")
    print(figures.rate("listed and compared with the ledger", ours))
    print(figures.rate("listed by the library alone", theirs))
    print(figures.ratio("ratio", ours, theirs))


async def _bare_listing(minio: MinioServer, bucket: str) -> float:
    started = time.perf_counter()
    async with minio_client(minio.settings) as client:
        count = 0
        async for _ in client.list_objects(bucket, prefix="in/", recursive=True):
            count += 1
    assert count == OBJECTS
    return time.perf_counter() - started
