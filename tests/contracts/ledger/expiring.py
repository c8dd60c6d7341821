"""What every ledger promises about runs that nobody began in time: they end, are never begun, and others go on."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import Connection, select, update

from oscar_events.errors import FencedError
from oscar_events.event import StorageEvent
from oscar_events.execution import State
from oscar_events.job import FailureClass
from oscar_events.ledger import expiry, leases, outbox
from oscar_events.ledger.expiry import PER_UNIT
from oscar_events.ledger.leases import Leased
from oscar_events.ledger.tables import executions, queue
from tests.contracts.ledger.making import Life, failed, file_event, run_id, service

_HOUR = 3_600_000
_LONG_AGO = 2 * _HOUR


async def claim_long_ago(life: Life, uid: str, count: int = 1) -> list[str]:
    """Return new runs, as if they had been claimed two hours ago."""
    made: list[StorageEvent] = [file_event() for _ in range(count)]
    await life.claim(*made)
    ids = [run_id(uid, event) for event in made]

    def age(connection: Connection) -> None:
        aged = {"created_at": executions.c.created_at - _LONG_AGO}
        connection.execute(update(executions).where(executions.c.id.in_(ids)).values(**aged))
        waited = {"not_before_at": queue.c.not_before_at - _LONG_AGO}
        connection.execute(update(queue).where(queue.c.execution_id.in_(ids)).values(**waited))

    await life.ledger.write(age)
    return ids


async def expire(life: Life, **limits: int) -> list[str]:
    return await life.ledger.write(lambda c: expiry.expire(c, life.epoch, limits))


async def lease_in_time(life: Life, uid: str, count: int = 1) -> list[Leased]:
    return await life.ledger.write(lambda c: leases.lease(c, life.epoch, [(uid, count)], 60_000, {uid: _HOUR}))


class ExpiryContract:
    async def test_what_nobody_began_in_time_is_expired_with_its_reason_and_out_of_the_queue(self, life: Life) -> None:
        await life.take_role()
        uid = await life.apply(service())
        (old,) = await claim_long_ago(life, uid)
        await life.claim(file_event())
        assert await expire(life, **{uid: _HOUR}) == [old]
        row = await life.ledger.read(lambda c: c.execute(select(executions).where(executions.c.id == old)).one())
        assert (row.state, row.failure) == (State.EXPIRED, None)
        assert row.reason == "nothing began it within 1h of its claim, its service's dispatch.expire"
        assert row.ended_at is not None
        assert await life.count(queue) == 1
        assert len(await life.lease(uid, 5)) == 1

    async def test_others_are_told_of_it(self, life: Life) -> None:
        await life.take_role()
        uid = await life.apply(service())
        (old,) = await claim_long_ago(life, uid)
        await expire(life, **{uid: _HOUR})
        (told,) = await life.ledger.read(lambda c: outbox.oldest(c, 10))
        run = json.loads(told.record.value)
        assert (run["id"], run["state"]) == (old, "expired")

    async def test_a_service_that_says_nothing_waits_for_ever(self, life: Life) -> None:
        await life.take_role()
        uid, other = await life.apply(service()), await life.apply(service("other", "pics/other", "pics/x"))
        await claim_long_ago(life, uid)
        assert await expire(life) == []
        assert await expire(life, **{other: 1}) == []
        assert len(await lease_in_time(life, other)) == 0
        assert len(await life.lease(uid)) == 1

    async def test_what_was_submitted_before_does_not_expire(self, life: Life) -> None:
        await life.take_role()
        uid = await life.apply(service())
        (old,) = await claim_long_ago(life, uid)
        (held,) = await life.lease(uid)
        await life.submit(held)
        assert await life.end(held, failed(held, FailureClass.INFRASTRUCTURE)) is State.PENDING
        await life.ledger.write(lambda c: c.execute(update(queue).values(not_before_at=0)))
        assert await expire(life, **{uid: _HOUR}) == []
        assert [one.execution for one in await lease_in_time(life, uid)] == [old]

    async def test_what_is_late_when_its_turn_comes_is_expired_and_the_next_is_leased(self, life: Life) -> None:
        await life.take_role()
        uid = await life.apply(service())
        late = await claim_long_ago(life, uid, 3)
        young = file_event()
        await life.claim(young)
        assert [one.execution for one in await lease_in_time(life, uid)] == [run_id(uid, young)]
        assert {await life.state(one) for one in late} == {State.EXPIRED}

    async def test_a_lease_given_back_late_is_not_leased_again(self, life: Life) -> None:
        await life.take_role()
        uid = await life.apply(service())
        (old,) = await claim_long_ago(life, uid)
        (held,) = await life.lease(uid)
        await life.ledger.write(lambda c: leases.give_back(c, life.epoch, held, "no room"))
        assert await expire(life, **{uid: _HOUR}) == []  # it waits for a later moment now, and its turn is looked at
        assert await lease_in_time(life, uid) == []
        assert await life.state(old) is State.EXPIRED
        assert await life.count(queue) == 0

    async def test_many_are_ended_in_steps(self, life: Life) -> None:
        await life.take_role()
        uid = await life.apply(service())
        await claim_long_ago(life, uid, PER_UNIT + 1)
        assert len(await expire(life, **{uid: _HOUR})) == PER_UNIT
        assert len(await expire(life, **{uid: _HOUR})) == 1

    async def test_only_the_holder_of_the_role_ends_runs(self, life: Life) -> None:
        await life.take_role()
        uid = await life.apply(service())
        (old,) = await claim_long_ago(life, uid)
        await life.take_role("somebody else")
        life.epoch -= 1
        with pytest.raises(FencedError):
            await expire(life, **{uid: _HOUR})
        assert await life.state(old) is State.PENDING
