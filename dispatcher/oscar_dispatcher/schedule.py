"""The scheduler: leases what may run, fairly and within bounds, and submits it.

In:  a word that there may be work (wake), free slots, the epoch of the role. Out: jobs in the backend.
Not here: who gets a slot (fairness.py), what a job looks like (jobs.py), what becomes of it (watch.py), getting and
keeping the role (role.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic

from sqlalchemy import Connection

from oscar_dispatcher.backends.port import Backend, BackendUnavailableError, SubmissionRejectedError
from oscar_dispatcher.fairness import Demand, Fairness
from oscar_dispatcher.flight import Attempt, Flight
from oscar_dispatcher.jobs import Site, build_job, unrevealed
from oscar_dispatcher.revisions import Revisions
from oscar_dispatcher.settings import DispatcherSettings
from oscar_events import codec
from oscar_events.errors import EventError, FencedError, LedgerError, MoveRefusedError
from oscar_events.job import Job
from oscar_events.ledger import ends, expiry, leases
from oscar_events.ledger.leases import Leased
from oscar_events.ledger.port import Ledger, now
from oscar_events.ledger.services import Catalogue
from oscar_events.log import logger
from oscar_events.patience import until_available
from oscar_events.secrets import SecretMissingError, SecretUnavailableError

# How long to wait at most before looking again by itself: somebody else may have written to the ledger.
_IDLE_S = 1.0
# How often to look for runs that waited too long: nobody writes `expire` in less than seconds.
_EXPIRE_EVERY_S = 1.0
# A backend that cannot take a job now is asked again after this, by the scheduler's own pace, not in a loop.
_UNAVAILABLE = timedelta(seconds=5)

_log = logger(__name__)


@dataclass(frozen=True, slots=True)
class _Round:
    """What one look at the queue brought. next_at: when the first of what still waits may run, ms; None if nothing."""

    leased: list[Leased]
    time: int
    next_at: int | None


class Scheduler:
    """Leases and submits under one epoch, for as long as `run` runs."""

    def __init__(
        self,
        ledger: Ledger,
        backend: Backend,
        flight: Flight,
        revisions: Revisions,
        site: Site,
        settings: DispatcherSettings,
        may_write: Callable[[], bool],
    ) -> None:
        self._ledger, self._backend, self._flight, self._site, self._settings = ledger, backend, flight, site, settings
        self._revisions, self._may_write = revisions, may_write
        self._fairness = Fairness()
        self._catalogue = Catalogue(site.aliases)
        self._wake = asyncio.Event()
        self._draining = False
        self._expire_at = 0.0
        self._limited = self._catalogue.services
        self._limits_by_uid: Mapping[str, int] = {}

    def drain(self) -> None:
        """Lease nothing more; what is in flight goes on."""
        self._draining = True

    def wake(self) -> None:
        """Say that there may be something to lease, or room for it."""
        self._wake.set()

    async def run(self, epoch: int) -> None:
        """Lease and submit until cancelled, or until the role is lost. Raises FencedError."""
        async with asyncio.TaskGroup() as submits:
            while True:
                self._wake.clear()
                pause = _IDLE_S
                if not self._draining and self._may_write():
                    await self._expire(epoch)
                    if self._flight.room(self._settings.concurrency) > 0:
                        look = await until_available(lambda: self._ledger.write(self._look(epoch)), "leasing runs")
                        for leased in look.leased:
                            attempt = Attempt(leased.execution, leased.attempt, leased.service_uid, leased.revision)
                            self._flight.add(attempt)
                            submits.create_task(self._submit(epoch, leased, attempt), name=f"submit {leased.execution}")
                        if look.next_at is not None:
                            pause = min(_IDLE_S, max(0, look.next_at - look.time) / 1000)
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._wake.wait()

    async def _expire(self, epoch: int) -> None:
        """End what waited longer than its service lets it: about once a second, and while every slot is taken too."""
        if monotonic() < self._expire_at:
            return

        def unit(connection: Connection) -> list[str]:
            self._catalogue.refresh(connection)
            limits = self._limits()
            if not limits:
                return []
            time = now(connection)
            firsts = {one.service_uid: one.next_at for one in leases.waiting(connection)}
            late = {uid: limit for uid, limit in limits.items() if uid in firsts and firsts[uid] + limit <= time}
            return expiry.expire(connection, epoch, late)

        while await until_available(lambda: self._ledger.write(unit), "ending runs that waited too long"):
            pass
        self._expire_at = monotonic() + _EXPIRE_EVERY_S

    def _limits(self) -> Mapping[str, int]:
        """Return how long runs may wait, in milliseconds, of each service that says so."""
        services = self._catalogue.services
        if services is not self._limited:  # another object whenever one of them changed; there may be many
            expiring = ((uid, stored.service.dispatch.expire) for uid, stored in services.items())
            self._limits_by_uid = {uid: int(most.total_seconds() * 1000) for uid, most in expiring if most is not None}
            self._limited = services
        return self._limits_by_uid

    def _look(self, epoch: int) -> Callable[[Connection], _Round]:
        """Return the unit of work that shares the free slots out and leases, from what is in flight now."""
        slots = self._flight.room(self._settings.concurrency)
        running = self._flight.by_service()
        lease_ms = int(self._settings.lease_ttl.total_seconds() * 1000)

        def look(connection: Connection) -> _Round:
            self._catalogue.refresh(connection)
            time = now(connection)
            waiting = leases.waiting(connection)
            demands = [
                Demand(one.service_uid, one.tenant, self._room(one.service_uid, running.get(one.service_uid, 0)))
                for one in waiting
                if one.next_at <= time
            ]
            shares = self._fairness.share(demands, slots)
            leased = leases.lease(connection, epoch, shares, lease_ms, self._limits())
            later = [one.next_at for one in waiting if one.next_at > time]
            if leased and len(leased) < slots:
                later.append(time)  # one had less waiting than its share; what it left is for another
            return _Round(leased, time, min(later, default=None))

        return look

    def _room(self, service_uid: str, running: int) -> int | None:
        """Return how many more runs of a service there may be; what waits for a deleted one is let through and ends."""
        stored = self._catalogue.services.get(service_uid)
        if stored is None or stored.service.dispatch.concurrency is None:
            return None
        return stored.service.dispatch.concurrency - running

    async def _submit(self, epoch: int, leased: Leased, attempt: Attempt) -> None:
        """Bring one leased attempt to the backend, or its execution back to where it belongs."""
        try:
            job, spec_hash = await self._job(leased)
            attempt.event_time = job.event_time
            if await self._backend.submit(job, lambda: self._permit(epoch, leased, spec_hash)):
                return
            reason, wait = "its permit was refused", timedelta(0)
        except (EventError, SecretMissingError, SubmissionRejectedError) as error:
            refused = str(error)
            await self._land(attempt, lambda c: ends.reject(c, epoch, leased.execution, refused), "rejecting a run")
            return
        except (BackendUnavailableError, SecretUnavailableError) as error:
            reason, wait = f"it cannot be submitted now: {error}", _UNAVAILABLE
        wait_ms = int(wait.total_seconds() * 1000)
        await self._land(attempt, lambda c: leases.give_back(c, epoch, leased, reason, wait_ms), "giving a lease back")

    async def _job(self, leased: Leased) -> tuple[Job, str]:
        """Return the job, and the hash of its specification. Raises EventError, SecretMissingError."""
        service = await self._revisions.get(leased.service_uid, leased.revision)
        event = codec.decode(leased.envelope)
        specification = build_job(leased, service, event, self._site, unrevealed)
        return build_job(leased, service, event, self._site, self._site.reveal), specification.spec_hash()

    async def _permit(self, epoch: int, leased: Leased, spec_hash: str) -> bool:
        """Commit `leased -> submitted`; see backends/port.py."""
        if not self._may_write():
            return False
        try:
            return await self._ledger.write(lambda c: leases.submit(c, epoch, leased, spec_hash))
        except (FencedError, LedgerError) as error:
            # Nothing may start. The lease, if it is still ours, is given back; what cannot be told is for the sweep.
            _log.warning("permit refused", execution=leased.execution, attempt=leased.attempt, error=str(error))
            return False

    async def _land(self, attempt: Attempt, unit: Callable[[Connection], None], doing: str) -> None:
        """Write down what becomes of an attempt that was never submitted."""
        with self._flight.landing(attempt):
            try:
                await until_available(lambda: self._ledger.write(unit), doing)
            except (FencedError, MoveRefusedError) as error:
                _log.info("it moved on meanwhile", doing=doing, error=str(error))
        self.wake()
