"""What a cluster's operators get wrong, as real commands tell it: cause, remedy, exit code; no secret, no traceback.

Topics, tables and users of a real broker, database and store; each thing is broken, asked about, and mended.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from miniopy_async.credentials.providers import StaticProvider
from miniopy_async.minioadmin import MinioAdmin

from oscar_events.bus.port import EVENTS
from oscar_events.settings import KafkaSettings
from tests.acceptance.cluster import Cluster, RunningComponent, running_cluster
from tests.acceptance.platform import COPY, until
from tests.acceptance.test_cluster import upload
from tests.testbed.kafka import KafkaCluster
from tests.testbed.minio import ACCESS_KEY, SECRET_KEY, MinioServer
from tests.testbed.postgres import PostgresServer

CANARY = "canary-0123456789"
Document = dict[str, Any]


class Operator:
    """A prepared cluster, and its file to get wrong."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.file = cluster.data / "config.yaml"

    def mistaken(self, change: Callable[[Document], object]) -> None:
        document = json.loads(self.file.read_text())
        change(document)
        self.file.write_text(json.dumps(document))

    def told(self, code: int, *words: str | Path) -> str:
        """Run a command that fails; return what it says, one line."""
        asked = self.cluster.ask(*words)
        said = " ".join((asked.stdout + asked.stderr).split())
        assert asked.returncode == code, said
        _tells_no_secret(said)
        return said

    def refused(self, *components: str) -> str:
        """Start components that end with 2; return what they say."""
        ended = [self.cluster.start(name) for name in components]
        assert [one.process.wait(60) for one in ended] == [2] * len(ended)
        said = " ".join(one.log.read_text() for one in ended)
        assert "listening on" not in said
        _tells_no_secret(said)
        return said

    def waiting(self, reason: str) -> RunningComponent:
        """Start an ingest that waits, and says for what."""
        ingest = self.cluster.start("ingest")
        until(lambda: reason in str(ingest.ready()[1]), f"it says {reason}; its log: {ingest.log}")
        assert ingest.ask("GET", "/livez")[0] == 200
        _tells_no_secret(ingest.log.read_text() + str(ingest.ready()[1]))
        return ingest


def _tells_no_secret(said: str) -> None:
    assert not any(word in said for word in (CANARY, SECRET_KEY, "Traceback"))


@pytest.fixture
def operator(tmp_path: Path, kafka_settings: KafkaSettings, ledger_url: str, minio: MinioServer) -> Iterator[Operator]:
    with running_cluster(tmp_path / "data") as cluster:
        cluster.configure(kafka_settings, ledger_url, minio.endpoint)
        cluster.prepare()
        yield Operator(cluster)


def test_a_broker_that_is_not_there_is_waited_for_by_components_and_refused_by_commands(operator: Operator) -> None:
    operator.mistaken(lambda file: file["kafka"].update(bootstrap_servers="127.0.0.1:1"))
    cause = "nobody listens on 127.0.0.1:1 (connection refused); start the broker or correct kafka.bootstrap_servers"
    ingest = operator.waiting(f"waiting for the broker: {cause}")
    assert ingest.post(b"{}") == (503, {"error": "waiting for the broker; send it again"})
    assert ingest.stop() == 0
    assert operator.cluster.ask("runs").returncode == 0  # the database is all it needs
    assert operator.told(5, "events") == f"error: {cause}"
    assert operator.told(5, "topics", "check") == f"error: {cause}"
    assert f"error topics: {cause} fix: start it, or mend the setting" in operator.told(1, "doctor")


def test_a_wrong_password_of_the_broker_ends_components_with_2(operator: Operator, kafka: KafkaCluster) -> None:
    sasl = {
        "security_protocol": "SASL_SSL",
        "sasl_username": "alice",
        "sasl_password": CANARY,
        "ca_file": str(kafka.ca),
    }
    operator.mistaken(lambda file: file["kafka"].update(sasl | {"bootstrap_servers": kafka.sasl_bootstrap}))
    cause = f"the broker at {kafka.sasl_bootstrap} refuses the user 'alice' or the password"
    remedy = "correct kafka.sasl_username and kafka.sasl_password"
    for said in (
        operator.refused("ingest", "dispatcher"),
        operator.told(2, "events"),
        operator.told(2, "topics", "create"),
        operator.told(1, "doctor"),
    ):
        assert cause in said
        assert remedy in said


def test_topics_with_too_few_replicas_are_unsafe_to_use_and_cannot_be_made(operator: Operator) -> None:
    operator.mistaken(lambda file: file["kafka"]["topics"].update(durability="replicated"))
    remedy = "set kafka.topics.durability to `single`"
    said = operator.refused("ingest", "dispatcher")
    assert "oscar.events (replication factor is 1, min.insync.replicas is 1)" in said
    assert "`oscar-events topics check` tells what mends each" in said
    for code, words in ((1, ("topics", "check")), (4, ("topics", "create")), (1, ("doctor",))):
        said = operator.told(code, *words)
        assert "replication factor is 1, it should be 3" in said
        assert remedy in said
    operator.mistaken(lambda file: file["kafka"].update(topic_prefix="not-made."))
    said = operator.told(2, "topics", "create")
    assert "wants 3 copies, each on a broker of its own, and the cluster has 1 broker" in said
    assert remedy in said


