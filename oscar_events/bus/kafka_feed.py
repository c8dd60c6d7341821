"""The ends of runs as they happen: who watches `oscar.executions` live, and what the channels look like from outside.

In:  `KafkaSettings`. Out: each run that ends from now on, as the outbox published it; the AsyncAPI document.
Not here: declaring the publishers and their models (kafka_channels.py, kafka_messages.py), a laptop's way to the same
(cli/follow.py), taking events in: that may lose nothing, and is done without FastStream (kafka_member.py, design §5).

Who watches belongs to no group and commits nothing: it disturbs nobody, and has missed what happened while it was away.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.annotations import KafkaMessage
from faststream.kafka.subscriber.usecase import DefaultSubscriber
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512
from faststream.specification import AsyncAPI

from oscar_events.bus.kafka_channels import build_broker, declare_publishers
from oscar_events.bus.kafka_connection import (
    connection_options,
    credentials,
    speaks_sasl,
    speaks_tls,
    tls_context,
)
from oscar_events.bus.kafka_diagnosis import cause
from oscar_events.bus.kafka_log import KafkaLog
from oscar_events.bus.kafka_messages import DESCRIPTIONS, RunMessage
from oscar_events.bus.kafka_wire import Names
from oscar_events.bus.port import EXECUTIONS, TOPICS
from oscar_events.settings import KafkaSettings

Ended = Callable[[dict[str, Any]], Awaitable[None]]

# Ends that nobody has looked at yet; then the broker is read no further until somebody does.
_WAITING = 1000
_SASL = {"PLAIN": SASLPlaintext, "SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}


def declare_feed(broker: KafkaBroker, settings: KafkaSettings, ended: Ended) -> DefaultSubscriber:
    """Declare the subscriber. ended: awaited with each run that ends; a record that is no run is passed over."""

    async def take(run: RunMessage, message: KafkaMessage) -> None:
        # `run` is looked at by FastStream, before. What a later version adds the model does not know: it is passed on.
        await ended(json.loads(message.body))

    # It takes no group. "From now on" is what it is for; where every record counts, `latest` is forbidden (design §8).
    subscriber = broker.subscriber(
        settings.topic_prefix + EXECUTIONS,
        auto_offset_reset="latest",
        ack_policy=AckPolicy.MANUAL,
        no_reply=True,
        title=f"{EXECUTIONS}:follow",
        description=DESCRIPTIONS[EXECUTIONS],
    )
    subscriber(take)
    assert isinstance(subscriber, DefaultSubscriber)  # the other kinds are for batches and workers
    return subscriber


def asyncapi(settings: KafkaSettings, version: str) -> dict[str, Any]:
    """Return the AsyncAPI 3 document of what publishes and subscribes here. version: of the platform."""

    async def nobody(_: dict[str, Any]) -> None:
        """Declared, never started."""

    broker = build_broker(settings)
    declare_publishers(broker, settings, TOPICS)
    declare_feed(broker, settings, nobody)
    described = AsyncAPI(
        broker,
        title="oscar-events",
        version=version,
        description="What the platform publishes, and what it watches. Its own way from `oscar.events` to the ledger "
        "is a consumer group of its dispatchers.",
    )
    document: dict[str, Any] = json.loads(described.to_specification().to_json())
    return document


class KafkaRunFeed:
    """The ends of runs from the moment it is entered. An async context manager.

    Outages of the broker are waited out; what ended meanwhile is then told.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._ended: asyncio.Queue[dict[str, Any]] = asyncio.Queue(_WAITING)

    async def moved(self) -> list[dict[str, Any]]:
        """Wait for a run to end; return it, and those that ended with it, in the order they were published."""
        found = [await self._ended.get()]
        while not self._ended.empty():
            found.append(self._ended.get_nowait())
        return found

    async def __aenter__(self) -> Self:
        """Raises BusError or ConfigurationError for a broker that cannot be used, NotFoundError without the topic."""
        settings = self._settings
        names, patience = Names(settings.topic_prefix, [EXECUTIONS]), settings.delivery_timeout.total_seconds()
        self._broker = build_broker(settings, security=_security(settings))
        subscriber = declare_feed(self._broker, settings, self._ended.put)
        try:
            async with KafkaLog(connection_options(settings), names, patience):
                pass  # looks for the topic: a consumer would wait 40 s for one that is not there
            await self._broker.start()
            consumer = subscriber.consumer
            assert consumer is not None  # made by the start
            for partition in consumer.assignment():
                await consumer.position(partition)  # from here on nothing is missed
        except (KafkaError, TimeoutError) as error:
            await self._broker.stop()
            raise await cause(settings) from error
        except BaseException:
            await self._broker.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._broker.stop()


def _security(settings: KafkaSettings) -> BaseSecurity:
    context = tls_context(settings) if speaks_tls(settings) else None
    if not speaks_sasl(settings):
        return BaseSecurity(ssl_context=context)
    username, password = credentials(settings)
    return _SASL[settings.sasl_mechanism](username, password, ssl_context=context)
