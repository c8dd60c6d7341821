"""One holder at a time schedules; who loses the role stops, and who takes it takes up what was left."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Connection, delete

from oscar_dispatcher.backends.port import Backend, BackendUnavailableError, LiveAttempt
from oscar_dispatcher.role import SchedulerRole
from oscar_dispatcher.settings import DispatcherSettings
from oscar_events import metrics
from oscar_events.execution import State
from oscar_events.ledger import claims, leases, permits, roles, tenure
from oscar_events.ledger.port import Unit
from oscar_events.ledger.roles import SCHEDULER
from oscar_events.ledger.services import Catalogue
from oscar_events.ledger.tables import attempts, executions, queue
from oscar_events.ledger.tables import roles as roles_table
from oscar_events.settings import DispatcherSection
from tests.contracts.ledger.making import Life, file_event, service, sighting
from tests.statemachine.faults import Calls, Fault, calls_of, let_fail
from tests.unit.oscar_dispatcher.doubles import SITE, CountingBackend, MortalLedger, row
from tests.waiting import running, wait_until

HOUR = timedelta(hours=1)
SOON = timedelta(milliseconds=400)  # long beside a renewal, short enough to wait for its end


def candidate(life: Life, backend: CountingBackend, **settings: Any) -> SchedulerRole:
    settings = {"concurrency": 4, "holder": "me", "sweep": HOUR, **settings}
    return SchedulerRole(life.ledger, backend, SITE, DispatcherSettings(**settings))


@asynccontextmanager
async def holding(one: SchedulerRole) -> AsyncIterator[None]:
    async with running(one.run()):
        await held(one)
        yield


async def held(one: SchedulerRole) -> None:
    await wait_until(one.held.is_set, "the role")


async def other_takes(life: Life, ttl: timedelta) -> None:
    """Somebody else takes the role, as if this holder's time had passed."""
    ttl_ms = int(ttl.total_seconds() * 1000)
    await life.ledger.write(lambda c: roles.take(c, SCHEDULER, "another", ttl_ms, at_once=True))


def _submit_behind_its_back(uid: str) -> Unit[bool]:
    """Return a unit that submits an attempt under the holder's epoch, in one transaction, unknown to its scheduler."""
    event = sighting(file_event())

    def unit(connection: Connection) -> bool:
        claims.claim(connection, Catalogue(), [event])
        (leased,) = leases.lease(connection, 1, [(uid, 1)], 60_000)
        return permits.submit(connection, 1, leased, "spec")

    return unit


async def reaches(life: Life, state: State, attempt: int = 1) -> None:
    """Return once the only execution is there."""

    async def is_there() -> bool:
        found = await row(life.ledger, executions)
        return bool(found.state == state and found.attempt == attempt)

    await wait_until(is_there, f"the run to be {state} with attempt {attempt}")


async def test_a_free_role_is_taken_and_its_work_begins(life: Life, backend: CountingBackend) -> None:
    await life.apply(service())
    await life.claim(file_event())
    async with holding(candidate(life, backend)):
        await reaches(life, State.SUBMITTED)


async def test_a_standby_takes_over_when_the_holders_time_has_passed_and_not_before(
    life: Life, backend: CountingBackend
) -> None:
    await other_takes(life, SOON)
    expires = (await row(life.ledger, roles_table)).expires_at
    standby = candidate(life, backend, role_ttl=SOON)
    async with holding(standby):
        taken = await row(life.ledger, roles_table)
    assert (taken.holder, taken.epoch) == ("me", 2)
    assert taken.expires_at >= expires + SOON.total_seconds() * 1000


async def test_a_holder_renews_for_as_long_as_it_lives(life: Life, backend: CountingBackend) -> None:
    async with holding(candidate(life, backend, role_ttl=SOON)):
        first = (await row(life.ledger, roles_table)).expires_at

        async def renewed_beyond() -> bool:
            return bool((await row(life.ledger, roles_table)).expires_at > first + 2 * SOON.total_seconds() * 1000)

        await wait_until(renewed_beyond, "renewals")
        assert (await row(life.ledger, roles_table)).epoch == 1


