"""The parts together: an event on the bus runs to its end, and the end is told."""

from __future__ import annotations

import json

import pytest

from oscar_dispatcher import intake
from oscar_dispatcher.app import Dispatcher
from oscar_dispatcher.settings import DispatcherSettings
from oscar_events import codec, progress
from oscar_events.bus.memory import MemoryBus
from oscar_events.bus.port import EVENTS, EXECUTIONS
from oscar_events.execution import State
from oscar_events.ledger import ends
from tests.contracts.ledger.making import Life, file_event, run_id, service
from tests.unit.oscar_dispatcher.doubles import SITE, CountingBackend, MortalLedger, records
from tests.waiting import running, wait_until


async def test_an_event_runs_to_its_end_and_the_end_is_told(
    bus: MemoryBus, life: Life, backend: CountingBackend
) -> None:
    uid = await life.apply(service())
    event = file_event()
    dispatcher = Dispatcher(bus, life.ledger, backend, SITE, DispatcherSettings(concurrency=1))
    assert dispatcher.not_ready == "taking over what ran before"
    async with running(dispatcher.run()):
        await wait_until(lambda: not dispatcher.not_ready, "the dispatcher")
        await bus.publish(EVENTS, [codec.encode(event)])
        await wait_until(lambda: backend.running, "the run")
        backend.finish(run_id(uid, event))
        (told,) = await wait_until(lambda: records(bus, EXECUTIONS), "the copy of its end")
    assert json.loads(told.value)["state"] == State.SUCCEEDED


async def test_a_cancel_by_somebody_else_is_passed_on_when_the_dispatcher_is_woken(
    bus: MemoryBus, life: Life, backend: CountingBackend
) -> None:
    uid = await life.apply(service())
    event = file_event()
    await bus.publish(EVENTS, [codec.encode(event)])
    dispatcher = Dispatcher(bus, life.ledger, backend, SITE, DispatcherSettings(concurrency=1))
    async with running(dispatcher.run()):
        await wait_until(lambda: backend.running, "the run")
        await life.ledger.write(lambda c: ends.cancel(c, run_id(uid, event), "a person's wish"))
        dispatcher.wake()
        await dispatcher.drain()
    assert await life.state(run_id(uid, event)) is State.CANCELLED


async def test_two_dispatchers_share_the_events_and_one_of_them_schedules(
    bus: MemoryBus, life: Life, backend: CountingBackend
) -> None:
    await life.apply(service())
    one, other = (
        Dispatcher(bus, life.ledger, backend, SITE, DispatcherSettings(concurrency=100, holder=holder))
        for holder in ("one", "other")
    )
    async with running(one.run()), running(other.run()):
        await bus.publish(EVENTS, [codec.encode(file_event()) for _ in range(50)])
        await wait_until(lambda: len(backend.submitted) >= 50, "all runs")
        await wait_until(lambda: not one.not_ready and not other.not_ready, "one to schedule and one to stand by")
    assert len({job.execution for job in backend.submitted}) == len(backend.submitted) == 50


async def test_a_dispatcher_that_takes_no_event_in_for_long_says_so_until_it_does_again(
    bus: MemoryBus, ledger: MortalLedger, life: Life, backend: CountingBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    await life.apply(service())
    monkeypatch.setattr(progress, "AWAY_S", 0.2)
    monkeypatch.setattr(intake, "MAX_WAIT_S", 0.01)
    dispatcher = Dispatcher(bus, ledger, backend, SITE, DispatcherSettings(concurrency=1))
    async with running(dispatcher.run()):
        await wait_until(lambda: not dispatcher.not_ready, "the dispatcher")
        ledger.failures = 1_000
        await bus.publish(EVENTS, [codec.encode(file_event())])
        await wait_until(lambda: "asked for by the test" in dispatcher.not_ready, "the alarm")
        assert not dispatcher.not_live, "to start it anew would mend nothing"
        ledger.failures = 0
        await wait_until(lambda: not dispatcher.not_ready, "its end")
