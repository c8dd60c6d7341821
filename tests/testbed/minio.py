"""A real MinIO server on a free port of the loopback address, with a directory of its own.

In:  a directory, variables for the server. Out: a server that is started, killed, paused by its own process only.
Not here: its binary (minio_build.py), asking it for something (s3_client.py).
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.acceptance.platform import until
from tests.testbed.bound import start_bound
from tests.testbed.minio_build import minio_binary
from tests.testbed.s3_client import S3Client, S3Error

ACCESS_KEY = "the-testbed"
# Told from every other word, so that a test can look for it in what must not hold it.
SECRET_KEY = "the-testbeds-secret-key-0123456789"
WEBHOOK = "PLATFORM"


def free_port() -> int:
    """Return a port nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class MinioServer:
    """One server. variables: of its environment, `MINIO_*`. certificates: a directory that has it speak TLS."""

    directory: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    certificates: Path | None = None
    process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"{'https' if self.certificates else 'http'}://127.0.0.1:{self.port}"

    @property
    def settings(self) -> dict[str, str]:
        """Return this server as a storage provider."""
        return {"type": "minio", "endpoint": self.endpoint, "access_key": ACCESS_KEY, "secret_key": SECRET_KEY}

    @property
    def client(self) -> S3Client:
        return S3Client(self.port, ACCESS_KEY, SECRET_KEY)

    @property
    def log(self) -> Path:
        return self.directory / "minio.log"

    def start(self) -> None:
        """Start it and wait until it takes requests."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            certificates = self.certificates or self.directory / "no-certificates"
            address = f"127.0.0.1:{self.port}"
            where = ("--certs-dir", certificates, "--address", address, self.directory / "data")
            self.process = start_bound(
                [minio_binary(), "server", *where],
                env={
                    "HOME": str(self.directory),
                    "PATH": os.defpath,
                    "MINIO_ROOT_USER": ACCESS_KEY,
                    "MINIO_ROOT_PASSWORD": SECRET_KEY,
                    "MINIO_UPDATE": "off",
                    "MINIO_BROWSER": "off",
                    **self.variables,
                },
                stdout=log,
                stderr=log,
            )
        until(self._is_ready, f"MinIO is ready; its log: {self.log}")

    def kill(self) -> None:
        """End it as a power cut would, as far as the process goes."""
        self._signal(signal.SIGKILL)
        self._wait()

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it if it runs, paused or not."""
        if self.process is not None:
            self.resume()
            self._signal(signal.SIGTERM)
            self._wait()

    def unfinished_uploads(self) -> list[Path]:
        """Return the files of multipart uploads that are neither completed nor removed."""
        return [path for path in (self.directory / "data/.minio.sys/multipart").rglob("*") if path.is_file()]

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def _wait(self) -> None:
        assert self.process is not None
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def _is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        if self.certificates:
            unchecked = ssl._create_unverified_context()  # readiness is asked, no secret is told
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                "127.0.0.1", self.port, timeout=5, context=unchecked
            )
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        with contextlib.closing(connection):
            try:
                connection.request("GET", "/minio/health/ready")
                if connection.getresponse().status != 200:
                    return False
                if not self.certificates:
                    self.client.ask("GET", "")  # it says ready before it takes everybody's requests
            except (OSError, http.client.HTTPException, S3Error):
                return False
            return True


def announcing(url: str, token: str, queue: Path | None = None) -> dict[str, str]:
    """Return the variables of a server that tells events to this URL.

    token: the whole Authorization header. queue: where events wait until they are delivered, in order; without it each
    is told once, and lost when nobody answers.
    """
    variables = {
        f"MINIO_NOTIFY_WEBHOOK_ENABLE_{WEBHOOK}": "on",
        f"MINIO_NOTIFY_WEBHOOK_ENDPOINT_{WEBHOOK}": url,
        f"MINIO_NOTIFY_WEBHOOK_AUTH_TOKEN_{WEBHOOK}": token,
    }
    if queue is not None:
        queue.mkdir(parents=True, exist_ok=True)
        variables[f"MINIO_NOTIFY_WEBHOOK_QUEUE_DIR_{WEBHOOK}"] = str(queue)
    return variables


@contextlib.contextmanager
def running_minio(
    directory: Path, variables: Mapping[str, str] | None = None, port: int | None = None
) -> Iterator[MinioServer]:
    """Start a server and end it with the block, whatever happened."""
    server = MinioServer(directory, variables or {}, port or free_port())
    try:
        server.start()
        yield server
    finally:
        server.stop()
