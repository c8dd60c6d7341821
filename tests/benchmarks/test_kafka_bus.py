"""The Kafka bus next to bare aiokafka doing the same: idempotent, acks=all; getmany and a commit per batch.

In:  one broker on this machine, 700-byte values with two headers. Out: rates, latencies and ratios, printed.
Not here: judging them; client and broker share the cores.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from oscar_events.bus.kafka import KafkaBus
from oscar_events.bus.kafka_connection import connection_options
from oscar_events.bus.port import EVENTS
from oscar_events.record import Record
from oscar_events.settings import KafkaSettings, TopicSettings
from tests.benchmarks.figures import latency, rate, ratio
from tests.testbed.kafka import RUNS_FAST, running_kafka
from tests.testbed.topics import make_topics

pytestmark = pytest.mark.benchmark

ROUNDS = 5
RECORDS = 20_000
PER_PUBLISH = 100  # what a busy webhook has waiting when a publish ends
SENDERS = 64
_GROUPS = count()


@pytest.fixture
async def settings(kafka_here: Path, tmp_path: Path) -> AsyncIterator[KafkaSettings]:
    with running_kafka(tmp_path, jvm=RUNS_FAST) as cluster:
        settings = KafkaSettings(
            bootstrap_servers=cluster.bootstrap, topics=TopicSettings(partitions=4, durability="single")
        )
        await make_topics(settings)
        yield settings


def record(n: int) -> Record:
    now_ms = time.time_ns() // 1_000_000
    return Record(b"key %d" % n, os.urandom(350).hex().encode(), now_ms, (("ce_id", b"%d" % n), ("ce_type", b"made")))


@asynccontextmanager
async def bare_producer(settings: KafkaSettings) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(
        **connection_options(settings),
        acks="all",
        enable_idempotence=True,
        compression_type="lz4",
        max_batch_size=64 * 1024,
    )
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def in_parallel(step: Callable[[int], Awaitable[object]], total: int, width: int) -> float:
    """Return how long it takes to do all steps, so many at a time, in seconds."""
    numbers = iter(range(total))

    async def work() -> None:
        for n in numbers:
            await step(n)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as workers:
        for _ in range(width):
            workers.create_task(work())
    return time.perf_counter() - began


async def test_publish(settings: KafkaSettings) -> None:
    records = [record(n) for n in range(RECORDS)]
    chunks = [records[at : at + PER_PUBLISH] for at in range(0, RECORDS, PER_PUBLISH)]
    rates: dict[str, list[float]] = {name: [] for name in ("ours one", "bare one", "ours many", "bare many")}
    waits: dict[str, list[float]] = {"ours": [], "bare": []}
    async with KafkaBus(settings) as bus, bare_producer(settings) as producer:

        async def send(one: Record) -> asyncio.Future[object]:
            answer: asyncio.Future[object] = await producer.send(
                EVENTS, one.value, one.key, timestamp_ms=one.timestamp_ms, headers=list(one.headers)
            )
            return answer

        async def bare_one(n: int) -> None:
            await (await send(records[n]))

        async def bare_many(n: int) -> None:
            for answer in [await send(one) for one in chunks[n]]:
                await answer

        async def ours_one(n: int) -> None:
            await bus.publish(EVENTS, [records[n]])

        async def ours_many(n: int) -> None:
            await bus.publish(EVENTS, chunks[n])

        for _ in range(ROUNDS):
            for name, step, total in (
                ("ours one", ours_one, RECORDS),
                ("bare one", bare_one, RECORDS),
                ("ours many", ours_many, len(chunks)),
                ("bare many", bare_many, len(chunks)),
            ):
                rates[name].append(RECORDS / await in_parallel(step, total, SENDERS if "one" in name else 4))
            for name, step in (("ours", ours_one), ("bare", bare_one)):
                for n in range(200):
                    began = time.perf_counter()
                    await step(n)
                    waits[name].append(time.perf_counter() - began)
    print()
    for name, found in rates.items():
        print(rate(f"publish, {name} at a time", found))
    print(ratio(f"publish, one record, {SENDERS} at once: ours / bare", rates["ours one"], rates["bare one"]))
    print(ratio(f"publish, {PER_PUBLISH} records: ours / bare", rates["ours many"], rates["bare many"]))
    for name, seconds in waits.items():
        print(latency(f"publish, one after the other, {name}", seconds))


async def test_consume(settings: KafkaSettings) -> None:
    total = 4 * RECORDS
    rates: dict[str, list[float]] = {"ours": [], "bare": []}
    async with KafkaBus(settings) as bus:
        for at in range(0, total, 1000):
            await bus.publish(EVENTS, [record(n) for n in range(at, at + 1000)])

        async def ours() -> float:
            async with bus.consumer([EVENTS], f"ours{next(_GROUPS)}") as consumer:
                while not (first := await consumer.poll(max_records=500, max_wait=1.0)).deliveries:
                    continue
                began, seen = time.perf_counter(), 0
                while seen < total - len(first.deliveries):
                    batch = await consumer.poll(max_records=500, max_wait=1.0)
                    await consumer.commit(batch.next_offsets())
                    seen += len(batch.deliveries)
                return seen / (time.perf_counter() - began)

        async def bare() -> float:
            consumer = AIOKafkaConsumer(
                EVENTS,
                **connection_options(settings),
                group_id=f"bare{next(_GROUPS)}",
                enable_auto_commit=False,
                auto_offset_reset="earliest",
            )
            await consumer.start()
            try:
                while not (first := await consumer.getmany(timeout_ms=1000, max_records=500)):
                    continue
                began, seen = time.perf_counter(), 0
                while seen < total - sum(map(len, first.values())):
                    batch: dict[TopicPartition, list[Any]] = await consumer.getmany(timeout_ms=1000, max_records=500)
                    await consumer.commit({partition: records[-1].offset + 1 for partition, records in batch.items()})
                    seen += sum(map(len, batch.values()))
                return seen / (time.perf_counter() - began)
            finally:
                await consumer.stop()

        for _ in range(ROUNDS):
            rates["ours"].append(await ours())
            rates["bare"].append(await bare())
    print()
    for name, found in rates.items():
        print(rate(f"consume, 500 a batch, commit each, {name}", found))
    print(ratio("consume: ours / bare", rates["ours"], rates["bare"]))
