"""How long after an upload MinIO's notification is received: told at once, told from a queue, and both side by side."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.acceptance.platform import until
from tests.benchmarks import figures
from tests.testbed.minio import MinioServer, announcing, running_minio
from tests.testbed.notified import Receiver, receiving

pytestmark = pytest.mark.benchmark

UPLOADS = 100
ROUNDS = 3
# A bucket for each way, and the targets that are told of it.
WAYS: Mapping[str, tuple[str, ...]] = {"fast": ("FAST",), "durable": ("DURABLE",), "both": ("FAST", "DURABLE")}


def announce(minio: MinioServer, bucket: str, targets: tuple[str, ...]) -> None:
    minio.client.make_bucket(bucket)
    queues = "".join(
        f"<QueueConfiguration><Queue>arn:minio:sqs::{target}:webhook</Queue><Event>s3:ObjectCreated:Put</Event>"
        "</QueueConfiguration>"
        for target in targets
    )
    rules = f"<NotificationConfiguration>{queues}</NotificationConfiguration>"
    minio.client.ask("PUT", bucket, query={"notification": ""}, body=rules.encode())


def first_told(receiver: Receiver, bucket: str) -> dict[str, float]:
    """Return when each key of the bucket was told of first."""
    found: dict[str, float] = {}
    for told in list(receiver.told):
        where, _, key = json.loads(told.body)["Key"].partition("/")
        if where == bucket:
            found.setdefault(key, told.at)
    return found


def measured(minio: MinioServer, receiver: Receiver, bucket: str, number: int) -> tuple[list[float], list[float]]:
    """Return how long each upload took, and from its begin to the receipt of its first notification, seconds."""
    begun: dict[str, float] = {}
    took = []
    for upload in range(UPLOADS):
        key = f"{number}-{upload}"
        begun[key] = time.perf_counter()
        minio.client.put(bucket, key.encode(), b"x")
        took.append(time.perf_counter() - begun[key])
    until(lambda: begun.keys() <= first_told(receiver, bucket).keys(), f"all uploads to {bucket} are told of", 120)
    told = first_told(receiver, bucket)
    return took, [told[key] - at for key, at in begun.items()]


def test_upload_to_received(minio_here: Path, tmp_path: Path) -> None:
    del minio_here
    rounds: dict[str, list[list[float]]] = {way: [] for way in WAYS}
    puts: dict[str, list[float]] = {way: [] for way in WAYS}
    with receiving() as receiver:
        fast = announcing(f"{receiver.url}/fast", "Bearer any", name="FAST")
        durable = announcing(f"{receiver.url}/durable", "Bearer any", tmp_path / "queue", name="DURABLE")
        with running_minio(tmp_path / "minio", {**fast, **durable}) as minio:
            for way, targets in WAYS.items():
                announce(minio, way, targets)
            for number in range(-1, ROUNDS):  # one to warm up
                for way in WAYS:
                    took, waited = measured(minio, receiver, way, number)
                    if number >= 0:
                        puts[way] += took
                        rounds[way].append(waited)
    print(f"\nupload to MinIO begun -> its first notification received, {UPLOADS} in a row, alternating")
    for way in WAYS:
        print(figures.latency(f"told {way}", list(itertools.chain.from_iterable(rounds[way]))))
        print(figures.latency(f"  the upload itself, told {way}", puts[way]))
    p50 = {way: [figures.quantile(waited, 0.5) for waited in rounds[way]] for way in WAYS}
    print(figures.ratio("  p50: both / fast (aim: 1)", p50["both"], p50["fast"]))
    print(figures.ratio("  p50: durable / both", p50["durable"], p50["both"]))
