"""Intake loses nothing: the offset moves only after the claim, whatever is away, gone or broken meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection, delete, select, update
from sqlalchemy.exc import DBAPIError, ProgrammingError

from oscar_dispatcher import held, intake
from oscar_dispatcher.intake import GROUP, Intake
from oscar_events import codec, metrics, patience, progress
from oscar_events.bus.memory import MemoryBus
from oscar_events.bus.port import EVENTS, QUARANTINE, Delivery, Partition
from oscar_events.errors import BusError
from oscar_events.event import StorageEvent
from oscar_events.ledger import claims
from oscar_events.ledger.port import Unit
from oscar_events.ledger.positions import Position, stored_positions
from oscar_events.ledger.services import Catalogue
from oscar_events.ledger.tables import executions, gaps, positions, queue
from oscar_events.quarantine import refused_in
from oscar_events.record import Record
from tests.contracts.ledger.making import Life, file_event, service
from tests.unit.oscar_dispatcher.doubles import SITE, MortalLedger, records, row
from tests.waiting import running, wait_until

T = TypeVar("T")
FIRST = Partition(EVENTS, 0)
SECOND = Partition(EVENTS, 1)
NONSENSE = Record(None, b"no event", 0)


class Refused(Exception):
    """What PostgreSQL says of a NUL in a text."""

    sqlstate = "22021"

    def __str__(self) -> str:
        return "a NUL in a text"


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


def committed(bus: MemoryBus, offset: int, partition: Partition = FIRST) -> Callable[[], object]:
    async def reached() -> bool:
        return await bus.committed(GROUP, partition) == offset

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


def forget_last(count: int) -> Callable[[Connection], None]:
    """Return what takes the ledger back by so many events of the first partition, as a copy does that was behind."""

    def unit(connection: Connection) -> None:
        last = connection.scalars(select(executions.c.id).order_by(executions.c.subject.desc()).limit(count)).all()
        connection.execute(delete(queue).where(queue.c.execution_id.in_(last)))
        connection.execute(delete(executions).where(executions.c.id.in_(last)))
        connection.execute(update(positions).values(next_offset=positions.c.next_offset - count))

    return unit


@pytest.mark.parametrize("comes_more", [True, False])
async def test_what_the_ledger_forgets_while_intake_runs_is_read_again(
    bus: MemoryBus, life: Life, comes_more: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "MAX_WAIT_S", 0.01)
    monkeypatch.setattr(intake, "_LOOK_S", 0.05)
    await life.apply(service())
    wanted = 5 + comes_more

    async def all_claimed() -> bool:
        return await life.count(executions) == wanted

    alarms = metrics.alarms.labels("ledger forgot")._value
    before = alarms.get()
    async with running(taking_in(bus, life).run()):
        await drop(bus, *(file_event(b"in/%d" % n) for n in range(5)))
        await wait_until(committed(bus, 5), "the first events")
        await life.ledger.write(forget_last(3))
        if comes_more:
            await drop(bus, file_event(b"in/more"))
        await wait_until(all_claimed, "what was forgotten, and what came since")
    assert alarms.get() == before + 1


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


class QuarantineAway(MemoryBus):
    """A bus of two partitions whose quarantine takes nothing while is_away."""

    def __init__(self) -> None:
        super().__init__(partitions=2)
        self.is_away = True
        self.refused = 0

    async def publish(self, topic: str, records: Sequence[Record]) -> list[tuple[Partition, int]]:
        if topic == QUARANTINE and self.is_away:
            self.refused += 1
            raise BusError("the quarantine is away")
        return await super().publish(topic, records)

    async def put(self, partition: Partition, *events: StorageEvent | Record) -> None:
        """Append to a partition, whatever the keys would say."""
        records = [one if isinstance(one, Record) else codec.encode(one) for one in events]
        self._logs[partition].records += records
        self._bell.ring()


async def test_a_partition_waits_with_an_alarm_at_a_record_that_cannot_be_kept_and_the_others_go_on(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "LONGEST_WAIT_S", 0.01)
    alarms = metrics.alarms.labels("partition paused")
    before = alarms._value.get()
    bus = QuarantineAway()
    await life.apply(service())
    await bus.put(FIRST, file_event(b"in/before"), NONSENSE, file_event(b"in/behind"))
    await bus.put(SECOND, file_event(b"in/other"))
    async with running(taking_in(bus, life).run()):
        await wait_until(lambda: bus.refused > 2, "tries to keep it")
        await bus.put(SECOND, file_event(b"in/another"))
        await wait_until(committed(bus, 2, SECOND), "the other partition")
        assert await bus.committed(GROUP, FIRST) == 1, "up to the record, and not beyond"
        assert await life.count(executions) == 3
        assert metrics.partitions_paused._value.get() == 1
        assert alarms._value.get() == before + 1
        bus.is_away = False
        await wait_until(committed(bus, 3, FIRST), "the partition to go on")
        assert metrics.partitions_paused._value.get() == 0
    assert len(await records(bus, QUARANTINE)) == 1, "kept once"
    assert await life.count(executions) == 4


async def test_a_quarantine_that_does_not_answer_holds_up_its_partition_only(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Silent(QuarantineAway):
        async def publish(self, topic: str, records: Sequence[Record]) -> list[tuple[Partition, int]]:
            if topic == QUARANTINE:
                await asyncio.Event().wait()
            return await super().publish(topic, records)

    monkeypatch.setattr(held, "_AT_ONCE_S", 0.01)
    bus = Silent()
    await life.apply(service())
    await bus.put(FIRST, NONSENSE)
    await bus.put(SECOND, file_event())
    async with running(taking_in(bus, life).run()):
        await wait_until(committed(bus, 1, SECOND), "the other partition")
        assert await bus.committed(GROUP, FIRST) is None
    assert metrics.partitions_paused._value.get() == 0, "whoever ends holds nothing"


async def test_a_held_partition_that_goes_to_another_member_is_held_there(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "LONGEST_WAIT_S", 0.01)
    bus = QuarantineAway()
    await life.apply(service())
    await bus.put(FIRST, NONSENSE, file_event())
    async with running(taking_in(bus, life).run()):
        await wait_until(lambda: bus.refused > 1, "it to be held")
    async with running(taking_in(bus, life).run()):
        refused = bus.refused
        await wait_until(lambda: bus.refused > refused, "it to be held again")
        assert await life.count(executions) == 0
        bus.is_away = False
        await wait_until(committed(bus, 2), "the partition to go on")
    assert await life.count(executions) == 1


async def test_every_partition_waits_whose_record_cannot_be_kept_whatever_it_is_refused_for(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is refused when it is read, the other when it is claimed: neither is forgotten over the other."""
    monkeypatch.setattr(patience, "LONGEST_WAIT_S", 0.01)
    refuse_bad_keys(monkeypatch)
    bus = QuarantineAway()
    await life.apply(service())
    await bus.put(FIRST, file_event(b"in/a"), NONSENSE, file_event(b"in/b"))
    await bus.put(SECOND, file_event(b"in/c"), file_event(b"in/bad"), file_event(b"in/d"))
    async with running(taking_in(bus, life).run()):
        await wait_until(lambda: metrics.partitions_paused._value.get() == 2, "both to be held")
        assert [await bus.committed(GROUP, one) for one in (FIRST, SECOND)] == [1, 1]
        bus.is_away = False
        await wait_until(committed(bus, 3, FIRST), "one to go on")
        await wait_until(committed(bus, 3, SECOND), "the other to go on")
    assert len({one.key for one in await records(bus, QUARANTINE)}) == 2
    assert await life.count(executions) == 4


