"""Events a second from the topic into PostgreSQL, next to bare loops that insert the same rows."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg
import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from sqlalchemy import func, select

from oscar_dispatcher.intake import BATCH_RECORDS, Intake
from oscar_events import codec
from oscar_events.bus.kafka import KafkaBus
from oscar_events.bus.port import EVENTS, Bus, Consumer
from oscar_events.ledger import services
from oscar_events.ledger.port import Ledger
from oscar_events.ledger.postgresql import PostgresLedger, database_url
from oscar_events.ledger.services import Catalogue
from oscar_events.ledger.tables import executions
from oscar_events.notifications.port import Notification, Route
from oscar_events.notifications.recognise import normalise
from oscar_events.service import Service
from oscar_events.settings import KafkaSettings, LedgerSettings
from tests.benchmarks import figures
from tests.benchmarks.test_webhook import notification
from tests.waiting import running, wait_until

pytestmark = pytest.mark.benchmark

EVENTS_PER_ROUND = 20 * BATCH_RECORDS
ONE_BY_ONE = 400  # of the loop that commits each by itself: it takes several milliseconds for one
ROUNDS = 5

# The rows of one event, as intake writes them.
_EXECUTION = (
    "INSERT INTO executions (id, tenant, service_uid, service, event_id, event_key, bucket, subject, input, state,"
    " attempt, cancel_requested, reason, created_at)"
    " VALUES ($1, 'default', $2, 'blur', $3, $4, 'pics', $5, 0, 'pending', 1, false, '', $6) ON CONFLICT DO NOTHING"
)
_EVENT = (
    "INSERT INTO events (key, id, tenant, provider, bucket, subject, size, recorded_at, envelope)"
    " VALUES ($1, $2, 'default', 'minio.default', 'pics', $3, 5, $4, $5) ON CONFLICT DO NOTHING"
)
_QUEUE = "INSERT INTO queue (execution_id, service_uid, tenant, not_before_at) VALUES ($1, $2, 'default', $3)"
_POSITION = (
    "INSERT INTO positions (topic_id, partition, next_offset) VALUES ('bare', $1, $2)"
    " ON CONFLICT (topic_id, partition) DO UPDATE SET next_offset = excluded.next_offset"
)

Measure = Callable[[int], Awaitable[float]]


NUMBERS = itertools.count()
ROUTE = Route(source="minio", provider="minio.default")


async def fill(bus: Bus, count: int) -> None:
    """Publish so many events of new objects."""
    told = [Notification(notification(next(NUMBERS)), {}, datetime.now(UTC), "") for _ in range(count)]
    made = [codec.encode(event) for one in told for event in normalise(one, ROUTE).events]
    for start in range(0, count, BATCH_RECORDS):
        await bus.publish(EVENTS, made[start : start + BATCH_RECORDS])


def service(name: str, path: str) -> Service:
    place = {"storage_provider": "minio.default", "path": path}
    return Service.from_document({"name": name, "image": "busybox", "script": "true", "input": [place]})


async def claimed(ledger: Ledger) -> int:
    return await ledger.read(lambda c: c.execute(select(func.count()).select_from(executions)).scalar_one())


@asynccontextmanager
async def ours(bus: Bus, ledger: Ledger) -> AsyncIterator[Measure]:
    """Yield what measures the product's intake, once it has the partitions."""
    intake = Intake(bus, ledger, Catalogue(), lambda: None)
    step, may_step = intake._step, asyncio.Event()
    may_step.set()

    async def gated(consumer: Consumer) -> None:
        await may_step.wait()
        await step(consumer)

    intake._step = gated  # type: ignore[method-assign]
    async with running(intake.run()):
        await wait_until(lambda: intake.has_joined, "intake has joined its group")

        async def measure(count: int) -> float:
            before = await claimed(ledger)
            may_step.clear()
            await fill(bus, count)
            may_step.set()
            began = time.perf_counter()
            while await claimed(ledger) < before + count:  # noqa: ASYNC110 rows set no event
                await asyncio.sleep(0.01)
            return count / (time.perf_counter() - began)

        yield measure


