"""A real MinIO server on a free port of the loopback address, with a directory of its own.

In:  a directory, variables for the server. Out: a server that is started, killed, paused by its own process only.
Not here: its binary (minio_build.py), asking it for something (s3_client.py).
"""

from __future__ import annotations

import contextlib
import http.client
import os
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.testbed.minio_build import minio_binary
from tests.testbed.ports import free_port
from tests.testbed.s3_client import S3Client, S3Error
from tests.testbed.server import Server

ACCESS_KEY = "the-testbed"
# Told from every other word, so that a test can look for it in what must not hold it.
SECRET_KEY = "the-testbeds-secret-key-0123456789"
# Names of targets, where a test has one of a kind.
WEBHOOK = "PLATFORM"
KAFKA = "PLATFORM"


@dataclass
class MinioServer(Server):
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

    def launch(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        certificates = self.certificates or self.directory / "no-certificates"
        where = ("--certs-dir", certificates, "--address", f"127.0.0.1:{self.port}", self.directory / "data")
        self.run(
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
        )

    def unfinished_uploads(self) -> list[Path]:
        """Return the files of multipart uploads that are neither completed nor removed."""
        return [path for path in (self.directory / "data/.minio.sys/multipart").rglob("*") if path.is_file()]

    def is_ready(self) -> bool:
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


def announcing(url: str, token: str, queue: Path | None = None, name: str = WEBHOOK) -> dict[str, str]:
    """Return the variables of a server that tells events to this URL, as target `name`.

    token: the whole Authorization header. queue: where events wait until they are delivered, in order; without it each
    is told once, and lost when nobody answers. Several targets, with and without: their variables put together.
    """
    return _target("WEBHOOK", name, queue, ENDPOINT=url, AUTH_TOKEN=token)


def announcing_to_kafka(bootstrap: str, topic: str, queue: Path | None = None, name: str = KAFKA) -> dict[str, str]:
    """Return the variables of a server that sends events to this topic, which has to be there. queue: as above."""
    # The newest protocol its client knows; by itself it speaks one that Kafka 4 refuses.
    return _target("KAFKA", name, queue, BROKERS=bootstrap, TOPIC=topic, VERSION="3.6.0")


def _target(kind: str, name: str, queue: Path | None, **settings: str) -> dict[str, str]:
    if queue is not None:
        queue.mkdir(parents=True, exist_ok=True)
        settings["QUEUE_DIR"] = str(queue)
    return {f"MINIO_NOTIFY_{kind}_{field}_{name}": value for field, value in {"ENABLE": "on", **settings}.items()}


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
