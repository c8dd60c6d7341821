"""Intake loses nothing: the offset moves only after the claim, whatever is away, gone or broken meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TypeVar

import pytest

from oscar_dispatcher import intake
from oscar_dispatcher.intake import GROUP, Intake
from oscar_events import codec, metrics
from oscar_events.bus.memory import MemoryBus
from oscar_events.bus.port import EVENTS, QUARANTINE, Partition
from oscar_events.errors import BusError
from oscar_events.event import StorageEvent
from oscar_events.ledger.claims import Position
from oscar_events.ledger.port import Unit
from oscar_events.ledger.services import Catalogue
from oscar_events.ledger.tables import executions, gaps
from oscar_events.record import Record
from tests.contracts.ledger.making import Life, file_event, service
from tests.unit.oscar_dispatcher.doubles import SITE, MortalLedger, records, row
from tests.waiting import running, wait_until

T = TypeVar("T")
FIRST = Partition(EVENTS, 0)
NONSENSE = Record(None, b"no event", 0)


class OrderedBus(MemoryBus):
    """Notes with each commit how many executions the ledger held; hold: keeps commits back while clear."""

    def __init__(self, life: Life) -> None:
        super().__init__(partitions=1)
        self._life = life
        self.claimed_at_commit: list[tuple[int, int]] = []
        self.hold = asyncio.Event()
        self.hold.set()

    async def store(self, group: str, offsets: Mapping[Partition, int], check: Callable[[], None]) -> None:
        self.claimed_at_commit.append((offsets[FIRST], await self._life.count(executions)))
        await self.hold.wait()
        await super().store(group, offsets, check)


def taking_in(bus: MemoryBus, life: Life, wake: Callable[[], None] = lambda: None) -> Intake:
    return Intake(bus, life.ledger, Catalogue(SITE.aliases), wake)


async def drop(bus: MemoryBus, *events: StorageEvent) -> None:
    await bus.publish(EVENTS, [codec.encode(event) for event in events])


def committed(bus: MemoryBus, offset: int) -> Callable[[], object]:
    async def reached() -> bool:
        return await bus.committed(GROUP, FIRST) == offset

    return reached


async def test_an_event_becomes_a_run_of_each_service_it_starts_and_the_scheduler_is_told(
    bus: MemoryBus, life: Life
) -> None:
    await life.apply(service("blur"))
    await life.apply(service("edges", out="pics/edges"))
    await life.apply(service("deaf", path="elsewhere/in"))
    told = asyncio.Event()
    await drop(bus, file_event())
    async with running(taking_in(bus, life, told.set).run()), asyncio.timeout(30):
        await told.wait()
    assert await life.count(executions) == 2


async def test_an_event_that_starts_nothing_wakes_nobody(bus: MemoryBus, life: Life) -> None:
    told = asyncio.Event()
    await drop(bus, file_event())
    async with running(taking_in(bus, life, told.set).run()):
        await wait_until(committed(bus, 1), "the commit")
    assert not told.is_set()


async def test_the_offset_is_committed_only_after_the_claim(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "BATCH_RECORDS", 3)
    bus = OrderedBus(life)
    await life.apply(service())
    await drop(bus, *(file_event() for _ in range(10)))
    async with running(taking_in(bus, life).run()):
        await wait_until(committed(bus, 10), "all commits")
    assert bus.claimed_at_commit == [(3, 3), (6, 6), (9, 9), (10, 10)]


async def test_events_read_again_after_a_crash_before_the_commit_run_once(life: Life) -> None:
    bus = OrderedBus(life)
    await life.apply(service())
    await drop(bus, file_event())
    bus.hold.clear()
    async with running(taking_in(bus, life).run()):
        await wait_until(lambda: bus.claimed_at_commit, "the claim")
    assert await bus.committed(GROUP, FIRST) is None
    bus.hold.set()
    await drop(bus, file_event())
    async with running(taking_in(bus, life).run()):
        await wait_until(committed(bus, 2), "the commit")
    assert await life.count(executions) == 2


async def test_a_restored_ledger_reads_again_what_it_forgot(bus: MemoryBus, life: Life) -> None:
    """The broker's offset is ahead of the ledger's: the ledger's counts."""
    await life.apply(service())
    await drop(bus, file_event(), file_event(), file_event())
    async with bus.consumer([EVENTS], GROUP) as before:
        await before.poll(max_records=3, max_wait=0)
        await before.commit({FIRST: 3})
    await life.claim(read=[Position(await bus.topic_id(EVENTS), 0, 1)])
    async with running(taking_in(bus, life).run()):

        async def both_claimed() -> bool:
            return await life.count(executions) == 2

        await wait_until(both_claimed, "what lies behind the ledger's position")


