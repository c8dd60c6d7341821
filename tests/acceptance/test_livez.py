"""A component that has something to do and gets nothing done says so at /livez, and takes it back once it gets on."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from oscar_events.settings import KafkaSettings
from tests.acceptance.cluster import RunningComponent, running_cluster
from tests.acceptance.platform import COPY, until
from tests.testbed.minio import MinioServer

STALLING = (sys.executable, "-m", "tests.acceptance.stalling_build")


def not_live(component: RunningComponent) -> str:
    """Return why it should be started anew, empty if it should not."""
    status, text = component.ask("GET", "/livez")
    assert (status, text) == (200, "ok\n") or (status == 503 and text)
    return "" if status == 200 else str(text)


def test_consumer_scheduler_and_publisher_with_work_and_no_progress_are_not_live_until_they_get_on(
    tmp_path: Path,
    kafka_settings: KafkaSettings,
    ledger_url: str,
    minio: MinioServer,
    new_bucket: Callable[[str], str],
) -> None:
    bucket, checkout = new_bucket("stalled"), str(Path(__file__).parents[2])
    stalls = {name: tmp_path / "stalls" / name for name in ("ingest", "dispatcher")}
    with running_cluster(tmp_path / "data") as cluster:
        cluster.configure(kafka_settings, ledger_url, minio.endpoint)
        file = cluster.data / "config.yaml"
        document: dict[str, Any] = json.loads(file.read_text())
        document["reconcile"] = {"every": "1s", "min_age": "1s"}
        file.write_text(json.dumps(document))
        cluster.prepare()
        components: dict[str, RunningComponent] = {}
        for name, directory in stalls.items():
            directory.mkdir(parents=True)
            components[name] = cluster.start(name, STALLING, STALLS=str(directory), PYTHONPATH=checkout)
        applied = cluster.apply("copy", COPY, bucket)
        assert applied.returncode == 0, applied.stderr
        for component in components.values():
            component.await_ready()
            until(lambda component=component: not not_live(component), "it is live")  # type: ignore[misc]

        def stalls_and_gets_on(name: str, part: str, doing: str) -> None:
            component, key = components[name], f"{part}.txt"
            (stalls[name] / part).touch()
            minio.client.put(bucket, f"in/{key}".encode(), b"content")  # and the next listing finds it
            reason = f"{name}: {doing} made no progress for "
            until(lambda: not_live(component).startswith(reason), f"{part} is stalled; its log: {component.log}")
            assert component.ready()[0] == 503
            assert minio.client.get(bucket, f"out/{key}".encode()) is None
            (stalls[name] / part).unlink()
            until(lambda: not not_live(component), f"{part} gets on; its log: {component.log}")
            until(lambda: minio.client.get(bucket, f"out/{key}".encode()), f"the result; logs: {component.log}")

        stalls_and_gets_on("dispatcher", "consumer", "taking events in")
        stalls_and_gets_on("dispatcher", "scheduler", "starting runs")
        stalls_and_gets_on("ingest", "publisher", "publishing events")
        assert len(cluster.runs()) == 3
