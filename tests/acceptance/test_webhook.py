"""Events over HTTP with the real command: they start services, tokens change meanwhile, nothing acknowledged is lost.

The bucket is the platform's own (provider local.default), with files that were there before their service was applied:
those the folder source leaves alone, so that every run here was started by HTTP.
"""

from __future__ import annotations

import http.client
import json
import signal
import socket
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.platform import COPY, DEADLINE_S, RunningPlatform, running_platform, until

TOKEN, NEW_TOKEN = "acceptance-0123456789", "replacement-0123456789"
JSON = {"Content-Type": "application/json"}


def configure(data: Path, *tokens: str) -> None:
    """Write config.yaml as an editor does, whole."""
    made = data / "config.yaml.new"
    made.write_text(
        f"""
sources:
  minio: {{provider: local.default, tokens: [{", ".join(tokens)}]}}
  messages: {{provider: local.default, tokens: [{TOKEN}], service: greet}}
"""
    )
    made.chmod(0o600)
    made.rename(data / "config.yaml")


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[RunningPlatform]:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    configure(data, TOKEN)
    with running_platform(data) as platform:
        yield platform


def post(
    platform: RunningPlatform,
    body: bytes,
    *,
    source: str = "minio",
    token: str | None = TOKEN,
    headers: Mapping[str, str] = JSON,
) -> tuple[int, dict[str, Any]]:
    """Send a notification; return status and answer."""
    up = platform.up()
    assert up is not None
    connection = http.client.HTTPConnection("127.0.0.1", up["port"], timeout=DEADLINE_S)
    authorization = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        connection.request("POST", f"/ingest/{source}", body, {**headers, **authorization})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def get(platform: RunningPlatform, path: str) -> str:
    up = platform.up()
    assert up is not None
    connection = http.client.HTTPConnection("127.0.0.1", up["port"], timeout=DEADLINE_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def put_before(platform: RunningPlatform, *names: str, content: bytes = b"12345") -> None:
    """Put files in pics/in, to be there before any service is applied."""
    folder = platform.data / "buckets" / "pics" / "in"
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(content)
    # What counts is the second in which a file last changed: an apply in the same one would take it.
    newest = max(int((folder / name).stat().st_ctime) for name in names)
    probe = platform.data / "probe"
    until(lambda: probe.touch() or int(probe.stat().st_ctime) > newest, "the next second begins")  # type: ignore[func-returns-value]


def minio(name: str) -> bytes:
    """A notification of MinIO about pics/in/<name>, 5 bytes."""
    record = {
        "eventVersion": "2.0",
        "eventSource": "minio:s3",
        "eventTime": "2026-11-21T04:30:27.946Z",
        "eventName": "s3:ObjectCreated:Put",
        "s3": {
            "bucket": {"name": "pics", "arn": "arn:aws:s3:::pics"},
            "object": {"key": f"in%2F{name}", "size": 5, "sequencer": "18E9F51C32EAEE80"},
        },
    }
    return json.dumps({"EventName": "s3:ObjectCreated:Put", "Key": f"pics/in/{name}", "Records": [record]}).encode()


def result(platform: RunningPlatform, name: str) -> Path:
    return platform.data / "buckets" / "pics" / "out" / name


def test_a_notification_of_minio_starts_the_service_once_however_often_it_is_sent(platform: RunningPlatform) -> None:
    put_before(platform, "a.txt")
    assert platform.apply("copy", COPY).returncode == 0
    first, again = post(platform, minio("a.txt")), post(platform, minio("a.txt"))
    assert first == again
    assert (first[0], first[1]["accepted"]) == (202, 1)
    run = platform.run_in("succeeded", "dead")
    assert (run["state"], run["event_id"]) == ("succeeded", first[1]["ids"][0])
    assert result(platform, "a.txt").read_bytes() == b"12345"
    assert len(platform.runs()) == 1


def test_a_cloudevent_about_an_object_starts_the_service(platform: RunningPlatform) -> None:
    put_before(platform, "b.txt")
    platform.apply("copy", COPY)
    event = {
        "specversion": "1.0",
        "id": "C3D13FE58DE4C810.FMyUVURIY8",
        "source": "aws:s3.eu-west-1.pics",
        "type": "com.amazonaws.s3.ObjectCreated:Put",
        "subject": "in/b.txt",
        "time": "2026-11-21T04:30:27.946Z",
        "datacontenttype": "application/json",
        "data": {"s3": {"bucket": {"name": "pics"}, "object": {"key": "in/b.txt", "size": 5}}},
    }
    status, _ = post(
        platform, json.dumps(event).encode(), headers={"Content-Type": "application/cloudevents+json; charset=utf-8"}
    )
    assert status == 202
    assert platform.run_in("succeeded", "dead")["state"] == "succeeded"
    assert result(platform, "b.txt").read_bytes() == b"12345"


def test_a_message_without_object_starts_the_service_its_source_names(platform: RunningPlatform) -> None:
    platform.apply("greet", 'cat "$EVENT_FILE"')
    platform.apply("other", "true", "elsewhere")
    status, answer = post(
        platform, b"hello", source="messages", headers={"Idempotency-Key": "k-1", "Content-Type": "text/plain"}
    )
    assert (status, answer["accepted"]) == (202, 1)
    run = platform.run_in("succeeded", "dead")
    assert (run["service"], run["state"], run["bucket"], run["key"]) == ("greet", "succeeded", "messages", "k-1")
    assert "hello" in platform.ask("logs", run["id"]).stdout
    assert len(platform.runs()) == 1


def test_a_token_is_replaced_without_a_restart_and_without_a_moment_of_refusal(platform: RunningPlatform) -> None:
    statuses: Counter[int] = Counter()
    is_over = threading.Event()

    def keep_sending() -> None:
        while not is_over.is_set():
            statuses[post(platform, b"")[0]] += 1

    sending = threading.Thread(target=keep_sending)
    sending.start()
    assert post(platform, b"", token=NEW_TOKEN)[0] == 401
    configure(platform.data, TOKEN, NEW_TOKEN)
    until(lambda: post(platform, b"", token=NEW_TOKEN)[0] == 200, "the new token is accepted beside the old one")
    is_over.set()
    sending.join()
    assert statuses.keys() == {200}
    configure(platform.data, NEW_TOKEN)
    until(lambda: post(platform, b"")[0] == 401, "the old token is refused")
    assert post(platform, b"", token=NEW_TOKEN)[0] == 200


def test_a_broken_configuration_changes_nothing_and_is_told(platform: RunningPlatform) -> None:
    config = platform.data / "config.yaml"
    config.write_text("sources: {minio: {provider")
    until(lambda: "config.yaml" in json.loads(get(platform, "/readyz"))["troubles"], "/readyz tells of the broken file")
    assert json.loads(get(platform, "/readyz"))["ready"]
    assert post(platform, b"")[0] == 200
    configure(platform.data, TOKEN)
    until(lambda: json.loads(get(platform, "/readyz"))["troubles"] == {}, "the mended file is in force")


def test_a_broken_configuration_is_told_at_the_start(platform: RunningPlatform) -> None:
    platform.stop()
    (platform.data / "config.yaml").write_text(
        f"sources:\n  minio:\n    provdier: minio.default\n    tokens: [{TOKEN}]\n"
    )
    started = platform.ask("up")
    assert started.returncode == 2
    assert "config.yaml" in started.stderr
    assert "provdier" in started.stderr
    assert TOKEN not in started.stderr


def test_junk_is_acknowledged_and_kept_and_counted(platform: RunningPlatform) -> None:
    status, answer = post(platform, b'{"Records": [{"eventSource": "minio:s3"}]}')
    assert (status, answer["accepted"], answer["quarantined"]) == (202, 0, 1)
    metrics = get(platform, "/metrics")
    assert 'oscar_events_source_records_total{outcome="quarantined",source="minio"} 1.0' in metrics
    assert "oscar_events_quarantine_records 1.0" in metrics
    assert "oscar_events_lag 0.0" in metrics


def test_a_stranger_learns_nothing(platform: RunningPlatform) -> None:
    assert post(platform, minio("a.txt"), token="wrong")[0] == 401
    assert post(platform, minio("a.txt"), token=None)[0] == 401
    assert post(platform, minio("a.txt"), source="nobody")[0] == 404
    assert post(platform, minio("a.txt"), headers={"Origin": "http://evil.example"})[0] == 403


def test_what_was_acknowledged_just_before_a_kill_runs_after_it_once(platform: RunningPlatform) -> None:
    names = [f"{number}.txt" for number in range(40)]
    put_before(platform, *names)
    platform.apply("copy", COPY)
    acknowledged = [post(platform, minio(name))[0] for name in names]
    platform.stop(signal.SIGKILL)
    assert acknowledged == [202] * len(names)
    platform.start()
    until(lambda: len(platform.runs("--state", "succeeded")) == len(names), "all that was acknowledged has run")
    assert Counter(run["key"] for run in platform.runs()) == {f"in/{name}": 1 for name in names}
    assert all(result(platform, name).read_bytes() == b"12345" for name in names)


def test_the_time_from_an_event_to_its_script_is_measured(platform: RunningPlatform) -> None:
    platform.apply("copy", COPY)
    platform.drop("c.txt")
    platform.run_in("succeeded")
    metrics = get(platform, "/metrics")
    assert "oscar_events_start_delay_seconds_count 1.0" in metrics
    assert 'oscar_events_start_delay_seconds_bucket{le="86400.0"} 1.0' in metrics


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("Authorization: Bearer wrong-0123456789\r\nContent-Length: 20", 401),
        ("Authorization: Bearer wrong-0123456789\r\nContent-Length: 99999999", 401),
        (f"Authorization: Bearer {TOKEN}\r\nContent-Length: 99999999", 413),
    ],
)
def test_a_sender_is_refused_before_its_body_has_come(platform: RunningPlatform, head: str, status: int) -> None:
    up = platform.up()
    assert up is not None
    with socket.create_connection(("127.0.0.1", up["port"]), timeout=DEADLINE_S) as connection:
        connection.sendall(f"POST /ingest/minio HTTP/1.1\r\nHost: platform\r\n{head}\r\n\r\n".encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == status
        assert "error" in json.loads(answer.read())


def test_a_body_without_end_is_cut_off(platform: RunningPlatform) -> None:
    up = platform.up()
    assert up is not None
    with socket.create_connection(("127.0.0.1", up["port"]), timeout=DEADLINE_S) as connection:
        head = f"POST /ingest/minio HTTP/1.1\r\nHost: platform\r\nAuthorization: Bearer {TOKEN}\r\n"
        connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        chunk = b"1000\r\n" + b"x" * 0x1000 + b"\r\n"
        with pytest.raises(ConnectionError):  # closed by the platform, some chunks after the limit of 128 KiB
            connection.sendall(chunk * 10_000)
