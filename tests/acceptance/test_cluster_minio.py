"""A cluster told of one real MinIO by all three roads: webhook, Kafka target, listening connections; each upload once.

The whole way with real programs; the server serves listening connections (tests/testbed/minio_listening.py).
"""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from oscar_events.settings import KafkaSettings
from tests.acceptance.cluster import TOKEN, Cluster, running_cluster
from tests.acceptance.platform import COPY, until
from tests.testbed.minio import KAFKA, WEBHOOK, announcing, announcing_to_kafka
from tests.testbed.minio_listening import ListeningMinio
from tests.testbed.ports import free_port

BUCKET = "pics"
TARGETS = (f"arn:minio:sqs::{WEBHOOK}:webhook", f"arn:minio:sqs::{KAFKA}:kafka")


class Scene:
    """The cluster, its store, and the port where the store's webhook finds an ingest."""

    def __init__(self, cluster: Cluster, minio: ListeningMinio, port: int) -> None:
        self.cluster, self.minio, self.port = cluster, minio, port

    def start_ingest(self) -> None:
        listen = f"127.0.0.1:{self.port}"
        self.cluster.start("ingest", OSCAR_EVENTS_INGEST__LISTEN=listen).await_ready()

    def seen(self, key: str) -> set[str]:
        """Return the sources that told of an object, as people are told."""
        asked = self.cluster.ask("why", f"{BUCKET}/{key}", "--json")
        events = json.loads(asked.stdout)["events"] if asked.returncode == 0 else []
        assert len({event["id"] for event in events}) <= 1, events
        return {one["source"] for event in events for one in event["seen"]}

    def put(self, key: str) -> None:
        self.minio.client.put(BUCKET, key.encode(), b"content")

    def results(self) -> set[str]:
        return {key for key in self.minio.client.keys(BUCKET) if key.startswith("out/")}


@pytest.fixture
async def scene(
    tmp_path: Path, kafka_settings: KafkaSettings, ledger_url: str, listening_minio: ListeningMinio
) -> AsyncIterator[Scene]:
    del listening_minio  # it shows that there can be one
    topic, port = f"{kafka_settings.topic_prefix}minio", free_port()
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_settings.bootstrap_servers)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 2, 1)])
    await admin.close()
    variables = announcing(f"http://127.0.0.1:{port}/ingest/test", f"Bearer {TOKEN}")
    variables |= announcing_to_kafka(kafka_settings.bootstrap_servers, topic)
    minio = ListeningMinio(tmp_path / "minio", variables)
    with running_cluster(tmp_path / "data") as cluster:
        cluster.configure(kafka_settings, ledger_url, minio.endpoint)
        file = cluster.data / "config.yaml"
        document: dict[str, Any] = json.loads(file.read_text())
        document["sources"]["heard"] = {"type": "minio_listen", "provider": "minio.default"}
        document["sources"]["topic"] = {"type": "kafka", "topic": topic, "provider": "minio.default"}
        file.write_text(json.dumps(document))
        cluster.prepare()
        scene = Scene(cluster, minio, port)
        try:
            minio.start()
            minio.client.make_bucket(BUCKET)
            yield scene
        finally:
            minio.stop()


def test_an_upload_that_is_told_of_by_webhook_topic_and_connection_runs_once_and_none_is_lost_by_a_restart(
    scene: Scene,
) -> None:
    cluster = scene.cluster
    assert cluster.apply("copy", COPY, BUCKET).returncode == 0
    watched = cluster.ask("buckets", "watch", "--all", *(word for target in TARGETS for word in ("--target", target)))
    assert watched.returncode == 0, watched.stderr
    scene.start_ingest()
    cluster.start("dispatcher").await_ready()
    ingest = cluster.running[0]
    sent: list[str] = []

    def told_by_all() -> bool:
        """What comes before its connection is made is left to a listing; so upload until one is heard."""
        sent.append(f"in/{len(sent)}")
        scene.put(sent[-1])
        return any(scene.seen(key) >= {"test", "topic", "heard"} for key in sent[-3:])

    until(told_by_all, f"an upload is told of by all three; logs: {[one.log for one in cluster.running]}")

    assert ingest.stop(signal.SIGTERM) == 0
    for _ in range(5):  # the webhook is refused, nobody listens: the topic keeps them
        sent.append(f"in/{len(sent)}")
        scene.put(sent[-1])
    scene.start_ingest()
    until(lambda: scene.seen(sent[-1]) == {"topic"}, "what the topic kept is read")
    until(lambda: scene.results() == {key.replace("in/", "out/") for key in sent}, "all have their results")
    runs = cluster.runs()
    assert sorted(run["key"] for run in runs) == sorted(sent)
    ready = cluster.running[-1].ready()[1]
    assert (ready["reasons"], ready["troubles"]) == ({}, {})


def test_a_server_that_is_away_and_a_bucket_that_is_missing_are_troubles_and_hold_up_no_other_source(
    scene: Scene,
) -> None:
    cluster = scene.cluster
    assert cluster.apply("copy", COPY, BUCKET).returncode == 0
    assert cluster.apply("lost", "true", "nowhere").returncode == 0
    scene.start_ingest()
    ingest = cluster.running[0]

    def deaf() -> str:
        return str(ingest.ready()[1]["troubles"].get("listeners", ""))

    until(lambda: "bucket nowhere" in deaf() and "there is no such bucket" in deaf(), "the missing bucket is told")
    assert f"bucket {BUCKET}" not in deaf()
    scene.minio.stop()
    until(lambda: f"bucket {BUCKET}" in deaf() and "the server is away" in deaf(), "the outage is told")
    assert ingest.ready()[0] == 200
    assert ingest.ask("GET", "/livez")[0] == 200
    scene.minio.start()
    until(lambda: f"bucket {BUCKET}" not in deaf(), "it listens again")
    assert ingest.stop() == 0
    assert "Traceback" not in ingest.log.read_text()
