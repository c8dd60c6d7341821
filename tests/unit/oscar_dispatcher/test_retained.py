"""Whoever runs the platform is told before the log forgets what was not taken in."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from oscar_dispatcher import retained
from oscar_dispatcher.retained import watch_retention
from oscar_events import metrics
from oscar_events.bus.memory import MemoryBus
from oscar_events.bus.port import EVENTS
from oscar_events.ledger.positions import Position
from oscar_events.record import Record
from tests.contracts.ledger.making import Life
from tests.waiting import running, wait_until


class Looked(MemoryBus):
    """A bus of one partition that knows how often somebody measured it."""

    looks = 0

    async def offsets(self, partition: object) -> tuple[int, int]:
        self.looks += 1
        return await super().offsets(partition)  # type: ignore[arg-type]

    async def looked(self) -> None:
        seen = self.looks
        await wait_until(lambda: self.looks > seen + 1, "another look")


def alarms() -> float:
    return float(metrics.alarms.labels("retention half")._value.get())


def event(age: timedelta) -> Record:
    return Record(b"key", b"value", int((time.time() - age.total_seconds()) * 1000))


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retained, "_EVERY_S", 0.005)


async def test_an_event_older_than_half_the_retention_is_one_alarm_until_it_is_taken_in(life: Life) -> None:
    bus = Looked(partitions=1, retention=timedelta(days=7))
    before = alarms()
    await bus.publish(EVENTS, [event(timedelta(days=3))])
    async with running(watch_retention(bus, life.ledger)):
        await bus.looked()
        assert alarms() == before
        await bus.publish(EVENTS, [event(timedelta(days=4))])
        topic = await bus.topic_id(EVENTS)
        await life.claim(read=[Position(topic, 0, 1)])
        await wait_until(lambda: alarms() > before, "the alarm")
        await bus.looked()
        assert alarms() == before + 1
        await life.claim(read=[Position(topic, 0, 2)])
        await bus.looked()
        await bus.publish(EVENTS, [event(timedelta(days=5))])
        await wait_until(lambda: alarms() == before + 2, "the next one")


async def test_a_bus_that_keeps_everything_is_not_watched(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    async def for_ever(topic: str) -> None:
        """No time."""

    bus = Looked(partitions=1)
    monkeypatch.setattr(bus, "retention", for_ever)
    before = alarms()
    await bus.publish(EVENTS, [event(timedelta(days=400))])
    async with running(watch_retention(bus, life.ledger)):
        await bus.looked()
    assert alarms() == before
