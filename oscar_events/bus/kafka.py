"""The log of events on Kafka, for a cluster.

In:  `KafkaSettings`, records, groups that read them. Out: the bus of port.py.
Not here: making topics (kafka_topics.py), connections (kafka_connection.py), and what is done by each part: appending
(kafka_producer.py), the channels it goes through (kafka_channels.py), looking (kafka_log.py), reading as a member of a
group (kafka_member.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import Self

from aiokafka.errors import KafkaError

from oscar_events.bus import kafka_diagnosis
from oscar_events.bus.kafka_channels import Channels
from oscar_events.bus.kafka_connection import connection_options
from oscar_events.bus.kafka_log import KafkaLog
from oscar_events.bus.kafka_member import KafkaMember
from oscar_events.bus.kafka_producer import KafkaProducer
from oscar_events.bus.kafka_topics import topic_retention
from oscar_events.bus.kafka_wire import Names
from oscar_events.bus.port import TOPICS, Bus, Consumer, Delivery, OnAssigned, OnRevoked, Partition
from oscar_events.errors import ConfigurationError
from oscar_events.log import logger
from oscar_events.record import Record
from oscar_events.settings import KafkaSettings

_log = logger(__name__)


class KafkaBus(Bus):
    """A bus on a broker. topics: those it is opened with, without the prefix of the settings.

    Opening creates no topic: one that is missing is a NotFoundError. A broker that cannot be used is a BusError if
    waiting may help, else a ConfigurationError; both name the setting.
    """

    def __init__(self, settings: KafkaSettings, topics: Sequence[str] = TOPICS) -> None:
        self._settings = settings
        self._names = Names(settings.topic_prefix, topics)

    async def publish(self, topic: str, records: Sequence[Record]) -> list[tuple[Partition, int]]:
        self._names.topic(topic)  # NotFoundError
        if not records:
            return []
        placed = await self._channels.publish(topic, records)
        return [(Partition(topic, number), offset) for number, offset in placed]

    def consumer(
        self,
        topics: Sequence[str],
        group: str,
        *,
        on_assigned: OnAssigned | None = None,
        on_revoked: OnRevoked | None = None,
    ) -> Consumer:
        for topic in topics:
            self._names.topic(topic)  # NotFoundError
        return KafkaMember(self._settings, self._log, self._names, topics, group, on_assigned, on_revoked)

    async def topic_id(self, topic: str) -> str:
        return (await self._log.topic(topic)).id

    async def partitions(self, topic: str) -> list[Partition]:
        return await self._log.partitions(topic)

    async def offsets(self, partition: Partition) -> tuple[int, int]:
        return (await self._log.extents([partition]))[partition]

    async def committed(self, group: str, partition: Partition) -> int | None:
        return (await self._log.committed(group, [partition])).get(partition)

    async def retention(self, topic: str) -> timedelta | None:
        try:
            return await topic_retention(self._settings, topic)
        except ConfigurationError as error:  # a right that events do not need
            _log.warning("the retention of a topic cannot be read", topic=topic, error=str(error))
            return None

    async def offset_at(self, partition: Partition, timestamp_ms: int) -> int:
        return await self._log.offset_at(partition, timestamp_ms)

    async def read(self, positions: Mapping[Partition, int], max_records: int) -> list[Delivery]:
        return await self._log.read(positions, max_records)

    async def find(self, topic: str, key: bytes, since_ms: int, max_records: int) -> list[Delivery]:
        return await self._log.find(topic, key, since_ms, max_records)

    async def __aenter__(self) -> Self:
        options = connection_options(self._settings)
        patience = self._settings.delivery_timeout.total_seconds()
        begun = time.monotonic()
        try:
            async with AsyncExitStack() as stack:
                self._log = await stack.enter_async_context(KafkaLog(options, self._names, patience))
                producer = await stack.enter_async_context(
                    KafkaProducer(partial(connection_options, self._settings), self._settings)
                )
                self._channels = Channels(self._settings, self._names.topics, producer.send)
                self._open = stack.pop_all()
        except (KafkaError, TimeoutError) as error:
            raise await kafka_diagnosis.cause(self._settings, time.monotonic() - begun) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await asyncio.shield(self._open.aclose())
