"""The servers as fixtures; tests/conftest.py makes them known to every test.

In:  pytest. Out: one server of each kind per session, started by the first test that asks; in it what a test has for
itself: a bucket, a database, a prefix of topics.
Not here: servers that a test kills or configures (it starts its own: `running_kafka`, `running_postgres` ...).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import TypeVar

import pytest

from oscar_events.settings import KafkaSettings, TopicSettings
from tests.testbed.builds import CannotBuildError
from tests.testbed.certificates import need_openssl
from tests.testbed.kafka import KafkaCluster, running_kafka
from tests.testbed.kafka_build import kafka_jars
from tests.testbed.minio import MinioServer, running_minio
from tests.testbed.minio_build import minio_binary
from tests.testbed.minio_listening import ListeningMinio, listening_binary, running_listening_minio
from tests.testbed.postgres import PostgresServer, running_postgres
from tests.testbed.postgres_build import postgres_binaries
from tests.testbed.toxiproxy import ToxiproxyServer, running_toxiproxy
from tests.testbed.toxiproxy_build import toxiproxy_binary

T = TypeVar("T")

# As many as show that a key keeps its own; each costs the broker a directory.
_PARTITIONS = 4
_PREFIXES = count(1)


def _need(build: Callable[[], T]) -> T:
    """Return what is built; skip the test with the reason if this machine cannot, or fail where CI has to."""
    try:
        return build()
    except CannotBuildError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def minio_here() -> Path:
    return _need(minio_binary)


@pytest.fixture(scope="session")
def openssl_here() -> None:
    _need(need_openssl)


@pytest.fixture(scope="session")
def kafka_here(openssl_here: None) -> Path:
    return _need(kafka_jars)


@pytest.fixture(scope="session")
def postgres_here() -> Path:
    return _need(postgres_binaries)


@pytest.fixture(scope="session")
def toxiproxy_here() -> Path:
    return _need(toxiproxy_binary)


@pytest.fixture(scope="session")
def minio(minio_here: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MinioServer]:
    with running_minio(tmp_path_factory.mktemp("minio")) as server:
        yield server


@pytest.fixture(scope="session")
def listening_minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ListeningMinio]:
    _need(listening_binary)
    with running_listening_minio(tmp_path_factory.mktemp("listening-minio")) as server:
        yield server


@pytest.fixture
def own_minio(listening_minio: ListeningMinio, tmp_path: Path) -> Iterator[ListeningMinio]:
    """Return one that a test may kill."""
    del listening_minio  # it shows that there can be one
    server = ListeningMinio(tmp_path / "minio")
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def new_bucket(minio: MinioServer) -> Callable[[str], str]:
    """Return what makes a bucket nobody else has: word -> its name."""
    numbers = count(1)

    def make(word: str) -> str:
        bucket = f"{word}-{next(numbers)}"
        minio.client.make_bucket(bucket)
        return bucket

    return make


@pytest.fixture(scope="session")
def kafka(kafka_here: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """Return one broker, with and without SASL_SSL."""
    with running_kafka(tmp_path_factory.mktemp("kafka"), secure=True) as cluster:
        yield cluster


@pytest.fixture
def kafka_settings(kafka: KafkaCluster) -> KafkaSettings:
    """Return the broker with a prefix of its own; its topics are not there yet."""
    return KafkaSettings(
        bootstrap_servers=kafka.bootstrap,
        topic_prefix=f"test{next(_PREFIXES)}.",
        topics=TopicSettings(partitions=_PARTITIONS, durability="single"),
    )


@pytest.fixture(scope="session")
def postgres(postgres_here: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with running_postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture
def ledger_url(postgres: PostgresServer) -> str:
    """Return the URL of an empty database."""
    return postgres.new_database()


@pytest.fixture(scope="session")
def toxiproxy(toxiproxy_here: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToxiproxyServer]:
    with running_toxiproxy(tmp_path_factory.mktemp("toxiproxy")) as server:
        yield server