async def test_who_has_lost_the_role_submits_nothing_until_it_holds_it_again_under_a_new_epoch(
    life: Life, backend: CountingBackend
) -> None:
    await life.apply(service())
    mine = candidate(life, backend, role_ttl=SOON)
    async with holding(mine):
        await other_takes(life, 2 * SOON)
        await wait_until(lambda: not mine.held.is_set(), "the loss to be noticed")
        await life.claim(file_event())
        mine.scheduler.wake()
        assert (await row(life.ledger, executions)).state == State.PENDING
        await held(mine)
        await reaches(life, State.SUBMITTED)
    assert (await row(life.ledger, attempts)).epoch == 3


async def test_a_holder_that_slept_half_its_time_leases_nothing_before_it_has_renewed(
    life: Life, backend: CountingBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=0.0, reads=0)

    def monotonic() -> float:
        clock.reads += 1
        return float(clock.now)

    monkeypatch.setattr(tenure, "time", SimpleNamespace(monotonic=monotonic))
    await life.apply(service())
    mine = candidate(life, backend, role_ttl=HOUR)  # the next renewal is beyond the test's end
    async with holding(mine):
        await wait_until(lambda: mine.scheduler._wake._waiters, "the first look to be over")
        clock.now = HOUR.total_seconds() / 2
        await life.claim(file_event())
        clock.reads = 0
        mine.scheduler.wake()
        await wait_until(lambda: clock.reads, "the scheduler to look")
        await life.claim()  # a write, behind whatever the look may have handed in
        assert (await row(life.ledger, executions)).state == State.PENDING
        clock.now -= 1
        mine.scheduler.wake()
        await reaches(life, State.SUBMITTED)


async def test_an_outage_of_the_ledger_shorter_than_the_role_costs_nothing(
    life: Life, ledger: MortalLedger, backend: CountingBackend
) -> None:
    await life.apply(service())
    async with holding(candidate(life, backend, role_ttl=timedelta(seconds=10))):
        ledger.failures = 3
        await wait_until(lambda: ledger.refused == 3, "the outage to be over")
        await life.claim(file_event())
        await reaches(life, State.SUBMITTED)
    assert (await row(life.ledger, roles_table)).epoch == 1


async def test_what_an_earlier_holder_submitted_is_adopted_and_its_end_recorded(
    life: Life, backend: CountingBackend
) -> None:
    await life.take_role("earlier")
    left = await life.running(await life.apply(service()))
    async with holding(candidate(life, backend, role_at_once=True)):
        await reaches(life, State.PENDING, attempt=2)
    assert backend.adopted == [LiveAttempt(left.execution, 1, left.nonce)]


async def test_what_an_earlier_holder_leased_goes_back_and_is_submitted_as_the_same_attempt(
    life: Life, backend: CountingBackend
) -> None:
    await life.take_role("earlier")
    uid = await life.apply(service())
    await life.claim(file_event())
    (left,) = await life.lease(uid)
    async with holding(candidate(life, backend, role_at_once=True)):
        await reaches(life, State.SUBMITTED)
    assert backend.adopted == []
    assert [(job.attempt, job.nonce) for job in backend.submitted] == [(1, left.nonce)]


