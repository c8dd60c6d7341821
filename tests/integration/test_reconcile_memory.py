"""A listing of a million objects is compared with the ledger in the memory of a small process.

The reconciler runs in a process of its own, which tells what it held at most: its own peak is all that counts.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from oscar_events.bus.memory import MemoryBus
from oscar_events.codec import encode
from oscar_events.ledger import claims, services
from oscar_events.ledger.claims import Sighting
from oscar_events.ledger.sqlite import SqliteLedger
from oscar_ingest.catalogue import LedgerCatalogue
from oscar_ingest.publisher import Publisher
from oscar_ingest.reconcile import Reconciler
from tests.unit.oscar_ingest.doubles import ALWAYS, reconciled
from tests.unit.oscar_ingest.listings.synthetic import SyntheticLister

OBJECTS = 1_000_000
# Every thousandth has no run: what is found does not decide what is held.
MISSING = 1_000
LIMIT_MIB = 200
ARRIVED = datetime.now(UTC) - timedelta(days=1)
SERVICE = reconciled("u", "pics/in", provider="minio.default").service.service


def listed(count: int) -> Iterator[tuple[bytes, datetime]]:
    for number in range(count):
        yield b"in/%07d" % number, ARRIVED + timedelta(milliseconds=number)


def has_run(number: int) -> bool:
    return number % MISSING != 0


async def measure(directory: Path, count: int) -> dict[str, float]:
    """Fill a ledger in one go, then reconcile; return what that took, and held."""
    lister = SyntheticLister(listed(count))
    async with SqliteLedger(directory / "ledger.db") as ledger:
        uid = (await ledger.write(lambda c: services.apply(c, "default", SERVICE, ALWAYS))).uid
        catalogue, number = services.Catalogue(), 0
        async for page in lister.pages("pics", [b"in"]):
            events = [await lister.event(found, ARRIVED, (uid,)) for found in page]
            told = [event for place, event in enumerate(events, number) if event is not None and has_run(place)]
            number += len(page)
            sightings = [Sighting(event, encode(event).value) for event in told]
            await ledger.write(lambda c, found=sightings: claims.claim(c, catalogue, found))  # type: ignore[misc]
        lister.objects = listed(count)
        bus = MemoryBus()
        publisher = Publisher(bus)
        publishing = asyncio.create_task(publisher.run())
        reconciler = Reconciler(
            bus, LedgerCatalogue(ledger), publisher, [lister], tombstone_life=timedelta(days=60), aliases={}
        )
        started = time.perf_counter()
        published = await reconciler.run_once()
        seconds = time.perf_counter() - started
        publishing.cancel()
    return {"published": published, "seconds": seconds, "peak_mib": _peak_mib()}


def _peak_mib() -> float:
    # Not getrusage: its peak begins with that of the process that forked this one (Linux, exec_mmap).
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


@pytest.mark.parametrize("count", [20_000, pytest.param(OBJECTS, marks=pytest.mark.benchmark)])
def test_so_many_objects_are_compared_within_200_mib(tmp_path: Path, count: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", __spec__.name, str(tmp_path), str(count)],
        check=True,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    found = json.loads(done.stdout)
    print(f"\n{count:,} objects compared in {found['seconds']:.1f} s; the process held {found['peak_mib']:.0f} MiB")
    assert found["published"] == count // MISSING
    assert found["peak_mib"] < LIMIT_MIB


if __name__ == "__main__":
    json.dump(asyncio.run(measure(Path(sys.argv[1]), int(sys.argv[2]))), sys.stdout)
