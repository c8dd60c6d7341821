"""A place where one attempt at a time runs: the whole conversation about it, from fence to last notice.

In:  an attempt. Out: the answer to its submit, its notices.
Not here: who waits for a slot (local_process.py), the frames' way (worker_process.py), the fence itself (fence.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from oscar_dispatcher.backends.fence import fence
from oscar_dispatcher.backends.port import (
    BackendUnavailableError,
    Ended,
    Notice,
    Permit,
    Started,
    SubmissionRejectedError,
)
from oscar_dispatcher.backends.worker_process import WorkerDiedError, WorkerProcess
from oscar_events import frames
from oscar_events.errors import EventError
from oscar_events.holder import LOCK_NAME, LOG_NAME
from oscar_events.job import Job, Report
from oscar_events.log import logger

_log = logger(__name__)

# What keeps a fence from its work (no descriptors, a process in dead I/O) lasts; a second more delays nobody.
_FENCE_AGAIN_S = 1.0
# A worker starts in a tenth of a second, and the lock is free: one that has not asked by then hangs, and is replaced.
_ASK_S = 60.0


class Attempt:
    """An attempt from its submit to its last notice. answer: whether its permit was granted."""

    def __init__(self, job: Job, permit: Permit) -> None:
        self.job = job
        self.permit = permit
        self.answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.over = asyncio.Event()
        self.cancel_wanted = False
        self._worker: WorkerProcess | None = None

    @property
    def is_granted(self) -> bool:
        """Whether it may run, and so may be running."""
        return self.answer.done() and self.answer.exception() is None and self.answer.result()

    async def begin(self, worker: WorkerProcess, directory: Path) -> None:
        """Give it to a worker, which asks before it starts anything. Raises SubmissionRejectedError."""
        try:
            await worker.send(frames.Run(self.job, str(directory)))
        except EventError as error:
            raise SubmissionRejectedError(f"the job is too large: {error}") from error
        self._worker = worker
        if self.cancel_wanted:
            await self.cancel()

    def refuse(self, error: Exception) -> None:
        """Answer the submit with an error if it has no answer yet; its caller may have gone, which is no fault."""
        if not self.answer.done():
            self.answer.set_exception(error)
            self.answer.exception()

    async def cancel(self) -> None:
        """Ask for its end, now or as soon as a worker has it."""
        self.cancel_wanted = True
        if self._worker is not None:
            await self._worker.send(frames.Cancel(self.job.execution, self.job.attempt))

    def kill(self) -> None:
        """Kill its worker: what is left is fenced, and its end becomes known."""
        if self._worker is not None:
            self._worker.kill()


class Slot:
    """Lead attempts through one worker, which is started with the first and replaced when it dies."""

    def __init__(self, jobs: Path, python: str, tell: Callable[[Notice], Awaitable[None]]) -> None:
        self._jobs = jobs
        self._python = python
        self._tell = tell
        self._worker: WorkerProcess | None = None

    async def lead(self, attempt: Attempt) -> None:
        """Answer the attempt's submit and, once it is granted, tell what happens until it has ended."""
        try:
            worker = await self._ask(attempt)
        except Exception as error:  # noqa: BLE001 whatever it is, it is the submitter's to hear
            attempt.refuse(error)
            return
        attempt.answer.set_result(worker is not None)
        if worker is None:
            return
        try:
            await self._follow(worker, attempt.job)
        except WorkerDiedError as died:
            job = attempt.job
            await self._bury(worker)
            await fence_until_ended(self._jobs, job.execution, job.attempt)
            log = log_left(self._jobs, job.execution)
            await self._tell(Ended(job.execution, job.attempt, job.nonce, None, str(died), log))

    async def close(self, interrupted: Job | None) -> None:
        """End the worker and with it the script of the interrupted job, if there is one."""
        if self._worker is not None:
            await self._worker.stop()
        if interrupted is not None:
            await fence_until_ended(self._jobs, interrupted.execution, interrupted.attempt)

    async def _ask(self, attempt: Attempt) -> WorkerProcess | None:
        """Return the worker that starts the attempt, None if its permit is denied. Raises what permit does.

        Nothing has been started when it raises.
        """
        directory = self._jobs / attempt.job.execution
        if (directory / LOCK_NAME).exists():
            await asyncio.to_thread(fence, directory, attempt.job.execution, attempt.job.attempt)
        worker = await self._hand_over(attempt, directory)
        allowed = False
        try:
            allowed = await attempt.permit()
        finally:
            await worker.send(frames.Go(attempt.job.execution, attempt.job.attempt, allowed))
        return worker if allowed else None

    async def _hand_over(self, attempt: Attempt, directory: Path) -> WorkerProcess:
        """Return a worker that holds the attempt's lock and asks. Raises BackendUnavailableError."""
        is_new = self._worker is None
        worker = self._worker = self._worker or await WorkerProcess.start(self._python)
        try:
            async with asyncio.timeout(_ASK_S):
                await attempt.begin(worker, directory)
                if await worker.receive() != frames.Ask(attempt.job.execution, attempt.job.attempt):
                    raise WorkerDiedError("its worker answered out of turn")
        except (WorkerDiedError, TimeoutError) as died:
            await self._bury(worker)
            if is_new:
                raise BackendUnavailableError(f"nothing was started: {str(died) or 'its worker did not ask'}") from died
            return await self._hand_over(attempt, directory)  # it had died while idle, which shows only now
        return worker

    async def _follow(self, worker: WorkerProcess, job: Job) -> None:
        """Tell what the worker says until the attempt has ended. Raises WorkerDiedError."""
        while True:
            match await worker.receive():
                case frames.Started(execution, attempt, at) if (execution, attempt) == (job.execution, job.attempt):
                    await self._tell(Started(execution, attempt, at))
                case frames.Ended(report, log) if _answers(report, job):
                    await self._tell(Ended(job.execution, job.attempt, job.nonce, report, log=log))
                    return
                case _:
                    raise WorkerDiedError("its worker answered out of turn")

    async def _bury(self, worker: WorkerProcess) -> None:
        self._worker = None
        worker.kill()
        await worker.stop()


def _answers(report: Report, job: Job) -> bool:
    return (report.execution, report.attempt, report.nonce) == (job.execution, job.attempt, job.nonce)


def log_left(jobs: Path, execution: str) -> bytes:
    """Return what the script of an interrupted attempt had printed by then."""
    try:
        return (jobs / execution / LOG_NAME).read_bytes()
    except OSError:
        return b""


async def fence_until_ended(jobs: Path, execution: str, attempt: int) -> None:
    """Fence, however long it takes: until then nobody may say that the attempt has ended."""
    while True:
        try:
            return await asyncio.to_thread(fence, jobs / execution, execution, attempt)
        except BackendUnavailableError as error:
            _log.warning("still fencing", execution=execution, reason=str(error))
            await asyncio.sleep(_FENCE_AGAIN_S)