async def test_a_ledger_that_is_away_is_waited_for_and_nothing_is_committed_meanwhile(
    ledger: MortalLedger, life: Life
) -> None:
    bus = OrderedBus(life)
    await life.apply(service())
    async with running(taking_in(bus, life).run()):
        await drop(bus, file_event())
        await wait_until(committed(bus, 1), "the first commit")
        ledger.failures = 3
        await drop(bus, file_event())
        await wait_until(committed(bus, 2), "the second commit")
    assert ledger.refused == 3
    assert bus.claimed_at_commit == [(1, 1), (2, 2)]


async def test_a_bus_that_is_away_is_waited_for(bus: MemoryBus, life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    read, outages = bus.read, [BusError("away"), BusError("still away")]

    async def sometimes(positions: Mapping[Partition, int], max_records: int) -> object:
        if outages:
            raise outages.pop()
        return await read(positions, max_records)

    monkeypatch.setattr(bus, "read", sometimes)
    await life.apply(service())
    await drop(bus, file_event())
    async with running(taking_in(bus, life).run()):
        await wait_until(committed(bus, 1), "the commit")
    assert await life.count(executions) == 1


async def test_a_record_that_is_no_event_is_kept_in_quarantine_and_those_behind_it_go_on(
    bus: MemoryBus, life: Life
) -> None:
    await life.apply(service())
    await bus.publish(EVENTS, [NONSENSE])
    await drop(bus, file_event())
    bus.fail_next_publish(BusError("the acknowledgement is late"), stored=False)
    async with running(taking_in(bus, life).run()):
        await wait_until(committed(bus, 2), "the commit")
    (kept,) = await records(bus, QUARANTINE)
    assert b"oscar.events/0@0" in kept.value
    assert await life.count(executions) == 1


async def test_a_record_that_is_no_event_is_not_passed_before_it_is_kept(bus: MemoryBus, life: Life) -> None:
    await bus.publish(EVENTS, [NONSENSE])
    for _ in range(1000):
        bus.fail_next_publish(BusError("away"), stored=False)
    async with running(taking_in(bus, life).run()):
        await wait_until(lambda: len(bus._failures) < 999, "two tries")
        assert await bus.committed(GROUP, FIRST) is None


async def test_events_gone_from_the_log_are_recorded_as_a_gap_and_the_others_go_on(life: Life) -> None:
    bus = MemoryBus(partitions=1, retention=timedelta(0))
    await life.apply(service())
    await drop(bus, *(file_event() for _ in range(4)))
    await bus.expire(now_ms=2**60)
    await life.claim(read=[Position(await bus.topic_id(EVENTS), 0, 1)])
    alarms = metrics.alarms.labels("gap")
    before = alarms._value.get()
    await drop(bus, file_event())
    async with running(taking_in(bus, life).run()):
        await wait_until(committed(bus, 5), "the commit")
    gap = await row(life.ledger, gaps)
    assert (gap.partition, gap.wanted_offset, gap.first_offset) == (0, 1, 4)
    assert alarms._value.get() == before + 1
    assert await life.count(executions) == 1


async def test_a_partition_lost_between_claim_and_commit_is_the_other_members_and_nothing_runs_twice(
    life: Life,
) -> None:
    bus = OrderedBus(life)
    await life.apply(service())
    await drop(bus, file_event())
    bus.hold.clear()
    async with running(taking_in(bus, life).run()):
        await wait_until(lambda: bus.claimed_at_commit, "the claim")
        async with bus.consumer([EVENTS], GROUP) as other:
            group = bus._groups[GROUP]
            group.leave(next(member for member in group._seen if member is not other))
            again = await other.poll(max_records=10, max_wait=0)
            assert len(again.deliveries) == 1, "the other member reads what was not committed"
            bus.hold.set()
            await drop(bus, file_event())
            await other.commit(again.next_offsets())
        await wait_until(committed(bus, 2), "the partition to come back")
    assert await life.count(executions) == 2


async def test_a_gap_found_by_a_member_that_has_lost_the_partition_does_not_end_intake(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = MemoryBus(partitions=1, retention=timedelta(0))
    await life.apply(service())
    await drop(bus, file_event())
    await bus.expire(now_ms=2**60)
    await life.claim(read=[Position(await bus.topic_id(EVENTS), 0, 0)])
    write = life.ledger.write

    async def put_out_meanwhile(unit: Unit[T]) -> T:
        written = await write(unit)
        monkeypatch.undo()
        for member in tuple(bus._groups[GROUP]._seen):
            bus._groups[GROUP].leave(member)
        return written

    monkeypatch.setattr(life.ledger, "write", put_out_meanwhile)
    await drop(bus, file_event())
    async with running(taking_in(bus, life).run()):
        await wait_until(committed(bus, 2), "the commit")
    assert await life.count(executions) == 1
