"""What ended is told at least once, however often the bus fails, and stays until the bus has acknowledged."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from oscar_dispatcher.outbox import OutboxPublisher
from oscar_events.bus.memory import MemoryBus
from oscar_events.bus.port import DEADLETTER, EXECUTIONS
from oscar_events.errors import BusError
from oscar_events.job import FailureClass
from oscar_events.ledger.tables import outbox
from oscar_events.progress import STALLED_S
from tests.contracts.ledger.making import Life, failed, service, succeeded
from tests.unit.oscar_dispatcher.doubles import MortalLedger, own_clock, records
from tests.waiting import running, wait_until

DEADLINE_S = 60.0


@asynccontextmanager
async def publishing(bus: MemoryBus, life: Life) -> AsyncIterator[asyncio.Event]:
    """Publish until the block ends; yields what wakes the publisher."""
    wake = asyncio.Event()
    async with running(OutboxPublisher(bus, life.ledger, wake).run()):
        yield wake


async def emptied(life: Life) -> None:
    async def is_empty() -> bool:
        return await life.count(outbox) == 0

    await wait_until(is_empty, "the outbox to be empty")


async def told(bus: MemoryBus, topic: str) -> list[str]:
    """Return the ids of the runs told of on a topic."""
    return [json.loads(record.value)["id"] for record in await records(bus, topic)]


@pytest.fixture
async def uid(life: Life) -> str:
    await life.take_role()
    return await life.apply(service())


async def test_a_run_that_succeeded_is_told_of(bus: MemoryBus, life: Life, uid: str) -> None:
    held = await life.running(uid)
    await life.end(held, succeeded(held, "out/a.png"))
    async with publishing(bus, life):
        await emptied(life)
    (record,) = await records(bus, EXECUTIONS)
    run = json.loads(record.value)
    assert (run["id"], run["state"], run["outputs"]) == (held.execution, "succeeded", ["pics/out/a.png"])
    assert record.key == held.execution.encode()
    assert await records(bus, DEADLETTER) == []


async def test_a_dead_letter_is_told_of_on_its_own_topic_as_well(bus: MemoryBus, life: Life, uid: str) -> None:
    held = await life.running(uid)
    await life.end(held, failed(held, FailureClass.USER, 1))
    async with publishing(bus, life):
        await emptied(life)
    assert await told(bus, EXECUTIONS) == await told(bus, DEADLETTER) == [held.execution]


async def test_what_ends_later_is_told_when_the_publisher_is_woken(bus: MemoryBus, life: Life, uid: str) -> None:
    async with publishing(bus, life) as wake:
        held = await life.running(uid)
        await life.end(held, succeeded(held))
        wake.set()
        await emptied(life)
    assert await told(bus, EXECUTIONS) == [held.execution]


@pytest.mark.parametrize(("stored", "times"), [(False, 1), (True, 2)], ids=["refused", "acknowledgement lost"])
async def test_what_the_bus_did_not_acknowledge_is_told_again(
    bus: MemoryBus, life: Life, uid: str, stored: bool, times: int
) -> None:
    held = await life.running(uid)
    await life.end(held, succeeded(held))
    bus.fail_next_publish(BusError("away"), stored=stored)
    async with publishing(bus, life):
        await emptied(life)
    assert await told(bus, EXECUTIONS) == [held.execution] * times


async def test_nothing_is_lost_when_the_publisher_dies_before_the_rows_are_deleted(
    bus: MemoryBus, life: Life, uid: str, ledger: MortalLedger
) -> None:
    held = await life.running(uid)
    await life.end(held, succeeded(held))
    publish = bus.publish

    async def then_the_ledger_is_away(*arguments: object) -> object:
        done = await publish(*arguments)  # type: ignore[arg-type]
        ledger.failures = 1000
        return done

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bus, "publish", then_the_ledger_is_away)
        async with publishing(bus, life):
            await wait_until(lambda: ledger.refused, "the publish")
    ledger.failures = 0
    async with publishing(bus, life):
        await emptied(life)
    assert await told(bus, EXECUTIONS) == [held.execution] * 2


async def test_who_is_not_answered_is_not_live_and_who_has_nothing_to_tell_is(
    bus: MemoryBus, life: Life, uid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wake, asked, answers = asyncio.Event(), asyncio.Event(), asyncio.Event()
    publisher = OutboxPublisher(bus, life.ledger, wake)
    clock, publish = own_clock(publisher.progress), bus.publish

    async def when_answered(*arguments: object) -> object:
        asked.set()
        await answers.wait()
        return await publish(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(bus, "publish", when_answered)
    held = await life.running(uid)
    await life.end(held, succeeded(held))
    async with running(publisher.run()):
        await wait_until(asked.is_set, "the publish", DEADLINE_S)
        clock.now += STALLED_S + 1
        assert publisher.progress.not_live == "telling of runs that ended made no progress for 31 s"
        answers.set()
        await emptied(life)
        for _ in range(2):
            clock.now += STALLED_S + 1
            wake.set()
            await wait_until(lambda: not publisher.progress.not_live, "a look that finds nothing", DEADLINE_S)
