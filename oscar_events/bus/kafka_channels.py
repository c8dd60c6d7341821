"""Our topics as channels of FastStream: AsyncAPI is generated from what really publishes and subscribes.

In:  `KafkaSettings`, topics, the producer's `send`. Out: FastStream's broker, with a publisher for each topic.
Not here: the messages' models (kafka_messages.py), who subscribes (kafka_feed.py), appending (kafka_producer.py).

Every publish of the bus goes through the publisher that is declared here, whole. FastStream's own producer is not used:
it sends records one by one, adds headers of its own, takes only text for them, and never gives up. `_Through` hands the
records of one publish to ours; that costs a publish, not a record, some 13 us of CPU on two busy cores.

House rule 8.1 for whoever subscribes on this broker: nothing commits by itself, nothing spins, no `max_workers`
(tests/unit/oscar_events/bus/test_kafka_channels.py goes through all that is declared).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.publisher.producer import AioKafkaFastProducer
from faststream.kafka.publisher.usecase import DefaultPublisher
from faststream.kafka.response import KafkaPublishCommand

from oscar_events.bus.kafka_messages import DESCRIPTIONS, MODELS
from oscar_events.bus.kafka_wire import METADATA_AGE_MS
from oscar_events.record import Record
from oscar_events.settings import KafkaSettings

# The producer's: a topic of the broker and records; partition and offset of each.
Send = Callable[[str, Sequence[Record]], Awaitable[list[tuple[int, int]]]]


def build_broker(settings: KafkaSettings, **connection: Any) -> KafkaBroker:
    """Return the broker that channels are declared on.

    connection: as connection_options() gives it, where the broker is to be started; declaring needs none. It makes no
    producer, no administrator and no topic.
    """
    return KafkaBroker(
        **{"bootstrap_servers": settings.bootstrap_servers, **connection},
        consumer_only=True,
        allow_auto_create_topics=False,
        metadata_max_age_ms=METADATA_AGE_MS,
        ack_policy=AckPolicy.MANUAL,
        # Of a header that FastStream's own producer would add: a UUID for every publish, a third of a publish's cost.
        id_generator=str,
        logger=None,
    )


def declare_publishers(
    broker: KafkaBroker, settings: KafkaSettings, topics: Iterable[str]
) -> dict[str, DefaultPublisher]:
    """Declare a publisher for each of the topics, with its messages' model if it is one of ours."""
    declared: dict[str, DefaultPublisher] = {}
    for topic in topics:
        publisher = broker.publisher(
            settings.topic_prefix + topic,
            title=f"{topic}:publish",
            description=DESCRIPTIONS.get(topic),
            schema=MODELS.get(topic),
        )
        assert isinstance(publisher, DefaultPublisher)  # the other kind is for batch=True
        declared[topic] = publisher
    return declared


class Channels:
    """The declared publishers, in use."""

    def __init__(self, settings: KafkaSettings, topics: Iterable[str], send: Send) -> None:
        self.broker = build_broker(settings)
        self.broker.config.broker_config.producer = _Through(send)
        self._publishers = declare_publishers(self.broker, settings, topics)

    async def publish(self, topic: str, records: Sequence[Record]) -> list[tuple[int, int]]:
        """Append the records; return partition and offset of each. Raises what the producer raises."""
        publisher: Any = self._publishers[topic]  # typed for messages, which it would encode
        placed: list[tuple[int, int]] = await publisher.publish(tuple(records))
        return placed


class _Through(AioKafkaFastProducer):
    """FastStream's place for a producer, with ours in it."""

    # What FastStream's producers decode replies with; nobody replies here.
    _parser: Any = None
    _decoder: Any = None
    codec: Any = None

    def __init__(self, send: Send) -> None:
        self._send = send

    async def publish(self, cmd: KafkaPublishCommand) -> Any:
        return await self._send(cmd.destination, cmd.body)

    async def publish_batch(self, cmd: KafkaPublishCommand) -> Any:
        return await self._send(cmd.destination, cmd.batch_bodies)