@asynccontextmanager
async def bare(broker: KafkaSettings, bus: Bus, url: str, uid: str, batch: int) -> AsyncIterator[Measure]:
    """Yield what measures a loop that takes `batch` records in a transaction. It decides nothing."""
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap_servers, group_id=None, enable_auto_commit=False)
    async with consumer:
        partitions = [TopicPartition(EVENTS, partition.number) for partition in await bus.partitions(EVENTS)]
        consumer.assign(partitions)
        connection = await asyncpg.connect(url)

        async def measure(count: int) -> float:
            await consumer.seek_to_end(*partitions)
            for partition in partitions:
                await consumer.position(partition)
            await fill(bus, count)
            began, done = time.perf_counter(), 0
            while done < count:
                found = await consumer.getmany(timeout_ms=1000, max_records=batch)
                records = [record for some in found.values() for record in some]
                if records:
                    async with connection.transaction():
                        await insert(connection, records, uid)
                done += len(records)
            return count / (time.perf_counter() - began)

        yield measure
        await connection.close()


async def insert(connection: asyncpg.Connection, records: Sequence[ConsumerRecord[Any, bytes]], uid: str) -> None:
    """Insert what intake would, in as many statements."""
    now = int(datetime.now(UTC).timestamp() * 1000)
    told = [(record, msgspec.json.decode(record.value)) for record in records]
    rows = [(f"bare-{one['id']}"[:40], one["id"], one["subject"], record) for record, one in told]
    await connection.executemany(_EXECUTION, [(run, uid, event, event, key, now) for run, event, key, _ in rows])
    await connection.executemany(
        _EVENT, [(f"bare {event}", event, key, now, record.value) for _, event, key, record in rows]
    )
    await connection.executemany(_QUEUE, [(run, uid, now) for run, *_ in rows])
    last = {record.partition: record.offset + 1 for *_, record in rows}
    await connection.executemany(_POSITION, list(last.items()))


async def test_topic_to_claimed(broker: KafkaSettings, database: LedgerSettings) -> None:
    url = database_url(database)
    product: list[float] = []
    loop: list[float] = []
    single: list[float] = []
    async with PostgresLedger(database) as ledger, KafkaBus(broker) as bus:
        early = datetime(2026, 1, 1, tzinfo=UTC)
        ran, other = service("blur", "pics/photos"), service("bare", "elsewhere/photos")
        await ledger.write(lambda c: services.apply(c, "default", ran, early))
        uid = (await ledger.write(lambda c: services.apply(c, "default", other, early))).uid
        for number in range(-1, ROUNDS):  # one to warm up
            async with ours(bus, ledger) as measure:
                product.append(await measure(EVENTS_PER_ROUND))
            async with bare(broker, bus, url, uid, BATCH_RECORDS) as measure:
                loop.append(await measure(EVENTS_PER_ROUND))
            async with bare(broker, bus, url, uid, 1) as measure:
                single.append(await measure(ONE_BY_ONE))
            # What the bare loops took from the topic is claimed now, so that no round pays for it.
            async with ours(bus, ledger) as measure:
                await measure(1)
            if number < 0:
                for rates in (product, loop, single):
                    rates.clear()
    print(f"\ntopic -> claimed in PostgreSQL, {EVENTS_PER_ROUND} events on the topic, alternating")
    print(figures.rate("oscar-events, intake", product))
    print(figures.rate(f"bare loop, same rows, batches of {BATCH_RECORDS}", loop))
    print(figures.rate("bare loop, one record per transaction", single))
    print(figures.ratio("  ours / bare (aim: at least 0.5)", product, loop))
    print(figures.ratio("  ours / one per transaction", product, single))
