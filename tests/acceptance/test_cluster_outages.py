"""While broker or database is away, /readyz of each component says so, and the log is not flooded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from oscar_events.settings import KafkaSettings, TopicSettings
from tests.acceptance.cluster import RunningComponent, running_cluster
from tests.acceptance.platform import DEADLINE_S, until
from tests.testbed.kafka import KafkaCluster, running_kafka
from tests.testbed.minio import MinioServer
from tests.testbed.postgres import PostgresServer, running_postgres
from tests.testbed.server import Server

# Of an outage in which a client tries again 40 times a second: what is said of it at first.
_LINES = 40


@pytest.fixture
def own_kafka(kafka_here: Path, tmp_path: Path) -> Iterator[KafkaCluster]:
    with running_kafka(tmp_path) as cluster:
        yield cluster


@pytest.fixture
def own_postgres(postgres_here: Path, tmp_path: Path) -> Iterator[PostgresServer]:
    with running_postgres(tmp_path / "postgres") as server:
        yield server


@pytest.fixture
def components(
    tmp_path: Path, own_kafka: KafkaCluster, own_postgres: PostgresServer, minio: MinioServer
) -> Iterator[tuple[RunningComponent, RunningComponent]]:
    settings = KafkaSettings(
        bootstrap_servers=own_kafka.bootstrap, topics=TopicSettings(partitions=4, durability="single")
    )
    with running_cluster(tmp_path / "data") as cluster:
        cluster.configure(settings, own_postgres.new_database(), minio.endpoint)
        cluster.prepare()
        ingest, dispatcher = cluster.start("ingest"), cluster.start("dispatcher")
        for one in (ingest, dispatcher):
            one.await_ready()
            assert '"level": "error"' not in one.log.read_text(), "a healthy start"
        yield ingest, dispatcher


def _is_well(component: RunningComponent) -> bool:
    status, answer = component.ready()
    return status == 200 and not answer["troubles"]


def _lines(component: RunningComponent) -> int:
    return len(component.log.read_text().splitlines())


@pytest.mark.parametrize("how", ["kill", "pause"])
def test_a_broker_that_is_away_is_what_components_are_not_ready_for_and_badly_sent_input_is_503(
    components: tuple[RunningComponent, RunningComponent], own_kafka: KafkaCluster, how: str
) -> None:
    broker: Server = own_kafka.brokers[0]
    before = [_lines(one) for one in components]
    getattr(broker, how)()
    ingest, dispatcher = components
    until(lambda: "asking the broker" in str(ingest.ready()[1]["reasons"]), "the ingest to say so")
    until(lambda: dispatcher.ready()[0] == 503, "the dispatcher to say so")
    assert any(doing in str(dispatcher.ready()[1]) for doing in ("looking for events", "polling for events"))
    assert [ingest.post(b'{"no": "event"}')[0] for _ in range(2)] == [503, 503]
    assert "input refused and quarantined" not in ingest.log.read_text()
    assert "Traceback" not in ingest.log.read_text() + dispatcher.log.read_text()
    written = [_lines(one) - earlier for one, earlier in zip(components, before, strict=True)]
    assert max(written) < _LINES, written
    assert [one.ask("GET", "/livez")[0] for one in components] == [200, 200]
    broker.resume() if how == "pause" else broker.start()
    for one in components:
        one.await_ready()
    assert ingest.post(b'{"no": "event"}')[0] == 202


@pytest.mark.parametrize("how", ["kill", "pause"])
def test_a_database_that_is_away_is_what_dispatchers_are_not_ready_for_and_a_trouble_of_ingests(
    components: tuple[RunningComponent, RunningComponent], own_postgres: PostgresServer, how: str
) -> None:
    before = [_lines(one) for one in components]
    getattr(own_postgres, how)()
    ingest, dispatcher = components
    until(lambda: dispatcher.ready()[0] == 503, "the dispatcher to say so", 2 * DEADLINE_S)
    until(lambda: "role of reconciler" in str(ingest.ready()[1]["troubles"]), "the ingest to say so", 2 * DEADLINE_S)
    assert ingest.ready()[0] == 200
    written = [_lines(one) - earlier for one, earlier in zip(components, before, strict=True)]
    assert max(written) < _LINES, written
    own_postgres.resume() if how == "pause" else own_postgres.start()
    until(lambda: all(_is_well(one) for one in components), "all is well again", 2 * DEADLINE_S)
