"""The dispatcher: intake, the scheduler's role and the outbox, side by side.

In:  a bus, a ledger, a backend, where storage is. Out: executions, run to their ends.
Not here: choosing which bus, ledger and backend (the composition root).
"""

from __future__ import annotations

import asyncio

from oscar_dispatcher.backends.port import Backend
from oscar_dispatcher.intake import Intake
from oscar_dispatcher.jobs import Site
from oscar_dispatcher.outbox import OutboxPublisher
from oscar_dispatcher.role import SchedulerRole
from oscar_dispatcher.settings import DispatcherSettings
from oscar_events.bus.port import Bus
from oscar_events.ledger.port import Ledger
from oscar_events.ledger.services import Catalogue

# Design's house rule 8: who makes no progress for so long says so.
STALLED_S = 30.0


class Dispatcher:
    """One dispatcher of possibly several: every one takes events in, one of them schedules."""

    def __init__(self, bus: Bus, ledger: Ledger, backend: Backend, site: Site, settings: DispatcherSettings) -> None:
        self._role = SchedulerRole(ledger, backend, site, settings)
        self._intake = Intake(bus, ledger, Catalogue(site.aliases), self._role.scheduler.wake)
        self._outbox = OutboxPublisher(bus, ledger, self._role.watch.ended)

    def wake(self) -> None:
        """Say that somebody else changed the ledger: a cancel was requested, a run redriven."""
        self._role.scheduler.wake()
        self._role.watch.wake()

    @property
    def not_ready(self) -> str:
        """Why runs cannot start, empty if they can. On a laptop this is the only dispatcher: it must hold the role."""
        if not self._role.held.is_set():
            return "taking over what ran before"
        if self._intake.stalled_s > STALLED_S:
            return f"no event could be taken in for {self._intake.stalled_s:.0f} s; see the platform's log"
        return ""

    async def drain(self) -> None:
        """Start nothing more, and wait until what runs has ended."""
        await self._role.drain()

    async def run(self) -> None:
        """Dispatch until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._intake.run(), name="intake")
            tasks.create_task(self._role.run(), name="scheduler's role")
            tasks.create_task(self._outbox.run(), name="outbox")
