"""An older and a newer version side by side, in one group on one broker and database, while one replaces the other.

What holds: who runs goes on, whatever upgrades the tables meanwhile; who starts on a newer version's tables is refused;
versions that differ in no migration replace each other in both directions.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from oscar_events.settings import KafkaSettings
from tests.acceptance.cluster import Cluster, RunningComponent, running_cluster
from tests.acceptance.platform import COPY, until
from tests.acceptance.test_cluster import put
from tests.testbed.minio import MinioServer

NEWER = (sys.executable, "-m", "tests.acceptance.newer_build")
PER_STEP = 6
# What two cores run beside everything else: ten a second.
PACE_S = 0.1
# For what has piled up meanwhile, on a machine that others use too.
CAUGHT_UP_S = 180.0


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
            status, answer = ingests[number % len(ingests)].post(self._upload())
            assert (status, answer["accepted"]) == (202, 1)

    @contextlib.contextmanager
    def sending(self, *components: RunningComponent) -> Iterator[None]:
        """Upload all along the block; tell the ingests among these of each, by turns, until one acknowledges it."""
        ingests = [component for component in components if component.name == "ingest"]
        over = threading.Event()
        with ThreadPoolExecutor(1) as sender:
            sent = sender.submit(self._send, ingests, over)
            try:
                yield
            finally:
                over.set()
            sent.result()

    def more_is_sent(self) -> None:
        """Wait until some more are acknowledged."""
        before = len(self._sent)
        until(lambda: len(self._sent) > before + PER_STEP, "more is acknowledged")

    def _send(self, ingests: list[RunningComponent], over: threading.Event) -> None:
        turns = itertools.cycle(ingests)
        while not over.wait(PACE_S):
            body = self._upload()
            until(lambda body=body: _acknowledges(next(turns), body), "somebody acknowledges")  # type: ignore[misc]

    def _upload(self) -> bytes:
        """Put the next object; return what there is to tell of it."""
        name = f"{len(self._sent)}.txt"
        self._sent.append(name)
        return put(self._minio, self._bucket, f"in/{name}")

    def all_ran(self) -> None:
        """Wait until every upload so far has its result and its run has ended, and see that none has two."""

        def results() -> bool:
            keys = self._minio.client.keys(self._bucket)
            return {key for key in keys if key.startswith("out/")} == {f"out/{name}" for name in self._sent}

        def states() -> list[str]:
            asked = self.cluster.ask("runs", "--json", command=NEWER, **self.variables)
            assert asked.returncode == 0, asked.stderr
            return [run["state"] for run in json.loads(asked.stdout)]

        what = f"{len(self._sent)} results; logs: {[str(one.log) for one in self.cluster.running]}"
        until(results, what, CAUGHT_UP_S)
        until(lambda: set(states()) == {"succeeded"}, "the ends are written down")
        assert len(states()) == len(self._sent)

    def stop(self, *components: RunningComponent) -> None:
        assert [component.stop() for component in components] == [0] * len(components)

    def _ready(self, components: list[RunningComponent]) -> list[RunningComponent]:
        for component in components:
            component.await_ready()
        return components


def _acknowledges(ingest: RunningComponent, body: bytes) -> bool:
    """Tell one ingest; return whether it acknowledged. If it is gone by now, nobody knows: it is told elsewhere."""
    try:
        status, answer = ingest.post(body)
    except (OSError, http.client.HTTPException):
        return False
    assert status in {202, 503}, answer
    return status == 202


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
        file = cluster.data / "config.yaml"
        document: dict[str, Any] = json.loads(file.read_text())
        # What is acknowledged and lost stays lost here: no listing brings it back.
        document["reconcile"] = {"every": "1h", "min_age": "1h"}
        file.write_text(json.dumps(document))
        cluster.prepare()
        yield Scene(cluster, minio, new_bucket("versions"), request.param and tmp_path / "migrations")


@pytest.mark.parametrize("scene", [None], indirect=True)
def test_versions_replace_each_other_in_both_directions_while_events_arrive(scene: Scene) -> None:
    older = scene.older()
    with scene.sending(*older):
        newer = scene.newer()
    with scene.sending(*older, *newer):
        scene.more_is_sent()
        scene.stop(*older)
        scene.more_is_sent()
    scene.all_ran()
    with scene.sending(*newer):
        older = scene.older()
    with scene.sending(*older, *newer):
        scene.more_is_sent()
        scene.stop(*newer)
        scene.more_is_sent()
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
