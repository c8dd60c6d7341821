"""The platform as operators run it: two ingests and two dispatchers on Kafka, PostgreSQL and MinIO.

In:  an empty directory, running servers. Out: topics, tables, a bucket with notifications, a service; its components.
Not here: what is uploaded (uploads.py), who is killed (killer.py), whether it was right (checker.py).
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.acceptance.platform import oscar_events
from tests.chaos.cluster.component import Component
from tests.chaos.cluster.notifier import DURABLE, FAST
from tests.chaos.cluster.servers import TOKEN, Servers
from tests.chaos.cluster.uploads import BUCKET, FAILING
from tests.chaos.journal import PREAMBLE, Journal
from tests.chaos.scene import SUM
from tests.testbed.minio import ACCESS_KEY, SECRET_KEY

SERVICE = "sum"
# Scripts that live long enough to be killed in, and short enough that two cores run a dozen a second.
LIVE = 'live $((1 + $(cksum <"$INPUT_FILE_PATH" | cut -d " " -f 1) % 3))\n'
FAIL = f'case "$INPUT_FILE_PATH" in *{FAILING}) say end; exit 3;; esac\n'


@dataclass
class Installation:
    """One platform. settings: over those its config.yaml has anyway, by section. each: how many of each component."""

    root: Path
    servers: Servers
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    each: int = 2
    ingests: list[Component] = field(init=False)
    dispatchers: list[Component] = field(init=False)

    def __post_init__(self) -> None:
        self.ingests = [self._component("ingest", number) for number in range(1, self.each + 1)]
        self.dispatchers = [self._component("dispatcher", number) for number in range(1, self.each + 1)]
        self.servers.notifier.receivers = [ingest.port for ingest in self.ingests]
        self.journal = Journal(self.root / "journal")

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def components(self) -> list[Component]:
        return [*self.ingests, *self.dispatchers]

    def prepare(self) -> None:
        """Make what operators make once: configuration, topics, tables, the bucket and its notifications."""
        self.data.mkdir(parents=True)
        config = self.data / "config.yaml"
        config.touch(0o600)
        config.write_text(json.dumps(self._config()))
        self.command("topics", "create")
        self.command("ledger", "upgrade")
        self.servers.minio.client.make_bucket(BUCKET)
        self.announce(FAST, DURABLE)

    def announce(self, *roads: str) -> None:
        """Have the store tell of new objects on these roads, and on no other."""
        self.servers.minio.client.announce_to_all(BUCKET, [(road, "webhook") for road in roads], "in/")

    def apply(self, body: str = LIVE + FAIL, **dispatch: Any) -> None:
        """Apply the service. body: its script between the journal's preamble and the result."""
        service = {
            "name": SERVICE,
            "image": "docker.io/library/busybox",
            "script": PREAMBLE + body + SUM + "say end\n",
            "input": [{"storage_provider": "minio.default", "path": f"{BUCKET}/in"}],
            "output": [{"storage_provider": "minio.default", "path": f"{BUCKET}/out"}],
            "environment": {"variables": {"JOURNAL": str(self.journal.path)}},
            # A backoff that does not slow the test down; everything killed is tried again within a second.
            "dispatch": {"retry": {"backoff": 0.1}, **dispatch},
        }
        file = self.root / "service.yaml"
        file.write_text(json.dumps(service))
        self.command("apply", file)

    def start(self, *faults: str) -> None:
        """Start all components at once and wait until they are ready."""
        for component in self.components:
            component.faults = faults
            component.launch()
        for component in self.components:
            component.await_ready()

    def stop(self) -> None:
        """Kill what runs."""
        for component in self.components:
            if component.process is not None:
                component.kill()

    def command(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command of an operator; it has to succeed."""
        done = oscar_events("--data", self.data, *arguments)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done

    def _component(self, kind: str, number: int) -> Component:
        return Component(kind, self.root / f"{kind}{number}", self.data)

    def _config(self) -> dict[str, Any]:
        servers = self.servers
        durability = "replicated" if servers.kafka.size == 3 else "single"
        sections: dict[str, dict[str, Any]] = {
            "kafka": {
                "bootstrap_servers": servers.broker,
                "topic_prefix": servers.prefix,
                "topics": {"partitions": 4, "durability": durability},
                # The least a broker takes: as long as nobody gets the partitions of a dispatcher that was killed.
                "session_timeout": "6s",
            },
            "ledger": {"url": servers.ledger},
            # As often as the test wants it; whatever MinIO's notification takes is told within min_age.
            "reconcile": {"every": "10s", "min_age": "5s"},
            # Scripts here mostly sleep. A standby waits for half of the usual time.
            "dispatcher": {"concurrency": 4, "role_ttl": "4s"},
        }
        for name, section in self.settings.items():
            sections[name] = {**sections.get(name, {}), **section}
        endpoint = {"endpoint": servers.store, "access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
        return {
            "sources": {"minio": {"provider": "minio.default", "tokens": [TOKEN]}},
            "storage_providers": {"minio": {"default": endpoint}},
            **sections,
        }


@contextlib.contextmanager
def running(installation: Installation, *faults: str) -> Iterator[Installation]:
    """Prepare and start it; kill it with the block, whatever happened."""
    try:
        installation.prepare()
        installation.start(*faults)
        yield installation
    finally:
        installation.stop()
