"""What every ledger promises when several use it at once: what is decided is decided once, and an epoch that is over
writes nothing any more.

On SQLite units run one after the other, and these suites hold by themselves; on PostgreSQL they run beside each other
on connections of their own, and what holds is what the units lock. Rounds are seeded by pytest's seed for hypothesis.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, func, select, text

from oscar_events.errors import FencedError, MoveRefusedError, OscarEventsError, ServiceError
from oscar_events.event import StorageEvent
from oscar_events.execution import State
from oscar_events.job import FailureClass
from oscar_events.ledger import claims, ends, expiry, leases, permits, redrive, replays, roles, services
from oscar_events.ledger.ends import AttemptEnd
from oscar_events.ledger.leases import Leased
from oscar_events.ledger.positions import Position, stored_positions
from oscar_events.ledger.replays import Wish
from oscar_events.ledger.roles import SCHEDULER
from oscar_events.ledger.services import Catalogue
from oscar_events.ledger.tables import PURGED, events, executions, queue
from oscar_events.service import RetrySettings
from tests.contracts.ledger.making import EARLY, Life, failed, file_event, run_id, service, sighting, succeeded
from tests.waiting import wait_until

Unit = Callable[[Connection], object]


def _written_in_the_role(life: Life, leased: Leased, submitted: Leased) -> dict[str, Unit]:
    """Return every unit that the scheduler writes with, each ready to be run under the life's epoch."""
    epoch, uid, retry = life.epoch, leased.service_uid, RetrySettings()
    facts = AttemptEnd(
        submitted.execution, submitted.attempt, submitted.nonce, succeeded(submitted), "no report", b"log"
    )
    return {
        "lease": lambda c: leases.lease(c, epoch, [(uid, 1)], 60_000),
        "submit": lambda c: permits.submit(c, epoch, leased, "spec"),
        "give_back": lambda c: leases.give_back(c, epoch, leased, "no room"),
        "take_back": lambda c: leases.take_back(c, epoch, leased.execution, "nobody has it"),
        "repair": lambda c: leases.repair(c, epoch),
        "expire": lambda c: expiry.expire(c, epoch, {uid: 60_000}),
        "reject": lambda c: ends.reject(c, epoch, leased.execution, "it can never be"),
        "started": lambda c: ends.started(c, epoch, submitted.execution, submitted.attempt, 1_500),
        "end": lambda c: ends.end(c, epoch, facts, retry, 0.5),
    }


WRITTEN_IN_THE_ROLE = ["lease", "submit", "give_back", "take_back", "repair", "expire", "reject", "started", "end"]


