"""What only a real broker shows of the Kafka bus while all is well: security, codecs, changing topics, rebalances.

In:  one broker. Out: pass or fail.
Not here: what every bus promises (tests/contracts/bus.py), what goes wrong (test_kafka_bus_faults.py).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewPartitions

from oscar_events.bus import kafka_member, kafka_producer, kafka_session, kafka_watch
from oscar_events.bus.kafka import KafkaBus
from oscar_events.bus.kafka_connection import connection_options
from oscar_events.bus.port import EVENTS, Consumer, OffsetGoneError, Partition
from oscar_events.errors import EventError, NotFoundError
from oscar_events.record import Record
from oscar_events.settings import KafkaSettings
from tests.contracts.bus import DEADLINE, NOW_MS, SHORT, numbered, numbers, take
from tests.testbed.kafka import KafkaCluster
from tests.testbed.topics import administrator, make_topics, secured
from tests.waiting import wait_until


@pytest.fixture
async def settings(kafka_settings: KafkaSettings) -> KafkaSettings:
    await make_topics(kafka_settings)
    return kafka_settings


@pytest.fixture
async def bus(settings: KafkaSettings) -> AsyncIterator[KafkaBus]:
    async with KafkaBus(settings) as bus:
        yield bus


async def add_partitions(settings: KafkaSettings, total: int) -> None:
    async with administrator(settings) as client:
        await client.create_partitions({settings.topic_prefix + EVENTS: NewPartitions(total)})


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_records_go_both_ways_over_tls_with_a_password_from_a_file(
    kafka: KafkaCluster, settings: KafkaSettings, mechanism: str, tmp_path: Path
) -> None:
    secret = tmp_path / "password"
    secret.write_text(kafka.users["alice"] + "\n")
    secure = KafkaSettings.model_validate(
        {
            **settings.model_dump(),
            "bootstrap_servers": kafka.sasl_bootstrap,
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": mechanism,
            "sasl_username": "alice",
            "sasl_password_file": secret,
            "ca_file": kafka.ca,
        }
    )
    async with KafkaBus(secure) as bus:
        await bus.publish(EVENTS, numbered(range(10)))
        async with bus.consumer([EVENTS], "readers") as consumer:
            assert sorted(numbers(await take(consumer, 10))) == list(range(10))


async def test_a_password_may_also_be_a_setting(kafka: KafkaCluster, settings: KafkaSettings) -> None:
    secure = secured(kafka, settings)
    async with KafkaBus(secure) as bus:
        assert await bus.publish(EVENTS, numbered([1]))


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
async def test_every_codec_is_written_and_read(settings: KafkaSettings, codec: str) -> None:
    value = b"much the same " * 500
    async with KafkaBus(settings.model_copy(update={"compression": codec})) as bus:
        [(partition, offset)] = await bus.publish(EVENTS, [Record(b"k", value, NOW_MS)])
        [read] = await bus.read({partition: offset}, 1)
        async with bus.consumer([EVENTS], "readers") as consumer:
            [taken] = await take(consumer, 1)
    assert read.record.value == taken.record.value == value


async def test_opening_makes_no_topic_and_says_what_does(kafka_settings: KafkaSettings) -> None:
    for _ in range(2):  # the first look has not made it either
        with pytest.raises(NotFoundError, match=r"oscar-events topics create"):
            async with KafkaBus(kafka_settings):
                pass


async def test_a_topic_made_anew_is_another_one_and_its_readers_begin_at_its_start(
    settings: KafkaSettings, bus: KafkaBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_watch, "LOOK_SECONDS", 0.1)
    before = await bus.topic_id(EVENTS)
    await bus.publish(EVENTS, numbered(range(3), key=b"k"))
    async with bus.consumer([EVENTS], "readers", on_assigned=lambda partitions: _nowhere()) as consumer:
        await take(consumer, 3)
        async with administrator(settings) as client:
            await client.delete_topics([settings.topic_prefix + EVENTS])
            await make_topics(settings)  # the others are left as they are
        await wait_until(lambda: _topic_id_or_none(bus), "the new topic")
        assert await bus.topic_id(EVENTS) != before
        # As many as there were: their offsets would be passed over by who goes by offsets alone.
        await wait_until(lambda: _published(bus), "a publish to the new topic")
        seen: set[int] = set()
        async with asyncio.timeout(DEADLINE):
            while not {10, 11, 12, 13} <= seen:
                try:
                    seen.update(numbers((await consumer.poll(max_records=10, max_wait=SHORT)).deliveries))
                except NotFoundError:
                    continue  # for a moment there was none


async def _nowhere() -> dict[Partition, int]:
    return {}


async def _topic_id_or_none(bus: KafkaBus) -> str | None:
    try:
        return await bus.topic_id(EVENTS)
    except NotFoundError:
        return None


async def _published(bus: KafkaBus) -> bool:
    return bool(await bus.publish(EVENTS, numbered(range(10, 14), key=b"k")))


async def test_a_record_too_large_is_refused_with_sizes_and_the_others_go_on(
    settings: KafkaSettings, bus: KafkaBus
) -> None:
    largest = settings.topics.max_message_bytes
    with pytest.raises(EventError, match=rf"{largest:,}.*max_message_bytes"):
        await bus.publish(EVENTS, [*numbered([1]), Record(b"k", b"x" * largest, NOW_MS)])
    await bus.publish(EVENTS, numbered([2]))
    async with bus.consumer([EVENTS], "readers") as consumer:
        assert numbers(await take(consumer, 1)) == [2]  # nothing of the refused publish was sent


async def test_publishers_that_are_cancelled_leave_nothing_broken(bus: KafkaBus) -> None:
    for n in range(50):
        publishing = asyncio.create_task(bus.publish(EVENTS, numbered([n], key=b"cancelled")))
        for _ in range(n % 5):
            await asyncio.sleep(0)
        publishing.cancel()
        await asyncio.wait([publishing])
    await bus.publish(EVENTS, numbered(range(100, 110), key=b"kept"))
    async with bus.consumer([EVENTS], "readers") as consumer:
        kept: list[int] = []
        async with asyncio.timeout(DEADLINE):
            while len(kept) < 10:
                batch = await consumer.poll(max_records=100, max_wait=1.0)
                kept += numbers(d for d in batch.deliveries if d.record.key == b"kept")
    assert kept == list(range(100, 110))


async def test_partitions_added_while_all_is_running_are_written_and_read_from_their_start(
    settings: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (kafka_session, kafka_producer):
        monkeypatch.setattr(module, "METADATA_AGE_MS", 500)
    async with KafkaBus(settings) as bus, bus.consumer([EVENTS], "pair") as one, bus.consumer([EVENTS], "pair") as two:
        published: set[int] = set()
        seen: set[int] = set()
        numbering = iter(range(10**6))

        async def publish() -> set[Partition]:
            batch = [next(numbering) for _ in range(20)]
            places = await bus.publish(EVENTS, numbered(batch))
            published.update(batch)
            return {partition for partition, _ in places}

        async def poll_both() -> None:
            for member in (one, two):
                batch = await member.poll(max_records=100, max_wait=SHORT)
                await member.commit(batch.next_offsets())
                seen.update(numbers(batch.deliveries))

        await publish()
        await add_partitions(settings, 7)
        async with asyncio.timeout(60):
            while len({partition.number for partition in await publish()} & {4, 5, 6}) < 3:
                await poll_both()
            while seen != published:
                await poll_both()
        assert {p.number for p in one.assignment() | two.assignment()} == set(range(7))


async def test_a_key_is_found_where_it_lay_before_partitions_were_added(settings: KafkaSettings) -> None:
    keys = [b"key %d" % n for n in range(30)]
    async with KafkaBus(settings) as bus:
        before = await bus.publish(EVENTS, [Record(key, b"1", NOW_MS) for key in keys])
    await add_partitions(settings, 7)
    async with KafkaBus(settings) as bus:
        await wait_until(lambda: _has_partitions(bus, 7), "seven partitions")
        after = await bus.publish(EVENTS, [Record(key, b"2", NOW_MS + 1) for key in keys])
        moved = [n for n in range(30) if before[n][0] != after[n][0]]
        assert moved
        for n in moved[:3]:
            assert numbers(await bus.find(EVENTS, keys[n], NOW_MS, 10)) == [1, 2]


async def _has_partitions(bus: KafkaBus, count: int) -> bool:
    return len(await bus.partitions(EVENTS)) == count


async def test_what_a_transaction_left_behind_holds_nobody_up(settings: KafkaSettings, bus: KafkaBus) -> None:
    """Aborted records are not seen, and offsets without a record (the markers of a transaction's end) are no stall."""
    partition = Partition(EVENTS, 0)
    producer = AIOKafkaProducer(**connection_options(settings), transactional_id=f"{settings.topic_prefix}another")
    await producer.start()
    try:
        for value, ending in ((b"1", "commit"), (b"2", "abort"), (b"3", "commit"), (b"4", "abort")):
            await producer.begin_transaction()
            await producer.send_and_wait(settings.topic_prefix + EVENTS, value, partition=0)
            await (producer.commit_transaction() if ending == "commit" else producer.abort_transaction())
    finally:
        await producer.stop()
    first, end = await bus.offsets(partition)
    assert (first, end) == (0, 8)
    assert numbers(await bus.read({partition: first}, 10)) == [1, 3]
    assert await bus.read({partition: end - 1}, 10) == []
    async with bus.consumer([EVENTS], "readers") as consumer:
        assert numbers(await take(consumer, 2)) == [1, 3]
        assert not (await consumer.poll(max_records=10, max_wait=SHORT)).deliveries


async def test_every_committed_record_is_seen_while_three_members_come_and_go(
    settings: KafkaSettings, bus: KafkaBus
) -> None:
    """Each member commits what it was given; at the end nothing is missing, and the offsets stand at the log's end."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    total = 600
    await bus.publish(EVENTS, numbered(range(total)))
    wanted = {(p, offset) for p in await bus.partitions(EVENTS) for offset in range((await bus.offsets(p))[1])}
    done: set[tuple[Partition, int]] = set()

    async def work(member: Consumer) -> None:
        batch = await member.poll(max_records=7, max_wait=SHORT)
        await member.commit(batch.next_offsets())  # no rebalance between the two: they happen in polls
        done.update((delivery.partition, delivery.offset) for delivery in batch.deliveries)

    async with asyncio.timeout(120):
        while done != wanted:
            async with AsyncExitStack() as members:
                present = [await members.enter_async_context(bus.consumer([EVENTS], "storm")) for _ in range(3)]
                for _ in range(chance.randrange(5, 100)):
                    await work(chance.choice(present))
    for partition in await bus.partitions(EVENTS):
        assert await bus.committed("storm", partition) == (await bus.offsets(partition))[1]


async def test_a_member_that_does_not_poll_goes_at_max_poll_interval_also_after_a_failed_fetch(
    settings: KafkaSettings,
) -> None:
    """aiokafka's own check of it never fires again after one fetch that raised."""
    impatient = settings.model_copy(update={"max_poll_interval": timedelta(seconds=0.5)})
    async with KafkaBus(impatient) as bus:
        [(partition, offset)] = await bus.publish(EVENTS, numbered([1]))
        async with bus.consumer([EVENTS], "readers") as consumer:
            await take(consumer, 1)
            await consumer.seek(partition, offset + 100)
            with pytest.raises(OffsetGoneError):
                await take(consumer, 1)
            await wait_until(lambda: not consumer.assignment(), "the silent member to be put out")
            assert numbers(await take(consumer, 1)) == [1]  # it joins again with its next poll


async def test_a_session_that_stays_up_but_fetches_nothing_is_replaced(
    settings: KafkaSettings, bus: KafkaBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_watch, "LOOK_SECONDS", 0.3)
    async with bus.consumer([EVENTS], "readers") as consumer:
        assert isinstance(consumer, kafka_member.KafkaMember)
        await wait_until(lambda: _polled_and_holds(consumer), "an assignment")
        assert consumer._session is not None
        fetcher = consumer._session._consumer._fetcher
        # As if an answer never came, and nobody noticed: no fetch is sent to a broker that has one under way.
        fetcher._get_actions_per_node = lambda assignment: ([], {}, 0.2, False, [])
        await bus.publish(EVENTS, numbered(range(5)))
        assert sorted(numbers(await take(consumer, 5))) == list(range(5))


async def test_a_session_whose_task_has_died_is_replaced(bus: KafkaBus) -> None:
    async with bus.consumer([EVENTS], "readers") as consumer:
        assert isinstance(consumer, kafka_member.KafkaMember)
        await wait_until(lambda: _polled_and_holds(consumer), "an assignment")
        assert consumer._session is not None
        dying = consumer._session._consumer._fetcher._fetch_task
        dying.cancel()
        await asyncio.wait([dying])
        await bus.publish(EVENTS, numbered(range(5)))
        assert sorted(numbers(await take(consumer, 5))) == list(range(5))


async def _polled_and_holds(consumer: Consumer) -> bool:
    await consumer.poll(max_records=1, max_wait=SHORT)
    return bool(consumer.assignment())


async def test_a_poll_during_a_rebalance_ends_after_its_wait(bus: KafkaBus) -> None:
    async with bus.consumer([EVENTS], "pair") as idle:
        await wait_until(lambda: _polled_and_holds(idle), "an assignment")
        async with bus.consumer([EVENTS], "pair") as joining:
            began = time.monotonic()
            assert not (await joining.poll(max_records=1, max_wait=0.2)).deliveries  # the other has not handed over
            assert time.monotonic() - began < DEADLINE / 4
