"""The memory double keeps the contract of the bus (bus.py)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from oscar_events.bus.memory import MemoryBus
from oscar_events.bus.port import Bus
from oscar_events.errors import BusError
from tests.contracts.bus import LaptopBusContract


class TestMemoryBus(LaptopBusContract):
    @pytest.fixture
    async def bus(self) -> AsyncIterator[Bus]:
        async with MemoryBus() as bus:
            yield bus

    @pytest.fixture
    async def impatient_bus(self) -> AsyncIterator[Bus]:
        async with MemoryBus(session_timeout=0.5) as bus:
            yield bus

    @asynccontextmanager
    async def failing(self, bus: Bus) -> AsyncIterator[None]:
        assert isinstance(bus, MemoryBus)
        bus.fail_next_publish(BusError("asked for by the test"), stored=False)
        yield

    async def expire(self, bus: Bus, now_ms: int) -> None:
        assert isinstance(bus, MemoryBus)
        await bus.expire(now_ms)
