"""The channels on a real broker: what is sent through each is handled, and described as it is."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from oscar_events.bus.kafka import KafkaBus
from oscar_events.bus.kafka_feed import KafkaRunFeed, asyncapi
from oscar_events.bus.kafka_messages import MODELS
from oscar_events.bus.kafka_topics import create_topics
from oscar_events.bus.port import DEADLETTER, EVENTS, EXECUTIONS, QUARANTINE
from oscar_events.codec import encode
from oscar_events.errors import BusError, ConfigurationError, NotFoundError
from oscar_events.quarantine import quarantine_record
from oscar_events.record import Record
from oscar_events.settings import KafkaSettings
from tests.testbed.kafka import KafkaCluster, running_kafka
from tests.testbed.topics import secured
from tests.unit.oscar_events.notifications.arriving import only_event, sample
from tests.waiting import wait_until

GOLDEN = Path(__file__).parents[1] / "data" / "asyncapi.json"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def ended(run: str, service: str = "blur", **more: object) -> Record:
    """A run as the outbox tells it."""
    row = {
        "id": run,
        "service": service,
        "tenant": "default",
        "state": "succeeded",
        "attempt": 1,
        "event_id": "s3-x",
        "bucket": "in",
        "key": "a.png",
        "created_at": "2026-11-21T12:00:00.000Z",
        "started_at": "2026-11-21T12:00:01.000Z",
        "ended_at": "2026-11-21T12:00:02.000Z",
        "exit_code": 0,
        "failure": None,
        "reason": "",
        "cancel_requested": False,
        "outputs": [],
        "redrive_of": None,
        "replay": None,
        "purged_at": None,
        **more,
    }
    headers = (("content-type", b"application/json"),)
    return Record(run.encode(), json.dumps(row).encode(), int(NOW.timestamp() * 1000), headers)


@asynccontextmanager
async def opened(settings: KafkaSettings) -> AsyncIterator[KafkaBus]:
    await create_topics(settings)
    async with KafkaBus(settings) as bus:
        yield bus


async def moved(feed: KafkaRunFeed, runs: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(30):
        while len(found) < runs:
            found += await feed.moved()
    return found


async def test_the_end_of_a_run_is_told_as_it_was_published_to_everybody_who_watches(
    kafka_settings: KafkaSettings,
) -> None:
    async with opened(kafka_settings) as bus:
        await bus.publish(EXECUTIONS, [ended("before")])
        async with KafkaRunFeed(kafka_settings) as one, KafkaRunFeed(kafka_settings) as another:
            await bus.publish(EXECUTIONS, [ended("first", later_version="added"), ended("second")])
            for feed in (one, another):
                assert [run["id"] for run in await moved(feed, 2)] == ["first", "second"]
            await bus.publish(EXECUTIONS, [ended("third", later_version="added")])
            assert (await moved(one, 1))[0]["later_version"] == "added"


async def test_what_is_no_run_is_passed_over(kafka_settings: KafkaSettings) -> None:
    junk = [b"\xff", b"", b"[]", b'{"id": "x"}', b'"text"']
    headers = (("content-type", b"application/json"),)
    async with opened(kafka_settings) as bus, KafkaRunFeed(kafka_settings) as feed:
        await bus.publish(EXECUTIONS, [Record(None, value, 1, headers) for value in junk])
        await bus.publish(EXECUTIONS, [ended("good")])
        assert [run["id"] for run in await moved(feed, 1)] == ["good"]


async def test_a_feed_outlives_its_broker(kafka_here: Path, tmp_path: Path) -> None:
    with running_kafka(tmp_path) as cluster:
        settings = KafkaSettings.model_validate(
            {"bootstrap_servers": cluster.bootstrap, "topics": {"durability": "single"}}
        )
        async with opened(settings) as bus, KafkaRunFeed(settings) as feed:
            cluster.kill()
            await asyncio.to_thread(cluster.start)

            async def published() -> bool:
                try:
                    await bus.publish(EXECUTIONS, [ended("after")])
                except BusError:
                    return False
                return True

            await wait_until(published, "the broker to take records again", deadline=60)
            assert {run["id"] for run in await moved(feed, 1)} == {"after"}


async def test_a_feed_speaks_tls_and_says_who_it_is(kafka: KafkaCluster, kafka_settings: KafkaSettings) -> None:
    secure = secured(kafka, kafka_settings)
    async with opened(kafka_settings) as bus, KafkaRunFeed(secure) as feed:
        await bus.publish(EXECUTIONS, [ended("one")])
        assert len(await moved(feed, 1)) == 1
    with pytest.raises(ConfigurationError, match="refuses the user 'alice' or the password"):
        async with KafkaRunFeed(secure.model_copy(update={"sasl_password": SecretStr("wrong")})):
            pass


async def test_a_topic_that_is_missing_and_a_broker_that_is_away_are_told(kafka_settings: KafkaSettings) -> None:
    with pytest.raises(NotFoundError, match="oscar-events topics create"):
        async with KafkaRunFeed(kafka_settings):
            pass
    with pytest.raises(BusError, match=r"nobody listens on 127\.0\.0\.1:1"):
        async with KafkaRunFeed(KafkaSettings(bootstrap_servers="127.0.0.1:1")):
            pass


async def test_a_message_through_each_channel_is_handled_and_is_what_the_document_says(
    kafka_settings: KafkaSettings,
) -> None:
    sent = {
        EVENTS: encode(only_event(sample("minio-kafka-ObjectCreated-Put"), content_type="application/json")),
        EXECUTIONS: ended("done"),
        DEADLETTER: ended("given-up", state="dead"),
        QUARANTINE: quarantine_record(b"\xff", "minio", "no event", NOW),
    }
    document = asyncapi(kafka_settings, "1")
    addresses = {channel["address"] for channel in document["channels"].values()}
    assert addresses == {kafka_settings.topic_prefix + topic for topic in sent}
    async with opened(kafka_settings) as bus, KafkaRunFeed(kafka_settings) as feed:
        for topic, record in sent.items():
            await bus.publish(topic, [record])
        async with bus.consumer(list(sent), "handlers") as consumer:
            handled: dict[str, Record] = {}

            async def all_handled() -> bool:
                batch = await consumer.poll(max_records=10, max_wait=0.1)
                handled.update({one.partition.topic: one.record for one in batch.deliveries})
                return handled.keys() == sent.keys()

            await wait_until(all_handled, "each message to come out")
        assert handled == sent
        assert [run["id"] for run in await moved(feed, 1)] == ["done"]
    for topic, record in handled.items():
        MODELS[topic].model_validate_json(record.value)


def test_the_document_is_the_one_that_was_looked_at() -> None:
    """After a wanted change: `oscar-events asyncapi`, without a broker in the configuration, prints the new one."""
    now = asyncapi(KafkaSettings(bootstrap_servers="kafka:9092"), "1")
    golden = json.loads(GOLDEN.read_text())
    golden["info"]["version"] = "1"  # of the platform that printed it
    assert now == golden


def test_no_secret_gets_into_the_document(kafka: KafkaCluster) -> None:
    settings = KafkaSettings(
        bootstrap_servers=kafka.sasl_bootstrap,
        security_protocol="SASL_SSL",
        sasl_username="canary-alice",
        sasl_password=SecretStr("canary"),
    )
    assert "canary" not in json.dumps(asyncapi(settings, "1"))


async def test_the_command_follows_a_service_of_a_cluster(kafka_settings: KafkaSettings, tmp_path: Path) -> None:
    variables: Mapping[str, str] = {
        "OSCAR_EVENTS_KAFKA__BOOTSTRAP_SERVERS": kafka_settings.bootstrap_servers,
        "OSCAR_EVENTS_KAFKA__TOPIC_PREFIX": kafka_settings.topic_prefix,
        "OSCAR_EVENTS_LEDGER__URL": "postgresql://nobody@127.0.0.1:1/none",
        "OSCAR_EVENTS_DATA": str(tmp_path),
    }
    words = ["runs", "follow", "--json", "--service", "blur"]
    start = [sys.executable, "-c", "from oscar_events.cli.app import main; main()", *words]
    async with opened(kafka_settings) as bus:
        process = await asyncio.create_subprocess_exec(
            *start, env={**os.environ, **variables}, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        line = asyncio.create_task(process.stdout.readline())
        number = 0

        async def told() -> bool:
            nonlocal number
            number += 1
            await bus.publish(EXECUTIONS, [ended(f"other-{number}", "grey"), ended(f"wanted-{number}")])
            return line.done()

        try:
            await wait_until(told, "the command to tell of a run")
        finally:
            process.terminate()
            await process.wait()
        assert json.loads(line.result())["service"] == "blur"
