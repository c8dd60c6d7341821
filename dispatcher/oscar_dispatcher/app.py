"""The dispatcher: intake, the scheduler's role and what only its holder does, side by side.

In:  a bus, a ledger, a backend, where storage is. Out: executions, run to their ends.
Not here: choosing which bus, ledger and backend (the composition root).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from oscar_dispatcher.backends.port import Backend
from oscar_dispatcher.intake import Intake
from oscar_dispatcher.jobs import Site
from oscar_dispatcher.outbox import OutboxPublisher
from oscar_dispatcher.retained import watch_retention
from oscar_dispatcher.role import SchedulerRole
from oscar_dispatcher.settings import DispatcherSettings
from oscar_events.bus.port import Bus
from oscar_events.ledger.port import Ledger
from oscar_events.ledger.services import Catalogue
from oscar_events.progress import Progress


class Dispatcher:
    """One dispatcher of possibly several: every one takes events in, one of them schedules."""

    def __init__(self, bus: Bus, ledger: Ledger, backend: Backend, site: Site, settings: DispatcherSettings) -> None:
        self._ledger, self._settings = ledger, settings
        self._role = SchedulerRole(ledger, backend, site, settings)
        self._intake = Intake(bus, ledger, Catalogue(site.aliases), self._role.scheduler.wake)
        self._outbox = OutboxPublisher(bus, ledger, self._role.watch.ended)
        self._in_role: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
            "outbox": self._outbox.run,
            "retention of the log": lambda: watch_retention(bus, ledger),
        }

    def in_role(self, name: str, part: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Have whichever dispatcher holds the scheduler's role run a part too, until cancelled; before `run`.

        For what one process at a time should do and several may: a former holder may still be at its last step.
        """
        self._in_role[name] = part

    def wake(self) -> None:
        """Say that somebody else changed the ledger: a cancel was requested, a run redriven."""
        self._role.scheduler.wake()
        self._role.watch.wake()

    @property
    def not_live(self) -> str:
        """Why this process should be started anew, empty if it should not: there is work, and none gets done."""
        return next((text for one in self._progress if (text := one.not_live)), "")

    @property
    def not_ready(self) -> str:
        """Why this dispatcher does not do its part, empty if it does; to stand by is a part."""
        if why := next((text for one in self._progress if (text := one.not_ready)), ""):
            return why
        if not self._role.held.is_set() and not self._role.tenure.stands_by:
            return "taking over what ran before"
        return "" if self._intake.has_joined else "joining those who take events in"

    @property
    def _progress(self) -> tuple[Progress, ...]:
        role = self._role
        parts = (self._intake, role.tenure, role.scheduler, role.watch, self._outbox)
        return tuple(part.progress for part in parts)

    async def drain(self) -> None:
        """Start nothing more, and wait until what runs has ended."""
        await self._role.drain()

    async def run(self) -> None:
        """Dispatch until cancelled."""
        self._ledger.on_work(self.wake)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._intake.run(), name="intake")
            tasks.create_task(self._role.run(self._in_role), name="scheduler's role")