async def test_a_partition_whose_record_was_kept_goes_on_though_another_has_to_wait(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "LONGEST_WAIT_S", 0.01)
    bus = QuarantineAway()
    await life.apply(service())
    await bus.put(FIRST, NONSENSE, file_event(b"in/a"))
    release = held.HeldPartitions.release_kept

    def and_another_comes(self: held.HeldPartitions) -> None:
        """Have the next poll bring the kept record again, and one of the other partition that cannot be kept."""
        were_held = self.partitions
        release(self)
        if were_held - self.partitions == {FIRST}:
            bus.is_away = True
            bus._logs[SECOND].records += [NONSENSE, codec.encode(file_event(b"in/b"))]

    monkeypatch.setattr(held.HeldPartitions, "release_kept", and_another_comes)
    async with running(taking_in(bus, life).run()):
        await wait_until(lambda: bus.refused, "it to be held")
        bus.is_away = False
        await wait_until(lambda: bus.is_away, "it to be kept")
        await wait_until(committed(bus, 2, FIRST), "what lies behind the record that was kept")
        bus.is_away = False
        await wait_until(committed(bus, 2, SECOND), "the other to go on")
    assert await life.count(executions) == 2


def refuse_bad_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have claims fail as PostgreSQL does where one of the keys has `bad` in it."""
    claim = claims.claim

    def like_postgresql(connection: Connection, catalogue: Catalogue, sightings: Any, read: Any = ()) -> set[str]:
        if any(b"bad" in sighting.event.key for sighting in sightings):
            raise DBAPIError("INSERT", {}, Refused())
        return claim(connection, catalogue, sightings, read)

    monkeypatch.setattr(claims, "claim", like_postgresql)


async def test_an_event_the_database_refuses_is_kept_with_the_reason_and_all_others_are_claimed(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_bad_keys(monkeypatch)
    bus = MemoryBus(partitions=1)
    await life.apply(service())
    events = [file_event(b"in/%d" % number) for number in range(20)]
    for number in (3, 4, 17):
        events[number] = file_event(b"in/bad-%d" % number)
    await drop(bus, *events)
    async with running(taking_in(bus, life).run()):
        await wait_until(committed(bus, 20), "the commit")
    kept = await records(bus, QUARANTINE)
    assert sorted(refused_in(one.value).source for one in kept) == [f"oscar.events/0@{n}" for n in (17, 3, 4)]
    assert "a NUL" in refused_in(kept[0].value).reason
    assert await life.count(executions) == 17


async def test_a_database_that_fails_for_another_reason_puts_nothing_in_quarantine(
    bus: MemoryBus, life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> set[str]:
        raise ProgrammingError("INSERT", {}, Exception("no such table"))

    monkeypatch.setattr(claims, "claim", broken)
    await drop(bus, file_event())
    with pytest.raises(ExceptionGroup):
        async with asyncio.timeout(30):
            await taking_in(bus, life).run()
    assert await records(bus, QUARANTINE) == []
    assert await bus.committed(GROUP, FIRST) is None


async def test_a_record_that_breaks_its_decoder_is_kept_as_well(
    bus: MemoryBus, life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(value: bytes) -> StorageEvent:
        raise RecursionError("too deep")

    await drop(bus, file_event())
    monkeypatch.setattr(codec, "decode", breaks)
    async with running(taking_in(bus, life).run()):
        await wait_until(committed(bus, 1), "the commit")
    (kept,) = await records(bus, QUARANTINE)
    assert refused_in(kept.value).reason == "its decoder failed: RecursionError: too deep"


async def test_the_batch_under_way_is_committed_before_another_member_gets_its_partitions(life: Life) -> None:
    bus = OrderedBus(life)
    await life.apply(service())
    await drop(bus, file_event())
    bus.hold.clear()
    intake_here = taking_in(bus, life)
    async with running(intake_here.run()):
        await wait_until(lambda: bus.claimed_at_commit, "the claim")
        async with running(intake_here._let_go(frozenset({FIRST}))) as letting_go:
            await asyncio.sleep(0)
            assert not letting_go.done()
            bus.hold.set()
            await wait_until(letting_go.done, "the hand-over")
            assert await bus.committed(GROUP, FIRST) == 1


async def test_who_waits_for_a_ledger_that_is_away_holds_up_no_rebalance_for_long(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "_DRAIN_S", 0.01)
    bus = OrderedBus(life)
    await life.apply(service())
    await drop(bus, file_event())
    bus.hold.clear()
    intake_here = taking_in(bus, life)
    async with running(intake_here.run()):
        await wait_until(lambda: bus.claimed_at_commit, "the claim")
        await intake_here._let_go(frozenset({FIRST}))


async def test_a_log_that_lost_its_end_is_read_from_its_start_and_what_it_gets_anew_is_not_passed_over(
    life: Life,
) -> None:
    bus = MemoryBus(partitions=1)
    await life.apply(service())
    topic = await bus.topic_id(EVENTS)
    await life.claim(read=[Position(topic, 0, 5)])
    await drop(bus, file_event())
    async with running(taking_in(bus, life).run()):
        await wait_until(committed(bus, 1), "the start")
    assert await life.ledger.read(lambda c: stored_positions(c, topic)) == {0: 1}
    await drop(bus, *(file_event() for _ in range(9)))
    async with running(taking_in(bus, life).run()):
        await wait_until(committed(bus, 10), "what came since")
    assert await life.count(executions) == 10


async def test_a_consumer_that_is_given_nothing_although_there_is_something_is_not_live(
    bus: MemoryBus, life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "MAX_WAIT_S", 0.01)
    monkeypatch.setattr(intake, "_LOOK_S", 0.01)
    monkeypatch.setattr(progress, "STALLED_S", 0.3)
    intake_here = taking_in(bus, life)
    async with running(intake_here.run()):
        await wait_until(lambda: intake_here.has_joined, "the consumer")
        for member in bus._groups[GROUP]._seen:
            monkeypatch.setattr(member, "_read", _nothing)
        assert intake_here.progress.not_live == ""
        await drop(bus, file_event())
        await wait_until(lambda: "1 events that are not delivered" in intake_here.progress.not_live, "the alarm")
        monkeypatch.undo()
        await wait_until(lambda: not intake_here.progress.not_live, "its end")


async def _nothing(max_records: int) -> list[Delivery]:
    return []


async def test_a_member_without_a_partition_is_not_live_only_if_nobody_takes_events_in(
    bus: MemoryBus, life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "MAX_WAIT_S", 0.01)
    monkeypatch.setattr(intake, "_LOOK_S", 0.01)
    monkeypatch.setattr(progress, "STALLED_S", 0.3)
    await life.apply(service())
    async with bus.consumer([EVENTS], GROUP) as other:  # first: the only partition is its
        await other.poll(max_records=1, max_wait=0)
        idle = taking_in(bus, life)
        async with running(idle.run()):
            await wait_until(lambda: idle.has_joined, "the consumer")
            await drop(bus, file_event())
            await wait_until(lambda: "nobody takes in the 1 events" in idle.progress.not_live, "the alarm")
            await life.claim(read=[Position(await bus.topic_id(EVENTS), 0, 1)])
            await wait_until(lambda: not idle.progress.not_live, "its end")


async def test_a_member_without_a_partition_is_live_while_another_waits_for_the_quarantine(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "LONGEST_WAIT_S", 0.01)
    bus = QuarantineAway()
    await bus.put(FIRST, NONSENSE, file_event())
    async with running(taking_in(bus, life).run()):
        await wait_until(lambda: metrics.partitions_paused._value.get() == 1, "it to be held")
        idle = taking_in(bus, life)
        assert [await idle._unread_by_all() for _ in range(2)] == ["", ""], "also when nothing has moved since"
        await bus.put(SECOND, file_event())
        await wait_until(committed(bus, 1, SECOND), "the other partition")
        assert [await idle._unread_by_all() for _ in range(2)] == ["", ""]


async def test_who_is_given_partitions_while_the_ledger_is_away_is_live_and_not_ready(
    bus: MemoryBus, ledger: MortalLedger, life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "LONGEST_WAIT_S", 0.01)
    ledger.failures = 1_000_000
    intake_here = taking_in(bus, life)
    progress_here, later = intake_here.progress, time.monotonic() + 2 * progress.STALLED_S
    async with running(intake_here.run()):
        await wait_until(lambda: ledger.refused, "the ledger to be asked")
        monkeypatch.setattr(progress_here, "_clock", lambda: later)
        await wait_until(lambda: progress_here.not_ready and not progress_here.not_live, "it to say who is away")
        assert "reading positions: asked for by the test" in progress_here.not_ready
        ledger.failures = 0
        await wait_until(lambda: not progress_here.not_ready, "its end")


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


async def test_a_bus_that_nobody_answers_for_is_told_though_polls_find_just_nothing(
    bus: MemoryBus, life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "MAX_WAIT_S", 0.01)
    monkeypatch.setattr(intake, "_LOOK_S", 0.01)
    monkeypatch.setattr(progress, "AWAY_S", 0.1)
    intake_here = taking_in(bus, life)
    async with running(intake_here.run()):
        await wait_until(lambda: intake_here.has_joined, "the consumer")

        async def away(partition: Partition) -> tuple[int, int]:
            raise BusError("asked for by the test")

        monkeypatch.setattr(bus, "offsets", away)
        await wait_until(
            lambda: intake_here.progress.not_ready == "looking for events: asked for by the test", "it to say so"
        )
        assert intake_here.progress.not_live == ""
        monkeypatch.undo()
        await wait_until(lambda: not intake_here.progress.not_ready, "its end")


async def test_a_partition_without_a_leader_holds_up_nothing_whose_place_is_known(
    bus: MemoryBus, life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(partition: Partition) -> tuple[int, int]:
        raise BusError("no leader, as asked for by the test")

    await life.apply(service())
    await life.claim(read=[Position(await bus.topic_id(EVENTS), 0, 0)])
    monkeypatch.setattr(bus, "offsets", away)
    await drop(bus, file_event())
    async with running(taking_in(bus, life).run()):
        await wait_until(committed(bus, 1), "the commit")
