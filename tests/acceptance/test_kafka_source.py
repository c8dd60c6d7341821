"""A laptop's platform that reads a topic of somebody's broker, as its users set it up."""

from __future__ import annotations

import json
from pathlib import Path

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.acceptance.platform import DEADLINE_S, RunningPlatform, running_platform, until
from tests.testbed.kafka import KafkaCluster

TOPIC = "acceptance-orders"
# Asks for the message's body as a file, and leaves a copy under a name of its own.
KEEP = 'cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR/order-$(cat "$INPUT_FILE_PATH")"'


async def send(kafka: KafkaCluster, *values: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap)
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(TOPIC, value)
    finally:
        await producer.stop()


async def test_messages_of_a_topic_start_their_service_also_those_sent_while_the_platform_was_down(
    kafka: KafkaCluster, tmp_path: Path
) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(TOPIC, 2, 1)])
    await admin.close()
    data = tmp_path / "platform"
    data.mkdir()
    source = {
        "type": "kafka",
        "topic": TOPIC,
        "provider": "local",
        "service": "orders",
        "kafka": {"bootstrap_servers": kafka.bootstrap},
    }
    (data / "config.yaml").write_text(json.dumps({"sources": {"orders": source}}))
    results = data / "buckets" / "pics" / "out"

    def orders() -> set[str]:
        return {path.name for path in results.glob("order-*")}

    with running_platform(data) as platform:
        applied = platform.apply("orders", KEEP)
        assert applied.returncode == 0, applied.stderr
        await send(kafka, b"1", b"2")
        until(lambda: orders() == {"order-1", "order-2"}, "the results of both messages", DEADLINE_S)
        platform.stop()
        await send(kafka, b"3")
        platform.start()
        until(lambda: orders() == {"order-1", "order-2", "order-3"}, "the result of the third", DEADLINE_S)
        runs = platform.runs()
        assert sorted(run["state"] for run in runs) == ["succeeded"] * 3  # each message ran once


def test_a_broker_that_is_away_is_told_and_hinders_nothing_else(tmp_path: Path) -> None:
    data = tmp_path / "platform"
    data.mkdir()
    source = {"type": "kafka", "topic": TOPIC, "provider": "local", "kafka": {"bootstrap_servers": "127.0.0.1:1"}}
    (data / "config.yaml").write_text(json.dumps({"sources": {"orders": source}}))
    with running_platform(data) as platform:
        assert platform.apply("copy", 'cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR"').returncode == 0
        result = platform.drop("a.txt")
        until(result.exists, "the result of a file")
        assert "nobody listens on 127.0.0.1:1" in trouble(platform)


def trouble(platform: RunningPlatform) -> str:
    return platform.log.read_text()