def test_a_database_with_another_password_or_none_such_is_told_apart_from_one_that_is_away(
    operator: Operator, ledger_url: str
) -> None:
    place = ledger_url.rpartition("@")[2] if "@" in ledger_url else ledger_url.partition("://")[2]
    operator.mistaken(lambda file: file["ledger"].update(url=f"postgresql://nobody-{CANARY[-4:]}:{CANARY}@{place}"))
    said = operator.refused("ingest") + operator.told(2, "runs") + operator.told(1, "doctor")
    assert said.count("correct user and password in ledger.url") == 3, said
    operator.mistaken(lambda file: file["ledger"].update(url=f"{ledger_url}-of-others"))
    assert "does not exist; create it: CREATE DATABASE" in operator.told(2, "runs")
    operator.mistaken(lambda file: file["ledger"].update(url=f"postgresql://oscar:{CANARY}@127.0.0.1:1/oscar"))
    assert "cannot be reached" in operator.told(5, "runs")
    assert "start the database, or correct ledger.url" in operator.told(1, "doctor")
    operator.mistaken(lambda file: file["ledger"].update(url=f"postgresql://oscar:{CANARY}/?@127.0.0.1:1/oscar"))
    assert "write / as %2F" in operator.told(2, "runs")
    assert operator.cluster.ask("config").stdout.count(CANARY) == 0


def test_a_newer_database_is_left_alone(operator: Operator, postgres: PostgresServer, ledger_url: str) -> None:
    database = ledger_url.rpartition("/")[2].partition("?")[0]
    postgres.execute("UPDATE alembic_version SET version_num = '9999'", database)
    said = operator.refused("ingest", "dispatcher")
    assert said.count("its tables are of a newer oscar-events (migration 9999") == 2
    for code, words in ((2, ("runs",)), (2, ("ledger", "upgrade")), (1, ("doctor",))):
        assert "install the newer version" in operator.told(code, *words)
    assert postgres.execute("SELECT version_num FROM alembic_version", database).strip() == "9999"


async def test_records_of_another_shape_or_version_lie_in_quarantine_and_hold_up_nothing(
    operator: Operator, kafka_settings: KafkaSettings
) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka_settings.bootstrap_servers)
    await producer.start()
    later = json.dumps({"specversion": "2.0", "id": "x", "source": "y", "type": "z"}).encode()
    for value in (b"\xff\x00", b'{"specversion": "1.0"}', later, b""):
        await producer.send_and_wait(f"{kafka_settings.topic_prefix}{EVENTS}", value)
    await producer.stop()
    operator.cluster.start("dispatcher").await_ready()

    def refused() -> list[Document]:
        found = json.loads(operator.cluster.ask("quarantine", "--json").stdout)
        return list(found) if len(found) == 4 else []

    records = until(refused, "all four are in quarantine")
    assert all(record["reason"] and record["source"].startswith(EVENTS) for record in records), records
    looked = operator.cluster.ask("doctor")
    assert "quarantine: messages that came in and are no usable events: 4" in looked.stdout
    assert operator.cluster.running[0].ready()[0] == 200


def test_a_store_that_is_away_wrong_keys_missing_rights_and_a_missing_bucket_are_told_apart(
    operator: Operator, minio: MinioServer, new_bucket: Callable[[str], str]
) -> None:
    bucket = new_bucket("inputs")
    assert operator.cluster.apply("copy", "true", bucket).returncode == 0
    assert operator.cluster.apply("lost", "true", "nowhere").returncode == 0
    target = ("--whole", "--target", "arn:minio:sqs::NOBODY:webhook")
    assert "there is no such bucket; make it first" in operator.told(3, "buckets", "watch", "nowhere", *target)
    assert "the server knows no such target" in operator.told(3, "buckets", "watch", bucket, *target)
    assert "there is no such bucket; make it first" in operator.told(3, "backfill", "lost")
    assert "bucket nowhere" in operator.told(1, "doctor")

    keys = _user_without_rights(minio, "without-rights")
    operator.mistaken(lambda file: file["storage_providers"]["minio"]["default"].update(keys))
    operator.mistaken(lambda file: file["sources"].update(heard={"type": "minio_listen", "provider": "minio.default"}))
    missing = "give it a policy that allows s3:"
    for words in (("buckets", "watch", bucket, *target), ("buckets", "list"), ("backfill", "copy")):
        assert missing in operator.told(2, *words)
    ingest = operator.cluster.start("ingest")
    ingest.await_ready()

    def troubles() -> Document:
        found: Document = ingest.ready()[1]["troubles"]
        return found if {"listeners", "buckets"} <= found.keys() else {}

    found = until(troubles, "it says what it may not")
    assert f"{missing}ListenBucketNotification" in found["listeners"]
    assert f"{missing}ListBucket" in found["buckets"]
    assert ingest.stop() == 0
    _tells_no_secret(ingest.log.read_text())

    operator.mistaken(lambda file: file["storage_providers"]["minio"]["default"].update(access_key=ACCESS_KEY))
    assert "the store refuses the keys (SignatureDoesNotMatch)" in operator.told(2, "buckets", "list")
    operator.mistaken(lambda file: file["storage_providers"]["minio"]["default"].update(endpoint="http://127.0.0.1:1"))
    assert "the server is away" in operator.told(5, "buckets", "list")
    assert "does not tell its time" in operator.told(5, "apply", operator.cluster.data.with_name("copy.yaml"))


