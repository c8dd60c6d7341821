"""A real cluster at 20 events a second: from notification to script, and what memory its components take meanwhile.

BENCH_MINUTES=10 says for how long; the least that could stand between notification and script runs for a minute before.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from oscar_events.ledger.postgresql import database_url
from oscar_events.settings import KafkaSettings, LedgerSettings
from tests.acceptance.cluster import TOKEN, Cluster, running_cluster
from tests.acceptance.platform import until
from tests.acceptance.test_cluster import notification
from tests.benchmarks import figures
from tests.benchmarks.baselines import kafka_loop
from tests.testbed.minio import MinioServer

pytestmark = pytest.mark.benchmark

PER_SECOND = 20
MINUTES = float(os.environ.get("BENCH_MINUTES", "10"))
SCRIPT = 'echo "$(date +%s%N) $STORAGE_OBJECT_KEY" >>"$JOURNAL"\n'
# Lags of a single event; a cluster that has not started its last script by then is broken.
_LAST_S = 60.0


@dataclass
class Sender:
    """Puts an object and tells of it, on one connection, PER_SECOND times a second. sent: key -> when, seconds."""

    port: int
    minio: MinioServer
    bucket: str
    sent: dict[str, float] = field(default_factory=dict)

    def send(self, count: int, beat: Callable[[], None]) -> None:
        """Send so many. beat: called after each second's."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        began = time.monotonic()
        for number in range(count):
            key = f"in/{len(self.sent)}"
            etag = self.minio.client.put(self.bucket, key.encode(), b"content").etag
            body = notification(self.bucket, key, etag, 7)
            time.sleep(max(0.0, began + number / PER_SECOND - time.monotonic()))
            self.sent[key] = time.time()
            connection.request("POST", "/ingest/test", body, {"Authorization": f"Bearer {TOKEN}"})
            answer = connection.getresponse()
            assert (answer.status, bool(answer.read())) == (202, True)
            if number % PER_SECOND == 0:
                beat()
        connection.close()


def started(journal: Path, strip: str) -> dict[str, float]:
    """Return when each script said it started. strip: what stands before the key."""
    lines = journal.read_text().split("\n")[:-1] if journal.exists() else []
    return {key.removeprefix(strip): int(at) / 1e9 for at, key in (line.split(" ") for line in lines)}


def delays(sender: Sender, journal: Path, strip: str = "") -> list[float]:
    """Wait until all have started; return how long each took."""
    until(lambda: started(journal, strip).keys() >= sender.sent.keys(), "every script has started", _LAST_S)
    at = started(journal, strip)
    return [at[key] - sent for key, sent in sender.sent.items()]


@contextlib.contextmanager
def bare(bootstrap: str, journal: Path) -> Iterator[int]:
    """Run the loop; yield its port."""
    command = [sys.executable, str(Path(kafka_loop.__file__)), bootstrap, SCRIPT, str(journal)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        assert process.stdin is not None
        process.stdin.close()


def resident_mib(process: int) -> float:
    """Return the memory a process holds."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("a process without memory")


def set_up(cluster: Cluster, broker: KafkaSettings, database: LedgerSettings, minio: MinioServer, journal: Path) -> str:
    """Prepare the cluster and apply its service; return the bucket."""
    cluster.configure(broker, database_url(database), minio.endpoint)
    cluster.prepare()
    bucket = "benchmark"
    minio.client.make_bucket(bucket)
    applied = cluster.apply("tick", f"JOURNAL={journal}\n{SCRIPT}", bucket)
    assert applied.returncode == 0, applied.stderr
    return bucket


async def test_notification_to_script(
    tmp_path: Path, broker: KafkaSettings, database: LedgerSettings, minio: MinioServer
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
        await admin.start()
        stack.push_async_callback(admin.close)
        await admin.create_topics([NewTopic(kafka_loop.TOPIC, 1, 1)])
    journals = tmp_path / "bare", tmp_path / "ours"
    with running_cluster(tmp_path / "data") as cluster:
        bucket = set_up(cluster, broker, database, minio, journals[1])
        with bare(broker.bootstrap_servers, journals[0]) as port:
            least = Sender(port, minio, bucket)
            least.send(60 * PER_SECOND, lambda: None)
            least_delays = delays(least, journals[0], f"{bucket}/")
        components = [cluster.start(name) for name in ("ingest", "dispatcher")]
        for component in components:
            component.await_ready()
        idle = [resident_mib(one.process.pid) for one in components]
        samples: list[list[float]] = [[], []]

        def sample() -> None:
            for component, found in zip(components, samples, strict=True):
                found.append(resident_mib(component.process.pid))

        sender = Sender(components[0].port, minio, bucket)
        sender.send(int(MINUTES * 60 * PER_SECOND), sample)
        ours_delays = delays(sender, journals[1])
    print(f"\nnotification by HTTP -> script started, {PER_SECOND} events/s; Kafka and PostgreSQL are in the path")
    print(figures.latency("oscar-events, first minute", ours_delays[: 60 * PER_SECOND]))
    print(figures.latency(f"oscar-events, {MINUTES:g} minutes (aim: 30, 150 ms)", ours_delays))
    print(figures.latency("bare: HTTP, Kafka, consumer, process", least_delays))
    print("  OSCAR 4.1.2, to the creation of the Job alone, at 1/s:   p50    38.0 ms   p99   100.0 ms")
    for component, before, found in zip(components, idle, samples, strict=True):
        minute = max(1, len(found) // max(1, int(MINUTES)))
        early, late = statistics.median(found[minute : 2 * minute] or found), statistics.median(found[-minute:])
        print(
            f"  memory of {component.name:<12} idle {before:6.1f} MiB   under load at most {max(found):6.1f} MiB   "
            f"second to last minute of {MINUTES:g}: {late - early:+.1f} MiB"
        )
