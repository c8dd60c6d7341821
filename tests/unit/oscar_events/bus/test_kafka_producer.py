"""Whatever Kafka's client raises at a publish is a BusError: senders are told to come again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    RequestTimedOutError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from oscar_events.bus import kafka_producer
from oscar_events.bus.kafka_producer import KafkaProducer
from oscar_events.errors import BusError
from oscar_events.record import Record
from oscar_events.settings import KafkaSettings


class Broken:
    """A generation of the producer that fails each record."""

    acknowledged = 0

    def __init__(self, error: KafkaError) -> None:
        self._error = error

    async def append(self, topic: str, record: Record) -> asyncio.Future[Any]:
        raise self._error

    async def abandon(self) -> None:
        pass


@pytest.mark.parametrize(
    "error",
    [
        UnknownTopicOrPartitionError(),
        TopicAuthorizationFailedError("events"),
        KafkaConnectionError("given up"),
        RequestTimedOutError(),
    ],
    ids=repr,
)
async def test_what_the_client_raises_at_a_publish_is_a_bus_error_that_names_the_topic(
    error: KafkaError, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def start(options: Mapping[str, Any]) -> Broken:
        return Broken(error)

    monkeypatch.setattr(kafka_producer._Generation, "start", start)
    async with KafkaProducer(dict, KafkaSettings(bootstrap_servers="broker:9092")) as producer:
        with pytest.raises(BusError, match=r"oscar\.events"):
            await producer.send("oscar.events", [Record(b"k", b"value", 0)])
