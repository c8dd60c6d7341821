"""Components that sleep for a minute, while others take their work over: what they wake to does no harm.

Stopped by SIGSTOP are the dispatcher that schedules, with its workers and scripts, and the ingest that lists: for 60 s,
six times as long as the broker waits for a silent member, and seven times as long as a role outlives its holder.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from oscar_events.settings import KafkaSettings
from tests.acceptance.cluster import TOKEN, Cluster, RunningComponent, running_cluster
from tests.acceptance.platform import COPY, until
from tests.acceptance.test_cluster import put
from tests.acceptance.test_several_dispatchers import holds_the_role, metric
from tests.acceptance.test_several_ingests import lists
from tests.chaos.journal import PREAMBLE, Journal, of_executions, simultaneous
from tests.chaos.processes import children
from tests.testbed.minio import MinioServer
from tests.testbed.postgres import PostgresServer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it looks for workers and scripts in /proc")

# As issue 5 has it: so many uploads, one a second.
SLEEP_S = 60
# The first attempt of what is `held` lives until it is killed: for ten minutes, twenty lines a second.
HELD = 'case "$OSCAR_EVENTS_ATTEMPT $INPUT_FILE_PATH" in "1 "*held*) live 12000;; esac\n'
# Longer than everything else here together: what somebody asleep is asked is answered when it is awake.
_PATIENCE_S = 600.0
# Takeover, rebalance and what waited meanwhile, on a machine that others use too.
_CAUGHT_UP_S = 180.0


class Scene:
    """Two of each, one of each holding a role, and uploads that are told to one ingest, or found by listing only."""

    def __init__(
        self, cluster: Cluster, minio: MinioServer, bucket: str, journal: Path, sql: Callable[[str], str]
    ) -> None:
        self._cluster, self._minio, self._bucket, self._sql = cluster, minio, bucket, sql
        self.journal = Journal(journal)
        self._uploaded: list[str] = []
        ingests = [cluster.start("ingest"), cluster.start("ingest")]
        dispatchers = [cluster.start("dispatcher"), cluster.start("dispatcher")]
        script = f"JOURNAL={journal}\n{PREAMBLE}{HELD}{COPY}\nsay end\n"
        applied = cluster.apply("held", script, bucket, retry={"backoff": 0.1})
        assert applied.returncode == 0, applied.stderr
        for component in cluster.running:
            component.await_ready()
        self.scheduler = until(lambda: next(filter(holds_the_role, dispatchers), None), "one schedules")
        self.reconciler = until(lambda: next(filter(lists, ingests), None), "one lists")
        self.standby = next(one for one in dispatchers if one is not self.scheduler)
        self.ingest = next(one for one in ingests if one is not self.reconciler)

    def upload(self, name: str, told: RunningComponent | None) -> bytes:
        """Put an object and tell one ingest, or nobody; return what there is to tell."""
        self._uploaded.append(name)
        body = put(self._minio, self._bucket, f"in/{name}", name.encode())
        if told is not None:
            status, answer = told.post(body)
            assert (status, answer["accepted"]) == (202, 1)
        return body

    def roles(self) -> dict[str, tuple[str, int]]:
        """Return holder and epoch of each role."""
        rows = (row.split("|") for row in self._sql("SELECT name, holder, epoch FROM roles").splitlines())
        return {name: (holder, int(epoch)) for name, holder, epoch in rows}

    def all_ran(self) -> None:
        """Wait until every upload so far has its result, and its run has ended."""
        wanted = {f"out/{name}" for name in self._uploaded}
        logs = [str(one.log) for one in self._cluster.running]
        until(lambda: wanted <= set(self._minio.client.keys(self._bucket)), f"the results; logs: {logs}", _CAUGHT_UP_S)
        live = "SELECT count(*) FROM executions WHERE ended_at IS NULL"
        until(lambda: self._sql(live).strip() == "0", f"all runs end; logs: {logs}", _CAUGHT_UP_S)

    def each_ran_once(self) -> None:
        """See that every upload has one execution; one attempt of it succeeded, one script got to its end."""
        found = [row.split("|") for row in self._sql("SELECT subject, state FROM executions").splitlines()]
        assert sorted(found) == sorted([f"in/{name}", "succeeded"] for name in self._uploaded)
        succeeded = "SELECT count(*) FROM attempts WHERE outcome = 'succeeded' GROUP BY execution_id"
        assert self._sql(succeeded).split() == ["1"] * len(self._uploaded)
        scripts = self.journal.scripts()
        assert simultaneous(scripts) == []
        ended = [sum(script.has_ended for script in each) for each in of_executions(scripts).values()]
        assert ended == [1] * len(self._uploaded)
        results = {name: self._minio.client.get(self._bucket, f"out/{name}".encode()) for name in self._uploaded}
        assert all(result is not None and result.body == name.encode() for name, result in results.items())


@pytest.fixture
def scene(
    tmp_path: Path,
    kafka_settings: KafkaSettings,
    ledger_url: str,
    minio: MinioServer,
    postgres: PostgresServer,
    new_bucket: Callable[[str], str],
) -> Iterator[Scene]:
    database = ledger_url.rpartition("/")[2]
    with running_cluster(tmp_path / "data") as cluster:
        cluster.configure(kafka_settings, ledger_url, minio.endpoint)
        file = cluster.data / "config.yaml"
        document: dict[str, Any] = json.loads(file.read_text())
        document["reconcile"] = {"every": "1s", "min_age": "1s"}
        file.write_text(json.dumps(document))
        cluster.prepare()
        yield Scene(
            cluster, minio, new_bucket("zombies"), tmp_path / "journal", lambda sql: postgres.execute(sql, database)
        )


@contextlib.contextmanager
def asleep(*components: RunningComponent) -> Iterator[None]:
    """Stop components and every process they started in the block; what still exists goes on afterwards."""
    stopped: list[int] = []

    def stop(pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):  # a script's `sleep` is over soon
            os.kill(pid, signal.SIGSTOP)
            stopped.append(pid)
        for child in children(pid):
            stop(child)

    try:
        for component in components:
            stop(component.process.pid)
        yield
    finally:
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def lost(component: RunningComponent, role: str) -> list[int]:
    """Return the epochs after which it says that it lost a role."""
    lines = [line for line in component.log.read_text().splitlines() if "a role was lost" in line]
    return [line["epoch"] for line in map(json.loads, lines) if line["role"] == role]


def answer_of(component: RunningComponent, body: bytes) -> int:
    """Tell an ingest, however long it takes; return the status."""
    connection = http.client.HTTPConnection("127.0.0.1", component.port, timeout=_PATIENCE_S)
    with contextlib.closing(connection):
        connection.request("POST", "/ingest/test", body, {"Authorization": f"Bearer {TOKEN}"})
        return connection.getresponse().status


def test_a_scheduler_and_a_reconciler_that_slept_for_a_minute_wake_to_nothing_that_counts(scene: Scene) -> None:
    never = threading.Event()
    slept, awake = (scene.scheduler, scene.reconciler), (scene.standby, scene.ingest)
    for name in ("held-1", "held-2"):
        scene.upload(name, scene.ingest)
    until(lambda: len(scene.journal.open()) == 2, "two scripts live")
    before = scene.roles()
    late: list[Future[int]] = []
    with ThreadPoolExecutor(1) as patient:
        with asleep(*slept):
            for number in range(SLEEP_S):
                is_told = number % 3  # every third is left to the listing, so to whoever took its role over
                body = scene.upload(f"{number}.txt", scene.ingest if is_told else None)
                if number == 0:
                    late.append(patient.submit(answer_of, scene.reconciler, body))
                never.wait(1)  # no wait for anything: to sleep for so long is what is tried here
            scene.all_ran()
            assert holds_the_role(scene.standby)
            assert lists(scene.ingest)
            meanwhile = scene.roles()
            assert all(meanwhile[role][1] > before[role][1] for role in ("scheduler", "reconciler"))
            assert not late[0].done()
        until(lambda: lost(scene.scheduler, "scheduler"), "the dispatcher knows that it lost its role")
        until(lambda: lost(scene.reconciler, "reconciler"), "the ingest knows that it lost its role")
        assert late[0].result() == 202, "what waited for the ingest is taken"
    assert lost(scene.scheduler, "scheduler") == [before["scheduler"][1]]
    assert lost(scene.reconciler, "reconciler") == [before["reconciler"][1]]
    for component in slept:
        component.await_ready()
        assert component.ask("GET", "/livez")[0] == 200
    assert scene.roles() == meanwhile, "those who woke stand by"
    assert not any((holds_the_role(scene.scheduler), lists(scene.reconciler)))

    taken = metric(scene.scheduler, "consumed_total")
    names = iter(f"after-{number}.txt" for number in range(1000))

    def takes_events_in() -> bool:
        scene.upload(next(names), scene.reconciler)
        scene.all_ran()
        return metric(scene.scheduler, "consumed_total") > taken

    until(takes_events_in, "the dispatcher that slept has partitions again; the ingest that slept publishes")
    assert [component.stop() for component in awake] == [0, 0]
    scene.upload("last-told.txt", scene.reconciler)
    scene.upload("last-listed.txt", None)
    scene.all_ran()
    after = scene.roles()
    assert all(after[role][1] > meanwhile[role][1] for role in ("scheduler", "reconciler")), "under epochs of their own"
    scene.each_ran_once()
