"""Events per second that intake claims on one core, and whether services that do not match cost anything."""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert

from oscar_events import codec
from oscar_events.ledger import claims, tables
from oscar_events.ledger.claims import Sighting
from oscar_events.ledger.services import Catalogue
from oscar_events.ledger.sqlite import SqliteLedger
from oscar_events.service import Service
from tests.benchmarks import figures
from tests.contracts.ledger.making import file_event

pytestmark = pytest.mark.benchmark

MATCHING = 100
STRANGERS = 10_000
BATCH = 256  # as intake takes them from the bus
BATCHES = 20
ROUNDS = 5


def stored(connection: Connection, names: range, bucket: str) -> None:
    """Apply services s<number>, each on a folder of its own in the bucket.

    Straight into the tables: apply looks for loops among all services, which is not what is measured here.
    """
    now = int(datetime.now(UTC).timestamp() * 1000)
    for number in names:
        one = Service.from_document(
            {
                "name": f"s{number}",
                "image": "busybox",
                "script": "true",
                "input": [{"storage_provider": "local", "path": f"{bucket}/f{number}"}],
            }
        )
        uid = f"uid-{number}"
        row = {"uid": uid, "tenant": "default", "name": one.name, "revision": 1, "created_at": now, "updated_at": now}
        connection.execute(insert(tables.services), row)
        document = json.dumps(one.document())
        connection.execute(
            insert(tables.revisions), {"service_uid": uid, "revision": 1, "document": document, "created_at": now}
        )
        place = one.input[0]
        connection.execute(
            insert(tables.inputs),
            {"service_uid": uid, "provider": place.storage_provider, "path": place.path, "since_at": now},
        )


@contextlib.asynccontextmanager
async def intake(directory: Path, strangers: int) -> AsyncIterator[Callable[[], Awaitable[float]]]:
    """Yield what measures one round: the rate of events that each start one of MATCHING services."""
    directory.mkdir()
    names = itertools.count()
    async with SqliteLedger(directory / "ledger.db") as ledger:
        await ledger.write(lambda c: stored(c, range(MATCHING), "pics"))
        await ledger.write(lambda c: stored(c, range(MATCHING, MATCHING + strangers), "pics"))
        catalogue = Catalogue()
        await ledger.write(lambda c: claims.claim(c, catalogue, []))  # builds the index, as a running intake has

        async def measure() -> float:
            keys = [f"f{number % MATCHING}/{next(names)}".encode() for number in range(BATCH * BATCHES)]
            values = [codec.encode(file_event(key)).value for key in keys]
            began = time.process_time()
            for start in range(0, len(values), BATCH):
                seen = [Sighting(codec.decode(value), value) for value in values[start : start + BATCH]]
                await ledger.write(lambda c, seen=seen: claims.claim(c, catalogue, seen))  # type: ignore[misc]
            return len(values) / (time.process_time() - began)

        yield measure


async def test_events_claimed_per_second_and_core(tmp_path: Path) -> None:
    few: list[float] = []
    many: list[float] = []
    async with intake(tmp_path / "few", 0) as with_few, intake(tmp_path / "many", STRANGERS) as with_many:
        for _ in range(ROUNDS):
            few.append(await with_few())
            many.append(await with_many())
    print(f"\nintake: events decoded, matched and claimed, per second of CPU; batches of {BATCH}")
    print(figures.rate(f"{MATCHING} services, each event starts one", few))
    print(figures.rate(f"and {STRANGERS:,} that do not match", many))
    print(figures.ratio("with / without (aim: within 20 %)", many, few))
