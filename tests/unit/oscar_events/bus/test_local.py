"""The groups of a laptop's buses: what wakes a poll, and who gets what. On the memory double."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from oscar_events.bus import local
from oscar_events.bus.memory import MemoryBus
from oscar_events.bus.port import EVENTS, QUARANTINE, Delivery, Partition
from oscar_events.errors import FencedError
from oscar_events.record import Record

RECORD = Record(b"key", b"value", 0)
FOR_EVER = 3600.0


@pytest.fixture(autouse=True)
def _no_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing but the bell wake a poll."""
    monkeypatch.setattr(local, "TICK_SECONDS", FOR_EVER)


async def test_a_publish_wakes_a_waiting_poll_at_once() -> None:
    async with MemoryBus() as bus, bus.consumer([EVENTS], "group") as consumer, asyncio.timeout(10):
        waiting = asyncio.create_task(consumer.poll(max_records=1, max_wait=FOR_EVER))
        await asyncio.sleep(0)  # the double never suspends, so the poll is waiting now
        await bus.publish(EVENTS, [RECORD])
        assert len((await waiting).deliveries) == 1


async def test_a_member_that_joins_or_leaves_wakes_the_waiting_ones() -> None:
    told: asyncio.Queue[tuple[str, int]] = asyncio.Queue(maxsize=10)

    async def assigned(partitions: frozenset[Partition]) -> Mapping[Partition, int]:
        told.put_nowait(("assigned", len(partitions)))
        return {}

    async def revoked(partitions: frozenset[Partition]) -> None:
        told.put_nowait(("revoked", len(partitions)))

    async with (
        MemoryBus(partitions=4) as bus,
        bus.consumer([EVENTS], "group", on_assigned=assigned, on_revoked=revoked) as stays,
        asyncio.timeout(10),
    ):
        waiting = asyncio.create_task(stays.poll(max_records=1, max_wait=FOR_EVER))
        assert await told.get() == ("assigned", 4)
        async with bus.consumer([EVENTS], "group"):
            assert await told.get() == ("revoked", 2)
        assert await told.get() == ("assigned", 2)
        waiting.cancel()
        await asyncio.wait([waiting])


@pytest.mark.parametrize(("members", "counts"), [(1, [4]), (2, [2, 2]), (3, [2, 1, 1]), (5, [1, 1, 1, 1, 0])])
async def test_partitions_are_shared_as_evenly_as_they_go(members: int, counts: list[int]) -> None:
    async with MemoryBus(partitions=4) as bus:
        consumers = [bus.consumer([EVENTS], "group") for _ in range(members)]
        for consumer in consumers:
            await consumer.__aenter__()
        for consumer in consumers:
            await consumer.poll(max_records=1, max_wait=0)
        assert [len(consumer.assignment()) for consumer in consumers] == counts


async def test_members_of_one_group_with_different_topics_get_their_own() -> None:
    async with (
        MemoryBus(partitions=2) as bus,
        bus.consumer([EVENTS], "group") as one,
        bus.consumer([QUARANTINE], "group") as other,
    ):
        for member in (one, other):
            await member.poll(max_records=1, max_wait=0)
        assert one.assignment() == frozenset(await bus.partitions(EVENTS))
        assert other.assignment() == frozenset(await bus.partitions(QUARANTINE))


async def test_on_assigned_is_asked_again_when_it_was_interrupted() -> None:
    asked = 0

    async def fail_at_first(partitions: frozenset[Partition]) -> Mapping[Partition, int]:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise OSError("the ledger is away")
        return {}

    async with MemoryBus() as bus, bus.consumer([EVENTS], "group", on_assigned=fail_at_first) as consumer:
        await bus.publish(EVENTS, [RECORD])
        with pytest.raises(OSError, match="away"):
            await consumer.poll(max_records=1, max_wait=0)
        assert len((await consumer.poll(max_records=1, max_wait=0)).deliveries) == 1
        assert asked == 2


async def test_a_full_partition_does_not_starve_the_others() -> None:
    async with MemoryBus(partitions=2) as bus, bus.consumer([EVENTS], "group") as consumer:
        await bus.publish(EVENTS, [Record(None, b"", 0)] * 100)
        seen = [(await consumer.poll(max_records=10, max_wait=0)).deliveries[0].partition.number for _ in range(4)]
        assert sorted(seen) == [0, 0, 1, 1]


async def test_a_seek_beside_a_poll_wins_over_what_the_poll_was_reading() -> None:
    class GatedBus(MemoryBus):
        reading, gate = asyncio.Event(), asyncio.Event()

        async def read(self, positions: Mapping[Partition, int], max_records: int) -> list[Delivery]:
            deliveries = await super().read(positions, max_records)
            self.reading.set()
            await self.gate.wait()
            return deliveries

    async with GatedBus(partitions=1) as bus, bus.consumer([EVENTS], "group") as consumer, asyncio.timeout(10):
        await bus.publish(EVENTS, [RECORD] * 5)
        [partition] = await bus.partitions(EVENTS)
        polling = asyncio.create_task(consumer.poll(max_records=2, max_wait=FOR_EVER))
        await bus.reading.wait()
        await consumer.seek(partition, 3)
        bus.gate.set()
        assert [delivery.offset for delivery in (await polling).deliveries] == [3, 4]


async def test_a_failed_publish_of_the_double_may_or_may_not_be_stored() -> None:
    async with MemoryBus(partitions=1) as bus:
        [partition] = await bus.partitions(EVENTS)
        for stored, end in ((False, 0), (True, 1)):
            bus.fail_next_publish(FencedError("lost"), stored=stored)
            with pytest.raises(FencedError):
                await bus.publish(EVENTS, [RECORD])
            assert await bus.offsets(partition) == (0, end)
