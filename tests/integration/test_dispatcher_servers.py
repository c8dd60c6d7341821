"""What doubles only imitate for the dispatcher, on real servers: refused values, the database's clock, retention."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from sqlalchemy import Connection, func, select

from oscar_dispatcher.intake import GROUP, Intake
from oscar_events import codec, metrics
from oscar_events.bus.kafka import KafkaBus
from oscar_events.bus.kafka_topics import create_topics
from oscar_events.bus.memory import MemoryBus
from oscar_events.bus.port import EVENTS, QUARANTINE, Partition
from oscar_events.event import StorageEvent
from oscar_events.ledger.port import now
from oscar_events.ledger.postgresql import PostgresLedger
from oscar_events.ledger.services import Catalogue
from oscar_events.ledger.tables import executions
from oscar_events.quarantine import refused_in
from oscar_events.record import Record
from oscar_events.settings import KafkaSettings, LedgerSettings, TopicSettings
from tests.contracts.ledger.making import Life, file_event, service
from tests.testbed.topics import ANY_TIME, administrator, make_topics
from tests.unit.oscar_dispatcher.doubles import SITE, records
from tests.waiting import running, wait_until

# More than an index takes of one value: a third of PostgreSQL's page of 8 KiB. Not compressible to less.
_TOO_LONG = "".join(chr(33 + number * number % 89) + chr(33 + number % 83) for number in range(4000))


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (replace(file_event(), etag="a\0b"), "0x00"),
        (replace(file_event(), file_id="1\0"), "0x00"),
        (replace(file_event(), id="x\0y"), "0x00"),
        (replace(file_event(), id=_TOO_LONG), "exceeds"),
    ],
)
async def test_what_postgresql_refuses_goes_to_quarantine_with_its_words_and_the_others_of_the_batch_run(
    migrated: LedgerSettings, bad: StorageEvent, reason: str
) -> None:
    """Values that sources and senders can bring: JSON may hold a NUL, and CloudEvents ids of any length."""
    bus = MemoryBus(partitions=1)
    async with PostgresLedger(migrated) as ledger:
        life = Life(ledger)
        await life.apply(service())
        await bus.publish(EVENTS, [codec.encode(one) for one in (file_event(), file_event(), bad, file_event())])
        async with running(Intake(bus, ledger, Catalogue(SITE.aliases), lambda: None).run()):

            async def done() -> bool:
                return await bus.committed(GROUP, Partition(EVENTS, 0)) == 4

            await wait_until(done, "the batch to be done with")
        assert await life.count(executions) == 3
    (kept,) = await records(bus, QUARANTINE)
    told = refused_in(kept.value).reason
    assert reason in told
    assert "INSERT" not in told
    assert "SELECT" not in told


async def test_each_transaction_of_one_connection_has_a_time_of_its_own(migrated: LedgerSettings) -> None:
    clock = select(func.floor(func.extract("epoch", func.clock_timestamp()) * 1000))

    def times(connection: Connection) -> tuple[int, int, int]:
        before = int(connection.execute(clock).scalar_one())
        first = now(connection)
        while int(connection.execute(clock).scalar_one()) <= first:
            pass
        return before, first, now(connection)

    async with PostgresLedger(migrated.model_copy(update={"connections": 1})) as ledger:
        earlier = -1
        for do in (ledger.write, ledger.read, ledger.write):
            before, first, again = await do(times)
            assert earlier < before <= first, "not one that an earlier transaction asked for"
            assert again == first, "asked for once in a transaction"
            earlier = first


async def test_a_partition_waits_for_a_quarantine_that_the_broker_does_not_write_and_the_others_go_on(
    kafka_settings: KafkaSettings, migrated: LedgerSettings
) -> None:
    async def let_in(largest: int) -> None:
        configs = {**ANY_TIME, "max.message.bytes": str(largest)}
        topic = kafka_settings.topic_prefix + QUARANTINE
        async with administrator(kafka_settings) as client:
            await client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=configs)])

    await make_topics(kafka_settings)
    await let_in(100)  # bytes: less than any entry
    async with (
        PostgresLedger(migrated) as ledger,
        KafkaBus(kafka_settings) as bus,
        KafkaBus(kafka_settings) as sender,  # another process: a refused batch takes with it what is sent beside it
    ):
        life = Life(ledger)
        await life.apply(service())

        async def send(record: Record) -> Partition:
            [(partition, _)] = await sender.publish(EVENTS, [record])
            return partition

        async def kept() -> list[Record]:
            starts = dict.fromkeys(await bus.partitions(QUARANTINE), 0)
            return [delivery.record for delivery in await bus.read(starts, 100)]

        async def claimed(count: int) -> None:
            async def all_there() -> bool:
                return await life.count(executions) == count

            await wait_until(all_there, f"{count} executions", deadline=60)

        held = await send(replace(codec.encode(file_event()), value=b"poison"))
        async with running(Intake(bus, ledger, Catalogue(SITE.aliases), lambda: None).run()):
            await wait_until(lambda: _paused() == 1, "the alarm", deadline=60)
            places = [await send(codec.encode(file_event(b"in/%d" % number))) for number in range(20)]
            assert set(places) > {held}
            await claimed(sum(place != held for place in places))
            assert await kept() == []
            await let_in(2**20)
            await claimed(len(places))
            assert _paused() == 0
        assert [refused_in(record.value).body for record in await kept()] == [b"poison"]


def _paused() -> float:
    return float(metrics.partitions_paused._value.get())


@pytest.mark.parametrize("days", [1, 7])
async def test_a_broker_says_how_long_it_keeps_events(kafka_settings: KafkaSettings, days: int) -> None:
    topics = TopicSettings.model_validate({**kafka_settings.topics.model_dump(), "retention": timedelta(days=days)})
    settings = kafka_settings.model_copy(update={"topics": topics})
    await create_topics(settings)
    async with KafkaBus(settings) as bus:
        assert await bus.retention(EVENTS) == timedelta(days=days)
