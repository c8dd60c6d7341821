"""The broker keeps the contract of the bus (bus.py)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from aiokafka.admin import RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.structs import TopicPartition

from oscar_events.bus.kafka import KafkaBus
from oscar_events.bus.port import EVENTS, TOPICS, Bus
from oscar_events.settings import KafkaSettings
from tests.contracts.bus import BusContract
from tests.testbed.topics import ANY_TIME, administrator, make_topics
from tests.waiting import wait_until

RETENTION_MS = 7 * 86_400_000


class TestKafkaBus(BusContract):
    @pytest.fixture(autouse=True)
    async def _settings(self, kafka_settings: KafkaSettings) -> None:
        self.settings = kafka_settings.model_copy(update={"delivery_timeout": timedelta(seconds=3)})
        await make_topics(self.settings)

    @pytest.fixture
    async def bus(self) -> AsyncIterator[Bus]:
        async with KafkaBus(self.settings) as bus:
            yield bus

    @pytest.fixture
    async def impatient_bus(self) -> AsyncIterator[Bus]:
        impatient = self.settings.model_copy(update={"max_poll_interval": timedelta(seconds=0.5)})
        async with KafkaBus(impatient) as bus:
            yield bus

    @asynccontextmanager
    async def failing(self, bus: Bus) -> AsyncIterator[None]:
        """Have the topic refuse every batch for its size."""
        topic = self.settings.topic_prefix + EVENTS
        async with administrator(self.settings) as client:

            async def allow(largest: int) -> None:
                configs = {**ANY_TIME, "max.message.bytes": str(largest)}
                await client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=configs)])
                await wait_until(lambda: allows(largest), f"a topic that takes {largest} bytes")

            async def allows(largest: int) -> bool:
                [answer] = await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
                [(_, _, _, _, entries)] = answer.resources
                return any(name == "max.message.bytes" and value == str(largest) for name, value, *_ in entries)

            await allow(1)
            yield
            await allow(1024 * 1024)

    async def expire(self, bus: Bus, now_ms: int) -> None:
        """Delete what Kafka would delete once all of its segments were closed."""
        async with administrator(self.settings) as client:
            for partition in [p for topic in TOPICS for p in await bus.partitions(topic)]:
                before = await bus.offset_at(partition, now_ms - RETENTION_MS)
                theirs = TopicPartition(self.settings.topic_prefix + partition.topic, partition.number)
                await client.delete_records({theirs: RecordsToDelete(before)})
