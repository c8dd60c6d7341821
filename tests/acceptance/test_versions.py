"""An older and a newer version side by side, in one group on one broker and database, while one replaces the other.

What holds: who runs goes on, whatever upgrades the tables meanwhile; who starts on a newer version's tables is refused;
versions that differ in no migration replace each other in both directions.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from oscar_events.settings import KafkaSettings
from tests.acceptance.cluster import Cluster, RunningComponent, running_cluster
from tests.acceptance.platform import COPY, until
from tests.acceptance.test_cluster import notification
from tests.testbed.minio import MinioServer

NEWER = (sys.executable, "-m", "tests.acceptance.newer_build")
PER_STEP = 6


class Scene:
    """A cluster in which events go on arriving while its components are replaced."""

    def __init__(self, cluster: Cluster, minio: MinioServer, bucket: str, migrations: Path | None) -> None:
        self.cluster, self._minio, self._bucket = cluster, minio, bucket
        self.variables = {"PYTHONPATH": str(Path(__file__).parents[2])}
        if migrations is not None:
            migrations.mkdir()
            self.variables["NEWER_MIGRATIONS"] = str(migrations)
        self._sent: list[str] = []
        applied = cluster.apply("copy", COPY, bucket)
        assert applied.returncode == 0, applied.stderr

    def older(self) -> list[RunningComponent]:
        return self._ready([self.cluster.start(name) for name in ("ingest", "dispatcher")])

    def newer(self) -> list[RunningComponent]:
        names = ("ingest", "dispatcher")
        return self._ready([self.cluster.start(name, command=NEWER, **self.variables) for name in names])

    def send(self, *components: RunningComponent) -> None:
        """Upload some, tell the ingests among these of them by turns."""
        ingests = [component for component in components if component.name == "ingest"]
        for number in range(PER_STEP):
            name = f"{len(self._sent)}.txt"
            etag = self._minio.client.put(self._bucket, f"in/{name}".encode(), b"content").etag
            body = notification(self._bucket, f"in/{name}", etag, 7)
            status, answer = ingests[number % len(ingests)].post(body)
            assert (status, answer["accepted"]) == (202, 1)
            self._sent.append(name)

    def all_ran(self) -> None:
        """Wait until every upload so far has its result, and see that none ran twice."""

        def results() -> bool:
            keys = self._minio.client.keys(self._bucket)
            return {key for key in keys if key.startswith("out/")} == {f"out/{name}" for name in self._sent}

        until(results, f"{len(self._sent)} results; logs: {[str(one.log) for one in self.cluster.running]}")
        asked = self.cluster.ask("runs", "--json", command=NEWER, **self.variables)
        assert len(json.loads(asked.stdout)) == len(self._sent), asked.stderr

    def stop(self, *components: RunningComponent) -> None:
        assert [component.stop() for component in components] == [0] * len(components)

    def _ready(self, components: list[RunningComponent]) -> list[RunningComponent]:
        for component in components:
            component.await_ready()
        return components


@pytest.fixture
def scene(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    kafka_settings: KafkaSettings,
    ledger_url: str,
    minio: MinioServer,
    new_bucket: Callable[[str], str],
) -> Iterator[Scene]:
    with running_cluster(tmp_path / "data") as cluster:
        cluster.configure(kafka_settings, ledger_url, minio.endpoint)
        cluster.prepare()
        yield Scene(cluster, minio, new_bucket("versions"), request.param and tmp_path / "migrations")


@pytest.mark.parametrize("scene", [None], indirect=True)
def test_versions_replace_each_other_in_both_directions_while_events_arrive(scene: Scene) -> None:
    older = scene.older()
    scene.send(*older)
    newer = scene.newer()
    scene.send(*older, *newer)
    scene.stop(*older)
    scene.send(*newer)
    scene.all_ran()
    older = scene.older()
    scene.send(*older, *newer)
    scene.stop(*newer)
    scene.send(*older)
    scene.all_ran()


@pytest.mark.parametrize("scene", [True], indirect=True)
def test_who_runs_goes_on_when_the_tables_are_upgraded_and_who_starts_is_refused(scene: Scene) -> None:
    older = scene.older()
    scene.send(*older)
    too_early = scene.cluster.start("dispatcher", command=NEWER, **scene.variables)
    assert too_early.process.wait(60) == 2
    assert "oscar-events ledger upgrade" in too_early.log.read_text()
    upgraded = scene.cluster.ask("ledger", "upgrade", command=NEWER, **scene.variables)
    assert upgraded.returncode == 0, upgraded.stderr
    scene.send(*older)
    newer = scene.newer()
    scene.send(*older, *newer)
    for name in ("ingest", "dispatcher"):
        refused = scene.cluster.start(name)
        assert refused.process.wait(60) == 2
        assert "newer" in refused.log.read_text()
    scene.stop(*older)
    scene.send(*newer)
    scene.all_ran()
    assert scene.cluster.ask("runs").returncode == 2
