"""A broker and a database as operators run them: with the compiler that optimises, and with commits on the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from oscar_events.bus.kafka_topics import create_topics
from oscar_events.ledger.postgresql import upgrade
from oscar_events.settings import KafkaSettings, LedgerSettings, TopicSettings
from tests.testbed.kafka import RUNS_FAST, running_kafka
from tests.testbed.postgres import running_postgres


@pytest.fixture
def broker(kafka_here: Path, tmp_path: Path) -> Iterator[KafkaSettings]:
    """Return a broker of its own, with the topics."""
    with running_kafka(tmp_path / "kafka", jvm=RUNS_FAST) as cluster:
        topics = TopicSettings(partitions=4, durability="single")
        settings = KafkaSettings(bootstrap_servers=cluster.bootstrap, topics=topics)
        asyncio.run(create_topics(settings))
        yield settings


@pytest.fixture
def database(postgres_here: Path, tmp_path: Path) -> Iterator[LedgerSettings]:
    """Return a database of its own that waits for its disk, with the ledger's tables."""
    with running_postgres(tmp_path / "postgres", fsync=True) as server:
        settings = LedgerSettings(url=SecretStr(server.new_database()))
        asyncio.run(upgrade(settings))
        yield settings
