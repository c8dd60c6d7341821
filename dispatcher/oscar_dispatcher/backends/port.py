"""A backend: runs one attempt somewhere, and says how it ended.

In:  job documents with a permit each. Out: notices, each attempt's last one is `Ended`.
Not here: which attempt is next (schedule.py), what the end means (watch.py), any technology (one module beside this).
Docstrings of the contract live here only; the contract suite is tests/contracts/backend.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Self

from oscar_events.errors import OscarEventsError, UnavailableError
from oscar_events.job import Job, Report


class BackendUnavailableError(UnavailableError):
    """The backend cannot do it now, or did not say that it did; the same call may succeed later.

    Of a submit nothing will start, unless its permit was granted: then the attempt may run, until its `Ended` comes.
    retry_after: when the whole backend asks to be left alone for so long, whatever the attempt.
    """

    def __init__(self, message: str, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SubmissionRejectedError(OscarEventsError):
    """The backend will never take this job; the message says why. A dead letter."""


# Commits `leased -> submitted` under the lease's token and the scheduler's epoch; False when either has passed to
# somebody else. A backend calls it once per submit, at its point of no return, and starts nothing after a False.
Permit = Callable[[], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class LiveAttempt:
    """An attempt that an earlier holder of the scheduler's role submitted and whose end is not recorded."""

    execution: str
    attempt: int
    nonce: str


@dataclass(frozen=True, slots=True)
class Started:
    """The script of an attempt runs. at: seconds since 1970."""

    execution: str
    attempt: int
    at: float


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt is over and nothing of it runs any more.

    report: what the supervisor said; None if it said nothing, then reason says what is known instead and the attempt
    failed for infrastructure. log: head and tail of the script's output.
    """

    execution: str
    attempt: int
    nonce: str
    report: Report | None
    reason: str = ""
    log: bytes = b""


Notice = Started | Ended


class Backend(ABC):
    """Where attempts run. An async context manager; leaving it ends what is still running, unreported.

    Each call may raise BackendUnavailableError. A submit that did is over, one whose permit was granted is to be
    adopted; every other call is made again until it is answered.
    host: from where alone it can be told that its attempts have ended; empty if from anywhere. Known once it is open.
    """

    host: str = ""

    @abstractmethod
    async def submit(self, job: Job, permit: Permit) -> bool:
        """Start the attempt; return whether its permit was granted, True only after the backend has it.

        Whatever an earlier, interrupted submit of the same execution left behind is ended first, so that two scripts
        of one execution never run at the same time. Raises BackendUnavailableError, SubmissionRejectedError.
        """

    @abstractmethod
    async def adopt(self, attempts: Sequence[LiveAttempt]) -> None:
        """Take over attempts submitted by an earlier holder of the role: each yields an `Ended` in time."""

    @abstractmethod
    async def cancel(self, execution: str, attempt: int) -> None:
        """Ask for the attempt's end; how it really ended comes as its `Ended`. Unknown attempts are ignored."""

    @abstractmethod
    def notices(self) -> AsyncIterator[Notice]:
        """Yield what happens, for one consumer, until the backend is left."""

    @abstractmethod
    async def log(self, execution: str, attempt: int) -> bytes | None:
        """Return what the running attempt has printed so far (head and tail), None if it is not running here."""

    @abstractmethod
    async def forget(self, execution: str) -> None:
        """Drop what is kept of an execution whose end is recorded in the ledger (files, locks)."""

    @abstractmethod
    async def __aenter__(self) -> Self: ...

    @abstractmethod
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
