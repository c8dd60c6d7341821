"""The SQLite log keeps the contract of the bus (bus.py)."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from oscar_events.bus.port import Bus
from oscar_events.bus.sqlite import SqliteBus
from tests.contracts.bus import LaptopBusContract


class TestSqliteBus(LaptopBusContract):
    @pytest.fixture(autouse=True)
    def _path(self, tmp_path: Path) -> None:
        self.path = tmp_path / "log.db"

    @pytest.fixture
    async def bus(self) -> AsyncIterator[Bus]:
        async with SqliteBus(self.path) as bus:
            yield bus

    @pytest.fixture
    async def impatient_bus(self) -> AsyncIterator[Bus]:
        async with SqliteBus(self.path, session_timeout=0.5) as bus:
            yield bus

    @asynccontextmanager
    async def failing(self, bus: Bus) -> AsyncIterator[None]:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as other:
            other.execute("ALTER TABLE records RENAME TO elsewhere")
            yield
            other.execute("ALTER TABLE elsewhere RENAME TO records")

    async def expire(self, bus: Bus, now_ms: int) -> None:
        assert isinstance(bus, SqliteBus)
        await bus.expire(now_ms)
