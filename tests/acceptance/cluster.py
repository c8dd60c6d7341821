"""Components of a real cluster, as operators start them: `oscar-events ingest` and `oscar-events dispatcher`.

In:  a directory with config.yaml, a command, variables. Out: a process that says where it listens, asked over HTTP.
Not here: broker, database and store (tests/testbed), what is asked (the tests beside this).
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oscar_events.settings import KafkaSettings
from tests.acceptance.platform import COMMAND, DEADLINE_S, clean_environment, until
from tests.testbed.bound import start_bound
from tests.testbed.minio import ACCESS_KEY, SECRET_KEY

TOKEN = "the-token-of-this-cluster"
_LISTENING = re.compile(r"listening on http://127\.0\.0\.1:(\d+)")


@dataclass
class RunningComponent:
    """One process of the cluster. log: what it prints, on both streams."""

    name: str
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def port(self) -> int:
        """Return where it listens, once it says so."""
        found = until(lambda: self._listening(), f"{self.name} listens; its log: {self.log}")
        return int(found[1])

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
        """Return status and JSON of the answer, or text."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        is_json = (answer.getheader("content-type") or "").startswith("application/json")
        return answer.status, json.loads(content) if is_json else content.decode()

    def ready(self) -> tuple[int, Any]:
        """Return what /readyz answers. Fails if the process has ended."""
        assert self.process.poll() is None, self.log.read_text()
        return self.ask("GET", "/readyz")

    def await_ready(self) -> None:
        """Wait until it is ready."""
        until(lambda: self.ready()[0] == 200, f"{self.name} is ready; its log: {self.log}")

    def post(self, body: bytes, **headers: str) -> tuple[int, Any]:
        """Send something to the source `test`."""
        return self.ask("POST", "/ingest/test", body, Authorization=f"Bearer {TOKEN}", **headers)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send it a signal, wait for its end, return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_S)

    def _listening(self) -> re.Match[str] | None:
        found = _LISTENING.search(self.log.read_text())
        assert found or self.process.poll() is None, self.log.read_text()
        return found


@dataclass
class Cluster:
    """A directory with the configuration of a cluster, and the processes that were started on it."""

    data: Path
    running: list[RunningComponent] = field(default_factory=list)

    def configure(self, kafka: KafkaSettings, ledger_url: str, endpoint: str) -> None:
        """Write config.yaml: broker, database, a store `minio.default`, a source `test` that speaks for it."""
        self.data.mkdir(exist_ok=True)
        document = {
            "kafka": {
                "bootstrap_servers": kafka.bootstrap_servers,
                "topic_prefix": kafka.topic_prefix,
                "topics": {"partitions": kafka.topics.partitions, "durability": kafka.topics.durability},
            },
            "ledger": {"url": ledger_url},
            "ingest": {"listen": "127.0.0.1:0"},
            "dispatcher": {"listen": "127.0.0.1:0", "concurrency": 2},
            "reconcile": {"every": "1h"},
            "sources": {"test": {"provider": "minio.default", "tokens": [TOKEN]}},
            "storage_providers": {
                "minio": {"default": {"endpoint": endpoint, "access_key": ACCESS_KEY, "secret_key": SECRET_KEY}}
            },
        }
        file = self.data / "config.yaml"
        file.write_text(json.dumps(document, indent=2))
        file.chmod(0o600)

    def prepare(self) -> None:
        """Make topics and tables."""
        for words in (("topics", "create"), ("ledger", "upgrade")):
            done = self.ask(*words)
            assert done.returncode == 0, done.stdout + done.stderr

    def start(self, name: str, command: Sequence[str | Path] = (COMMAND,), **variables: str) -> RunningComponent:
        """Start a component; do not wait. command: of another build."""
        path = self.data.with_name(f"{name}-{len(self.running)}.log")
        with path.open("wb") as log:
            process = start_bound(
                [*command, name, "--data", self.data],
                env={**clean_environment(), **variables},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        component = RunningComponent(name, path, process)
        self.running.append(component)
        return component

    def ask(
        self, *arguments: str | Path, command: Sequence[str | Path] = (COMMAND,), **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on this cluster to its end. command: of another build."""
        return subprocess.run(
            [*command, "--data", self.data, *arguments],
            env={**clean_environment(), **variables},
            capture_output=True,
            text=True,
            timeout=2 * DEADLINE_S,
        )

    def apply(self, name: str, script: str, bucket: str, **dispatch: Any) -> subprocess.CompletedProcess[str]:
        """Apply a service from BUCKET/in to BUCKET/out."""
        service: Mapping[str, Any] = {
            "name": name,
            "image": "docker.io/library/busybox",
            "script": script,
            "input": [{"storage_provider": "minio.default", "path": f"{bucket}/in"}],
            "output": [{"storage_provider": "minio.default", "path": f"{bucket}/out"}],
            "dispatch": dispatch,
        }
        file = self.data.with_name(f"{name}.yaml")
        file.write_text(json.dumps(service))
        return self.ask("apply", file)

    def runs(self, *arguments: str) -> list[dict[str, Any]]:
        """Return what `runs --json` prints."""
        asked = self.ask("runs", "--json", *arguments)
        assert asked.returncode == 0, asked.stderr
        return list(json.loads(asked.stdout))


@contextlib.contextmanager
def running_cluster(data: Path) -> Iterator[Cluster]:
    """Yield a cluster; end with the block whatever was started, whatever happened."""
    cluster = Cluster(data)
    try:
        yield cluster
    finally:
        for component in cluster.running:
            if component.process.poll() is None:
                component.process.kill()
                component.process.wait()
