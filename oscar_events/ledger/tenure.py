"""Holding a role of the ledger: taking it when it is free, renewing it, and stopping when it is lost (design §3.5).

In:  the role, who wants it, the work of its holder. Out: the work, running in at most one holder whose writes count.
Not here: the compare-and-set behind it (roles.py), what a role's holder does (the scheduler, the reconciler).

Time only decides when a takeover may be tried: the epoch decides whether a write counts, so whoever does the work
passes it to units that compare it, or does only what may be done twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta

from oscar_events import metrics
from oscar_events.errors import FencedError, UnavailableError
from oscar_events.ledger import roles
from oscar_events.ledger.port import Ledger
from oscar_events.log import logger
from oscar_events.progress import Progress

# Of the role's time. A standby that asks so often adds half a second to the 8 s after which a role may be taken.
_ASK_AGAIN = 1 / 16
# Four renewals in the half after which a holder stops writing: one that is slow is no interruption.
_RENEW = 1 / 8
# Whoever leaves says so, for its successor not to wait; a ledger that does not answer by then would only delay the end.
_RELEASE_S = 1.0

_log = logger(__name__)


class Tenure:
    """One candidate for a role.

    holder: unique among the processes that live; it takes its own role at once. ttl: after so long without renewal
    somebody else may take it. at_once: no other holder can be alive (`up` holds the directory's lock).
    progress: of asking for it and renewing it. stands_by: another process has it.
    """

    def __init__(self, ledger: Ledger, role: str, holder: str, ttl: timedelta, *, at_once: bool = False) -> None:
        self._ledger, self._role, self._holder, self._at_once = ledger, role, holder, at_once
        self._ttl_s = ttl.total_seconds()
        self._renewed: float | None = None
        self.progress = Progress(f"holding the role of {role}")
        self.stands_by = False

    @property
    def is_held(self) -> bool:
        """Whether this process has the role, as far as it knows."""
        return self._renewed is not None

    def may_write(self) -> bool:
        """Whether the role was renewed within half its time, by this process's clock: one that slept must not write."""
        return self._renewed is not None and time.monotonic() - self._renewed < self._ttl_s / 2

    async def run(self, work: Callable[[int], Awaitable[None]]) -> None:
        """Do the work, given the epoch, whenever the role can be had, until cancelled.

        The work is cancelled when the role is lost, and done anew under the next epoch; a FencedError of its own means
        the same. Any other error of it ends this; so does its end, after which the role is free.
        """
        while True:
            epoch = await self._take()
            held = metrics.role_held.labels(self._role)
            held.set(1)
            try:
                await self._hold(epoch, work)
                return
            except* FencedError as lost:
                _log.warning("a role was lost", role=self._role, epoch=epoch, error=str(_first(lost)))
            finally:
                self._renewed = None
                held.set(0)
                await self._release(epoch)

    async def _take(self) -> int:
        while True:
            asked = time.monotonic()
            epoch = await self.progress.patiently(
                lambda: self._ledger.write(
                    lambda c: roles.take(c, self._role, self._holder, self._ttl_ms, at_once=self._at_once)
                ),
                f"taking the role of {self._role}",
            )
            self.progress.made()
            self.stands_by = epoch is None
            if epoch is not None:
                self._renewed = asked
                _log.info("role taken", role=self._role, epoch=epoch)
                return epoch
            await asyncio.sleep(self._ttl_s * _ASK_AGAIN)

    async def _hold(self, epoch: int, work: Callable[[int], Awaitable[None]]) -> None:
        async with asyncio.TaskGroup() as tasks:
            renewing = tasks.create_task(self._renew(epoch), name=f"renewing the role of {self._role}")
            await work(epoch)
            renewing.cancel()

    async def _renew(self, epoch: int) -> None:
        while True:
            await asyncio.sleep(self._ttl_s * _RENEW)
            asked = time.monotonic()
            await self.progress.patiently(
                lambda: self._ledger.write(lambda c: roles.renew(c, self._role, epoch, self._ttl_ms)),
                f"renewing the role of {self._role}",
            )
            self._renewed = asked
            self.progress.made()

    async def _release(self, epoch: int) -> None:
        with suppress(TimeoutError, UnavailableError):
            async with asyncio.timeout(_RELEASE_S):
                await self._ledger.write(lambda c: roles.release(c, self._role, epoch))

    @property
    def _ttl_ms(self) -> int:
        return int(self._ttl_s * 1000)


def _first(group: BaseExceptionGroup[FencedError]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
