"""A dispatcher's surroundings: a real ledger on a file, a bus and a backend in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from oscar_events.bus.memory import MemoryBus
from tests.contracts.ledger.making import Life
from tests.unit.oscar_dispatcher.doubles import CountingBackend, MortalLedger


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[MortalLedger]:
    async with MortalLedger(tmp_path / "ledger.db") as ledger:
        yield ledger


@pytest.fixture
def life(ledger: MortalLedger) -> Life:
    return Life(ledger)


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus(partitions=1)


@pytest.fixture
async def backend() -> AsyncIterator[CountingBackend]:
    async with CountingBackend() as backend:
        yield backend
