"""Several ingests: one of them lists, and when it is killed another does."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from oscar_events.settings import KafkaSettings
from tests.acceptance.cluster import Cluster, RunningComponent, running_cluster
from tests.acceptance.platform import COPY, until
from tests.testbed.minio import MinioServer


@pytest.fixture
def listing(tmp_path: Path, kafka_settings: KafkaSettings, ledger_url: str, minio: MinioServer) -> Iterator[Cluster]:
    """A cluster that lists every second a store that tells it nothing."""
    with running_cluster(tmp_path / "data") as cluster:
        cluster.configure(kafka_settings, ledger_url, minio.endpoint)
        file = cluster.data / "config.yaml"
        document: dict[str, Any] = json.loads(file.read_text())
        document["reconcile"] = {"every": "1s", "min_age": "1s"}
        file.write_text(json.dumps(document))
        cluster.prepare()
        yield cluster


def measured(component: RunningComponent, name: str) -> float:
    """Return what a component's metric says at the moment."""
    found = re.search(rf"^oscar_events_{re.escape(name)} (\S+)$", component.ask("GET", "/metrics")[1], re.MULTILINE)
    return float(found[1]) if found else 0.0


def lists(component: RunningComponent) -> bool:
    return measured(component, 'role_held{role="reconciler"}') == 1


def test_one_of_two_ingests_lists_and_the_other_when_it_is_killed(
    listing: Cluster, minio: MinioServer, new_bucket: Callable[[str], str]
) -> None:
    bucket = new_bucket("listed")
    ingests = [listing.start("ingest"), listing.start("ingest")]
    listing.start("dispatcher").await_ready()
    done = listing.apply("copy", COPY, bucket)
    assert done.returncode == 0, done.stderr
    for ingest in ingests:
        ingest.await_ready()

    def arrive(*names: str) -> None:
        for name in names:
            minio.client.put(bucket, f"in/{name}".encode(), b"content")
        until(
            lambda: {f"out/{name}" for name in names} <= set(minio.client.keys(bucket)),
            f"the results of {names}; logs: {[str(one.log) for one in listing.running]}",
        )

    arrive("a", "b", "c")
    (holder,) = [ingest for ingest in ingests if lists(ingest)]
    (standby,) = [ingest for ingest in ingests if ingest is not holder]
    assert measured(holder, "published_total") == 3
    assert measured(standby, "published_total") == 0

    holder.process.send_signal(signal.SIGKILL)
    holder.process.wait()
    arrive("d", "e")
    assert lists(standby)
    assert measured(standby, "published_total") == 2
    assert len(listing.runs()) == 5
