"""The gauges say what ledger and bus hold at the moment of the scrape."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from math import isnan

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import insert, update

from oscar_events.bus.memory import MemoryBus
from oscar_events.bus.port import EVENTS, QUARANTINE
from oscar_events.errors import BusError
from oscar_events.ledger import claims, redrive
from oscar_events.ledger.port import Ledger
from oscar_events.ledger.positions import Position
from oscar_events.ledger.services import Catalogue
from oscar_events.ledger.tables import quarantine_settled, queue
from oscar_events.manager.control import Control
from oscar_events.manager.gauges import Gauges
from oscar_events.record import Record
from tests.unit.oscar_events.manager.runs_in_ledger import begin, drop, finish
from tests.waiting import DEADLINE_S


class AwayBus(MemoryBus):
    """A bus that can go away."""

    is_away = False

    async def topic_id(self, topic: str) -> str:
        if self.is_away:
            raise BusError("away")
        return await super().topic_id(topic)


@pytest.fixture
async def bus() -> AsyncIterator[AwayBus]:
    async with AwayBus() as bus:
        yield bus


@pytest.fixture
def gauges(ledger: Ledger, bus: AwayBus) -> Gauges:
    return Gauges(ledger, bus, fresh_s=0)


def value(name: str) -> float:
    found = REGISTRY.get_sample_value(f"oscar_events_{name}")
    assert found is not None
    return found


def record(number: int) -> Record:
    return Record(b"%d" % number, b"value", 0)


async def test_lag_is_what_the_ledger_has_not_taken_in_yet(gauges: Gauges, bus: AwayBus, ledger: Ledger) -> None:
    placed = await bus.publish(EVENTS, [record(number) for number in range(10)])
    await gauges.refresh()
    assert value("lag") == 10
    partition, _ = placed[0]
    _, end = await bus.offsets(partition)
    read = Position(await bus.topic_id(EVENTS), partition.number, end)
    await ledger.write(lambda connection: claims.claim(connection, Catalogue(), [], [read]))
    await gauges.refresh()
    assert value("lag") == 10 - end


async def test_what_waits_and_what_was_given_up_on_is_counted(
    gauges: Gauges, ledger: Ledger, control: Control, blur: dict[str, object]
) -> None:
    [applied] = await control.apply([blur])
    await drop(ledger, "in/first.png")
    await drop(ledger, "in/second.png")
    await gauges.refresh()
    assert (value("queue_length"), value("dead_letters")) == (2, 0)
    epoch, leased = await begin(ledger, applied["uid"])
    await finish(ledger, epoch, leased, exit_code=1)
    await gauges.refresh()
    assert (value("queue_length"), value("dead_letters")) == (1, 1)
    await ledger.write(lambda connection: redrive.redrive(connection, [leased.execution]))
    await gauges.refresh()
    assert (value("queue_length"), value("dead_letters")) == (2, 0)


async def test_a_record_of_the_quarantine_counts_until_it_is_settled(
    gauges: Gauges, bus: AwayBus, ledger: Ledger
) -> None:
    placed = await bus.publish(QUARANTINE, [record(number) for number in range(5)])
    await gauges.refresh()
    assert value("quarantine_records") == 5
    partition, offset = placed[0]
    row = {"topic_id": await bus.topic_id(QUARANTINE), "partition": partition.number, "offset": offset}
    settled = {**row, "how": "purged", "settled_at": int(datetime.now(UTC).timestamp() * 1000)}
    await ledger.write(lambda connection: connection.execute(insert(quarantine_settled), settled))
    await gauges.refresh()
    assert value("quarantine_records") == 4


async def test_what_comes_into_the_quarantine_is_an_alarm_and_what_was_there_before_is_none(
    ledger: Ledger, bus: AwayBus
) -> None:
    def alarms() -> float:
        return REGISTRY.get_sample_value("oscar_events_alarms_total", {"kind": "quarantine"}) or 0.0

    before = alarms()
    await bus.publish(QUARANTINE, [record(1)])
    gauges = Gauges(ledger, bus, fresh_s=0)
    await gauges.refresh()
    assert alarms() == before
    await bus.publish(QUARANTINE, [record(2), record(3)])
    await gauges.refresh()
    await gauges.refresh()
    assert alarms() == before + 2


async def test_the_oldest_event_that_waits_has_an_age_and_without_one_it_is_nothing(
    gauges: Gauges, bus: AwayBus, ledger: Ledger
) -> None:
    await gauges.refresh()
    assert value("oldest_unread_seconds") == 0
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    (placed,) = await bus.publish(EVENTS, [Record(b"a", b"value", now_ms - 3_600_000)])
    await bus.publish(EVENTS, [Record(b"b", b"value", now_ms)])
    await gauges.refresh()
    assert value("oldest_unread_seconds") >= 3600
    read = Position(await bus.topic_id(EVENTS), placed[0].number, placed[1] + 1)
    await ledger.write(lambda connection: claims.claim(connection, Catalogue(), [], [read]))
    await gauges.refresh()
    assert value("oldest_unread_seconds") < 3600


async def test_the_run_that_waits_longest_has_an_age_as_soon_as_it_may_run(
    gauges: Gauges, ledger: Ledger, control: Control, blur: dict[str, object]
) -> None:
    await control.apply([blur])
    await gauges.refresh()
    assert value("oldest_ready_seconds") == 0
    await drop(ledger, "in/first.png")
    await ledger.write(lambda c: c.execute(update(queue).values(not_before_at=queue.c.not_before_at - 60_000)).rowcount)
    await gauges.refresh()
    assert value("oldest_ready_seconds") >= 60
    await ledger.write(lambda c: c.execute(update(queue).values(not_before_at=2**50)).rowcount)
    await gauges.refresh()
    assert value("oldest_ready_seconds") == 0


async def test_scrapes_close_to_each_other_share_the_answers(bus: AwayBus, ledger: Ledger) -> None:
    gauges = Gauges(ledger, bus, fresh_s=1000)
    await gauges.refresh()
    await bus.publish(EVENTS, [record(1)])
    await gauges.refresh()
    assert value("lag") == 0


async def test_what_cannot_be_asked_is_no_number_rather_than_an_old_one(gauges: Gauges, bus: AwayBus) -> None:
    bus.is_away = True
    await gauges.refresh()
    assert all(isnan(value(name)) for name in ("lag", "queue_length", "dead_letters", "quarantine_records"))


async def test_whoever_does_not_answer_keeps_no_scrape_waiting(
    gauges: Gauges, bus: AwayBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(topic: str) -> str:
        await asyncio.Event().wait()
        return topic

    monkeypatch.setattr(bus, "topic_id", silent)
    monkeypatch.setattr("oscar_events.manager.gauges._ANSWER_S", 0.01)
    await asyncio.wait_for(gauges.refresh(), DEADLINE_S)
    assert isnan(value("lag"))
