"""Backend double: nothing runs; whoever drives it says what happens, and makes it fail.

In:  jobs. Out: the notices that were asked for.
Not here: scripts (local_process.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from oscar_dispatcher.backends.port import Backend, Ended, LiveAttempt, Notice, Permit, Started
from oscar_events.job import Job, Outcome, Report

_NOTICES = 65_536  # the double is driven faster than it is read; more than any test submits


@dataclass(slots=True)
class _Running:
    job: Job
    log: bytearray = field(default_factory=bytearray)


class MemoryBackend(Backend):
    """Keep attempts in memory until they are finished.

    submitted: every job that was started, in order, also those that have ended. forgotten: executions dropped.
    adopted: every attempt taken over. cancel_requests: every (execution, attempt) asked to end.
    fail_submits: errors for the next submits, raised before anything starts.
    obey_cancel: whether cancel ends an attempt, as cancelled.
    """

    def __init__(self) -> None:
        self.submitted: list[Job] = []
        self.adopted: list[LiveAttempt] = []
        self.forgotten: list[str] = []
        self.cancel_requests: list[tuple[str, int]] = []
        self.fail_submits: list[Exception] = []
        self.obey_cancel = True
        self._running: dict[str, _Running] = {}
        self._notices: asyncio.Queue[Notice | None] = asyncio.Queue(_NOTICES)

    @property
    def running(self) -> list[Job]:
        """The jobs that have not ended, in the order of their start."""
        return [running.job for running in self._running.values()]

    def start(self, execution: str, at: float = 0.0) -> None:
        """Say that the script of a running attempt runs."""
        job = self._running[execution].job
        self._notices.put_nowait(Started(execution, job.attempt, at))

    def print(self, execution: str, output: bytes) -> None:
        """Add to the log of a running attempt."""
        self._running[execution].log += output

    def finish(self, execution: str, report: Report | None = None, reason: str = "", log: bytes | None = None) -> None:
        """End a running attempt: with a report, or without one for a reason; by default it succeeded."""
        ended = self._running.pop(execution)
        job = ended.job
        if report is None and not reason:
            report = Report(
                execution=execution, attempt=job.attempt, nonce=job.nonce, outcome=Outcome.SUCCEEDED, exit_code=0
            )
        content = bytes(ended.log) if log is None else log
        self._notices.put_nowait(Ended(execution, job.attempt, job.nonce, report, reason, content))

    async def submit(self, job: Job, permit: Permit) -> bool:
        if self.fail_submits:
            raise self.fail_submits.pop(0)
        allowed = await permit()
        known = self._running.get(job.execution)
        if allowed and (known is None or known.job.spec_hash() != job.spec_hash()):
            if known is not None:
                self.finish(job.execution, reason="another attempt of it was submitted")
            self._running[job.execution] = _Running(job)
            self.submitted.append(job)
        return allowed

    async def adopt(self, attempts: Sequence[LiveAttempt]) -> None:
        self.adopted += attempts
        for one in attempts:
            running = self._running.get(one.execution)
            if running is not None and running.job.attempt <= one.attempt:
                del self._running[one.execution]
            self._notices.put_nowait(
                Ended(one.execution, one.attempt, one.nonce, None, "the platform stopped while it ran")
            )

    async def cancel(self, execution: str, attempt: int) -> None:
        self.cancel_requests.append((execution, attempt))
        running = self._running.get(execution)
        if self.obey_cancel and running is not None and running.job.attempt == attempt:
            job = running.job
            self.finish(
                execution,
                Report(execution=execution, attempt=attempt, nonce=job.nonce, outcome=Outcome.CANCELLED),
            )

    async def notices(self) -> AsyncIterator[Notice]:
        while (notice := await self._notices.get()) is not None:
            yield notice

    async def log(self, execution: str, attempt: int) -> bytes | None:
        running = self._running.get(execution)
        return bytes(running.log) if running is not None and running.job.attempt == attempt else None

    async def forget(self, execution: str) -> None:
        self.forgotten.append(execution)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._running.clear()
        self._notices.put_nowait(None)
