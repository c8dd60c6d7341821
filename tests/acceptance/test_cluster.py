"""A cluster as its operators have it: components of which any number run, one file, variables, documented ends."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from oscar_events.settings import KafkaSettings
from tests.acceptance.cluster import TOKEN, Cluster, RunningComponent, running_cluster
from tests.acceptance.platform import COPY, oscar_events, until
from tests.testbed.minio import MinioServer
from tests.testbed.postgres import PostgresServer


@pytest.fixture
def cluster(tmp_path: Path, kafka_settings: KafkaSettings, ledger_url: str, minio: MinioServer) -> Iterator[Cluster]:
    with running_cluster(tmp_path / "data") as found:
        found.configure(kafka_settings, ledger_url, minio.endpoint)
        yield found


@pytest.fixture
def prepared(cluster: Cluster) -> Cluster:
    cluster.prepare()
    return cluster


def notification(bucket: str, key: str, etag: str, size: int, modified: datetime | None = None) -> bytes:
    """Return what MinIO would send of an object that was put. modified: as a listing tells it, where there is one."""
    nanoseconds = time.time_ns() if modified is None else round(modified.timestamp() * 1000) * 10**6
    record = {
        "eventVersion": "2.0",
        "eventSource": "minio:s3",
        "eventName": "s3:ObjectCreated:Put",
        "eventTime": (modified or datetime.now(UTC)).isoformat().replace("+00:00", "Z"),
        "s3": {
            "bucket": {"name": bucket},
            "object": {"key": key.replace("/", "%2F"), "size": size, "eTag": etag, "sequencer": f"{nanoseconds:016X}"},
        },
    }
    return json.dumps({"EventName": "s3:ObjectCreated:Put", "Key": f"{bucket}/{key}", "Records": [record]}).encode()


def put(minio: MinioServer, bucket: str, key: str, content: bytes = b"content") -> bytes:
    """Put an object; return what MinIO would send of it: to a listing the same event, however late that comes."""
    now = datetime.now(UTC)
    modified = now.replace(microsecond=now.microsecond // 1000 * 1000)
    etag = minio.client.put(bucket, key.encode(), content, modified).etag
    return notification(bucket, key, etag, len(content), modified)


def upload(cluster: Cluster, minio: MinioServer, bucket: str, key: str, ingest: int = 0) -> None:
    """Put an object, and tell one ingest of it."""
    status, answer = cluster.running[ingest].post(put(minio, bucket, key))
    assert (status, answer["accepted"]) == (202, 1)


def begun_request(ingest: RunningComponent, body: bytes) -> socket.socket:
    """Send a notification's head; return the connection once the ingest has asked for the body, which is to come."""
    connection = socket.create_connection(("127.0.0.1", ingest.port), 60)
    head = ("POST /ingest/test HTTP/1.1", "Host: ingest", f"Authorization: Bearer {TOKEN}", "Expect: 100-continue")
    connection.sendall("\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode())
    asked = b""
    while not asked.endswith(b"\r\n\r\n"):
        asked += (received := connection.recv(1))
        assert received, "it hung up"
    assert asked.split()[1] == b"100", asked
    return connection


def test_an_upload_runs_once_with_two_of_each_and_commands_tell_of_it(
    prepared: Cluster, minio: MinioServer, new_bucket: Callable[[str], str]
) -> None:
    bucket = new_bucket("cluster")
    components = [prepared.start(name) for name in ("ingest", "ingest", "dispatcher", "dispatcher")]
    applied = prepared.apply("copy", f"echo copied; {COPY}", bucket)
    assert applied.returncode == 0, applied.stderr
    for component in components:
        component.await_ready()
    for number in range(8):
        upload(prepared, minio, bucket, f"in/{number}.txt", ingest=number % 2)
    # The same again, by the other road: nothing.
    body = put(minio, bucket, "in/twice.txt")
    assert [component.post(body)[0] for component in components[:2]] == [202, 202]
    wanted = sorted(f"out/{name}.txt" for name in [*map(str, range(8)), "twice"])
    until(
        lambda: [key for key in minio.client.keys(bucket) if key.startswith("out/")] == wanted,
        f"all results; logs: {[str(one.log) for one in components]}",
    )

    def succeeded() -> list[dict[str, Any]]:
        return [run for run in prepared.runs() if run["state"] == "succeeded"]

    until(lambda: len(succeeded()) == 9, "all runs have succeeded")
    runs = prepared.runs()
    assert len(runs) == 9
    assert prepared.ask("logs", runs[0]["id"]).stdout == "copied\n"
    assert [one["name"] for one in json.loads(prepared.ask("services", "--json").stdout)] == ["copy"]
    assert "succeeded" in prepared.ask("why", f"{bucket}/in/3.txt").stdout
    assert len(json.loads(prepared.ask("events", "--json").stdout)) >= 9
    assert json.loads(prepared.ask("deadletters", "--json").stdout) == []
    looked = prepared.ask("doctor")
    assert looked.returncode == 0, looked.stdout
    assert "scheduler: " in looked.stdout
    assert components[0].ask("GET", "/livez")[0] == 200
    assert "oscar_events_published_total" in components[0].ask("GET", "/metrics")[1]
    assert [component.stop() for component in components] == [0, 0, 0, 0]


def test_a_dispatcher_lets_its_script_finish_and_a_second_signal_does_not(
    prepared: Cluster, minio: MinioServer, new_bucket: Callable[[str], str], tmp_path: Path
) -> None:
    bucket, begun, go_on = new_bucket("drained"), tmp_path / "begun", tmp_path / "go-on"
    ingest, dispatcher = prepared.start("ingest"), prepared.start("dispatcher")
    script = f"touch {begun}; while [ ! -e {go_on} ]; do sleep 0.05; done; {COPY}"
    assert prepared.apply("slow", script, bucket).returncode == 0
    ingest.await_ready()
    upload(prepared, minio, bucket, "in/a.txt")
    until(begun.exists, "the script runs")
    [running] = prepared.runs()
    too_early = prepared.ask("logs", running["id"])
    assert (too_early.returncode, too_early.stdout) == (5, "")
    assert "on a cluster what it printed is kept at its end" in too_early.stderr
    dispatcher.process.send_signal(signal.SIGTERM)
    until(lambda: dispatcher.ready()[0] == 503, "it says that it stops")
    assert dispatcher.ready()[1]["reasons"] == {"dispatcher": "it is stopping"}
    go_on.touch()
    assert dispatcher.process.wait(60) == 0
    assert prepared.runs()[0]["state"] == "succeeded"

    begun.unlink()
    go_on.unlink()
    second = prepared.start("dispatcher", OSCAR_EVENTS_DISPATCHER__DRAIN="1h")
    upload(prepared, minio, bucket, "in/b.txt")
    until(begun.exists, "the script of the second file runs")
    second.process.send_signal(signal.SIGTERM)
    until(lambda: second.ready()[0] == 503, "it says that it stops")
    assert second.stop() == 0
    go_on.touch()
    prepared.start("dispatcher").await_ready()
    until(lambda: minio.client.get(bucket, b"out/b.txt"), "what was cut off ran again")


def test_an_ingest_that_stops_answers_what_is_under_way_refuses_the_rest_and_loses_nothing_it_acknowledged(
    prepared: Cluster, minio: MinioServer, new_bucket: Callable[[str], str]
) -> None:
    bucket = new_bucket("stopping")
    ingest, dispatcher = prepared.start("ingest"), prepared.start("dispatcher")
    assert prepared.apply("copy", COPY, bucket).returncode == 0
    for component in (ingest, dispatcher):
        component.await_ready()

    bodies = [put(minio, bucket, f"in/{number}.txt") for number in range(8)]
    under_way = [begun_request(ingest, body) for body in bodies]
    ingest.process.send_signal(signal.SIGTERM)
    until(lambda: ingest.ready()[0] == 503, "it says that it stops")
    status, answer = ingest.post(put(minio, bucket, "in/refused.txt"))
    assert (status, answer["error"]) == (503, "the platform is stopping; send it again")
    for connection, rest in zip(under_way, bodies, strict=True):
        connection.sendall(rest)
    for connection in under_way:
        with connection, connection.makefile("rb") as answered:
            assert answered.readline().split()[1] == b"202"
    assert ingest.process.wait(60) == 0
    wanted = [f"out/{number}.txt" for number in range(8)]
    until(lambda: [key for key in minio.client.keys(bucket) if key.startswith("out/")] == wanted, "all results")
    until(lambda: {run["state"] for run in prepared.runs()} == {"succeeded"}, "the ends are written down")
    assert len(prepared.runs()) == 8


def test_a_database_that_is_away_is_waited_for_and_readiness_says_so(
    cluster: Cluster, kafka_settings: KafkaSettings, minio: MinioServer
) -> None:
    cluster.configure(kafka_settings, "postgresql://oscar:secret-canary@127.0.0.1:1/none", minio.endpoint)
    ingest = cluster.start("ingest")
    until(lambda: "cannot be reached" in str(ingest.ready()[1]), "the reason is told")
    status, answer = ingest.ready()
    assert status == 503
    assert answer["reasons"]["ingest"].startswith("waiting for the database: ")
    status, answer = ingest.post(b"{}")
    assert (status, "waiting for the database" in answer["error"]) == (503, True)
    assert ingest.ask("GET", "/livez")[0] == 200
    assert ingest.stop() == 0
    assert "secret-canary" not in ingest.log.read_text()


def test_what_only_somebody_can_mend_ends_a_component_with_2_and_the_remedy(
    cluster: Cluster, kafka_settings: KafkaSettings, postgres: PostgresServer, ledger_url: str
) -> None:
    without_tables = cluster.start("dispatcher")
    assert without_tables.process.wait(60) == 2
    assert "oscar-events ledger upgrade" in without_tables.log.read_text()
    assert cluster.ask("ledger", "upgrade").returncode == 0
    without_topics = cluster.start("ingest")
    assert without_topics.process.wait(60) == 2
    assert "oscar-events topics create" in without_topics.log.read_text()
    taken = cluster.start("ingest", OSCAR_EVENTS_INGEST__LISTEN="192.0.2.1:80")
    assert taken.process.wait(60) == 2
    assert "cannot listen on 192.0.2.1:80" in taken.log.read_text()


def test_each_scale_refuses_the_other_ones_configuration(cluster: Cluster, tmp_path: Path) -> None:
    refused = cluster.ask("up")
    assert refused.returncode == 2
    assert "oscar-events ingest" in refused.stderr
    for name in ("ingest", "dispatcher"):
        refused = oscar_events("--data", tmp_path / "laptop", name)
        assert refused.returncode == 2
        assert "oscar-events up" in refused.stderr


def test_a_service_with_local_folders_is_refused_on_a_cluster(prepared: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "local.yaml"
    place = {"storage_provider": "local", "path": "pics/in"}
    file.write_text(json.dumps({"name": "local", "image": "x", "script": "true", "input": [place]}))
    refused = prepared.ask("apply", file)
    assert refused.returncode == 2
    assert "a directory of one machine, on a cluster" in refused.stderr