async def test_adopted_runs_take_slots(life: Life, backend: CountingBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    async def says_nothing(backend: CountingBackend, attempts: object) -> None:
        """Adopted, and running on elsewhere."""

    monkeypatch.setattr(CountingBackend, "adopt", says_nothing)
    await life.take_role("earlier")
    uid = await life.apply(service())
    await life.running(uid)
    await life.claim(file_event(), file_event())
    async with holding(candidate(life, backend, role_at_once=True, concurrency=2)):
        await wait_until(lambda: backend.submitted, "a submit")
        assert len(backend.submitted) == 1
        assert await life.count(queue) == 1


async def test_the_sweep_queues_what_fell_out_of_the_queue_and_alarms(life: Life, backend: CountingBackend) -> None:
    alarms = metrics.alarms.labels("not queued")
    before = alarms._value.get()
    await life.apply(service())
    await life.claim(file_event())
    await life.ledger.write(lambda c: c.execute(delete(queue)).rowcount)
    async with holding(candidate(life, backend, sweep=timedelta(milliseconds=20))):
        await reaches(life, State.SUBMITTED)
    assert alarms._value.get() == before + 1


async def test_the_sweep_takes_up_what_is_in_flight_by_nobody_and_alarms(life: Life, backend: CountingBackend) -> None:
    alarms = metrics.alarms.labels("in flight by nobody")
    before = alarms._value.get()
    uid = await life.apply(service())
    async with holding(candidate(life, backend, sweep=timedelta(milliseconds=20))):
        await life.ledger.write(_submit_behind_its_back(uid))
        await reaches(life, State.PENDING, attempt=2)
    assert len(backend.adopted) == 1
    assert alarms._value.get() == before + 1


async def test_who_drains_waits_for_what_runs_and_for_its_end_to_be_recorded(
    life: Life, ledger: MortalLedger, backend: CountingBackend
) -> None:
    await life.apply(service())
    await life.claim(file_event())
    mine = candidate(life, backend)
    async with holding(mine):
        await wait_until(lambda: backend.running, "the run")
        async with running(mine.drain()) as drained:
            ledger.failures = 2
            backend.finish(backend.running[0].execution)
            await wait_until(lambda: ledger.refused, "the ledger to be away")
            assert not drained.done()
            await wait_until(drained.done, "the drain")
            assert (await row(life.ledger, executions)).state == State.SUCCEEDED


async def test_what_was_begun_on_another_host_is_left_alone_with_one_alarm_and_taken_up_there(
    life: Life, backend: CountingBackend
) -> None:
    alarms = metrics.alarms.labels("on another host")
    before = alarms._value.get()
    await life.apply(service())
    await life.claim(file_event())
    backend.host = "here"
    async with holding(candidate(life, backend)):
        await reaches(life, State.SUBMITTED)
    assert (await row(life.ledger, attempts)).host == "here"

    elsewhere = CountingBackend()
    elsewhere.host = "there"
    async with elsewhere, holding(candidate(life, elsewhere, sweep=timedelta(milliseconds=5))):
        await wait_until(lambda: alarms._value.get() > before, "the alarm")
        await life.claim(file_event())
        await wait_until(lambda: elsewhere.submitted, "another run to start there")
    assert elsewhere.adopted == []
    assert alarms._value.get() == before + 1
    assert (await row(life.ledger, attempts, host="here")).ended_at is None

    async with holding(candidate(life, backend)):
        await wait_until(lambda: backend.adopted, "its own host to take it up")
    assert [one.attempt for one in backend.adopted] == [1]


@pytest.mark.parametrize("settings", [DispatcherSettings(), DispatcherSection()], ids=["dispatcher", "cluster"])
def test_as_it_is_set_a_standby_takes_over_within_ten_seconds(
    settings: DispatcherSettings | DispatcherSection,
) -> None:
    pause = settings.role_ttl * tenure._ASK_AGAIN  # at worst it asked just before the role was over
    assert settings.role_ttl + pause <= timedelta(seconds=10)


async def test_what_a_backend_that_is_away_was_to_take_over_it_is_asked_to_again(
    life: Life, backend: CountingBackend
) -> None:
    calls = Calls(BackendUnavailableError, calls_of(Backend))
    let_fail(backend, calls_of(Backend), calls)
    calls["adopt"].coming = [Fault.NOT_DONE, Fault.ANSWER_LOST]
    await life.take_role()
    uid = await life.apply(service())
    left = await life.running(uid)
    async with holding(candidate(life, backend)):
        assert backend.adopted == [LiveAttempt(left.execution, left.attempt, left.nonce)] * 2
        await reaches(life, State.PENDING, attempt=2)
