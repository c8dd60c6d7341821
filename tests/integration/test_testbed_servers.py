"""Each server of the testbed starts, is killed and paused, and comes back on its port with its data."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError

from oscar_events.settings import KafkaSettings
from tests.testbed.builds import CannotBuildError, debian_packages
from tests.testbed.kafka import KafkaCluster, running_kafka
from tests.testbed.minio import KAFKA, announcing, announcing_to_kafka, running_minio
from tests.testbed.postgres import PostgresServer, running_postgres
from tests.testbed.server import Server
from tests.testbed.toxiproxy import ToxiproxyServer
from tests.waiting import wait_until

TOPIC = "testbed"


async def make_topic(bootstrap: str, replicas: int, topic: str = TOPIC, partitions: int = 1) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, num_partitions=partitions, replication_factor=replicas)])
    finally:
        await admin.close()


async def send(value: bytes, topic: str = TOPIC, partition: int = 0, **options: Any) -> None:
    """Send one record and return when all replicas have it."""
    producer = AIOKafkaProducer(acks="all", enable_idempotence=True, **options)
    try:
        await producer.start()
        await producer.send_and_wait(topic, value, partition=partition)
    finally:
        await producer.stop()


async def received(bootstrap: str, count: int, topic: str = TOPIC) -> list[bytes]:
    """Return so many records of a topic, from its start."""
    async with AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest") as consumer:
        return [(await consumer.getone()).value for _ in range(count)]


async def restart(server: Server) -> None:
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)


async def test_a_broker_that_was_killed_has_what_it_acknowledged(kafka_here: Path, tmp_path: Path) -> None:
    with running_kafka(tmp_path) as kafka:
        await make_topic(kafka.bootstrap, 1)
        await send(b"before", bootstrap_servers=kafka.bootstrap)
        await restart(kafka.brokers[0])
        await send(b"after", bootstrap_servers=kafka.bootstrap)
        assert await received(kafka.bootstrap, 2) == [b"before", b"after"]


async def test_three_brokers_serve_all_partitions_with_one_killed(kafka_here: Path, tmp_path: Path) -> None:
    with running_kafka(tmp_path, brokers=3) as kafka:
        await make_topic(kafka.bootstrap, 3, partitions=3)  # each broker leads one
        await asyncio.to_thread(kafka.brokers[0].kill)
        for partition in range(3):
            await send(b"%d" % partition, partition=partition, bootstrap_servers=kafka.bootstrap)
        await asyncio.to_thread(kafka.brokers[0].start)
        assert sorted(await received(kafka.bootstrap, 3)) == [b"0", b"1", b"2"]


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_a_broker_takes_its_users_over_tls_and_nobody_else(kafka: KafkaCluster, mechanism: str) -> None:
    topic = f"testbed-{mechanism}"
    await make_topic(kafka.bootstrap, 1, topic)
    options: dict[str, Any] = {
        "bootstrap_servers": kafka.sasl_bootstrap,
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": mechanism,
        "sasl_plain_username": "alice",
        "ssl_context": ssl.create_default_context(cafile=str(kafka.ca)),
    }
    await send(b"from alice", topic, sasl_plain_password=kafka.users["alice"], **options)
    with pytest.raises(KafkaConnectionError):
        await send(b"from mallory", topic, sasl_plain_password="guessed", **options)
    assert await received(kafka.bootstrap, 1, topic) == [b"from alice"]


async def test_tests_share_a_broker_without_seeing_each_other(
    kafka_settings: KafkaSettings,
) -> None:
    assert kafka_settings.topic_prefix != ""
    assert kafka_settings.topics.replication_factor == 1
    await make_topic(kafka_settings.bootstrap_servers, 1, f"{kafka_settings.topic_prefix}oscar.events")


def test_a_database_server_that_was_killed_has_what_it_committed(postgres_here: Path, tmp_path: Path) -> None:
    with running_postgres(tmp_path) as server:
        server.execute("CREATE TABLE t (n int); INSERT INTO t VALUES (1)")
        for number in (2, 3, 4):
            server.kill()
            server.start()
            server.execute(f"INSERT INTO t VALUES ({number})")
        assert server.execute("SELECT n FROM t ORDER BY n").split() == ["1", "2", "3", "4"]


def test_a_paused_database_server_answers_when_it_goes_on(postgres: PostgresServer) -> None:
    postgres.pause()
    with socket.create_connection(("127.0.0.1", postgres.port), timeout=5):  # the kernel takes it, nobody answers
        postgres.resume()
    assert postgres.execute("SELECT 1").strip() == "1"


def test_each_test_has_a_database_of_its_own(ledger_url: str, postgres: PostgresServer) -> None:
    other = postgres.new_database()
    name = other.rpartition("/")[2]
    assert other != ledger_url
    postgres.execute("CREATE TABLE t ()", name)
    postgres.execute("CREATE TABLE t ()", ledger_url.rpartition("/")[2])


async def test_a_broker_behind_a_link_is_cut_off_and_healed(
    kafka_here: Path, toxiproxy: ToxiproxyServer, tmp_path: Path
) -> None:
    with running_kafka(tmp_path, proxied=True) as kafka:
        ports = kafka.brokers[0].ports
        assert ports.behind is not None
        link = toxiproxy.link("broker", ports.behind, ports.proxied)
        await make_topic(kafka.bootstrap, 1)
        await send(b"healthy", bootstrap_servers=kafka.proxied_bootstrap)
        link.cut()
        with pytest.raises(KafkaConnectionError):
            await send(b"cut", bootstrap_servers=kafka.proxied_bootstrap)
        link.heal()
        link.slow(50)
        link.narrow(100)
        await send(b"slow", bootstrap_servers=kafka.proxied_bootstrap)
        link.heal()
        assert await received(kafka.proxied_bootstrap, 2) == [b"healthy", b"slow"]


def test_a_link_swallows_answers_or_resets_who_speaks(toxiproxy: ToxiproxyServer, postgres: PostgresServer) -> None:
    link = toxiproxy.link("database", postgres.port)
    ask_for_tls = b"\0\0\0\x08\x04\xd2\x16\x2f"  # SSLRequest: any server answers with one byte
    for fault, answer in (None, b"N"), (link.swallow_answers, TimeoutError), (link.reset, ConnectionResetError):
        link.heal()
        if fault:
            fault()
        with socket.create_connection(("127.0.0.1", link.port), timeout=2) as client:
            client.sendall(ask_for_tls)
            if isinstance(answer, bytes):
                assert client.recv(1) == answer
            else:
                with pytest.raises(answer):
                    client.recv(1)
    link.heal()


class Receiver(ThreadingHTTPServer):
    """Takes every POST. told: their paths."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.told: list[str] = []


