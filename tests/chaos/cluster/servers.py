"""The servers of one installation: all its own, as they are killed.

In:  a directory, how many brokers, whether its links can be cut. Out: running servers, and where components find them.
Not here: the platform on them (installation.py).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.cluster.notifier import DURABLE, FAST, Notifier
from tests.chaos.cluster.troubles import Victim
from tests.testbed.kafka import RUNS_FAST, STARTS_FAST, KafkaCluster, running_kafka
from tests.testbed.minio import MinioServer, announcing
from tests.testbed.postgres import PostgresServer, running_postgres
from tests.testbed.toxiproxy import Link, running_toxiproxy

TOKEN = "the-token-of-chaos-0123456789"
PREFIX = "chaos."


@dataclass(frozen=True, slots=True)
class Servers:
    """What the components use, and where they find it. ledger: the URL; database: its name. links: what can be cut."""

    kafka: KafkaCluster
    postgres: PostgresServer
    minio: MinioServer
    notifier: Notifier
    broker: str
    ledger: str
    store: str
    prefix: str = PREFIX
    links: Mapping[Victim, Sequence[Link]] = field(default_factory=dict)

    @property
    def database(self) -> str:
        return self.ledger.rpartition("/")[2]


@contextlib.contextmanager
def running_store(directory: Path, seed: int) -> Iterator[tuple[MinioServer, Notifier]]:
    """Start a store that tells everything on both roads, and what stands between it and the ingests."""
    with Notifier([], seed).running() as notifier:
        token = f"Bearer {TOKEN}"
        variables = {
            **announcing(notifier.url(FAST), token, name=FAST),
            **announcing(notifier.url(DURABLE), token, directory / "queue", name=DURABLE),
        }
        minio = MinioServer(directory / "minio", variables)
        try:
            minio.start()
            yield minio, notifier
        finally:
            minio.stop()


@contextlib.contextmanager
def running_servers(directory: Path, seed: int) -> Iterator[Servers]:
    """Start one broker, one database and one store, without links."""
    with (
        running_kafka(directory, jvm=STARTS_FAST) as kafka,
        running_postgres(directory / "postgres") as postgres,
        running_store(directory, seed) as (minio, notifier),
    ):
        yield Servers(kafka, postgres, minio, notifier, kafka.bootstrap, postgres.new_database(), minio.endpoint)


@contextlib.contextmanager
def running_linked_servers(directory: Path, seed: int) -> Iterator[Servers]:
    """Start three brokers, one database and one store, each at the end of a link."""
    with (
        running_toxiproxy(directory / "toxiproxy") as proxy,
        running_kafka(directory, 3, proxied=True, jvm=RUNS_FAST) as kafka,
        running_postgres(directory / "postgres") as postgres,
        running_store(directory, seed) as (minio, notifier),
    ):
        ports = [(broker.ports.behind, broker.ports.proxied) for broker in kafka.brokers]
        to_brokers = [proxy.link(f"broker{number}", behind or 0, at) for number, (behind, at) in enumerate(ports)]
        to_database, to_store = proxy.link("database", postgres.port), proxy.link("store", minio.port)
        yield Servers(
            kafka,
            postgres,
            minio,
            notifier,
            broker=kafka.proxied_bootstrap,
            ledger=postgres.new_database().replace(f":{postgres.port}/", f":{to_database.port}/"),
            store=f"http://{to_store.address}",
            links={Victim.BROKER: to_brokers, Victim.DATABASE: [to_database], Victim.STORE: [to_store]},
        )
