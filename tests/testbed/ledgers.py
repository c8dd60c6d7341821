"""Ledgers in PostgreSQL as fixtures; tests/conftest.py makes them known to every test.

In:  pytest. Out: `migrated`, the settings of an empty ledger: one database that is brought up to date once per session;
`large`, those of one with a million runs.
Not here: databases without tables, or of a test's own (`ledger_url` of fixtures.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from oscar_events.ledger.postgresql import upgrade
from oscar_events.ledger.tables import metadata
from oscar_events.settings import LedgerSettings
from tests.testbed.many_runs import fill
from tests.testbed.postgres import PostgresServer

# Enough that reading all of them takes seconds, and the planner knows it.
RUNS = 1_000_000


@pytest.fixture(scope="session")
def migrated_once(postgres: PostgresServer) -> tuple[str, str]:
    """Return URL and name of a database with the ledger's tables. Making one takes a second, emptying it 20 ms."""
    url = postgres.new_database()
    asyncio.run(upgrade(LedgerSettings(url=SecretStr(url))))
    return url, url.rpartition("/")[2]


@pytest.fixture
def migrated(postgres: PostgresServer, migrated_once: tuple[str, str]) -> LedgerSettings:
    """Return the settings of a ledger with nothing in it."""
    url, name = migrated_once
    postgres.execute(f"TRUNCATE {', '.join(metadata.tables)} RESTART IDENTITY CASCADE", name)
    return LedgerSettings(url=SecretStr(url))


@pytest.fixture(scope="session")
def large(postgres: PostgresServer) -> LedgerSettings:
    """Return the settings of a ledger with a million runs; only for tests that leave it as it is."""
    settings = LedgerSettings(url=SecretStr(postgres.new_database()))

    async def make() -> None:
        await upgrade(settings)
        async with one_engine(settings) as engine, engine.begin() as connection:
            await connection.run_sync(lambda c: fill(c, RUNS, is_logged=False))

    asyncio.run(make())
    return settings


@asynccontextmanager
async def one_engine(settings: LedgerSettings) -> AsyncIterator[AsyncEngine]:
    """Yield an engine without the ledger's limits of time, to prepare a database with."""
    assert settings.url is not None
    engine = create_async_engine(settings.url.get_secret_value().replace("postgresql:", "postgresql+asyncpg:"))
    try:
        yield engine
    finally:
        await engine.dispose()
