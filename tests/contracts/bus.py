"""What every bus promises, as tests. A bus subclasses BusContract beside this file and gives the fixtures.

In:  a bus. Out: pass or fail. Not here: what only one bus does (tests/unit/oscar_events/bus/).

Written for Kafka as well: partitions may take several polls to move, and nothing relies on when they do.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import AbstractAsyncContextManager

import pytest

from oscar_events.bus.port import EVENTS, QUARANTINE, Batch, Bus, Consumer, Delivery, OffsetGoneError, Partition
from oscar_events.errors import BusError, FencedError, NotFoundError
from oscar_events.record import Record

DEADLINE = 20.0  # of a wait that ends by itself in milliseconds, unless the bus is broken or the machine drowned
SHORT = 0.05  # of a poll that is expected to find nothing
DAY_MS = 86_400_000
NOW_MS = time.time_ns() // 1_000_000


def numbered(numbers: Iterable[int], key: bytes | None = None) -> list[Record]:
    return [Record(b"key %d" % n if key is None else key, b"%d" % n, NOW_MS) for n in numbers]


def numbers(deliveries: Iterable[Delivery]) -> list[int]:
    return [int(delivery.record.value) for delivery in deliveries]


async def take(consumer: Consumer, count: int, *, max_records: int = 1000) -> list[Delivery]:
    """Poll until count records came. Fails at the deadline."""
    taken: list[Delivery] = []
    async with asyncio.timeout(DEADLINE):
        while len(taken) < count:
            taken += (await consumer.poll(max_records=max_records, max_wait=1.0)).deliveries
    return taken


async def share(wanted: Collection[Partition], *members: Consumer) -> None:
    """Poll the members in turn until together they hold the wanted partitions, each some. For an empty log only."""
    async with asyncio.timeout(DEADLINE):
        while set().union(*(m.assignment() for m in members)) != set(wanted) or not all(
            m.assignment() for m in members
        ):
            for member in members:
                assert not (await member.poll(max_records=1, max_wait=SHORT)).deliveries
    assert sum(len(member.assignment()) for member in members) == len(wanted)


class BusContract:
    """Fixtures bus: open, with more than one partition per topic. impatient_bus: a session timeout of half a second."""

    @pytest.fixture
    def bus(self) -> AsyncIterator[Bus]:
        raise AssertionError("a subclass gives it")

    @pytest.fixture
    def impatient_bus(self) -> AsyncIterator[Bus]:
        raise AssertionError("a subclass gives it")

    def failing(self, bus: Bus) -> AbstractAsyncContextManager[None]:
        """Return a context in which the bus cannot store anything."""
        raise AssertionError("a subclass gives it")

    async def expire(self, bus: Bus, now_ms: int) -> None:
        """Run the bus's retention (7 days) as if it were now_ms."""
        raise AssertionError("a subclass gives it")

    async def test_publish_says_where_each_record_lies_in_the_order_given(self, bus: Bus) -> None:
        records = numbered(range(40))
        lies = await bus.publish(EVENTS, records)
        async with bus.consumer([EVENTS], "readers") as consumer:
            found = {(d.partition, d.offset): d.record for d in await take(consumer, 40)}
        assert [found[place] for place in lies] == records
        assert len({partition for partition, _ in lies}) > 1

    async def test_publishing_nothing_is_nothing(self, bus: Bus) -> None:
        assert await bus.publish(EVENTS, []) == []

    async def test_records_of_one_key_lie_in_one_partition_in_the_order_published(self, bus: Bus) -> None:
        for n in range(20):
            await bus.publish(EVENTS, numbered([n], key=b"same") + numbered([n]))
        async with bus.consumer([EVENTS], "readers") as consumer:
            same = [d for d in await take(consumer, 40) if d.record.key == b"same"]
        assert numbers(same) == list(range(20))
        assert len({d.partition for d in same}) == 1

    async def test_offsets_of_a_partition_have_no_holes(self, bus: Bus) -> None:
        first = await bus.publish(EVENTS, numbered(range(5), key=b"k"))
        second = await bus.publish(EVENTS, numbered(range(5), key=b"k"))
        start = first[0][1]
        assert [offset for _, offset in first + second] == list(range(start, start + 10))
        assert await bus.offsets(first[0][0]) == (start, start + 10)

    async def test_records_without_a_key_are_spread(self, bus: Bus) -> None:
        lies = await bus.publish(EVENTS, [Record(None, b"", NOW_MS)] * 100)
        assert len({partition for partition, _ in lies}) > 1

    @pytest.mark.parametrize(
        "record",
        [
            Record(None, b"no key", NOW_MS),
            Record(b"", b"empty key", NOW_MS),
            Record(b"\x00\xff\n", b"\x00\xff", NOW_MS),  # neither text nor UTF-8
            Record(b"k", b"", NOW_MS),
            Record(b"k", b"x" * 256 * 1024, NOW_MS),  # the largest quarantine entry
            Record(b"k", b"v", NOW_MS, (("a", b"1"), ("b", b"\xff\x00"), ("a", b"2"), ("", b""))),
        ],
        ids=["no key", "empty key", "bytes", "empty value", "large", "headers repeat and keep their order"],
    )
    async def test_a_record_comes_out_as_it_went_in(self, bus: Bus, record: Record) -> None:
        await bus.publish(EVENTS, [record])
        async with bus.consumer([EVENTS], "readers") as consumer:
            [delivery] = await take(consumer, 1)
        assert delivery.record == record

    async def test_a_batch_is_no_larger_than_asked_and_the_next_follows_on_without_a_commit(self, bus: Bus) -> None:
        await bus.publish(EVENTS, numbered(range(50)))
        seen: list[int] = []
        async with bus.consumer([EVENTS], "readers") as consumer, asyncio.timeout(DEADLINE):
            while len(seen) < 50:
                batch = await consumer.poll(max_records=7, max_wait=1.0)
                assert len(batch.deliveries) <= 7
                seen += numbers(batch.deliveries)
        assert sorted(seen) == list(range(50))

    async def test_a_poll_that_finds_nothing_ends_after_its_wait(self, bus: Bus) -> None:
        async with bus.consumer([EVENTS], "readers") as consumer:
            await share(await bus.partitions(EVENTS), consumer)
            began = time.monotonic()
            assert (await consumer.poll(max_records=10, max_wait=0.3)).deliveries == ()
            assert 0.25 < time.monotonic() - began < DEADLINE  # 0.05 for clocks that tick coarsely

    async def test_a_waiting_poll_gets_what_is_published_meanwhile(self, bus: Bus) -> None:
        async with bus.consumer([EVENTS], "readers") as consumer:
            await share(await bus.partitions(EVENTS), consumer)
            waiting = asyncio.create_task(consumer.poll(max_records=10, max_wait=DEADLINE))
            await bus.publish(EVENTS, numbered([1]))
            async with asyncio.timeout(DEADLINE / 2):
                assert numbers((await waiting).deliveries) == [1]

    async def test_a_cancelled_poll_loses_nothing(self, bus: Bus) -> None:
        async with bus.consumer([EVENTS], "readers") as consumer:
            await share(await bus.partitions(EVENTS), consumer)
            for n in range(20):
                waiting = asyncio.create_task(consumer.poll(max_records=10, max_wait=DEADLINE))
                await bus.publish(EVENTS, numbered([n], key=b"k"))
                waiting.cancel()
                await asyncio.wait([waiting])
                came = await take(consumer, 1) if waiting.cancelled() else waiting.result().deliveries
                assert numbers(came) == [n]

    async def test_a_consumer_sees_its_own_topics_only(self, bus: Bus) -> None:
        await bus.publish(EVENTS, numbered([1]))
        await bus.publish(QUARANTINE, numbered([2]))
        async with bus.consumer([QUARANTINE], "one") as one, bus.consumer([EVENTS, QUARANTINE], "both") as both:
            assert numbers(await take(one, 1)) == [2]
            assert sorted(numbers(await take(both, 2))) == [1, 2]
            assert not (await one.poll(max_records=10, max_wait=SHORT)).deliveries

    async def test_an_unknown_topic_is_refused(self, bus: Bus) -> None:
        with pytest.raises(NotFoundError, match="nowhere"):
            await bus.publish("nowhere", numbered([1]))
        with pytest.raises(NotFoundError, match="nowhere"):
            await bus.topic_id("nowhere")

    async def test_a_group_that_never_committed_starts_at_the_logs_start(self, bus: Bus) -> None:
        await bus.publish(EVENTS, numbered(range(5)))
        [partition, *_] = await bus.partitions(EVENTS)
        assert await bus.committed("late", partition) is None
        async with bus.consumer([EVENTS], "late") as consumer:
            assert sorted(numbers(await take(consumer, 5))) == list(range(5))

    async def test_a_commit_is_for_the_whole_group_and_for_no_other(self, bus: Bus) -> None:
        [(partition, offset), *_] = await bus.publish(EVENTS, numbered(range(3), key=b"k"))
        async with bus.consumer([EVENTS], "one") as member:
            await take(member, 3)
            await member.commit({partition: offset + 2})
        assert await bus.committed("one", partition) == offset + 2
        assert await bus.committed("other", partition) is None
        async with bus.consumer([EVENTS], "one") as successor, bus.consumer([EVENTS], "other") as stranger:
            assert numbers(await take(successor, 1)) == [2]
            assert numbers(await take(stranger, 3)) == [0, 1, 2]

    async def test_two_members_share_the_partitions_and_each_record_is_seen_once(self, bus: Bus) -> None:
        wanted = await bus.partitions(EVENTS)
        async with bus.consumer([EVENTS], "pair") as one, bus.consumer([EVENTS], "pair") as two:
            await share(wanted, one, two)
            await bus.publish(EVENTS, numbered(range(200)))
            seen: list[int] = []
            async with asyncio.timeout(DEADLINE):
                while len(seen) < 200:
                    for member in (one, two):
                        batch = await member.poll(max_records=20, max_wait=SHORT)
                        assert {d.partition for d in batch.deliveries} <= member.assignment()
                        seen += numbers(batch.deliveries)
            for member in (one, two):
                assert not (await member.poll(max_records=20, max_wait=SHORT)).deliveries
        assert sorted(seen) == list(range(200))

    async def test_a_member_that_leaves_hands_over_from_the_committed_offset(self, bus: Bus) -> None:
        wanted = await bus.partitions(EVENTS)
        async with bus.consumer([EVENTS], "pair") as stays:
            async with bus.consumer([EVENTS], "pair") as leaves:
                await share(wanted, stays, leaves)
                records = numbered(range(100))
                places = await bus.publish(EVENTS, records)
                theirs = [n for n, (partition, _) in enumerate(places) if partition in leaves.assignment()]
                kept = await take(stays, 100 - len(theirs))
                await stays.commit(Batch(tuple(kept)).next_offsets())  # else it may start again with what it keeps
                batch = await take(leaves, len(theirs))
                first, *rest = [d for d in batch if d.partition == batch[0].partition]
                await leaves.commit({first.partition: first.offset + 1})
            again = await take(stays, len(theirs) - 1)
        assert sorted(numbers(again)) == sorted(set(theirs) - set(numbers([first])))
        assert numbers(d for d in again if d.partition == first.partition) == numbers(rest)

    async def test_on_revoked_may_still_commit_and_the_next_member_goes_on_from_there(self, bus: Bus) -> None:
        places = await bus.publish(EVENTS, numbered(range(100)))
        next_offsets: dict[Partition, int] = {}
        revoked: list[frozenset[Partition]] = []

        async def commit_what_is_done(partitions: frozenset[Partition]) -> None:
            revoked.append(partitions)
            await old.commit({p: next_offsets[p] for p in partitions if p in next_offsets})

        async with bus.consumer([EVENTS], "pair", on_revoked=commit_what_is_done) as old:
            for delivery in await take(old, len(places)):
                next_offsets[delivery.partition] = delivery.offset + 1
            async with bus.consumer([EVENTS], "pair") as new:
                async with asyncio.timeout(DEADLINE):
                    while not (new.assignment() and revoked):
                        assert not (await new.poll(max_records=10, max_wait=SHORT)).deliveries
                        assert not (await old.poll(max_records=10, max_wait=SHORT)).deliveries
                assert not (await new.poll(max_records=10, max_wait=SHORT)).deliveries
                assert new.assignment() <= frozenset().union(*revoked)
                for partition in new.assignment():
                    assert await bus.committed("pair", partition) == next_offsets[partition]

    async def test_a_member_revoked_during_its_batch_cannot_commit_it_and_changes_nothing(self, bus: Bus) -> None:
        await bus.publish(EVENTS, numbered(range(40)))
        async with bus.consumer([EVENTS], "pair") as old:
            batch = {d.partition: d.offset + 1 for d in await take(old, 40)}
            async with bus.consumer([EVENTS], "pair") as new, asyncio.timeout(DEADLINE):
                while not (new.assignment() and old.assignment()):
                    await old.poll(max_records=10, max_wait=SHORT)
                    await new.poll(max_records=10, max_wait=SHORT)
                with pytest.raises(FencedError):
                    await old.commit(batch)
                for partition in batch:
                    assert await bus.committed("pair", partition) is None  # not even for those it still holds

    async def test_a_silent_member_loses_its_partitions_and_its_commit(self, impatient_bus: Bus) -> None:
        bus = impatient_bus
        await bus.publish(EVENTS, numbered(range(20)))
        async with bus.consumer([EVENTS], "pair") as silent:
            await take(silent, 20)
            batch = {p: (await bus.offsets(p))[1] for p in silent.assignment()}
            async with bus.consumer([EVENTS], "pair") as other:
                again: list[Delivery] = []
                async with asyncio.timeout(DEADLINE):  # a part may come at once, and again with all the others
                    while other.assignment() != batch.keys() or len({(d.partition, d.offset) for d in again}) < 20:
                        again += (await other.poll(max_records=20, max_wait=SHORT)).deliveries
                with pytest.raises(FencedError):
                    await silent.commit(batch)
                with pytest.raises(FencedError):
                    await silent.seek(again[0].partition, 0)
                for partition in batch:
                    assert await bus.committed("pair", partition) is None
                await other.commit(batch)
                for partition, offset in batch.items():
                    assert await bus.committed("pair", partition) == offset

    async def test_on_assigned_comes_before_any_record_and_says_where_to_start(self, bus: Bus) -> None:
        places = await bus.publish(EVENTS, numbered(range(60)))
        chosen = places[0][0]
        mine = [n for n, (partition, _) in enumerate(places) if partition == chosen]
        others = [n for n, (partition, _) in enumerate(places) if partition != chosen]
        assigned: set[Partition] = set()

        async def start_at_the_second_of_the_chosen(partitions: frozenset[Partition]) -> Mapping[Partition, int]:
            assigned.update(partitions)
            return {chosen: places[mine[1]][1]} if chosen in partitions else {}

        async with bus.consumer([EVENTS], "readers", on_assigned=start_at_the_second_of_the_chosen) as consumer:
            seen: list[Delivery] = []
            async with asyncio.timeout(DEADLINE):
                while len(seen) < 59:
                    batch = await consumer.poll(max_records=10, max_wait=SHORT)
                    assert {d.partition for d in batch.deliveries} <= assigned
                    seen += batch.deliveries
        assert sorted(numbers(seen)) == sorted(mine[1:] + others)

    async def test_seek_moves_the_next_poll_back_and_forth(self, bus: Bus) -> None:
        [(partition, start), *_] = await bus.publish(EVENTS, numbered(range(10), key=b"k"))
        async with bus.consumer([EVENTS], "readers") as consumer:
            with pytest.raises(FencedError):
                await consumer.seek(partition, start)  # nothing is assigned yet
            await take(consumer, 10)
            await consumer.seek(partition, start + 8)
            assert numbers(await take(consumer, 2)) == [8, 9]
            await consumer.seek(partition, start + 3)
            assert numbers(await take(consumer, 7)) == [3, 4, 5, 6, 7, 8, 9]

    async def test_a_paused_partition_waits_while_the_others_go_on_and_loses_nothing(self, bus: Bus) -> None:
        async with bus.consumer([EVENTS], "readers") as consumer:
            await share(await bus.partitions(EVENTS), consumer)
            places = await bus.publish(EVENTS, numbered(range(40)))
            paused = places[0][0]
            consumer.pause(paused)
            theirs = [n for n, (partition, _) in enumerate(places) if partition != paused]
            assert sorted(numbers(await take(consumer, len(theirs)))) == theirs
            assert not (await consumer.poll(max_records=10, max_wait=SHORT)).deliveries
            assert paused in consumer.assignment()
            consumer.resume(paused)
            mine = [n for n, (partition, _) in enumerate(places) if partition == paused]
            assert numbers(await take(consumer, len(mine))) == mine

    async def test_offset_at_finds_the_first_record_not_older(self, bus: Bus) -> None:
        records = [Record(b"k", b"", NOW_MS + shift) for shift in (0, 100, 100, 300)]
        [(partition, start), *_] = await bus.publish(EVENTS, records)
        found = [await bus.offset_at(partition, NOW_MS + shift) - start for shift in (-1, 0, 1, 100, 101, 300, 301)]
        assert found == [0, 0, 1, 1, 3, 3, 4]

    async def test_a_position_that_retention_took_is_an_error_and_never_a_silent_jump(self, bus: Bus) -> None:
        old = [Record(b"k", b"%d" % n, NOW_MS) for n in range(3)]
        new = [Record(b"k", b"%d" % n, NOW_MS + 8 * DAY_MS) for n in range(3, 5)]
        [(partition, start), *_] = await bus.publish(EVENTS, old + new)
        await self.expire(bus, NOW_MS + 8 * DAY_MS)
        assert await bus.offsets(partition) == (start + 3, start + 5)

        async def start_where_the_ledger_says(partitions: frozenset[Partition]) -> Mapping[Partition, int]:
            return {partition: start + 1} if partition in partitions else {}

        async with bus.consumer([EVENTS], "readers", on_assigned=start_where_the_ledger_says) as consumer:
            for _ in range(2):  # asking again does not make it go away
                with pytest.raises(OffsetGoneError) as raised:
                    await take(consumer, 1)
                assert (raised.value.partition, raised.value.position) == (partition, start + 1)
                assert raised.value.first == start + 3
            await consumer.seek(partition, raised.value.first)
            assert numbers(await take(consumer, 2)) == [3, 4]

    async def test_a_position_past_the_end_is_an_error_too(self, bus: Bus) -> None:
        [(partition, offset)] = await bus.publish(EVENTS, numbered([1]))
        async with bus.consumer([EVENTS], "readers") as consumer:
            await take(consumer, 1)
            await consumer.seek(partition, offset + 100)
            with pytest.raises(OffsetGoneError) as raised:
                await take(consumer, 1)
            assert raised.value.end == offset + 1

    async def test_offsets_go_on_when_retention_took_everything(self, bus: Bus) -> None:
        [(partition, offset)] = await bus.publish(EVENTS, numbered([1], key=b"k"))
        await self.expire(bus, NOW_MS + 8 * DAY_MS)
        assert await bus.offsets(partition) == (offset + 1, offset + 1)
        assert await bus.publish(EVENTS, numbered([2], key=b"k")) == [(partition, offset + 1)]
        async with bus.consumer([EVENTS], "readers") as consumer:
            assert numbers(await take(consumer, 1)) == [2]

    async def test_a_publish_that_fails_is_a_bus_error_and_the_next_one_works(self, bus: Bus) -> None:
        async with self.failing(bus):
            with pytest.raises(BusError):
                await bus.publish(EVENTS, numbered([1], key=b"k"))
        await bus.publish(EVENTS, numbered([2], key=b"k"))
        async with bus.consumer([EVENTS], "readers") as consumer:
            assert numbers(await take(consumer, 1)) == [2]

    async def test_anybody_may_read_from_any_place_without_disturbing_a_group(self, bus: Bus) -> None:
        [(partition, start), *_] = await bus.publish(EVENTS, numbered(range(10), key=b"k"))
        async with bus.consumer([EVENTS], "readers") as consumer:
            await take(consumer, 4, max_records=4)
            assert numbers(await bus.read({partition: start + 2}, 3)) == [2, 3, 4]
            assert [one.offset for one in await bus.read({partition: start + 8}, 100)] == [start + 8, start + 9]
            assert await bus.read({partition: start + 10}, 100) == []  # the end is a place, and nothing is waited for
            assert numbers(await take(consumer, 6)) == [4, 5, 6, 7, 8, 9]
        assert await bus.committed("readers", partition) is None

    async def test_reading_several_partitions_gives_no_more_than_asked_for(self, bus: Bus) -> None:
        places = await bus.publish(EVENTS, numbered(range(40)))
        positions = {partition: (await bus.offsets(partition))[0] for partition in await bus.partitions(EVENTS)}
        assert len({partition for partition, _ in places}) > 1
        assert sorted(numbers(await bus.read(positions, 100))) == list(range(40))
        read = await bus.read(positions, 7)
        assert len(read) == 7
        offsets = [(one.partition, one.offset) for one in read]
        assert len(set(offsets)) == 7
        assert {one.record.value for one in read} <= {b"%d" % n for n in range(40)}

    async def test_reading_where_the_log_is_not_is_an_error_that_says_where_it_is(self, bus: Bus) -> None:
        old = [Record(b"k", b"0", NOW_MS)]
        new = [Record(b"k", b"1", NOW_MS + 8 * DAY_MS)]
        [(partition, start), *_] = await bus.publish(EVENTS, old + new)
        await self.expire(bus, NOW_MS + 8 * DAY_MS)
        for position in (start, start + 3):
            with pytest.raises(OffsetGoneError) as raised:
                await bus.read({partition: position}, 1)
            assert (raised.value.first, raised.value.end) == (start + 1, start + 2)

    async def test_the_records_of_a_key_are_found_oldest_first_and_no_other_ones(self, bus: Bus) -> None:
        for n in range(6):
            await bus.publish(
                EVENTS, [Record(b"mine", b"%d" % n, NOW_MS + n), *numbered([n]), *numbered([n], b"mine ")]
            )
        await bus.publish(QUARANTINE, numbered([7], key=b"mine"))
        found = await bus.find(EVENTS, b"mine", NOW_MS, 100)
        assert numbers(found) == [0, 1, 2, 3, 4, 5]
        assert {one.record.key for one in found} == {b"mine"}
        for one in found:
            assert await bus.read({one.partition: one.offset}, 1) == [one]
        assert await bus.find(EVENTS, b"nobody's", NOW_MS, 100) == []

    async def test_of_many_records_of_a_key_the_newest_are_found(self, bus: Bus) -> None:
        await bus.publish(EVENTS, [Record(b"mine", b"%d" % n, NOW_MS + n) for n in range(10)])
        assert numbers(await bus.find(EVENTS, b"mine", NOW_MS, 3)) == [7, 8, 9]

    async def test_records_older_than_asked_for_are_not_found(self, bus: Bus) -> None:
        await bus.publish(EVENTS, [Record(b"mine", b"%d" % n, NOW_MS + n * 1000) for n in range(4)])
        assert numbers(await bus.find(EVENTS, b"mine", NOW_MS + 2000, 100)) == [2, 3]
        assert numbers(await bus.find(EVENTS, b"mine", NOW_MS + 2001, 100)) == [3]

    async def test_what_retention_took_is_not_found(self, bus: Bus) -> None:
        await bus.publish(EVENTS, [Record(b"mine", b"0", NOW_MS), Record(b"mine", b"1", NOW_MS + 8 * DAY_MS)])
        await self.expire(bus, NOW_MS + 8 * DAY_MS)
        assert numbers(await bus.find(EVENTS, b"mine", 0, 100)) == [1]

    async def test_nothing_is_found_on_an_unknown_topic(self, bus: Bus) -> None:
        with pytest.raises(NotFoundError, match="nowhere"):
            await bus.find("nowhere", b"mine", 0, 1)

    async def test_a_topic_has_an_identity_of_its_own(self, bus: Bus) -> None:
        events, quarantine = await bus.topic_id(EVENTS), await bus.topic_id(QUARANTINE)
        assert str(uuid.UUID(events)) == events
        assert events != quarantine
        assert await bus.topic_id(EVENTS) == events


class LaptopBusContract(BusContract):
    """What the buses of local.py promise beyond Kafka."""

    async def test_retention_waits_for_the_slowest_group_that_ever_committed(self, bus: Bus) -> None:
        places = await bus.publish(EVENTS, numbered(range(40)))
        partition, start = places[0]
        async with bus.consumer([EVENTS], "slow") as slow, bus.consumer([EVENTS], "fast") as fast:
            for member, done in ((slow, 2), (fast, 5)):
                await take(member, 40)
                await member.commit({partition: start + done})
        await self.expire(bus, NOW_MS + 8 * DAY_MS)
        assert (await bus.offsets(partition))[0] == start + 2

    async def test_retention_keeps_all_of_a_partition_that_a_group_has_not_got_to(self, bus: Bus) -> None:
        places = await bus.publish(EVENTS, numbered(range(40)))
        one, other = sorted({partition for partition, _ in places})[:2]
        for group, partition in (("ahead", one), ("behind", other)):
            async with bus.consumer([EVENTS], group) as member:
                await take(member, 40)
                await member.commit({partition: 1})
        await self.expire(bus, NOW_MS + 8 * DAY_MS)
        assert [(await bus.offsets(partition))[0] for partition in (one, other)] == [0, 0]
