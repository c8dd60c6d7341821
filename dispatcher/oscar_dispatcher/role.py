"""The role of the scheduler: one holder at a time runs scheduler and watch, under an epoch (design §3.5).

In:  the ledger, the backend. Out: scheduling for as long as the role is held; standing by otherwise.
Not here: the compare-and-set (ledger/roles.py), what the holder does (schedule.py, watch.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from oscar_dispatcher.backends.port import Backend, LiveAttempt
from oscar_dispatcher.flight import Attempt, Flight
from oscar_dispatcher.jobs import Site
from oscar_dispatcher.revisions import Revisions
from oscar_dispatcher.schedule import Scheduler
from oscar_dispatcher.settings import DispatcherSettings
from oscar_dispatcher.watch import Watch
from oscar_events import metrics
from oscar_events.errors import FencedError, MoveRefusedError
from oscar_events.execution import State
from oscar_events.ledger import leases, roles, runs
from oscar_events.ledger.port import Ledger
from oscar_events.ledger.roles import SCHEDULER
from oscar_events.log import logger
from oscar_events.patience import until_available

_log = logger(__name__)


class SchedulerRole:
    """Takes the role, keeps it, and does its work; begins anew when it was lost."""

    def __init__(self, ledger: Ledger, backend: Backend, site: Site, settings: DispatcherSettings) -> None:
        self._ledger, self._backend, self._settings = ledger, backend, settings
        self._flight = Flight()
        self._renewed = 0.0
        self._ttl_ms = int(settings.role_ttl.total_seconds() * 1000)
        revisions = Revisions(ledger)
        self.scheduler = Scheduler(ledger, backend, self._flight, revisions, site, settings, self._may_write)
        self.watch = Watch(ledger, backend, self._flight, revisions, self.scheduler.wake)
        self.held = asyncio.Event()

    async def drain(self) -> None:
        """Lease nothing more, and wait until what is in flight has ended."""
        self.scheduler.drain()
        await self._flight.empty.wait()

    async def run(self) -> None:
        """Hold the role whenever it can be had, until cancelled."""
        while True:
            epoch = await self._take()
            try:
                await self._serve(epoch)
            except* FencedError as lost:
                _log.warning("the scheduler's role was lost", epoch=epoch, error=str(lost.exceptions[0]))
            finally:
                self.held.clear()
                self._renewed = 0.0

    async def _take(self) -> int:
        """Return the epoch under which this process is the scheduler."""
        settings = self._settings
        while True:
            asked = time.monotonic()
            epoch = await until_available(
                lambda: self._ledger.write(
                    lambda c: roles.take(c, SCHEDULER, settings.holder, self._ttl_ms, at_once=settings.role_at_once)
                ),
                "taking the scheduler's role",
            )
            if epoch is not None:
                self._renewed = asked
                _log.info("scheduler's role taken", epoch=epoch)
                return epoch
            await asyncio.sleep(settings.role_ttl.total_seconds() / 5)

    async def _serve(self, epoch: int) -> None:
        self._flight.clear()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._renew(epoch), name="renewing the role")
            await self._take_over(epoch)
            tasks.create_task(self.watch.run(epoch), name="watch")
            tasks.create_task(self.scheduler.run(epoch), name="scheduler")
            tasks.create_task(self._sweep(epoch), name="sweep")
            self.held.set()

    def _may_write(self) -> bool:
        """Whether the role was renewed within half its time: a process that slept must not lease or submit."""
        return time.monotonic() - self._renewed < self._settings.role_ttl.total_seconds() / 2

    async def _renew(self, epoch: int) -> None:
        while True:
            # Four renewals in the time after which leasing stops: one that is slow is no interruption.
            await asyncio.sleep(self._settings.role_ttl.total_seconds() / 8)
            asked = time.monotonic()
            await until_available(
                lambda: self._ledger.write(lambda c: roles.renew(c, SCHEDULER, epoch, self._ttl_ms)),
                "renewing the role",
            )
            self._renewed = asked

    async def _take_over(self, epoch: int) -> None:
        """Take up what an earlier holder left: what it leased goes back, what it submitted is watched to its end."""
        rows = await until_available(lambda: self._ledger.read(runs.in_flight), "reading what is in flight")
        await self._take_up(epoch, rows)

    async def _take_up(self, epoch: int, rows: Sequence[Any]) -> None:
        submitted: list[LiveAttempt] = []
        for row in rows:
            if row.state == State.LEASED:
                await self._take_back(epoch, row.id)
            else:
                self._flight.add(Attempt(row.id, row.attempt, row.service_uid, row.revision))
                submitted.append(LiveAttempt(row.id, row.attempt, row.nonce))
        await self._backend.adopt(submitted)

    async def _take_back(self, epoch: int, execution: str) -> None:
        reason = "leased, but never submitted"
        with suppress(MoveRefusedError):  # it moved on meanwhile
            await until_available(
                lambda: self._ledger.write(lambda c: leases.take_back(c, epoch, execution, reason)),
                "taking a lease back",
            )

    async def _sweep(self, epoch: int) -> None:
        """Look from time to time for what should not be there, repair it, and alarm."""
        repair = partial(leases.repair, epoch=epoch)
        suspects: set[str] = set()
        while True:
            await asyncio.sleep(self._settings.sweep.total_seconds())
            for execution in await until_available(lambda: self._ledger.write(repair), "sweeping"):
                self._alarm("not queued", execution)
            rows = await until_available(lambda: self._ledger.read(runs.in_flight), "sweeping")
            strangers = [row for row in rows if row.id not in self._flight]
            # What was leased or ended while the sweep read is no stranger the next time.
            lost = [row for row in strangers if row.id in suspects]
            suspects = {row.id for row in strangers}
            await self._take_up(epoch, lost)
            for row in lost:
                self._alarm("in flight by nobody", row.id)
            self.scheduler.wake()

    def _alarm(self, kind: str, execution: str) -> None:
        metrics.alarms.labels(kind).inc()
        _log.error("repaired what should not happen", kind=kind, execution=execution)
