"""An upload to a real MinIO, announced by its webhook, runs, and its result is in MinIO.

The whole way with real programs: MinIO, its notification, `oscar-events up`, a worker, a script, MinIO again.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.platform import COMMAND, RunningPlatform, clean_environment, until
from tests.testbed.minio import ACCESS_KEY, SECRET_KEY, WEBHOOK, MinioServer, announcing, running_minio
from tests.testbed.ports import free_port

TOKEN = "the-token-that-minio-shows"
BUCKET = "pictures"
UPPER = 'tr a-z A-Z < "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/$(basename "$INPUT_FILE_PATH")"\n'


@dataclass
class PlatformOnAPort(RunningPlatform):
    """A platform that comes back where it was, as whoever notifies it expects."""

    port: int = 0

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [COMMAND, "up", "--data", self.data, "--port", str(self.port)],
                env=clean_environment(),
                stdout=log,
                stderr=log,
            )
        until(self.is_ready, f"the platform is ready; its log: {self.log}")


@dataclass
class Scene:
    """A MinIO that tells a platform what is uploaded, and a service between two folders of a bucket."""

    minio: MinioServer
    platform: PlatformOnAPort

    def apply(
        self, script: str = UPPER, name: str = "upper", source: str = "in", target: str = "out", **dispatch: object
    ) -> None:
        file = self.platform.data.with_name(f"{name}.yaml")
        file.write_text(
            json.dumps(
                {
                    "name": name,
                    "image": "docker.io/library/busybox",
                    "script": script,
                    "input": [{"storage_provider": "minio.default", "path": f"{BUCKET}/{source}"}],
                    "output": [{"storage_provider": "minio.default", "path": f"{BUCKET}/{target}", "suffix": [".txt"]}],
                    "dispatch": dispatch,
                }
            )
        )
        applied = self.platform.ask("apply", file)
        assert applied.returncode == 0, applied.stderr

    def upload(self, name: str, content: bytes) -> None:
        self.minio.client.put(BUCKET, f"in/{name}".encode(), content)

    def result(self, name: str) -> bytes | None:
        answer = self.minio.client.get(BUCKET, f"out/{name}".encode())
        return None if answer is None else answer.body

    def wait_for_result(self, name: str, content: bytes) -> None:
        def found() -> bool:
            return self.result(name) == content

        until(found, f"{BUCKET}/out/{name} is the result; the platform's log: {self.platform.log}")


@contextlib.contextmanager
def scene(directory: Path, queue: Path | None) -> Iterator[Scene]:
    """queue: where MinIO keeps events until they are delivered; without it each is told once, at once."""
    data, minio_port, port = directory / "data", free_port(), free_port()
    configure(data, minio_port)
    variables = announcing(f"http://127.0.0.1:{port}/ingest/minio", f"Bearer {TOKEN}", queue)
    platform = PlatformOnAPort(data, port=port)
    with ended_with(platform), running_minio(directory / "minio", variables, minio_port) as minio:
        platform.start()
        minio.client.make_bucket(BUCKET)
        minio.client.announce(BUCKET, WEBHOOK, "in/")
        yield Scene(minio, platform)


def configure(data: Path, minio_port: int) -> None:
    data.mkdir(mode=0o700)
    config = data / "config.yaml"
    config.touch(mode=0o600)
    provider = {"endpoint": f"http://127.0.0.1:{minio_port}", "access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
    sources = {"minio": {"provider": "minio.default", "tokens": [TOKEN]}}
    config.write_text(json.dumps({"sources": sources, "storage_providers": {"minio": {"default": provider}}}))


@contextlib.contextmanager
def ended_with(platform: RunningPlatform) -> Iterator[None]:
    try:
        yield
    finally:
        if platform.process is not None:
            platform.stop()


@pytest.mark.parametrize("queued", [False, True], ids=["told at once", "told from a queue"])
@pytest.mark.usefixtures("minio_here")
def test_an_upload_to_minio_runs_and_its_result_is_in_minio(tmp_path: Path, queued: bool) -> None:
    with scene(tmp_path, tmp_path / "queue" if queued else None) as at:
        at.apply()
        names = ["plain.txt", "red flower+\u00e9%41.txt", "a\\b?c#d.txt"]
        for name in names:
            at.upload(name, f"meow {name}".encode())
        for name in names:
            at.wait_for_result(name, f"meow {name}".encode().upper())
        at.upload("picture.png", b"its result has no suffix that is put")
        until(lambda: len(at.platform.runs("--state", "succeeded")) == 4, "the fourth run has succeeded")
        assert sorted(at.minio.client.keys(BUCKET)) == sorted(
            ["in/picture.png", *(f"in/{name}" for name in names), *(f"out/{name}" for name in names)]
        )
        marks = at.minio.client.get(BUCKET, b"out/plain.txt")
        assert marks is not None
        run = next(run for run in at.platform.runs() if run["key"] == "in/plain.txt")
        assert marks.headers["x-amz-meta-oscar-events-execution"] == run["id"]
        assert marks.headers["x-amz-meta-oscar-events-hops"] == "1"
        assert SECRET_KEY not in at.platform.log.read_text()


@pytest.mark.usefixtures("minio_here")
def test_what_is_uploaded_while_the_platform_is_away_runs_when_it_is_back(tmp_path: Path) -> None:
    with scene(tmp_path, tmp_path / "queue") as at:
        at.apply()
        at.platform.stop(signal.SIGKILL)
        for number in range(5):
            at.upload(f"{number}.txt", b"meow")
        at.platform.start()
        for number in range(5):
            at.wait_for_result(f"{number}.txt", b"MEOW")
        assert len(at.platform.runs()) == 5


@pytest.mark.usefixtures("minio_here")
def test_an_object_that_is_overwritten_before_its_run_is_left_to_the_newer_events_run(tmp_path: Path) -> None:
    with scene(tmp_path, None) as at:
        # The first run occupies the service until both versions of the second object are there.
        go = tmp_path / "go"
        os.mkfifo(go)
        at.apply(f'case "$INPUT_FILE_PATH" in */first.txt) cat "{go}";; esac\n{UPPER}', concurrency=1)
        at.upload("first.txt", b"first")
        at.platform.run_in("running")
        at.upload("a.txt", b"older")
        at.upload("a.txt", b"newer")
        until(lambda: len(at.platform.runs()) == 3, "all events have come")
        go.write_text("")
        dead = at.platform.run_in("dead")
        until(lambda: len(at.platform.runs("--state", "succeeded")) == 2, "the others have succeeded")
        assert "replaced after the event" in dead["reason"]
        assert at.result("a.txt") == b"NEWER"


@pytest.mark.usefixtures("minio_here")
def test_a_store_that_is_killed_meanwhile_gets_its_result_when_it_is_back(tmp_path: Path) -> None:
    with scene(tmp_path, None) as at:
        go = tmp_path / "go"
        os.mkfifo(go)
        at.apply(f'cat "{go}"\n{UPPER}')
        at.upload("a.txt", b"meow")
        at.platform.run_in("running")
        at.minio.kill()
        go.write_text("")  # returns once the script reads
        at.minio.start()
        at.wait_for_result("a.txt", b"MEOW")
        assert at.platform.run_in("succeeded")["attempt"] == 1


@pytest.mark.usefixtures("minio_here")
def test_a_result_that_starts_the_next_service_says_how_many_runs_led_to_it(tmp_path: Path) -> None:
    with scene(tmp_path, None) as at:
        at.minio.client.announce(BUCKET, WEBHOOK, "")
        at.apply()
        at.apply('cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR"', name="again", source="out", target="end")
        at.upload("a.txt", b"meow")
        end = until(lambda: at.minio.client.get(BUCKET, b"end/a.txt"), "the second service's result is there")
        assert (end.body, end.headers["x-amz-meta-oscar-events-hops"]) == (b"MEOW", "2")
