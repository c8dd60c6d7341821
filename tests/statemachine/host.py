"""A host with several dispatchers: the scripts on it, whoever started them, and whoever ends them.

In:  jobs with their permits. Out: notices to the dispatcher whose script it was; what must never be, noted.
Not here: deciding what happens (dispatching.py), the fence with real processes (oscar_dispatcher/backends/fence.py).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from oscar_dispatcher.backends.memory import MemoryBackend
from oscar_dispatcher.backends.port import Backend, BackendUnavailableError, LiveAttempt, Permit
from oscar_events.job import Job
from tests.statemachine.faults import Calls, calls_of, let_fail


class Host:
    """The host. started: how often each execution's script was. slowness: seconds until a job's worker asks.

    strays: scripts whose dispatcher was killed and that live on. violations: what must never be, in words.
    """

    def __init__(self) -> None:
        self.backends: list[HostBackend] = []
        self.strays: dict[str, Job] = {}
        self.started: Counter[str] = Counter()
        self.slowness = 0.0
        self.violations: list[str] = []

    @property
    def running(self) -> list[tuple[HostBackend, Job]]:
        """Return what runs and has a dispatcher to tell."""
        return [(backend, job) for backend in self.backends for job in backend.running]

    def fence(self, execution: str, attempt: int) -> None:
        """End every script of the execution up to this attempt, as backends/fence.py does."""
        for backend, job in self.running:
            if job.execution == execution and job.attempt <= attempt:
                backend.finish(execution, reason="its worker died")
        stray = self.strays.get(execution)
        if stray is not None and stray.attempt <= attempt:
            del self.strays[execution]

    def begin(self, job: Job) -> None:
        """Count a start. Two scripts of one execution at a time are the one thing that must never be."""
        if any(one.execution == job.execution for one in (*self.strays.values(), *(one for _, one in self.running))):
            self.violations.append(f"attempt {job.attempt} of {job.execution} began beside another")
        self.started[job.execution] += 1


class HostBackend(MemoryBackend):
    """What one dispatcher has of the host. As with real workers, a submit goes on when its caller is cancelled.

    calls: of the port.
    """

    def __init__(self, host: Host) -> None:
        super().__init__()
        self.calls = Calls(BackendUnavailableError, calls_of(Backend))
        let_fail(self, calls_of(Backend), self.calls)
        self._host = host
        self._leading: set[asyncio.Task[bool]] = set()
        host.backends.append(self)

    async def submit(self, job: Job, permit: Permit) -> bool:
        task = asyncio.get_running_loop().create_task(self._lead(job, permit))
        self._leading.add(task)
        task.add_done_callback(self._led)
        return await asyncio.shield(task)

    async def adopt(self, attempts: Sequence[LiveAttempt]) -> None:
        for one in attempts:
            self._host.fence(one.execution, one.attempt)
        await super().adopt(attempts)

    async def die(self, *, scripts_live_on: bool) -> None:
        """End with the dispatcher, told by nobody."""
        self._host.backends.remove(self)
        if scripts_live_on:
            self._host.strays |= {job.execution: job for job in self.running}
        self._running.clear()
        for task in self._leading:
            task.cancel()
        if self._leading:
            await asyncio.wait(self._leading)

    async def _lead(self, job: Job, permit: Permit) -> bool:
        await asyncio.sleep(self._host.slowness)
        self._host.fence(job.execution, job.attempt)

        async def permitted() -> bool:
            granted = await permit()
            if granted:
                self._host.begin(job)
            return granted

        return await super().submit(job, permitted)

    def _led(self, task: asyncio.Task[bool]) -> None:
        self._leading.discard(task)
        if not task.cancelled():
            task.exception()  # its caller may have gone
