"""What the Kafka bus does when brokers and members are killed, stopped, away.

In:  brokers of the test's own, processes. Out: pass or fail.
Not here: why a broker does not answer, in words (tests of kafka_diagnosis).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from aiokafka.errors import OutOfOrderSequenceNumber

from oscar_events.bus.kafka import KafkaBus
from oscar_events.bus.kafka_producer import KafkaProducer
from oscar_events.bus.port import EVENTS, Partition
from oscar_events.errors import BusError, FencedError, OscarEventsError
from oscar_events.settings import KafkaSettings, TopicSettings
from tests.contracts.bus import DEADLINE, SHORT, numbered, numbers, take
from tests.testbed.kafka import KafkaCluster, running_kafka
from tests.testbed.topics import administrator, make_topics
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def own_kafka(kafka_here: Path, tmp_path: Path) -> Iterator[KafkaCluster]:
    with running_kafka(tmp_path) as cluster:
        yield cluster


@pytest.fixture
async def own_settings(own_kafka: KafkaCluster) -> KafkaSettings:
    settings = KafkaSettings(
        bootstrap_servers=own_kafka.bootstrap,
        topics=TopicSettings(partitions=4, durability="single"),
        delivery_timeout=timedelta(seconds=2),
        session_timeout=timedelta(seconds=6),  # the least a broker allows unless told otherwise
    )
    await make_topics(settings)
    return settings


async def test_no_acknowledged_record_is_lost_when_the_broker_is_killed_and_publishing_goes_on_by_itself(
    own_kafka: KafkaCluster, own_settings: KafkaSettings
) -> None:
    acknowledged: set[int] = set()
    refused: set[int] = set()
    numbering = iter(range(10**9))
    is_over = False

    async def publish(bus: KafkaBus) -> None:
        while not is_over:
            n = next(numbering)
            try:
                async with asyncio.timeout(own_settings.delivery_timeout.total_seconds() + 5):
                    await bus.publish(EVENTS, numbered([n]))
                acknowledged.add(n)
            except BusError:
                refused.add(n)

    async def more_than(told: set[int], count: int) -> None:
        before = len(told)
        await wait_until(lambda: len(told) > before + count, f"{count} more answers")

    [broker] = own_kafka.brokers
    async with KafkaBus(own_settings) as bus:
        async with asyncio.TaskGroup() as publishers:
            for _ in range(8):
                publishers.create_task(publish(bus))
            for kill in range(3):
                await more_than(acknowledged, 200)
                broker.kill()
                if kill == 0:
                    await more_than(refused, 1)
                await asyncio.to_thread(broker.start)
            await more_than(acknowledged, 200)
            is_over = True
        positions = dict.fromkeys(await bus.partitions(EVENTS), 0)
        read = numbers(await bus.read(positions, 10**6))
    assert acknowledged <= set(read)
    assert len(read) == len(set(read))  # the producer's own repeats are none in the log
    assert refused


async def test_a_broker_that_is_killed_is_told_in_bounded_time_and_reading_goes_on_when_it_is_back(
    own_kafka: KafkaCluster, own_settings: KafkaSettings
) -> None:
    [broker] = own_kafka.brokers
    async with KafkaBus(own_settings) as bus, bus.consumer([EVENTS], "readers") as consumer:
        await bus.publish(EVENTS, numbered(range(5)))
        await take(consumer, 5)
        broker.kill()
        async with asyncio.timeout(own_settings.delivery_timeout.total_seconds() + DEADLINE):
            for question in (bus.publish(EVENTS, numbered([9])), bus.topic_id(EVENTS), bus.read({_first(): 0}, 1)):
                with pytest.raises(BusError):
                    await question
            with pytest.raises((BusError, FencedError)):
                await consumer.commit(dict.fromkeys(consumer.assignment(), 1))
            with pytest.raises(OscarEventsError):
                async with KafkaBus(own_settings):
                    pass
        await asyncio.to_thread(broker.start)
        await wait_until(lambda: _published(bus, 5), "a publish")
        seen: set[int] = set()
        async with asyncio.timeout(60):
            while 5 not in seen:  # the ones before may come again: nothing was committed
                try:
                    seen.update(numbers((await consumer.poll(max_records=10, max_wait=SHORT)).deliveries))
                except BusError:
                    continue


def _first() -> Partition:
    return Partition(EVENTS, 0)


async def _published(bus: KafkaBus, n: int) -> bool:
    try:
        return bool(await bus.publish(EVENTS, numbered([n])))
    except BusError:
        return False


async def test_a_broker_that_hangs_gives_a_bus_error_in_bounded_time(
    own_kafka: KafkaCluster, own_settings: KafkaSettings
) -> None:
    [broker] = own_kafka.brokers
    async with KafkaBus(own_settings) as bus:
        await bus.publish(EVENTS, numbered([1]))
        broker.pause()
        try:
            async with asyncio.timeout(own_settings.delivery_timeout.total_seconds() + DEADLINE):
                with pytest.raises(BusError, match="not acknowledged within 2 s"):
                    await bus.publish(EVENTS, numbered([2]))
        finally:
            broker.resume()
        await wait_until(lambda: _published(bus, 3), "a publish")


async def test_a_producer_the_broker_refuses_for_good_is_replaced_by_itself(
    own_settings: KafkaSettings,
) -> None:
    """As after a batch that was numbered and never written: every later one is out of order."""
    async with KafkaBus(own_settings) as bus:
        await bus.publish(EVENTS, numbered([1], key=b"k"))
        producer = _producer_of(bus)
        assert producer._current is not None
        used = producer._current
        manager = used._producer._txn_manager
        for partition in await bus.partitions(EVENTS):
            manager.increment_sequence_number(bus._names.theirs(partition), 1000)
        with pytest.raises(BusError) as raised:
            await bus.publish(EVENTS, numbered([2], key=b"k"))
        assert isinstance(raised.value.__cause__, OutOfOrderSequenceNumber)
        await bus.publish(EVENTS, numbered([3], key=b"k"))
        assert producer._current is not used
        async with bus.consumer([EVENTS], "readers") as consumer:
            assert numbers(await take(consumer, 2)) == [1, 3]


async def test_a_sending_task_that_dies_fails_who_waits_without_a_traceback_and_is_replaced(
    own_settings: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
    async with KafkaBus(own_settings) as bus:
        await bus.publish(EVENTS, numbered([1], key=b"k"))
        used = _producer_of(bus)._current
        assert used is not None

        def broken(**_: object) -> None:
            raise KeyError("a batch")

        monkeypatch.setattr(used._producer._message_accumulator, "drain_by_nodes", broken)
        with pytest.raises(BusError, match="during batch delivery"):
            await bus.publish(EVENTS, numbered([2], key=b"k"))
        await bus.publish(EVENTS, numbered([3], key=b"k"))
        async with bus.consumer([EVENTS], "readers") as consumer:
            assert numbers(await take(consumer, 2)) == [1, 3]
    assert reported == []


def _producer_of(bus: KafkaBus) -> KafkaProducer:
    producer = bus._channels.broker.config.broker_config.producer
    assert hasattr(producer, "_send")
    found = producer._send.__self__
    assert isinstance(found, KafkaProducer)
    return found


@pytest.mark.parametrize("ending", [signal.SIGSTOP, signal.SIGKILL])
async def test_a_member_whose_process_is_stopped_or_killed_is_replaced_and_what_it_commits_late_is_refused(
    own_settings: KafkaSettings, ending: signal.Signals
) -> None:
    async with KafkaBus(own_settings) as bus:
        await bus.publish(EVENTS, numbered(range(50)))
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.integration.kafka_reader",
            own_settings.model_dump_json(),
            "pair",
            "50",
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert await process.stdout.readline() == b"took 50\n"
            process.send_signal(ending)
            ends = {partition: (await bus.offsets(partition))[1] for partition in await bus.partitions(EVENTS)}
            async with bus.consumer([EVENTS], "pair") as other:
                again = await take(other, 50)
                assert sorted(numbers(again)) == list(range(50))
                await bus.publish(EVENTS, numbered(range(50, 70)))
                await take(other, 20)
                ends = {partition: (await bus.offsets(partition))[1] for partition in ends}
                await other.commit(ends)
                if ending is signal.SIGSTOP:
                    process.send_signal(signal.SIGCONT)
                    process.stdin.write(b"commit\n")
                    assert await process.stdout.readline() == b"fenced\n"
                for partition, end in ends.items():
                    assert await bus.committed("pair", partition) == end
        finally:
            if process.returncode is None:
                os.kill(process.pid, signal.SIGKILL)
            await process.wait()


async def test_too_few_replicas_are_an_error_in_bounded_time_and_nothing_acknowledged_is_lost_with_a_leader(
    kafka_here: Path, tmp_path: Path
) -> None:
    with running_kafka(tmp_path, brokers=3) as cluster:
        settings = KafkaSettings(bootstrap_servers=cluster.bootstrap, delivery_timeout=timedelta(seconds=3))
        await make_topics(settings, replicas=3)
        first, second, third = cluster.brokers
        async with KafkaBus(settings) as bus:
            kept = set(range(20))
            await bus.publish(EVENTS, numbered(kept))
            first.kill()  # of three, two are enough
            for n in range(20, 30):
                await wait_until(partial(_published, bus, n), "a publish with two brokers", deadline=60)
                kept.add(n)
            second.kill()
            async with asyncio.timeout(DEADLINE):
                with pytest.raises(BusError):
                    await bus.publish(EVENTS, numbered([999]))
            first.launch()  # both, before one is waited for: alone it has no majority
            second.launch()
            await asyncio.to_thread(first.await_ready)
            await asyncio.to_thread(second.await_ready)
            await wait_until(lambda: _published(bus, 40), "a publish with three brokers", deadline=60)
            # A partition whose other replicas still catch up has no leader without the third, and rightly so.
            await wait_until(partial(_are_in_sync, settings, 3), "all replicas in sync", deadline=60)
            third.kill()
            await wait_until(lambda: _published(bus, 41), "a publish with the two that were away", deadline=60)
            positions = dict.fromkeys(await bus.partitions(EVENTS), 0)
            assert kept | {40, 41} <= set(numbers(await bus.read(positions, 10**6)))


async def _are_in_sync(settings: KafkaSettings, replicas: int) -> bool:
    async with administrator(settings) as client:
        [topic] = await client.describe_topics([settings.topic_prefix + EVENTS])
    return all(len(partition["isr"]) == replicas for partition in topic["partitions"])