class _Pause:
    """A unit that tells when its statements have run, and stays uncommitted for a moment after that."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self.is_reached = asyncio.Event()

    def __call__(self, connection: Connection) -> object:
        value = self._unit(connection)
        if connection.dialect.name == "postgresql":
            self.is_reached.set()  # the unit runs in the event loop's thread
            connection.execute(text("SELECT pg_sleep(0.2)"))
        return value

    async def reached(self, task: asyncio.Task[Any]) -> None:
        """Wait until its statements have run; where units do not run side by side, until it is committed."""
        waiting = asyncio.ensure_future(self.is_reached.wait())
        await asyncio.wait([waiting, task], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()


class TogetherContract:
    ROUNDS = 12

    @pytest.fixture
    def chance(self, request: pytest.FixtureRequest) -> random.Random:
        return random.Random(f"{request.config.option.hypothesis_seed}/{request.node.name}")

    async def _leased_and_submitted(self, life: Life) -> tuple[Leased, Leased]:
        await life.take_role()
        uid = await life.apply(service())
        submitted = await life.running(uid)
        await life.claim(file_event(), file_event())
        (leased,) = await life.lease(uid)
        return leased, submitted

    async def test_claimers_with_overlapping_batches_make_each_run_once(
        self, life: Life, chance: random.Random
    ) -> None:
        await life.apply(service("a"))
        await life.apply(service("b", out="pics/b"))
        made: set[str] = set()
        tries: list[Catalogue] = []
        for number in range(1, self.ROUNDS + 1):
            fresh = [file_event() for _ in range(30)]
            made |= {event.id for event in fresh}

            async def claim(last: int, batch: list[StorageEvent]) -> None:
                seen, catalogue = [sighting(event) for event in batch], Catalogue()
                read = [Position("t", partition, last) for partition in chance.sample(range(4), 4)]

                def unit(connection: Connection) -> None:
                    tries.append(catalogue)
                    claims.claim(connection, catalogue, seen, read)

                await life.ledger.write(unit)

            batches = [chance.sample(fresh, chance.randint(15, 30)) for _ in range(5)]
            await asyncio.gather(*(claim(number, batch) for batch in [*batches, fresh]))
        assert len(tries) == 6 * self.ROUNDS, "none was repeated: no two ever waited for each other"
        assert await life.count(executions) == 2 * len(made)
        assert await life.count(queue) == 2 * len(made)
        assert await life.count(events) == len(made)
        stored = await life.ledger.read(lambda c: stored_positions(c, "t"))
        assert stored == dict.fromkeys(range(4), self.ROUNDS)

    async def test_a_service_is_applied_while_claims_never_cease(self, life: Life) -> None:
        await life.apply(service())
        is_applied = asyncio.Event()

        async def claim() -> None:
            catalogue = Catalogue()
            while not is_applied.is_set():
                seen = [sighting(file_event()) for _ in range(64)]
                await life.ledger.write(lambda c: claims.claim(c, catalogue, seen))  # noqa: B023

        async with asyncio.TaskGroup() as tasks:
            for _ in range(4):
                tasks.create_task(claim())
            await wait_until(lambda: self._has_some(life), "all to claim")
            await life.apply(service("other", path="pics/other"))
            is_applied.set()

    async def _has_some(self, life: Life) -> bool:
        return await life.ledger.read(lambda c: c.execute(select(func.count()).select_from(queue)).scalar_one()) > 500

    @pytest.mark.parametrize("first", ["claim", "purge"])
    async def test_an_event_that_a_claim_needs_is_not_purged_beside_it(self, life: Life, first: str) -> None:
        await life.take_role()
        event = file_event(b"in/old/a.png")
        letter = await life.running(await life.apply(service("old", path="pics/in/old", out="pics/1")), event)
        await life.end(letter, failed(letter, FailureClass.USER, 1))
        other = await life.apply(service("new", path="pics/in", out="pics/2"))
        units: dict[str, Unit] = {
            "claim": lambda c: claims.claim(c, Catalogue(), [sighting(event)]),
            "purge": lambda c: redrive.purge(c, [letter.execution]),
        }
        paused = _Pause(units.pop(first))
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(life.ledger.write(paused))
            await paused.reached(task)
            (second,) = units.values()
            await life.ledger.write(second)
        assert await life.ledger.read(lambda c: c.execute(select(events.c.envelope)).scalar_one()) != PURGED
        assert await life.state(run_id(other, event)) is State.PENDING

    @pytest.mark.parametrize("unit", WRITTEN_IN_THE_ROLE)
    async def test_nothing_of_an_older_epoch_is_committed_after_the_role_was_taken(self, life: Life, unit: str) -> None:
        leased, submitted = await self._leased_and_submitted(life)
        written = _Pause(_written_in_the_role(life, leased, submitted)[unit])
        order: list[str] = []

        async def write() -> None:
            await life.ledger.write(written)
            order.append("written")

        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(write())
            await written.reached(task)
            await life.ledger.write(lambda c: roles.take(c, SCHEDULER, "another", 10_000, at_once=True))
            order.append("taken")
        assert order == ["written", "taken"]

    @pytest.mark.parametrize("unit", WRITTEN_IN_THE_ROLE)
    async def test_an_older_epoch_waits_for_a_taker_and_is_refused(self, life: Life, unit: str) -> None:
        leased, submitted = await self._leased_and_submitted(life)
        written = _written_in_the_role(life, leased, submitted)[unit]
        before = Counter(await self._states(life))
        taking = _Pause(lambda c: roles.take(c, SCHEDULER, "another", 10_000, at_once=True))
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(life.ledger.write(taking))
            await taking.reached(task)
            with pytest.raises(FencedError):
                await life.ledger.write(written)
        assert Counter(await self._states(life)) == before

    async def _states(self, life: Life) -> list[tuple[str, str, int]]:
        query = select(executions.c.id, executions.c.state, executions.c.attempt)
        return [(row.id, row.state, row.attempt) for row in await life.ledger.read(lambda c: c.execute(query).all())]

    async def test_a_renewal_does_not_wait_for_what_is_written_in_the_role(self, life: Life) -> None:
        leased, submitted = await self._leased_and_submitted(life)
        written = _Pause(_written_in_the_role(life, leased, submitted)["end"])
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(life.ledger.write(written))
            await written.reached(task)
            await life.ledger.write(lambda c: roles.renew(c, SCHEDULER, life.epoch, 10_000))

    async def test_of_many_who_take_a_role_at_once_one_has_it(self, life: Life) -> None:
        for number in range(self.ROUNDS):
            role = f"role {number}"
            takes = [life.ledger.write(lambda c, who=str(who): roles.take(c, role, who, 60_000)) for who in range(5)]  # type: ignore[misc]  # noqa: B023
            assert sorted(await asyncio.gather(*takes), key=str) == [1, None, None, None, None]

    async def test_two_applies_at_once_make_no_loop_and_no_second_service(self, life: Life) -> None:
        for number in range(self.ROUNDS):
            here, there = f"pics/{number}/here", f"pics/{number}/there"
            one, two = service(f"a{number}", here, there), service(f"b{number}", there, here)
            found = await asyncio.gather(life.apply(one), life.apply(two), return_exceptions=True)
            assert sum(isinstance(each, ServiceError) for each in found) == 1
            same = service(f"c{number}", f"pics/{number}/in", f"pics/{number}/out")
            changed = service(f"c{number}", f"pics/{number}/in", f"pics/{number}/out", concurrency=2)
            assert len(set(await asyncio.gather(life.apply(same), life.apply(changed), life.apply(same)))) == 1

    async def test_a_dead_letter_sent_by_two_at_once_is_sent_once(self, life: Life) -> None:
        await life.take_role()
        uid = await life.apply(service())
        for _ in range(self.ROUNDS):
            held = await life.running(uid)
            await life.end(held, failed(held, FailureClass.USER, 1))
            sends = [life.ledger.write(lambda c: redrive.redrive(c, [held.execution])) for _ in range(3)]  # noqa: B023
            answers = [answer for (answer,) in await asyncio.gather(*sends)]
            assert Counter(answer["verdict"] for answer in answers) == {"done": 1, "already": 2}
            assert len({answer["run"] for answer in answers}) == 1
            await life.lease(uid)  # out of the next round's way

    async def test_one_sent_or_purged_at_once_is_one_of_both(self, life: Life, chance: random.Random) -> None:
        await life.take_role()
        uid = await life.apply(service())
        for _ in range(self.ROUNDS):
            event = file_event()
            held = await life.running(uid, event)
            await life.end(held, failed(held, FailureClass.USER, 1))
            both: list[Any] = [
                life.ledger.write(lambda c: redrive.redrive(c, [held.execution])),  # noqa: B023
                life.ledger.write(lambda c: redrive.purge(c, [held.execution])),  # noqa: B023
            ]
            chance.shuffle(both)
            answers = [answer for (answer,) in await asyncio.gather(*both)]
            sent = next(answer for answer in answers if "run" in answer)
            envelope = select(events.c.envelope).where(events.c.id == event.id)
            is_purged = await life.ledger.read(lambda c: c.execute(envelope).scalar_one()) == PURGED  # noqa: B023
            assert is_purged == (sent["verdict"] == "refused")
            await life.lease(uid, 5)

    async def test_a_cancel_beside_the_permit_is_never_forgotten(self, life: Life, chance: random.Random) -> None:
        await life.take_role()
        uid = await life.apply(service())
        for _ in range(self.ROUNDS):
            await life.claim(file_event())
            (held,) = await life.lease(uid)
            both: list[Any] = [
                life.submit(held),
                life.ledger.write(lambda c: ends.cancel(c, held.execution, "by hand")),  # noqa: B023
            ]
            chance.shuffle(both)
            may_start = next(found for found in await asyncio.gather(*both) if isinstance(found, bool))
            state = await life.state(held.execution)
            assert state is (State.SUBMITTED if may_start else State.CANCELLED)
            if may_start:
                assert (held.execution, 1) in await life.ledger.read(ends.cancels)

    async def test_a_cancel_beside_the_lease_leaves_nothing_queued_that_has_ended(
        self, life: Life, chance: random.Random
    ) -> None:
        await life.take_role()
        uid = await life.apply(service())
        for _ in range(self.ROUNDS):
            event = file_event()
            await life.claim(event)
            both: list[Any] = [
                life.lease(uid),
                life.ledger.write(lambda c: ends.cancel(c, run_id(uid, event), "by hand")),  # noqa: B023
            ]
            chance.shuffle(both)
            leased = next(found for found in await asyncio.gather(*both) if isinstance(found, list))
            state = await life.state(run_id(uid, event))
            assert state is (State.LEASED if leased else State.CANCELLED)
            assert await life.count(queue) == 0

    async def test_what_is_claimed_while_its_service_is_deleted_does_not_wait_for_ever(
        self, life: Life, chance: random.Random
    ) -> None:
        def delete(connection: Connection) -> None:
            uid = services.end(connection, "default", "blur")
            ends.cancel_service(connection, uid, running_too=False)

        for _ in range(self.ROUNDS):
            await life.apply(service())
            catalogue = Catalogue()
            seen = [sighting(file_event()) for _ in range(5)]
            both: list[Any] = [
                life.ledger.write(delete),
                life.ledger.write(lambda c: claims.claim(c, catalogue, seen)),  # noqa: B023
            ]
            chance.shuffle(both)
            await asyncio.gather(*both)
            assert {state for _, state, _ in await self._states(life)} <= {"cancelled"}
            assert await life.count(queue) == 0

    async def test_a_replay_stepped_by_two_at_once_counts_and_claims_each_batch_once(self, life: Life) -> None:
        await life.apply(service())
        for number in range(self.ROUNDS):
            wish = Wish("blur", 0, 10**13, as_new=True)
            replay = await life.ledger.write(lambda c: replays.begin(c, "default", wish, "t", {0: (0, 5)}, ""))  # noqa: B023
            seen = [sighting(file_event()) for _ in range(5)]

            async def step(replay: str = replay, seen: Any = seen) -> int:
                catalogue = Catalogue()
                return await life.ledger.write(lambda c: replays.advance(c, catalogue, replay, seen, {0: (0, 5)}))

            assert sorted(await asyncio.gather(step(), step(), step())) == [0, 0, 5]
            shown = await life.ledger.read(lambda c: replays.show(c, replay))  # noqa: B023
            assert (shown["read"], shown["made"], shown["left"]) == (5, 5, 0)
            assert await life.count(executions) == 5 * (number + 1)


class RepeatedContract:
    """A unit that was committed while its answer was lost is run again: the second time is nothing."""

    async def test_a_permit_asked_for_twice_is_the_same_permit(self, life: Life) -> None:
        await life.take_role()
        held = await life.running(await life.apply(service()))
        assert await life.submit(held)
        await life.ledger.write(lambda c: ends.started(c, life.epoch, held.execution, 1, 1_500))
        assert await life.submit(held)
        with pytest.raises(FencedError):
            await life.submit(held, "another spec")
        await life.end(held, succeeded(held))
        with pytest.raises(FencedError):
            await life.submit(held)

    async def _asked_again_while_it_is_committed(self, life: Life, unit: Callable[[Connection], Any]) -> list[Any]:
        """Return both answers of a unit that is asked for again while the first transaction is not over."""
        first = _Pause(unit)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(life.ledger.write(first))
            await first.reached(task)
            again = tasks.create_task(life.ledger.write(unit))
        return [task.result(), again.result()]

    async def test_a_permit_asked_for_again_while_it_is_committed_is_the_same_permit(self, life: Life) -> None:
        await life.take_role()
        uid = await life.apply(service())
        await life.claim(file_event())
        (held,) = await life.lease(uid)
        unit = lambda c: permits.submit(c, life.epoch, held, "spec")  # noqa: E731
        assert await self._asked_again_while_it_is_committed(life, unit) == [True, True]

    @pytest.mark.parametrize("there", [State.SUCCEEDED, State.PENDING])
    async def test_an_end_told_again_while_it_is_committed_is_recorded_once(self, life: Life, there: State) -> None:
        await life.take_role()
        held = await life.running(await life.apply(service()))
        report = succeeded(held) if there is State.SUCCEEDED else None
        ended = AttemptEnd(held.execution, held.attempt, held.nonce, report, "no report", b"log")
        unit = lambda c: ends.end(c, life.epoch, ended, RetrySettings(), 0.5)  # noqa: E731
        assert await self._asked_again_while_it_is_committed(life, unit) == [there, None]

    async def test_a_permit_refused_for_a_cancel_is_refused_again(self, life: Life) -> None:
        await life.take_role()
        uid = await life.apply(service())
        await life.claim(file_event())
        (held,) = await life.lease(uid)
        await life.ledger.write(lambda c: ends.cancel(c, held.execution, "by hand"))
        assert [await life.submit(held), await life.submit(held)] == [False, False]

    async def test_a_lease_given_or_taken_back_twice_is_queued_once(self, life: Life) -> None:
        await life.take_role()
        uid = await life.apply(service())
        await life.claim(file_event())
        (held,) = await life.lease(uid)
        for _ in range(2):
            await life.ledger.write(lambda c: leases.give_back(c, life.epoch, held, "no room"))
        assert await life.count(queue) == 1
        (held,) = await life.lease(uid)
        for _ in range(2):
            await life.ledger.write(lambda c: leases.take_back(c, life.epoch, held.execution, "nobody has it"))
        assert await life.count(queue) == 1
        assert await life.state(held.execution) is State.PENDING

    async def test_a_lease_of_an_attempt_that_has_ended_is_not_given_back(self, life: Life) -> None:
        await life.take_role()
        held = await life.running(await life.apply(service()))
        assert await life.end(held, None) is State.PENDING
        with pytest.raises(FencedError):
            await life.ledger.write(lambda c: leases.give_back(c, life.epoch, held, "late"))

    async def test_a_job_that_can_never_be_is_rejected_once(self, life: Life) -> None:
        await life.take_role()
        uid = await life.apply(service())
        await life.claim(file_event())
        (held,) = await life.lease(uid)
        for _ in range(2):
            await life.ledger.write(lambda c: ends.reject(c, life.epoch, held.execution, "it can never be"))
        assert await life.state(held.execution) is State.DEAD
        with pytest.raises(MoveRefusedError):
            await life.ledger.write(lambda c: leases.take_back(c, life.epoch, held.execution, "late"))

    async def test_a_role_taken_twice_by_one_is_its_own_under_the_second_epoch(self, life: Life) -> None:
        epochs = [await life.ledger.write(lambda c: roles.take(c, SCHEDULER, "me", 60_000)) for _ in range(2)]
        assert epochs == [1, 2]

    async def test_a_replay_begun_twice_is_one(self, life: Life) -> None:
        await life.apply(service())
        wish = Wish("blur", 0, 10**13, as_new=True)
        begun = {
            await life.ledger.write(lambda c: replays.begin(c, "default", wish, "t", {0: (0, 5)}, "")) for _ in range(2)
        }
        assert begun == {wish.id}
        assert len(await life.ledger.read(replays.listing)) == 1

    async def test_a_cancel_asked_for_twice_says_that_it_is_done(self, life: Life) -> None:
        uid, event = await life.apply(service()), file_event()
        await life.claim(event)
        await life.ledger.write(lambda c: ends.cancel(c, run_id(uid, event), "by hand"))
        with pytest.raises(OscarEventsError, match="has ended already: cancelled"):
            await life.ledger.write(lambda c: ends.cancel(c, run_id(uid, event), "by hand"))
        assert await life.count(queue) == 0

    async def test_an_apply_repeated_is_no_second_revision(self, life: Life) -> None:
        applied = [await life.ledger.write(lambda c: services.apply(c, "default", service(), EARLY)) for _ in range(2)]
        assert [(one.revision, one.change) for one in applied] == [(1, "created"), (1, "unchanged")]
