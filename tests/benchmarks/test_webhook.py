"""Events acknowledged per second over HTTP and how long each takes, next to an empty route that awaits the same bus."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from oscar_events.settings import KafkaSettings
from tests.benchmarks import figures
from tests.benchmarks.baselines import http_server

pytestmark = pytest.mark.benchmark

CONCURRENCY = 32  # connections, each kept alive and with one request under way, as MinIO's workers have
REQUESTS = 4000
ROUNDS = 5
TOKEN = "benchmark-0123456789"


@contextlib.contextmanager
def servers(directory: Path, *kafka: str) -> Iterator[tuple[subprocess.Popen[bytes], tuple[int, int]]]:
    """Run both in a process of their own; yield it, and the ports of ours and of the bare one."""
    config = directory / "config.yaml"
    config.write_text(f"sources: {{minio: {{provider: minio.default, tokens: [{TOKEN}]}}}}")
    config.chmod(0o600)
    command = [sys.executable, str(Path(http_server.__file__)), str(directory), *kafka]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        ours, bare = process.stdout.readline().split()
        yield process, (int(ours), int(bare))
        assert process.stdin is not None
        process.stdin.close()


def notification(number: int) -> bytes:
    """Return MinIO's notification of another object each time, in the length they really have."""
    key = f"photos%2F{number}.jpg"
    return (
        b'{"EventName":"s3:ObjectCreated:Put","Key":"pics/photos/%d.jpg","Records":[{"eventVersion":"2.0","eventSource":'
        b'"minio:s3","awsRegion":"","eventTime":"2026-11-21T04:30:27.946Z","eventName":"s3:ObjectCreated:Put",'
        b'"userIdentity":{"principalId":"alice"},"requestParameters":{"principalId":"alice","region":"",'
        b'"sourceIPAddress":"10.0.0.7"},"responseElements":{"x-amz-id-2":"dd9025bab4ad464b049177c95eb6ebf374d3b3fd1af'
        b'9251148b658df7ac2e3e8","x-amz-request-id":"17D8A2B3C4D5E6F7","x-minio-deployment-id":"2f9b7f3a-8a52-4f0e-9f3'
        b'a-2a1b6c7d8e9f","x-minio-origin-endpoint":"http://minio.minio:9000"},"s3":{"s3SchemaVersion":"1.0",'
        b'"configurationId":"Config","bucket":{"name":"pics","ownerIdentity":{"principalId":"alice"},"arn":'
        b'"arn:aws:s3:::pics"},"object":{"key":"%s","size":5,"eTag":"5d41402abc4b2a76b9719d911017c592","contentType":'
        b'"image/jpeg","userMetadata":{"content-type":"image/jpeg"},"versionId":"","sequencer":"18E9F51C32EAEE80"}},'
        b'"source":{"host":"10.0.0.7","port":"","userAgent":"MinIO (linux; amd64) minio-go/v7.0.70"}}]}'
    ) % (number, key.encode())


async def sending(port: int, numbers: Iterator[int]) -> list[float]:
    """Send on one connection until there is no number left; return how long each took, seconds."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    took = []
    for number in numbers:
        body = notification(number)
        began = time.perf_counter()
        writer.write(
            b"POST /ingest/minio HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n"
            b"Content-Type: application/json\r\nUser-Agent: MinIO\r\nContent-Length: %d\r\n\r\n%s"
            % (TOKEN.encode(), len(body), body)
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 202"), head
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
        took.append(time.perf_counter() - began)
    writer.close()
    return took


async def measured(port: int, first: int) -> tuple[float, list[float]]:
    """Return the rate of one round, and its latencies."""
    numbers = iter(range(first, first + REQUESTS))
    began = time.perf_counter()
    latencies = await asyncio.gather(*(sending(port, numbers) for _ in range(CONCURRENCY)))
    return REQUESTS / (time.perf_counter() - began), list(itertools.chain.from_iterable(latencies))


def cpu_seconds(process: int) -> float:
    """Return what a process has used of all cores."""
    words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


@dataclass
class Rounds:
    """What was measured of one of the two servers. per_core: events for each second of CPU its process used."""

    rates: list[float] = field(default_factory=list)
    per_core: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)


def compared(directory: Path, *kafka: str) -> tuple[Rounds, Rounds]:
    """Measure both, alternating."""
    ours, bare = Rounds(), Rounds()
    with servers(directory, *kafka) as (process, ports):
        for number in range(-1, ROUNDS):  # one to warm up
            for port, found in zip(ports, (ours, bare), strict=True):
                before = cpu_seconds(process.pid)
                rate, took = asyncio.run(measured(port, (number + 1) * REQUESTS))
                if number >= 0:
                    found.rates.append(rate)
                    found.per_core.append(REQUESTS / (cpu_seconds(process.pid) - before))
                    found.latencies += took
    return ours, bare


def tell(where: str, ours: Rounds, bare: Rounds) -> None:
    print(f"\nnotification by HTTP -> acknowledged by {where}, {CONCURRENCY} connections, alternating")
    for name, found in (("oscar-events, webhook", ours), ("empty Starlette route, same bus", bare)):
        print(figures.rate(name, found.rates))
        print(figures.rate(f"{name}, per core", found.per_core))
        print(figures.latency(name, found.latencies))
    print(figures.ratio("  ours / empty (aim: at least 0.5)", ours.rates, bare.rates))
    print(figures.ratio("  ours / empty, per core", ours.per_core, bare.per_core))


def test_webhook_to_acknowledged(tmp_path: Path) -> None:
    tell("the SQLite bus", *compared(tmp_path))


def test_webhook_to_acknowledged_by_kafka(tmp_path: Path, broker: KafkaSettings) -> None:
    directory = tmp_path / "data"
    directory.mkdir()
    tell("Kafka", *compared(directory, broker.model_dump_json()))
