"""What every ledger promises about forgetting: details first, the run itself long after, nothing that is needed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, select, update

from oscar_events.event import StorageEvent
from oscar_events.execution import State
from oscar_events.job import FailureClass
from oscar_events.ledger import redrive, retention
from oscar_events.ledger.port import now
from oscar_events.ledger.redrive import Filters
from oscar_events.ledger.retention import PER_UNIT, Forgotten, Kept
from oscar_events.ledger.tables import PURGED, attempts, events, executions, inputs, queue
from tests.contracts.ledger.making import Life, failed, file_event, run_id, service, succeeded

_DAY = 86_400_000
KEPT = Kept(runs=30 * _DAY, tombstones=60 * _DAY, dead=90 * _DAY)
NOTHING = Forgotten()


async def forget(life: Life, kept: Kept = KEPT) -> Forgotten:
    return await life.ledger.write(lambda c: retention.forget(c, kept))


async def age(life: Life, days: int) -> None:
    """Have everything that ended have ended so many days earlier."""

    def unit(connection: Connection) -> None:
        ended = executions.c.ended_at
        connection.execute(update(executions).where(ended.is_not(None)).values(ended_at=ended - days * _DAY))

    await life.ledger.write(unit)


async def row(life: Life, execution: str) -> Any:
    query = select(executions).where(executions.c.id == execution)
    return await life.ledger.read(lambda c: c.execute(query).one_or_none())


async def envelopes(life: Life) -> list[bytes]:
    return await life.ledger.read(lambda c: list(c.scalars(select(events.c.envelope))))


async def finished(life: Life, uid: str, event: StorageEvent) -> str:
    held = await life.running(uid, event)
    await life.end(held, succeeded(held, "out/a.png"))
    return held.execution


async def given_up(life: Life, uid: str, event: StorageEvent) -> str:
    held = await life.running(uid, event)
    assert await life.end(held, failed(held, FailureClass.PERMANENT)) is State.DEAD
    return held.execution


class ForgettingContract:
    async def test_a_run_keeps_its_details_as_long_as_it_is_said(self, life: Life) -> None:
        await life.take_role()
        await finished(life, await life.apply(service()), file_event())
        await age(life, 29)
        assert await forget(life) == NOTHING
        assert await life.count(attempts) == 1

    async def test_then_it_is_a_tombstone_that_still_says_what_ran_and_how_it_ended(self, life: Life) -> None:
        await life.take_role()
        run = await finished(life, await life.apply(service()), file_event())
        await age(life, 31)
        assert await forget(life) == Forgotten(emptied=1)
        assert await forget(life) == NOTHING
        tombstone = await row(life, run)
        assert (tombstone.state, tombstone.service, tombstone.bucket) == ("succeeded", "blur", "pics")
        assert tombstone.outputs is None
        assert await life.count(attempts) == 0
        assert await envelopes(life) == [PURGED]

    async def test_an_event_told_again_finds_the_tombstone_and_does_not_run_again(self, life: Life) -> None:
        await life.take_role()
        event = file_event()
        uid = await life.apply(service())
        run = await finished(life, uid, event)
        await age(life, 31)
        await forget(life)
        assert await life.claim(event) == set()
        assert (await row(life, run)).state == "succeeded"
        assert await life.count(queue) == 0

    async def test_in_the_end_the_run_and_its_event_go(self, life: Life) -> None:
        await life.take_role()
        run = await finished(life, await life.apply(service()), file_event())
        await age(life, 31)
        await forget(life)
        await age(life, 30)
        assert await forget(life) == Forgotten(removed=1)
        assert await row(life, run) is None
        assert await envelopes(life) == []

    async def test_listings_no_longer_look_at_what_is_as_old_as_what_was_forgotten(self, life: Life) -> None:
        await life.take_role()
        uid = await life.apply(service())
        await finished(life, uid, file_event())

        async def since() -> int:
            return await life.ledger.read(lambda c: int(c.execute(select(inputs.c.since_at)).scalar_one()))

        before = await since()
        await age(life, 31)
        await forget(life)
        assert await since() == before
        await age(life, 30)
        ledger_now = await life.ledger.read(now)
        await forget(life)
        assert ledger_now - 59 * _DAY <= await since() <= ledger_now - 58 * _DAY
        # An apply of the same places, and a life that was made longer, leave it so.
        raised = await since()
        await life.apply(service(timeout="7m"))
        assert await forget(life, replace(KEPT, tombstones=600 * _DAY)) == NOTHING
        assert await since() == raised

    async def test_what_lives_is_never_touched_however_old(self, life: Life) -> None:
        await life.take_role()
        uid = await life.apply(service())
        await life.running(uid)
        await life.claim(file_event())
        long_ago = {"created_at": executions.c.created_at - 1000 * _DAY}
        await life.ledger.write(lambda c: c.execute(update(executions).values(**long_ago)))
        assert await forget(life) == NOTHING
        assert await life.count(executions) == 2
        assert PURGED not in await envelopes(life)

    async def test_a_dead_letter_waits_longer_than_other_runs_and_is_then_given_up(self, life: Life) -> None:
        await life.take_role()
        run = await given_up(life, await life.apply(service()), file_event())
        await age(life, 89)
        assert await forget(life) == NOTHING
        await age(life, 2)
        assert await forget(life, Kept(runs=30 * _DAY, tombstones=120 * _DAY, dead=90 * _DAY)) == Forgotten(emptied=1)
        assert await life.ledger.read(lambda c: redrive.page(c, Filters())) == []
        (answer,) = await life.ledger.write(lambda c: redrive.redrive(c, [run]))
        assert answer["verdict"] == "refused"

    async def test_dead_letters_may_be_kept_for_a_shorter_time_than_other_runs(self, life: Life) -> None:
        await life.take_role()
        uid = await life.apply(service())
        dead = await given_up(life, uid, file_event())
        other = await finished(life, uid, file_event())
        await age(life, 10)
        assert await forget(life, Kept(runs=30 * _DAY, tombstones=60 * _DAY, dead=5 * _DAY)) == Forgotten(emptied=1)
        assert (await row(life, dead)).emptied_at is not None
        assert (await row(life, other)).emptied_at is None

    async def test_a_dead_letter_that_was_sent_again_is_a_run_like_others(self, life: Life) -> None:
        await life.take_role()
        run = await given_up(life, await life.apply(service()), file_event())
        await life.ledger.write(lambda c: redrive.redrive(c, [run]))
        await age(life, 31)
        assert await forget(life) == Forgotten(emptied=1)

    async def test_an_event_stays_whole_while_another_run_of_it_has_details(self, life: Life) -> None:
        await life.take_role()
        event = file_event()
        one, other = await life.apply(service("one")), await life.apply(service("other", out="pics/elsewhere"))
        await life.claim(event)
        (held,) = await life.lease(one)
        assert await life.submit(held)
        await life.end(held, succeeded(held))
        await age(life, 31)
        assert await forget(life) == Forgotten(emptied=1)
        assert PURGED not in await envelopes(life)
        (second,) = await life.lease(other)
        assert second.envelope
        assert second.execution == run_id(other, event)

    async def test_an_emptied_event_is_whole_again_for_a_service_that_is_new(self, life: Life) -> None:
        await life.take_role()
        event = file_event()
        await finished(life, await life.apply(service("one")), event)
        await age(life, 31)
        await forget(life)
        other = await life.apply(service("other", out="pics/elsewhere"))
        assert await life.claim(event) == {other}
        (held,) = await life.lease(other)
        assert held.envelope

    async def test_of_much_that_is_due_each_unit_takes_a_bounded_number(self, life: Life) -> None:
        await life.take_role()
        uid = await life.apply(service())
        count = PER_UNIT + 10
        await life.claim(*(file_event() for _ in range(count)))
        ended = {"state": "cancelled", "ended_at": 0}

        def cancel_all(connection: Connection) -> None:
            connection.execute(queue.delete())
            connection.execute(update(executions).where(executions.c.service_uid == uid).values(**ended))

        await life.ledger.write(cancel_all)
        assert await forget(life) == Forgotten(emptied=PER_UNIT, removed=PER_UNIT)
        assert await forget(life) == Forgotten(emptied=10, removed=10)
        assert await forget(life) == NOTHING
        assert await life.count(executions) == 0
