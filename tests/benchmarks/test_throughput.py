"""Runs per second of the `process` backend with the script `true`, next to a bare loop doing the same durable work."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, select

from oscar_dispatcher.app import Dispatcher
from oscar_dispatcher.backends.local_process import ProcessBackend
from oscar_dispatcher.jobs import Site
from oscar_dispatcher.settings import DispatcherSettings, cores
from oscar_events.bus.sqlite import SqliteBus
from oscar_events.ledger import claims, services
from oscar_events.ledger.services import Catalogue
from oscar_events.ledger.sqlite import SqliteLedger
from oscar_events.ledger.tables import executions
from tests.benchmarks import figures
from tests.benchmarks.baselines.spawn_loop import spawn_one_after_another
from tests.contracts.ledger.making import file_event, service, sighting

pytestmark = pytest.mark.benchmark

RUNS = 2000
ROUNDS = 5


async def claimed(directory: Path) -> None:
    """Make input files, and a ledger in which RUNS executions for them are claimed."""
    inputs = directory / "buckets" / "pics" / "in"
    inputs.mkdir(parents=True)
    seen = []
    for number in range(RUNS):
        path = inputs / f"{number}.txt"
        path.write_text(str(number))
        status = path.stat()
        key = f"in/{path.name}".encode()
        event = file_event(key, inode=status.st_ino, size=status.st_size, mtime_ns=status.st_mtime_ns)
        seen.append(sighting(event))
    async with SqliteLedger(directory / "ledger.db") as ledger:
        await ledger.write(lambda c: services.apply(c, "default", service(), datetime.now(UTC)))
        await ledger.write(lambda c: claims.claim(c, Catalogue(), seen))


def succeeded(connection: Connection) -> int:
    """Return how many executions have succeeded."""
    return int(connection.scalar(select(func.count()).where(executions.c.state == "succeeded")) or 0)


async def claimed_to_succeeded(directory: Path, concurrency: int) -> float:
    """Return the seconds until all that is claimed has succeeded in the ledger, so many running at a time."""
    async with (
        SqliteLedger(directory / "ledger.db") as ledger,
        SqliteBus(directory / "log.db") as bus,
        ProcessBackend(directory / "jobs", concurrency) as backend,
    ):
        local = {"type": "local", "root": str(directory / "buckets"), "staging": str(directory / "staging")}
        site = Site(ledger.instance, {"local.default": local}, {}, reveal=str)
        settings = DispatcherSettings(concurrency, holder="bench", role_at_once=True)
        dispatcher = Dispatcher(bus, ledger, backend, site, settings)
        started = time.perf_counter()
        running = asyncio.create_task(dispatcher.run())
        while await ledger.read(succeeded) < RUNS:  # noqa: ASYNC110 - only the ledger tells
            await asyncio.sleep(0.05)
        took = time.perf_counter() - started
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return took


async def test_runs_per_second_of_the_process_backend(tmp_path: Path) -> None:
    at_a_time = (cores(), 2 * cores())
    ours: dict[int, list[float]] = {concurrency: [] for concurrency in at_a_time}
    theirs: list[float] = []
    for number in range(ROUNDS):
        bare = tmp_path / f"bare{number}"
        await claimed(bare)
        theirs.append(RUNS / await spawn_one_after_another(bare / "ledger.db"))
        for concurrency in at_a_time:
            mine = tmp_path / f"ours{number}-{concurrency}"
            await claimed(mine)
            ours[concurrency].append(RUNS / await claimed_to_succeeded(mine, concurrency))
    print(f"\nscript `true`, {RUNS} runs, {cores()} cores, claimed -> succeeded in the ledger")
    print(figures.rate("bare asyncio loop, same durable work", theirs))
    for concurrency, rates in ours.items():
        print(figures.rate(f"oscar-events, {concurrency} at a time", rates))
        print(figures.ratio("  ours / bare (aim: at least 0.4)", rates, theirs))