class Answer(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        self.server.told.append(self.path)
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


async def test_minio_tells_two_webhooks_and_kafka_of_one_object(
    minio_here: Path, kafka: KafkaCluster, receiver: Receiver, tmp_path: Path
) -> None:
    topic = "testbed-minio"
    await make_topic(kafka.bootstrap, 1, topic)
    url = f"http://127.0.0.1:{receiver.server_port}"
    variables = {
        **announcing(f"{url}/fast", "Bearer fast", name="FAST"),
        **announcing(f"{url}/durable", "Bearer durable", tmp_path / "queue", name="DURABLE"),
        **announcing_to_kafka(kafka.bootstrap, topic),
    }
    with running_minio(tmp_path / "minio", variables) as minio:
        minio.client.make_bucket("pics")
        minio.client.announce_to_all("pics", [("FAST", "webhook"), ("DURABLE", "webhook"), (KAFKA, "kafka")], "in/")
        minio.client.put("pics", b"in/a", b"a")
        [record] = await received(kafka.bootstrap, 1, topic)
        assert b"pics/in/a" in record
        await wait_until(lambda: receiver.told[1:], "both webhooks are told")
        assert sorted(receiver.told) == ["/durable", "/fast"]


def test_a_machine_that_cannot_have_a_server_is_told_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(CannotBuildError, match="Kafka needs mvn; on Debian and Ubuntu: apt install maven"):
        debian_packages("Kafka needs mvn", "maven")
