"""The watch: what the backend says of attempts becomes the state of executions.

In:  notices of the backend, requested cancels in the ledger. Out: ends recorded, cancels passed on.
Not here: what follows from a failure (ledger/ends.py, retry.py), leasing (schedule.py).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial

from sqlalchemy import Connection

from oscar_dispatcher.backends.port import Backend, Ended, Started
from oscar_dispatcher.flight import Flight
from oscar_dispatcher.revisions import Revisions
from oscar_dispatcher.together import Together
from oscar_events import metrics
from oscar_events.errors import FencedError
from oscar_events.execution import State
from oscar_events.ledger import ends, runs
from oscar_events.ledger.ends import AttemptEnd, ToRecord
from oscar_events.ledger.port import Ledger
from oscar_events.log import logger
from oscar_events.progress import Progress
from oscar_events.service import RetrySettings

# `running` is for people, and nothing depends on it: an attempt that is over sooner is not worth a transaction.
_WORTH_NOTING_S = 0.05
# A cancel written by another process is noticed after this; one of this process wakes us.
_LOOK_FOR_CANCELS_S = 1.0
# A worker waits for the next lease, nobody for this record: that commit goes first (10 % more short runs a second).
_LEASES_FIRST_S = 0.002
# Ends being recorded at a time: they share a commit; beyond this many the backend's notices wait.
_RECORDING = 256

_log = logger(__name__)


class Watch:
    """Records what happens, under one epoch, for as long as `run` runs. freed: called when an attempt is over."""

    def __init__(
        self, ledger: Ledger, backend: Backend, flight: Flight, revisions: Revisions, freed: Callable[[], None]
    ) -> None:
        self._ledger, self._backend, self._flight, self._revisions = ledger, backend, flight, revisions
        self._freed = freed
        self._fresh: list[Started] = []
        self._started = asyncio.Event()
        self._cancel_wake = asyncio.Event()
        self._unrecorded = 0
        self.ended = asyncio.Event()
        self.progress = Progress("recording what became of runs")
        self.progress.rest()

    def wake(self) -> None:
        """Say that a cancel may have been requested."""
        self._cancel_wake.set()

    async def run(self, epoch: int) -> None:
        """Record and cancel until cancelled itself. Raises FencedError when the role is lost."""
        self._room = asyncio.Semaphore(_RECORDING)  # anew: a task cancelled before it began gave nothing back
        self._unrecorded = 0
        self._ends = Together[ToRecord, State | None](partial(self._write_ends, epoch), _RECORDING)
        self.progress.made()  # its time begins: a first end that cannot be recorded counts
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pass_cancels_on(), name="cancels")
                tasks.create_task(self._note_starts(epoch), name="starts")
                async for notice in self._backend.notices():
                    if isinstance(notice, Started):
                        self._observe(notice)
                        self._fresh.append(notice)
                        self._started.set()
                    else:
                        await self._room.acquire()
                        self._unrecorded += 1
                        tasks.create_task(self._record_end(notice), name=f"end of {notice.execution}")
        finally:
            self.progress.rest()

    def _observe(self, start: Started) -> None:
        """Count how long after its event a first attempt started: a later one waited for the failure before it."""
        attempt = self._flight.get(start.execution, start.attempt)
        if start.attempt == 1 and attempt is not None and attempt.event_time is not None:
            # The storage's clock may be ahead of ours; a start before its event is one at once.
            waited = max(0.0, start.at - datetime.fromisoformat(attempt.event_time).timestamp())
            metrics.start_delay.observe(waited)

    async def _note_starts(self, epoch: int) -> None:
        """Note, from time to time, the starts of attempts that are still under way."""
        while True:
            await self._started.wait()
            self._started.clear()
            await asyncio.sleep(_WORTH_NOTING_S)
            fresh, self._fresh = self._fresh, []
            under_way = [one for one in fresh if self._flight.get(one.execution, one.attempt) is not None]
            if under_way:
                unit = partial(_note, epoch, under_way)
                await self.progress.patiently(partial(self._ledger.write, unit), "noting starts")

    async def _record_end(self, notice: Ended) -> None:
        """Record the end; the slot is free at once, as nothing of the attempt runs any more."""
        try:
            attempt = self._flight.get(notice.execution, notice.attempt)
            if attempt is None:
                # Not leased under this epoch: an attempt whose end another holder has recorded.
                _log.warning(
                    "end of an attempt that is not in flight", execution=notice.execution, attempt=notice.attempt
                )
                return
            with self._flight.landing(attempt):
                self._freed()
                await asyncio.sleep(_LEASES_FIRST_S)
                service = await self._revisions.get(attempt.service_uid, attempt.revision)
                state = await self._write_end(notice, service.dispatch.retry)
                if state.is_terminal:
                    forget = partial(self._backend.forget, notice.execution)
                    await self.progress.patiently(forget, "forgetting a run that ended")
            self._tell(notice, state)
        except FencedError as error:
            _log.warning("an end came too late", execution=notice.execution, attempt=notice.attempt, error=str(error))
        finally:
            self._room.release()
            self._unrecorded -= 1
            self.progress.made()

    async def _write_end(self, notice: Ended, retry: RetrySettings) -> State:
        """Record the end and return where it led to; also when it was recorded before, and the answer lost."""
        facts = AttemptEnd(notice.execution, notice.attempt, notice.nonce, notice.report, notice.reason, notice.log)
        state = await self._ends.one(ToRecord(facts, retry, random.random()))  # noqa: S311 - spreads retries, no secret
        if state is not None:
            return state
        return await self.progress.patiently(
            lambda: self._ledger.read(lambda c: runs.state(c, notice.execution)), "reading a run's state"
        )

    async def _write_ends(self, epoch: int, wanted: Sequence[ToRecord]) -> list[State | Exception | None]:
        return await self.progress.patiently(
            lambda: self._ledger.write(lambda c: [*ends.end_all(c, epoch, wanted)]), "recording ends"
        )

    def _tell(self, notice: Ended, state: State) -> None:
        outcome = notice.report.outcome.value if notice.report else "no report"
        metrics.attempts_ended.labels(outcome).inc()
        if state.is_terminal:
            metrics.executions_ended.labels(state.value).inc()
            self.ended.set()
        if state is State.PENDING:
            self._freed()  # there is something to lease again

    async def _pass_cancels_on(self) -> None:
        while True:
            self._cancel_wake.clear()
            wanted = await self.progress.patiently(lambda: self._ledger.read(ends.cancels), "reading cancels")
            for execution, number in wanted:
                cancel = partial(self._backend.cancel, execution, number)
                await self.progress.patiently(cancel, "passing cancels on")
            if not self._unrecorded:
                self.progress.made()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_FOR_CANCELS_S):
                    await self._cancel_wake.wait()


def _note(epoch: int, starts: Sequence[Started], connection: Connection) -> None:
    for one in starts:
        ends.started(connection, epoch, one.execution, one.attempt, int(one.at * 1000))
