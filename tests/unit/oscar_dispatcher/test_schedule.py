"""The scheduler fills the slots there are, fairly, and what it cannot submit is never lost nor counted as tried."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import update

from oscar_dispatcher import schedule
from oscar_dispatcher.backends.port import Backend, BackendUnavailableError, Permit, SubmissionRejectedError
from oscar_dispatcher.flight import Attempt, Flight
from oscar_dispatcher.revisions import Revisions
from oscar_dispatcher.schedule import Scheduler
from oscar_dispatcher.settings import DispatcherSettings
from oscar_dispatcher.watch import Watch
from oscar_events.errors import FencedError
from oscar_events.execution import State
from oscar_events.job import Job
from oscar_events.ledger import ends, leases, permits
from oscar_events.ledger.tables import attempts, events, executions, queue
from oscar_events.progress import STALLED_S
from tests.contracts.ledger.making import Life, file_event, run_id, service
from tests.statemachine.faults import Calls, Fault, calls_of, let_fail
from tests.unit.oscar_dispatcher.doubles import SITE, CountingBackend, MortalLedger, own_clock, row
from tests.waiting import wait_until

DEADLINE_S = 60.0
NEVER_BY_ITSELF_S = 1000.0  # beyond every deadline: only a wake or a known time makes the scheduler look again


class Scheduling:
    """A scheduler that holds the role, with its neighbours. permits: what may_write says next; then always True."""

    def __init__(self, life: Life, backend: CountingBackend, concurrency: int) -> None:
        self.life, self.backend, self.flight = life, backend, Flight()
        self.permits: list[bool] = []
        revisions, settings = Revisions(life.ledger), DispatcherSettings(concurrency=concurrency)
        self.scheduler = Scheduler(life.ledger, backend, self.flight, revisions, SITE, settings, self._may_write)
        self._watch = Watch(life.ledger, backend, self.flight, revisions, self.scheduler.wake)

    def _may_write(self) -> bool:
        return self.permits.pop(0) if self.permits else True

    @asynccontextmanager
    async def work(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            parts = [tasks.create_task(part.run(self.life.epoch)) for part in (self.scheduler, self._watch)]
            yield
            for part in parts:
                part.cancel()

    async def submitted(self, count: int) -> list[Job]:
        """Return all jobs that were ever started, once they are so many."""
        await wait_until(lambda: len(self.backend.submitted) >= count, f"{count} submits")
        assert len(self.backend.submitted) == count
        return self.backend.submitted

    async def finish_all(self, count: int) -> None:
        """Let every run succeed until so many have."""
        finished = 0
        while finished < count:
            await wait_until(lambda: self.backend.running, "the next run")
            for job in self.backend.running:
                self.backend.finish(job.execution)
                finished += 1
        await wait_until(self.flight.empty.is_set, "the ends to be recorded")

    async def reaches(self, execution: str, state: State) -> None:
        async def is_there() -> bool:
            return await self.life.state(execution) is state

        await wait_until(is_there, f"run {execution} to be {state}")


@pytest.fixture
async def one_slot(life: Life, backend: CountingBackend) -> Scheduling:
    await life.take_role()
    return Scheduling(life, backend, concurrency=1)


@pytest.fixture
async def four_slots(life: Life, backend: CountingBackend) -> Scheduling:
    await life.take_role()
    return Scheduling(life, backend, concurrency=4)


@pytest.fixture
def only_when_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "_IDLE_S", NEVER_BY_ITSELF_S)


async def claim(life: Life, count: int, path: str = "in") -> None:
    await life.claim(*(file_event(f"{path}/{number}".encode()) for number in range(count)))


async def test_a_waiting_run_is_submitted_with_all_it_needs(one_slot: Scheduling, life: Life) -> None:
    uid = await life.apply(service())
    event = file_event(b"in/a.png")
    await life.claim(event)
    async with one_slot.work():
        (job,) = await one_slot.submitted(1)
        assert (job.execution, job.attempt, job.instance) == (run_id(uid, event), 1, SITE.instance)
        assert job.input is not None
        assert job.input.key == b"in/a.png"
        assert await life.state(job.execution) is State.SUBMITTED


async def test_never_more_runs_at_a_time_than_there_are_slots(four_slots: Scheduling, life: Life) -> None:
    await life.apply(service())
    await claim(life, 30)
    async with four_slots.work():
        await four_slots.submitted(4)
        await four_slots.finish_all(30)
    assert four_slots.backend.peak == 4
    assert len(four_slots.backend.submitted) == 30


async def test_never_more_of_a_service_runs_than_it_allows_and_others_have_the_rest(
    four_slots: Scheduling, life: Life
) -> None:
    await life.apply(service("limited", concurrency=1))
    await life.apply(service("free", out="pics/free"))
    await claim(life, 10)
    async with four_slots.work():
        await four_slots.submitted(4)
        await four_slots.finish_all(20)
    assert four_slots.backend.peaks["limited"] == 1
    assert four_slots.backend.peak == 4


async def test_a_newcomer_waits_one_turn_however_many_of_another_wait(
    one_slot: Scheduling, life: Life, only_when_woken: None
) -> None:
    await life.apply(service("busy"))
    await life.apply(service("small", path="pics/small"))
    await claim(life, 1000)
    async with one_slot.work():
        await one_slot.submitted(1)
        await claim(life, 1, "small")
        for count in (1, 2):
            one_slot.backend.finish((await one_slot.submitted(count))[-1].execution)
        assert sorted(job.service for job in await one_slot.submitted(3)) == ["busy", "busy", "small"]


async def test_slots_that_one_service_leaves_are_given_to_another_at_once(
    four_slots: Scheduling, life: Life, only_when_woken: None
) -> None:
    await life.apply(service("busy"))
    await life.apply(service("small", path="pics/small"))
    await claim(life, 10)
    await claim(life, 1, "small")
    async with four_slots.work():
        jobs = await four_slots.submitted(4)
    assert sorted(job.service for job in jobs) == ["busy", "busy", "busy", "small"]


async def test_it_wakes_for_what_may_run_later_and_not_before(
    one_slot: Scheduling, life: Life, only_when_woken: None
) -> None:
    uid = await life.apply(service())
    await claim(life, 1)
    (held,) = await life.lease(uid)
    await life.ledger.write(lambda c: leases.give_back(c, life.epoch, held, "later", 300))
    clock = asyncio.get_running_loop().time
    begun = clock()
    async with one_slot.work():
        await one_slot.submitted(1)
    assert clock() - begun > 0.25, "the database's clock and ours may differ by some milliseconds"


async def test_a_refused_permit_gives_the_lease_back_with_the_same_attempt(one_slot: Scheduling, life: Life) -> None:
    await life.apply(service())
    await claim(life, 1)
    one_slot.permits = [True, False]  # it may lease, and not any more submit
    async with one_slot.work():
        (job,) = await one_slot.submitted(1)
        assert job.attempt == 1
        assert await life.count(attempts) == 1
        assert one_slot.permits == [], "both were asked for"
        assert (await row(life.ledger, executions)).reason == "", "why it waited is over"


async def test_a_permit_the_ledger_could_not_commit_starts_nothing_and_is_asked_again(
    one_slot: Scheduling, life: Life, ledger: MortalLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    await life.apply(service())
    await claim(life, 1)
    submit = CountingBackend.submit

    async def away_meanwhile(backend: CountingBackend, job: Job, permit: Permit) -> bool:
        monkeypatch.undo()
        ledger.failures = 2  # of the permit, and of giving the lease back
        return await submit(backend, job, permit)

    monkeypatch.setattr(CountingBackend, "submit", away_meanwhile)
    async with one_slot.work():
        (job,) = await one_slot.submitted(1)
    assert (job.attempt, ledger.refused) == (1, 2)


async def test_a_backend_that_has_no_room_is_asked_again_later_for_the_same_attempt(
    one_slot: Scheduling, life: Life, only_when_woken: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "_UNAVAILABLE", timedelta(milliseconds=200))
    await life.apply(service())
    await claim(life, 1)
    one_slot.backend.fail_submits = [BackendUnavailableError("no node")]
    clock = asyncio.get_running_loop().time
    begun = clock()
    async with one_slot.work():

        async def says_why() -> bool:
            return bool((await row(life.ledger, executions)).reason == "it cannot be submitted now: no node")

        await wait_until(says_why, "the reason it waits")
        (job,) = await one_slot.submitted(1)
        assert clock() - begun > 0.15, "the database's clock and ours may differ by some milliseconds"
        found = await row(life.ledger, executions)
        assert (found.attempt, found.reason) == (1, "")
        assert job.nonce == (await row(life.ledger, attempts)).nonce


async def test_a_job_the_backend_will_never_take_is_a_dead_letter_and_its_slot_is_free(
    one_slot: Scheduling, life: Life, only_when_woken: None
) -> None:
    await life.apply(service())
    await claim(life, 2)
    one_slot.backend.fail_submits = [SubmissionRejectedError("its script is too long")]
    async with one_slot.work():
        await one_slot.submitted(1)
        dead = await row(life.ledger, executions, state="dead")
    assert (dead.reason, dead.failure) == ("its script is too long", "permanent")


async def test_an_event_nobody_can_read_any_more_is_a_dead_letter(one_slot: Scheduling, life: Life) -> None:
    uid = await life.apply(service())
    event = file_event()
    await life.claim(event)
    await life.ledger.write(lambda c: c.execute(update(events).values(envelope=b"nonsense")).rowcount)
    async with one_slot.work():
        await one_slot.reaches(run_id(uid, event), State.DEAD)
    assert one_slot.backend.submitted == []


async def test_a_run_cancelled_before_its_permit_never_starts(
    one_slot: Scheduling, life: Life, only_when_woken: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    await life.apply(service())
    await claim(life, 2)
    submit = CountingBackend.submit

    async def cancelled_meanwhile(backend: CountingBackend, job: Job, permit: Permit) -> bool:
        monkeypatch.setattr(CountingBackend, "submit", submit)
        await life.ledger.write(lambda c: ends.cancel(c, job.execution, "a person's wish"))
        return await submit(backend, job, permit)

    monkeypatch.setattr(CountingBackend, "submit", cancelled_meanwhile)
    async with one_slot.work():
        (job,) = await one_slot.submitted(1)
        cancelled = await row(life.ledger, executions, state="cancelled")
    assert cancelled.id != job.execution


async def test_who_drains_leases_nothing_more(four_slots: Scheduling, life: Life) -> None:
    uid = await life.apply(service())
    async with four_slots.work():
        await claim(life, 1)
        four_slots.scheduler.wake()
        await four_slots.submitted(1)
        four_slots.scheduler.drain()
        await claim(life, 3)
        four_slots.scheduler.wake()
        four_slots.backend.finish(four_slots.backend.submitted[0].execution)
        await wait_until(four_slots.flight.empty.is_set, "the end")
    assert len(await life.lease(uid, 10)) == 3


async def test_nothing_is_leased_while_the_role_may_be_somebody_elses(one_slot: Scheduling, life: Life) -> None:
    await life.apply(service())
    await claim(life, 1)
    refusals = one_slot.permits = [False, False, False]
    async with one_slot.work():
        one_slot.scheduler.wake()
        await wait_until(lambda: len(refusals) == 2, "the first look")
        assert (await row(life.ledger, executions)).state == State.PENDING
        one_slot.permits = []
        one_slot.scheduler.wake()
        await one_slot.submitted(1)


async def test_who_has_lost_the_role_is_told_by_the_ledger(one_slot: Scheduling, life: Life) -> None:
    await life.apply(service())
    await claim(life, 1)
    lost = life.epoch
    await life.take_role("another")
    with pytest.RaisesGroup(FencedError):
        await one_slot.scheduler.run(lost)
    assert one_slot.backend.submitted == []


async def test_what_was_in_flight_before_counts(four_slots: Scheduling, life: Life) -> None:
    uid = await life.apply(service())
    for number in range(3):
        four_slots.flight.add(Attempt(f"earlier-{number}", 1, uid, 1))
    await claim(life, 5)
    async with four_slots.work():
        await four_slots.submitted(1)
        assert four_slots.flight.room(4) == 0


async def test_what_waits_too_long_expires_even_while_every_slot_is_taken(one_slot: Scheduling, life: Life) -> None:
    uid = await life.apply(service())
    await life.apply(service("patient", path="pics/patient"))
    first, late, patient = file_event(b"in/1"), file_event(b"in/2"), file_event(b"patient/1")
    await life.claim(first)
    async with one_slot.work():
        (job,) = await one_slot.submitted(1)
        await life.claim(late, patient)
        await life.apply(service(expire="0.1s"))  # what the newest revision says counts for what already waits
        await one_slot.reaches(run_id(uid, late), State.EXPIRED)
        assert await life.state(job.execution) is State.SUBMITTED
        one_slot.backend.finish(job.execution)
        assert (await one_slot.submitted(2))[1].service == "patient"


async def test_what_a_look_leased_whose_answer_was_lost_is_leased_again_at_once(
    four_slots: Scheduling, life: Life, ledger: MortalLedger, only_when_woken: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "_EXPIRE_EVERY_S", NEVER_BY_ITSELF_S)
    await life.apply(service())
    async with four_slots.work():
        await claim(life, 1)
        four_slots.scheduler.wake()
        await four_slots.submitted(1)  # from here on the scheduler's next write is a look
        await claim(life, 3, "in/later")
        ledger.lost_answers = 1
        four_slots.scheduler.wake()
        jobs = await four_slots.submitted(4)
    assert {job.attempt for job in jobs} == {1}
    assert len({job.execution for job in jobs}) == 4


async def test_a_permit_whose_answer_was_lost_is_asked_for_again_and_the_run_starts_once(
    one_slot: Scheduling, life: Life, ledger: MortalLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = permits.submit_all

    def then_the_answer_is_lost(*arguments: object) -> object:
        if not asked:
            ledger.lost_answers = 1
        asked.append(arguments)
        return submit(*arguments)  # type: ignore[arg-type]

    asked: list[object] = []
    monkeypatch.setattr(permits, "submit_all", then_the_answer_is_lost)
    await life.apply(service())
    await claim(life, 1)
    async with one_slot.work():
        (job,) = await one_slot.submitted(1)
        await one_slot.finish_all(1)
    assert await life.state(job.execution) is State.SUCCEEDED
    assert (len(asked), job.attempt) == (2, 1)


async def test_an_attempt_permitted_in_the_ledger_that_nobody_started_is_ended_without_a_sweep(
    one_slot: Scheduling, life: Life, ledger: MortalLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The permit was committed, its answer lost, and by then the role had not been renewed in time."""
    submit = permits.submit_all

    def then_the_process_sleeps(*arguments: object) -> object:
        ledger.lost_answers = 1
        one_slot.permits = [False]
        monkeypatch.undo()
        return submit(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(permits, "submit_all", then_the_process_sleeps)
    uid = await life.apply(service(retry={"backoff": 0.01}))
    event = file_event()
    await life.claim(event)
    async with one_slot.work():
        (job,) = await one_slot.submitted(1)
        assert job.attempt == 2
        assert [one.attempt for one in one_slot.backend.adopted] == [1]
        await one_slot.finish_all(1)
    assert await life.state(run_id(uid, event)) is State.SUCCEEDED


async def test_an_attempt_that_another_holder_leased_anew_and_started_is_not_ended(
    one_slot: Scheduling, life: Life
) -> None:
    """Who lost the role in the middle of a submit finds the attempt under way: its number and nonce are the same."""
    uid = await life.apply(service())
    await life.claim(file_event())
    (mine,) = await life.lease(uid)
    await life.take_role("another")
    await life.ledger.write(lambda c: leases.take_back(c, life.epoch, mine.execution, "never submitted"))
    (theirs,) = await life.lease(uid)
    assert (theirs.attempt, theirs.nonce) == (mine.attempt, mine.nonce)
    assert await life.submit(theirs)
    attempt = Attempt(mine.execution, mine.attempt, mine.service_uid, mine.revision)
    await one_slot.scheduler._end_unstarted(mine, attempt)
    assert one_slot.backend.adopted == []
    assert mine.execution not in one_slot.flight


async def test_a_backend_that_wants_to_be_left_alone_is_asked_nothing_until_then(
    four_slots: Scheduling, life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(schedule, "monotonic", lambda: clock.now)
    await life.apply(service())
    four_slots.backend.fail_submits = [BackendUnavailableError("overloaded", timedelta(minutes=1))]
    await claim(life, 1)
    async with four_slots.work():
        await wait_until(lambda: not four_slots.backend.fail_submits, "the refusal")
        await wait_until(four_slots.flight.empty.is_set, "the lease to be given back")
        first = await row(life.ledger, queue)
        assert first.not_before_at - (await row(life.ledger, executions)).created_at >= 59_000
        await claim(life, 3, "in/later")
        four_slots.scheduler.wake()
        await life.claim()  # a write, behind whatever a look may have handed in
        assert await life.count(queue) == 4
        clock.now += 61
        four_slots.scheduler.wake()
        await four_slots.submitted(3)


class TestProgress:
    """Work and no progress for 30 s is not live; without work, or room for it, there is nothing to get on with."""

    @pytest.mark.parametrize("is_first", [True, False], ids=["from its first look on", "later"])
    async def test_who_leases_nothing_though_runs_wait_and_there_is_room_is_not_live(
        self, four_slots: Scheduling, life: Life, monkeypatch: pytest.MonkeyPatch, is_first: bool
    ) -> None:
        clock = own_clock(four_slots.scheduler.progress)
        lease, looks = leases.lease, 0

        def nothing(connection: object, epoch: int, shares: Sequence[object], *_: object) -> list[object]:
            nonlocal looks
            looks += bool(shares)
            return []

        await life.apply(service())
        if is_first:
            monkeypatch.setattr(leases, "lease", nothing)
        await claim(life, 1)
        async with four_slots.work():
            if not is_first:
                await four_slots.submitted(1)
                monkeypatch.setattr(leases, "lease", nothing)
                await claim(life, 1, "in/later")
            four_slots.scheduler.wake()
            await wait_until(lambda: looks > 0, "a look that is stuck", DEADLINE_S)
            clock.now += STALLED_S + 1
            before = looks
            four_slots.scheduler.wake()
            await wait_until(lambda: looks > before + 1, "a whole look after that", DEADLINE_S)
            assert four_slots.scheduler.progress.not_live == "starting runs made no progress for 31 s"
            monkeypatch.setattr(leases, "lease", lease)
            four_slots.scheduler.wake()
            await four_slots.submitted(1 if is_first else 2)
            await wait_until(lambda: not four_slots.scheduler.progress.not_live, "progress", DEADLINE_S)

    @pytest.mark.parametrize("why", ["nothing waits", "every slot is taken", "the role was not renewed", "it is later"])
    async def test_who_has_nothing_to_lease_or_may_not_is_live(
        self, one_slot: Scheduling, life: Life, why: str
    ) -> None:
        clock = own_clock(one_slot.scheduler.progress)
        uid = await life.apply(service())
        if why != "nothing waits":
            await claim(life, 1)
        if why == "every slot is taken":
            one_slot.flight.add(Attempt("earlier", 1, uid, 1))
        if why == "the role was not renewed":
            one_slot.permits = [False] * 10_000
        if why == "it is later":
            await life.ledger.write(lambda c: c.execute(update(queue).values(not_before_at=2**50)).rowcount)
        async with one_slot.work():
            await wait_until(lambda: not one_slot.scheduler.progress._resting, "it to begin", DEADLINE_S)
            for _ in range(2):
                clock.now += STALLED_S + 1
                assert one_slot.scheduler.progress.not_live
                one_slot.scheduler.wake()
                await wait_until(lambda: not one_slot.scheduler.progress.not_live, "a look", DEADLINE_S)


async def test_an_attempt_whose_submit_was_not_answered_is_ended_by_the_backend_and_tried_again(
    one_slot: Scheduling, life: Life
) -> None:
    """Once its permit is granted it may run: nobody gives its lease back, and its end may be on its way."""
    calls = Calls(BackendUnavailableError, calls_of(Backend))
    let_fail(one_slot.backend, calls_of(Backend), calls)
    calls["submit"].coming = [Fault.ANSWER_LOST]
    calls["adopt"].coming = [Fault.NOT_DONE, Fault.ANSWER_LOST]
    uid = await life.apply(service(retry={"backoff": 0.01}))
    event = file_event()
    await life.claim(event)
    async with one_slot.work():
        await wait_until(lambda: len(one_slot.backend.submitted) == 2, "the second attempt", DEADLINE_S)
        await wait_until(lambda: len(one_slot.backend.adopted) == 2, "an answered adoption", DEADLINE_S)
        await one_slot.finish_all(1)
    assert {(one.execution, one.attempt) for one in one_slot.backend.adopted} == {(run_id(uid, event), 1)}
    assert await life.state(run_id(uid, event)) is State.SUCCEEDED


async def test_a_run_that_ended_before_its_submit_was_found_unanswered_has_that_end(
    one_slot: Scheduling, life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = CountingBackend.submit

    async def ends_and_says_nothing(backend: CountingBackend, job: Job, permit: Permit) -> bool:
        await submit(backend, job, permit)
        backend.finish(job.execution)
        raise BackendUnavailableError("the answer was lost")

    monkeypatch.setattr(CountingBackend, "submit", ends_and_says_nothing)
    uid = await life.apply(service())
    event = file_event()
    await life.claim(event)
    async with one_slot.work():
        await one_slot.reaches(run_id(uid, event), State.SUCCEEDED)
    assert len(one_slot.backend.submitted) == 1
