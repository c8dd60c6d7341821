"""What tests do to a broker with clients of their own: make topics, change them, sign in.

In:  settings of a broker, a cluster. Out: topics, an administrator, settings for SASL_SSL.
Not here: the broker (kafka.py), how the product makes its topics (oscar_events/bus/kafka_topics.py).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from pydantic import SecretStr

from oscar_events.bus.kafka_connection import connection_options
from oscar_events.bus.port import TOPICS
from oscar_events.settings import KafkaSettings
from tests.testbed.kafka import KafkaCluster

PARTITIONS = 4
# Tests publish what will be old in a week; a broker refuses what is an hour ahead of it otherwise.
ANY_TIME = {"message.timestamp.after.max.ms": str(2**63 - 1), "retention.ms": "-1"}


@asynccontextmanager
async def administrator(settings: KafkaSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(**connection_options(settings))
    await client.start()
    try:
        yield client
    finally:
        await client.close()


async def make_topics(settings: KafkaSettings, partitions: int = PARTITIONS, replicas: int = 1) -> None:
    async with administrator(settings) as client:
        await client.create_topics(
            [NewTopic(settings.topic_prefix + topic, partitions, replicas, topic_configs=ANY_TIME) for topic in TOPICS]
        )


def secured(cluster: KafkaCluster, settings: KafkaSettings) -> KafkaSettings:
    """Return the settings of somebody who signs in at the same broker, over TLS."""
    return settings.model_copy(
        update={
            "bootstrap_servers": cluster.sasl_bootstrap,
            "security_protocol": "SASL_SSL",
            "sasl_username": "alice",
            "sasl_password": SecretStr(cluster.users["alice"]),
            "ca_file": cluster.ca,
        }
    )