def test_what_came_while_password_rights_or_bucket_were_wrong_runs_once_they_are_mended(
    operator: Operator, minio: MinioServer, new_bucket: Callable[[str], str]
) -> None:
    """Nothing is uploaded or told a second time. untold: found by listings alone; told: by its notification alone."""
    cluster, untold, told = operator.cluster, new_bucket("untold"), new_bucket("told")
    missing = f"{untold}-made-later"
    service = {
        "name": "listed",
        "image": "docker.io/library/busybox",
        "script": COPY,
        "input": [{"storage_provider": "minio.default", "path": f"{untold}/in"}],
        "output": [{"storage_provider": "minio.default", "path": f"{missing}/out"}],
        "dispatch": {"retry": {"backoff": 0.1}},
    }
    file = cluster.data.with_name("listed.yaml")
    file.write_text(json.dumps(service))
    assert cluster.ask("apply", file).returncode == 0
    assert cluster.apply("told", COPY, told, reconcile=False, retry={"backoff": 0.1}).returncode == 0
    keys = _user_without_rights(minio, "without-rights-at-first")
    operator.mistaken(lambda file: file["storage_providers"]["minio"]["default"].update(keys))
    operator.mistaken(lambda file: file["reconcile"].update(every="1s", min_age="1s"))

    def come(name: str, trouble: str) -> None:
        """Start the cluster; have one come by each road, and see that it cannot be run."""
        for component in ("ingest", "dispatcher"):
            cluster.start(component).await_ready()
        ingest = len(cluster.running) - 2
        minio.client.put(untold, f"in/{name}".encode(), b"content")
        upload(cluster, minio, told, f"in/{name}", ingest)
        until(
            lambda: trouble in cluster.running[ingest].ready()[1]["troubles"].get("buckets", ""), f"it says {trouble}"
        )
        until(lambda: tried("told", f"in/{name}"), f"what was told of is tried again; {cluster.running[-1].log}")

    def tried(service: str, key: str) -> bool:
        """Return whether a run is tried again, without success so far."""
        runs = [run for run in cluster.runs("--service", service) if run["key"] == key]
        assert all(run["state"] not in ("succeeded", "dead") for run in runs), runs
        return any(run["attempt"] > 1 for run in runs)

    operator.mistaken(lambda file: file["storage_providers"]["minio"]["default"].update(secret_key=f"not-{CANARY}"))
    come("password.txt", "the store refuses the keys")
    assert [one.stop() for one in cluster.running] == [0, 0]
    operator.mistaken(lambda file: file["storage_providers"]["minio"]["default"].update(keys))
    come("rights.txt", "give it a policy that allows s3:ListBucket")
    assert cluster.runs("--service", "listed") == []

    names = ("password.txt", "rights.txt")
    _administer(minio, lambda admin: admin.attach_policy(["readwrite"], keys["access_key"]))
    until(lambda: all(minio.client.get(told, f"out/{name}".encode()) for name in names), "what was told of has run")
    until(lambda: all(tried("listed", f"in/{name}") for name in names), "the others lack their bucket only")
    minio.client.make_bucket(missing)
    until(lambda: minio.client.keys(missing) == [f"out/{name}" for name in names], "what nobody told of has run")
    until(lambda: len(cluster.runs("--state", "succeeded")) == 4, "all have succeeded")
    runs = Counter((run["service"], run["key"]) for run in cluster.runs())
    assert runs == {(service, f"in/{name}"): 1 for service in ("listed", "told") for name in names}
    for component in cluster.running:
        _tells_no_secret(component.log.read_text())


def _user_without_rights(minio: MinioServer, user: str) -> dict[str, str]:
    """Make a user who may nothing; return its keys, as a provider names them."""
    _administer(minio, lambda admin: admin.user_add(user, CANARY))
    return {"access_key": user, "secret_key": CANARY}


def _administer(minio: MinioServer, do: Callable[[MinioAdmin], Awaitable[object]]) -> None:
    admin = MinioAdmin(
        f"127.0.0.1:{minio.port}", StaticProvider(ACCESS_KEY, SECRET_KEY), region="us-east-1", secure=False
    )

    async def administering() -> None:
        await do(admin)
        assert admin._session is not None
        await admin._session.close()

    asyncio.run(administering())
