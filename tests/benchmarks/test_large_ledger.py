"""A ledger with ten million runs next to an empty one in the same server: claims, lives of runs, pages of lists.

BENCH_RUNS=1000000 fills it with fewer.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from pydantic import SecretStr

from oscar_events.ledger import runs
from oscar_events.ledger.postgresql import PostgresLedger, upgrade
from oscar_events.settings import LedgerSettings
from tests.benchmarks import figures
from tests.contracts.ledger.making import Life, file_event, service, succeeded
from tests.integration.test_ledger_postgresql_plans import claim, in_the_role, lease_submit_end, plans
from tests.testbed.ledgers import one_engine
from tests.testbed.many_runs import fill
from tests.testbed.postgres import PostgresServer, running_postgres

pytestmark = pytest.mark.benchmark

RUNS = int(os.environ.get("BENCH_RUNS", "10_000_000"))
ROUNDS = 5
# As intake and scheduler take them: records of a batch, runs that are leased at once.
BATCHES, BATCH, LEASED = 8, 256, 16
LIVES, PAGES = 16 * LEASED, 50

Measure = Callable[[], Awaitable[float]]


def settings_of(server: PostgresServer) -> LedgerSettings:
    return LedgerSettings(url=SecretStr(server.new_database()))


@asynccontextmanager
async def measured(settings: LedgerSettings) -> AsyncIterator[Mapping[str, Measure]]:
    """Yield what measures a ledger, by what is counted a second."""
    async with PostgresLedger(settings) as ledger:
        life = Life(ledger)
        uid = await life.apply(service())
        await life.take_role()

        async def claimed() -> float:
            batches = [[file_event() for _ in range(BATCH)] for _ in range(BATCHES)]
            began = time.perf_counter()
            for batch in batches:
                await life.claim(*batch)
            return BATCHES * BATCH / (time.perf_counter() - began)

        async def lived() -> float:
            began = time.perf_counter()
            for _ in range(LIVES // LEASED):
                for held in await life.lease(uid, LEASED):
                    assert await life.submit(held)
                    await life.end(held, succeeded(held))
            return LIVES / (time.perf_counter() - began)

        async def listed() -> float:
            began = time.perf_counter()
            for _ in range(PAGES):
                found = await ledger.read(lambda c: runs.page(c, limit=50, service="blur", state="succeeded"))
                assert len(found) == 50
            return PAGES / (time.perf_counter() - began)

        yield {"events claimed": claimed, "leased, submitted, ended": lived, "pages of 50 of one service": listed}


async def test_ten_million_runs(postgres_here: Path, tmp_path: Path) -> None:
    with running_postgres(tmp_path / "postgres", fsync=True) as server:
        full, empty = settings_of(server), settings_of(server)
        for settings in (full, empty):
            await upgrade(settings)
        began = time.monotonic()
        async with one_engine(full) as engine, engine.begin() as connection:
            await connection.run_sync(lambda c: fill(c, RUNS))
        assert full.url is not None
        size = server.execute("SELECT pg_size_pretty(pg_database_size(current_database()))", _name(full)).strip()
        print(f"\n{RUNS:,} runs in PostgreSQL: {size}, made in {time.monotonic() - began:.0f} s; alternating")
        async with PostgresLedger(full) as ledger:
            for unit in (claim, in_the_role(lease_submit_end), partial(runs.page, limit=50, service="service-3")):
                assert not [plan for plan in await plans(ledger, unit) if "Seq Scan on executions" in plan]
        async with measured(full) as of_full, measured(empty) as of_empty:
            rates: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in of_full}
            for number in range(-1, ROUNDS):  # one to warm up
                for name, (many, none) in rates.items():
                    both = await of_full[name](), await of_empty[name]()
                    if number >= 0:
                        many.append(both[0])
                        none.append(both[1])
        for name, (many, none) in rates.items():
            print(figures.rate(f"{name}, {RUNS:,} runs", many))
            print(figures.rate(f"{name}, none", none))
            print(figures.ratio("  many / none", many, none))


def _name(settings: LedgerSettings) -> str:
    assert settings.url is not None
    return settings.url.get_secret_value().rpartition("/")[2]
