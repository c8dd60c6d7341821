"""The scheduler: leases what may run, fairly and within bounds, and submits it.

In:  a word that there may be work (wake), free slots, the epoch of the role. Out: jobs in the backend.
Not here: who gets a slot (fairness.py), what a job looks like (jobs.py), what becomes of it (watch.py), getting and
keeping the role (role.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from time import monotonic

from sqlalchemy import Connection

from oscar_dispatcher.backends.port import Backend, BackendUnavailableError, LiveAttempt, SubmissionRejectedError
from oscar_dispatcher.fairness import Demand, Fairness
from oscar_dispatcher.flight import Attempt, Flight
from oscar_dispatcher.jobs import Site, build_job, with_secrets
from oscar_dispatcher.revisions import Revisions
from oscar_dispatcher.settings import DispatcherSettings
from oscar_dispatcher.together import Together
from oscar_events import codec
from oscar_events.errors import EventError, FencedError, MoveRefusedError
from oscar_events.execution import State
from oscar_events.job import Job
from oscar_events.ledger import ends, expiry, leases, permits, runs
from oscar_events.ledger.leases import Leased
from oscar_events.ledger.port import Ledger, now
from oscar_events.ledger.services import Catalogue
from oscar_events.log import logger
from oscar_events.patience import until_available
from oscar_events.progress import Progress
from oscar_events.secrets import SecretMissingError, SecretUnavailableError

# How long to wait at most before looking again by itself: somebody else may have written to the ledger.
_IDLE_S = 1.0
# How often to look for runs that waited too long: nobody writes `expire` in less than seconds.
_EXPIRE_EVERY_S = 1.0
# A backend that cannot take a job now is asked again after this, by the scheduler's own pace, not in a loop.
_UNAVAILABLE = timedelta(seconds=5)
# Permits of one transaction: some tens of milliseconds of it, which the lease of the last one has to outlast.
_PERMITTED = 256
# A database that was cut off in the middle of a unit may still commit it until it notices: so long after such an answer
# every look first takes back what was leased and never heard of.
_UNSURE_S = 60.0

_log = logger(__name__)


@dataclass(frozen=True, slots=True)
class _Round:
    """What one look at the queue brought. next_at: when the first of what still waits may run, ms; None if nothing.

    is_stuck: there was something to lease and room for it, and nothing could be leased.
    """

    leased: list[Leased]
    time: int
    next_at: int | None
    is_stuck: bool


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
        self._hold_until = 0.0
        self._unsure_until = 0.0
        self.progress = Progress("starting runs")
        self.progress.rest()
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
        self._permits = Together[tuple[Leased, str], bool](partial(self._permit_all, epoch), _PERMITTED)
        self.progress.made()  # its time begins: a first look that is stuck counts
        try:
            async with asyncio.TaskGroup() as submits:
                while True:
                    self._wake.clear()
                    pause = _IDLE_S
                    if self._may_lease():
                        await self._expire(epoch)
                        if self._flight.room(self._settings.concurrency) > 0:
                            look = await self._lease(epoch)
                            for leased in look.leased:
                                attempt = Attempt(leased.execution, leased.attempt, leased.service_uid, leased.revision)
                                self._flight.add(attempt)
                                submit = self._submit(epoch, leased, attempt)
                                submits.create_task(submit, name=f"submit {leased.execution}")
                            if look.next_at is not None:
                                pause = min(_IDLE_S, max(0, look.next_at - look.time) / 1000)
                        else:
                            self.progress.made()
                    else:
                        self.progress.made()  # whether the role is renewed is its tenure's to say
                    with suppress(TimeoutError):
                        async with asyncio.timeout(pause):
                            await self._wake.wait()
        finally:
            self.progress.rest()

    def _may_lease(self) -> bool:
        return not self._draining and self._may_write() and monotonic() >= self._hold_until

    async def _lease(self, epoch: int) -> _Round:
        """Look at the queue once; what a look leased whose answer was lost goes back with the next one."""
        looks = 0

        async def look() -> _Round:
            nonlocal looks
            looks += 1
            if looks > 1:
                self._unsure_until = monotonic() + _UNSURE_S
            return await self._ledger.write(self._look(epoch))

        found = await self.progress.patiently(look, "leasing runs")
        if not found.is_stuck:
            self.progress.made()
        return found

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

        while await self.progress.patiently(lambda: self._ledger.write(unit), "ending runs that waited too long"):
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
        is_unsure, heard = monotonic() < self._unsure_until, self._flight.known()

        def look(connection: Connection) -> _Round:
            if is_unsure:
                leases.take_back_unheard(connection, epoch, heard)
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
            is_ending = any(uid not in self._catalogue.services for uid, _ in shares)  # what waits for a deleted one
            if is_ending or (leased and len(leased) < slots):
                later.append(time)  # one had less waiting than its share; what it left is for another
            return _Round(leased, time, min(later, default=None), bool(shares) and not leased and not is_ending)

        return look

    def _room(self, service_uid: str, running: int) -> int | None:
        """Return how many more runs of a service there may be; what waits for a deleted one is let through and ends."""
        stored = self._catalogue.services.get(service_uid)
        if stored is None or stored.service.dispatch.concurrency is None:
            return None
        return stored.service.dispatch.concurrency - running

    async def _submit(self, epoch: int, leased: Leased, attempt: Attempt) -> None:
        """Bring one leased attempt to the backend, or its execution back to where it belongs."""
        is_permitted = False

        async def permit() -> bool:
            nonlocal is_permitted
            is_permitted = await self._permit(leased, spec_hash)
            return is_permitted

        try:
            job, spec_hash = await self._job(leased)
            attempt.event_time = job.event_time
            if not self._may_write():  # a process that slept must not even end what an earlier attempt left running
                reason, wait = "the scheduler's role was not renewed in time", timedelta(0)
            elif await self._backend.submit(job, permit):
                return
            else:
                reason, wait = "its permit was refused", timedelta(0)
        except (EventError, SecretMissingError, SubmissionRejectedError) as error:
            refused = str(error)
            await self._land(attempt, lambda c: ends.reject(c, epoch, leased.execution, refused), "rejecting a run")
            return
        except BackendUnavailableError as error:
            reason, wait = f"it cannot be submitted now: {error}", error.retry_after or _UNAVAILABLE
            if error.retry_after is not None:
                self._hold_until = max(self._hold_until, monotonic() + wait.total_seconds())
            if is_permitted:  # it may run: it stays in flight, as its end may be on its way
                _log.warning("a submit was not answered", execution=leased.execution, error=str(error))
                await self._adopt(leased)
                return
        except SecretUnavailableError as error:
            reason, wait = f"it cannot be submitted now: {error}", _UNAVAILABLE
        wait_ms = int(wait.total_seconds() * 1000)
        back = await self._land(
            attempt, lambda c: leases.give_back(c, epoch, leased, reason, wait_ms), "giving a lease back"
        )
        if not back:
            await self._end_unstarted(leased, attempt)

    async def _job(self, leased: Leased) -> tuple[Job, str]:
        """Return the job, and the hash of its specification. Raises EventError, SecretMissingError."""
        service = await self._revisions.get(leased.service_uid, leased.revision)
        specification = build_job(leased, service, codec.decode(leased.envelope), self._site)
        return with_secrets(specification, service, self._site), specification.spec_hash()

    async def _permit_all(self, epoch: int, wanted: Sequence[tuple[Leased, str]]) -> list[bool | Exception]:
        async def commit() -> list[bool | Exception]:
            if not self._may_write():
                raise FencedError("the scheduler's role was not renewed in time")
            return await self._ledger.write(lambda c: [*permits.submit_all(c, epoch, wanted, self._backend.host)])

        return await until_available(commit, "permitting runs")

    async def _permit(self, leased: Leased, spec_hash: str) -> bool:
        """Commit `leased -> submitted`; see backends/port.py. Asked again where the answer was lost."""

        try:
            return await self._permits.one((leased, spec_hash))
        except FencedError as error:
            # Nothing may start. The lease, if it is still ours, is given back.
            _log.warning("permit refused", execution=leased.execution, attempt=leased.attempt, error=str(error))
            return False

    async def _land(self, attempt: Attempt, unit: Callable[[Connection], None], doing: str) -> bool:
        """Write down what becomes of an attempt that was never submitted; return whether it could be."""
        is_written = True
        with self._flight.landing(attempt):
            try:
                await until_available(lambda: self._ledger.write(unit), doing)
            except (FencedError, MoveRefusedError) as error:
                is_written = False
                _log.info("it moved on meanwhile", doing=doing, error=str(error))
        self.wake()
        return is_written

    async def _end_unstarted(self, leased: Leased, attempt: Attempt) -> None:
        """End an attempt that is permitted in the ledger and was not started: the permit's answer never came.

        Not one that has been leased anew, under another token: whoever did that may have started it.
        """
        for row in await until_available(lambda: self._ledger.read(runs.in_flight), "reading what is in flight"):
            if row.id == leased.execution and row.token == leased.token and row.state != State.LEASED:
                self._flight.add(attempt)
                await self._adopt(leased)

    async def _adopt(self, leased: Leased) -> None:
        """Have the backend end an attempt that is in flight, and tell its end."""
        live = LiveAttempt(leased.execution, leased.attempt, leased.nonce)
        await until_available(lambda: self._backend.adopt([live]), "taking over what runs")
