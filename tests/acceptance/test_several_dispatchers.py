"""Two dispatchers on one host: one schedules, the other is there within seconds, and nobody who slept does any harm."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from oscar_events.settings import KafkaSettings
from tests.acceptance.cluster import Cluster, RunningComponent, running_cluster
from tests.acceptance.platform import COPY, until
from tests.acceptance.test_cluster import notification, upload
from tests.testbed.minio import MinioServer

# The first attempt takes longer than any takeover, so that it never ends by itself; each says twenty times a second
# that it lives.
LIVE = """\
steps=600; [ "$OSCAR_EVENTS_ATTEMPT" = 1 ] || steps=20
while [ $steps -gt 0 ]; do echo "$OSCAR_EVENTS_ATTEMPT" >>{journal}; steps=$((steps - 1)); sleep 0.05; done
"""


@pytest.fixture
def cluster(tmp_path: Path, kafka_settings: KafkaSettings, ledger_url: str, minio: MinioServer) -> Iterator[Cluster]:
    with running_cluster(tmp_path / "data") as found:
        found.configure(kafka_settings, ledger_url, minio.endpoint)
        found.prepare()
        yield found


class Scene:
    """Two dispatchers, and a run whose script lives in the one that schedules."""

    def __init__(self, cluster: Cluster, minio: MinioServer, bucket: str, journal: Path) -> None:
        self._cluster, self._minio, self._bucket, self._journal = cluster, minio, bucket, journal
        ingest = cluster.start("ingest")
        self.dispatchers = [cluster.start("dispatcher"), cluster.start("dispatcher")]
        script = LIVE.format(journal=journal) + COPY
        applied = cluster.apply("live", script, bucket, retry={"backoff": 0.1})
        assert applied.returncode == 0, applied.stderr
        for component in (ingest, *self.dispatchers):
            component.await_ready()
        self.scheduler = until(lambda: next(filter(holds_the_role, self.dispatchers), None), "one schedules")
        self.standby = next(one for one in self.dispatchers if one is not self.scheduler)
        upload(cluster, minio, bucket, "in/a.txt")
        until(self.lives, "the script lives")

    def lives(self) -> list[str]:
        """Return the attempts that said so, in that order."""
        return self._journal.read_text().split() if self._journal.exists() else []

    def ends_right(self) -> None:
        """Wait for the run's end, and see that it was started twice, and never twice at a time."""
        until(lambda: self._cluster.runs()[0]["state"] == "succeeded", f"the run succeeds; {self._logs()}")
        assert self._cluster.runs()[0]["attempt"] == 2
        result = self._minio.client.get(self._bucket, b"out/a.txt")
        assert result is not None
        assert result.body == b"content"
        lives = self.lives()
        assert sorted(set(lives)) == ["1", "2"]
        assert lives == sorted(lives), "an earlier attempt lived beside a later one"
        assert lives.count("2") == 20

    def _logs(self) -> str:
        return f"logs: {[str(one.log) for one in self.dispatchers]}"


@pytest.fixture
def scene(cluster: Cluster, minio: MinioServer, new_bucket: Callable[[str], str], tmp_path: Path) -> Scene:
    return Scene(cluster, minio, new_bucket("several"), tmp_path / "journal")


def metric(component: RunningComponent, name: str) -> float:
    """Return a sample of /metrics, 0 if there is none."""
    found = re.search(rf"^oscar_events_{re.escape(name)} (\S+)$", component.ask("GET", "/metrics")[1], re.MULTILINE)
    return float(found[1]) if found else 0.0


def holds_the_role(component: RunningComponent) -> bool:
    return metric(component, 'role_held{role="scheduler"}') == 1


def test_a_standby_takes_over_from_a_scheduler_that_was_killed_and_its_script_is_dead_by_then(scene: Scene) -> None:
    scene.scheduler.process.kill()
    until(lambda: holds_the_role(scene.standby), "the standby schedules")
    scene.ends_right()


def test_a_scheduler_that_slept_is_fenced_and_stands_by_from_then_on(scene: Scene) -> None:
    """Its worker and script do not sleep: they live until they are fenced."""
    os.kill(scene.scheduler.process.pid, signal.SIGSTOP)
    try:
        until(lambda: holds_the_role(scene.standby), "the standby schedules")
        until(lambda: "2" in scene.lives(), "the script is started again")
    finally:
        os.kill(scene.scheduler.process.pid, signal.SIGCONT)
    until(lambda: not holds_the_role(scene.scheduler), "it knows that it lost the role")
    scene.ends_right()
    assert scene.scheduler.ask("GET", "/livez")[0] == 200
    assert scene.scheduler.ready()[0] == 200, "to stand by is to be ready"
    assert holds_the_role(scene.standby)


def test_a_scheduler_that_is_stopped_lets_its_standby_begin_at_once(scene: Scene) -> None:
    """Two signals: its script is cut off."""
    scene.scheduler.process.send_signal(signal.SIGTERM)
    until(lambda: scene.scheduler.ready()[0] == 503, "it says that it stops")
    assert scene.scheduler.stop() == 0
    until(lambda: holds_the_role(scene.standby), "the standby schedules")
    scene.ends_right()


def test_two_dispatchers_share_the_events(cluster: Cluster) -> None:
    ingest, *dispatchers = (cluster.start(name) for name in ("ingest", "dispatcher", "dispatcher"))
    for component in (ingest, *dispatchers):
        component.await_ready()
    sent = 0

    def each_has_some() -> bool:
        nonlocal sent
        status, _ = ingest.post(notification("nobody", f"in/{sent}.txt", f"{sent:032x}", 1))
        assert status == 202
        sent += 1
        return all(metric(one, "consumed_total") for one in dispatchers)

    until(each_has_some, "both take events in")
    until(lambda: sum(metric(one, "consumed_total") for one in dispatchers) >= sent, "all are taken in")
    until(lambda: metric(dispatchers[0], "lag") == 0, "nothing is left")
