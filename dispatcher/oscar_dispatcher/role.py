"""The role of the scheduler: one holder at a time runs scheduler and watch, under an epoch (design §3.5).

In:  the ledger, the backend, what else only one dispatcher may do. Out: all of it, for as long as the role is held.
Not here: getting and keeping a role (ledger/tenure.py), what the holder does (schedule.py, watch.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
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
from oscar_events.errors import MoveRefusedError
from oscar_events.execution import State
from oscar_events.ledger import leases, runs
from oscar_events.ledger.port import Ledger
from oscar_events.ledger.roles import SCHEDULER
from oscar_events.ledger.tenure import Tenure
from oscar_events.log import logger
from oscar_events.patience import until_available

# By name: what runs beside the scheduler, until cancelled.
Parts = Mapping[str, Callable[[], Coroutine[Any, Any, None]]]

_log = logger(__name__)


class SchedulerRole:
    """Takes the role, keeps it, and does its work; begins anew when it was lost."""

    def __init__(self, ledger: Ledger, backend: Backend, site: Site, settings: DispatcherSettings) -> None:
        self._ledger, self._backend, self._settings = ledger, backend, settings
        self._flight = Flight()
        self._elsewhere: set[str] = set()
        self.tenure = Tenure(ledger, SCHEDULER, settings.holder, settings.role_ttl, at_once=settings.role_at_once)
        revisions = Revisions(ledger)
        self.scheduler = Scheduler(ledger, backend, self._flight, revisions, site, settings, self.tenure.may_write)
        self.watch = Watch(ledger, backend, self._flight, revisions, self.scheduler.wake)
        self.held = asyncio.Event()

    async def drain(self) -> None:
        """Lease nothing more, and wait until what is in flight has ended."""
        self.scheduler.drain()
        await self._flight.empty.wait()

    async def run(self, beside: Parts | None = None) -> None:
        """Hold the role whenever it can be had, until cancelled. beside: run by the holder too."""
        await self.tenure.run(lambda epoch: self._serve(epoch, beside or {}))

    async def _serve(self, epoch: int, beside: Parts) -> None:
        self._flight.clear()
        try:
            async with asyncio.TaskGroup() as tasks:
                for name, part in beside.items():
                    tasks.create_task(part(), name=name)
                await self._take_over(epoch)
                tasks.create_task(self.watch.run(epoch), name="watch")
                tasks.create_task(self.scheduler.run(epoch), name="scheduler")
                tasks.create_task(self._sweep(epoch), name="sweep")
                self.held.set()
        finally:
            self.held.clear()

    async def _take_over(self, epoch: int) -> None:
        """Take up what an earlier holder left: what it leased goes back, what it submitted is watched to its end."""
        self._elsewhere.clear()
        rows = await until_available(lambda: self._ledger.read(runs.in_flight), "reading what is in flight")
        await self._take_up(epoch, self._within_reach(rows))

    async def _take_up(self, epoch: int, rows: Sequence[Any]) -> None:
        submitted: list[LiveAttempt] = []
        for row in rows:
            if row.state == State.LEASED:
                await self._take_back(epoch, row.id)
            else:
                self._flight.add(Attempt(row.id, row.attempt, row.service_uid, row.revision))
                submitted.append(LiveAttempt(row.id, row.attempt, row.nonce))
        await until_available(lambda: self._backend.adopt(submitted), "taking over what runs")

    def _within_reach(self, rows: Sequence[Any]) -> list[Any]:
        """Return what this host may take up. Nobody here can tell whether what another host was given still runs."""
        reached = {None, "", self._backend.host}  # without a host: of a backend whose attempts are seen from anywhere
        elsewhere = {row.id: row for row in rows if row.state != State.LEASED and row.host not in reached}
        for row in elsewhere.values():
            if row.id not in self._elsewhere:
                metrics.alarms.labels("on another host").inc()
                _log.error(
                    "a run was begun on another host: it goes on only when a dispatcher there is the scheduler again",
                    execution=row.id,
                    host=row.host,
                    this_host=self._backend.host,
                )
        self._elsewhere = set(elsewhere)
        return [row for row in rows if row.id not in elsewhere]

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
        suspects: set[tuple[str, int]] = set()  # attempts: the next one of an execution is a stranger of its own
        while True:
            await asyncio.sleep(self._settings.sweep.total_seconds())
            for execution in await until_available(lambda: self._ledger.write(repair), "sweeping"):
                self._alarm("not queued", execution)
            rows = await until_available(lambda: self._ledger.read(runs.in_flight), "sweeping")
            strangers = [row for row in self._within_reach(rows) if row.id not in self._flight]
            # What was leased or ended while the sweep read is no stranger the next time.
            lost = [row for row in strangers if (row.id, row.attempt) in suspects]
            suspects = {(row.id, row.attempt) for row in strangers}
            await self._take_up(epoch, lost)
            for row in lost:
                self._alarm("in flight by nobody", row.id)
            self.scheduler.wake()

    def _alarm(self, kind: str, execution: str) -> None:
        metrics.alarms.labels(kind).inc()
        _log.error("repaired what should not happen", kind=kind, execution=execution)
