"""Backend `process`: attempts as children of long-lived workers on this host.

In:  jobs. Out: notices; scripts run in `python -m oscar_supervisor.worker`, one at a time per worker.
Not here: the conversation about an attempt (slot.py), what a worker does (oscar_supervisor), images: scripts run
without them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Coroutine, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from oscar_dispatcher.backends.host import host_of
from oscar_dispatcher.backends.leftovers import remove_leftovers, remove_tree
from oscar_dispatcher.backends.port import (
    Backend,
    BackendUnavailableError,
    Ended,
    LiveAttempt,
    Notice,
    Permit,
)
from oscar_dispatcher.backends.slot import Attempt, Slot, fence_until_ended, log_left
from oscar_events.holder import LOCK_NAME, LOG_NAME
from oscar_events.job import Job

# Two notices per attempt, and no slot goes on before its own are taken in: only a stuck consumer ever fills this.
_NOTICES = 1024


class ProcessBackend(Backend):
    """Run attempts in a pool of workers on this host.

    jobs: holds one directory per execution; on a local disk, shared by all dispatchers of the host, of which one at a
    time submits. workers: how many scripts run at a time. python: the interpreter of the workers; this distribution is
    installed there.
    """

    def __init__(self, jobs: Path, workers: int, python: str = sys.executable) -> None:
        self._jobs = jobs.absolute()  # scripts are started elsewhere
        self._workers = workers
        self._python = python
        self._attempts: dict[str, Attempt] = {}
        # Not bounded here: every entry has a submit that waits for its answer.
        self._waiting: asyncio.Queue[Attempt] = asyncio.Queue()
        self._notices: asyncio.Queue[Notice | None] = asyncio.Queue(_NOTICES)
        self._group = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[None]] = set()

    async def submit(self, job: Job, permit: Permit) -> bool:
        while (earlier := self._attempts.get(job.execution)) is not None:
            await asyncio.wait([earlier.answer])
            if earlier.is_granted:
                if earlier.job.spec_hash() == job.spec_hash():
                    return await permit()  # it runs already: the answer to an earlier submit was lost
                earlier.kill()
            await earlier.over.wait()
        attempt = self._attempts[job.execution] = Attempt(job, permit)
        self._waiting.put_nowait(attempt)
        return await asyncio.shield(attempt.answer)

    async def adopt(self, attempts: Sequence[LiveAttempt]) -> None:
        for attempt in attempts:  # each by itself: one whose processes do not end holds up no other
            self._own(self._end_adopted(attempt))

    async def cancel(self, execution: str, attempt: int) -> None:
        known = self._attempts.get(execution)
        if known is not None and known.job.attempt == attempt and not known.cancel_wanted:
            await known.cancel()

    async def notices(self) -> AsyncIterator[Notice]:
        while (notice := await self._notices.get()) is not None:
            yield notice

    async def log(self, execution: str, attempt: int) -> bytes | None:
        known = self._attempts.get(execution)
        if known is None or known.job.attempt != attempt or not known.is_granted:
            return None
        try:
            return (self._jobs / execution / LOG_NAME).read_bytes()
        except FileNotFoundError:
            return b""  # it has printed nothing yet

    async def forget(self, execution: str) -> None:
        directory = os.path.join(self._jobs, execution)
        try:
            # An attempt that ended in good order has left these two at most: not worth a thread.
            for name in (LOCK_NAME, LOG_NAME):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{directory}/{name}")
            os.rmdir(directory)
        except OSError:
            await asyncio.to_thread(remove_tree, self._jobs / execution)

    async def __aenter__(self) -> Self:
        self._jobs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.host = host_of(self._jobs)
        await asyncio.to_thread(remove_leftovers, self._jobs)
        await self._group.__aenter__()
        for _ in range(self._workers):
            self._own(self._serve(Slot(self._jobs, self._python, self._notices.put)))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        try:
            # A cancellation may be the group's own way to say that a task of it crashed; other errors are the caller's.
            if isinstance(error, asyncio.CancelledError):
                await self._group.__aexit__(kind, error, traceback)
            else:
                await self._group.__aexit__(None, None, None)
        finally:
            for attempt in self._attempts.values():
                attempt.refuse(BackendUnavailableError("the backend was left before a worker was free"))
            if self._notices.full():
                self._notices.get_nowait()  # its attempt is adopted after the next start
            self._notices.put_nowait(None)

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, slot: Slot) -> None:
        """Give the slot one attempt after the other."""
        interrupted: Job | None = None
        try:
            while True:
                attempt = await self._waiting.get()
                interrupted = attempt.job
                try:
                    await slot.lead(attempt)
                    interrupted = None
                finally:
                    attempt.refuse(BackendUnavailableError("the backend was left before the attempt had started"))
                    del self._attempts[attempt.job.execution]
                    attempt.over.set()
        finally:
            await slot.close(interrupted)

    async def _end_adopted(self, adopted: LiveAttempt) -> None:
        await fence_until_ended(self._jobs, adopted.execution, adopted.attempt)
        reason = "the platform stopped while it ran"
        log = log_left(self._jobs, adopted.execution)
        await self._notices.put(Ended(adopted.execution, adopted.attempt, adopted.nonce, None, reason, log))
