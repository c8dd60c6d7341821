"""The contract of storages, kept by a real MinIO."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from oscar_events.job import InputObject
from oscar_supervisor.storage.port import Storage
from oscar_supervisor.storage.s3 import S3Storage
from tests.contracts.storage import KEYS, StorageContract, Store
from tests.testbed.minio import MinioServer
from tests.testbed.s3_client import S3Client

# A control character is the one thing of the contract's keys that cannot be said to S3 (addressable.py).
SAYABLE = [key for key in KEYS if b"\n" not in key]


class Buckets(Store):
    """Two buckets of a test's own."""

    def __init__(self, client: S3Client, new_bucket: Callable[[str], str]) -> None:
        self.client = client
        self.inputs, self.outputs = new_bucket("inputs"), new_bucket("outputs")

    def write(self, bucket: str, key: bytes, content: bytes) -> InputObject:
        answer = self.client.put(bucket, key, content)
        return InputObject(
            provider="minio.default",
            bucket=bucket,
            key=key,
            size=len(content),
            etag=answer.etag,
            version=answer.headers.get("x-amz-version-id"),
        )

    def remove(self, bucket: str, key: bytes) -> None:
        self.client.remove(bucket, key)

    def read(self, bucket: str, key: bytes) -> bytes | None:
        answer = self.client.get(bucket, key)
        return None if answer is None else answer.body


class TestS3Storage(StorageContract):
    @pytest.fixture
    def store(self, minio: MinioServer, new_bucket: Callable[[str], str]) -> Buckets:
        return Buckets(minio.client, new_bucket)

    @pytest.fixture
    def storage(self, minio: MinioServer) -> Iterator[Storage]:
        with S3Storage(minio.settings, "execution", 3) as storage:
            yield storage

    @pytest.mark.parametrize("key", SAYABLE)
    def test_an_object_is_fetched_as_it_is(self, storage: Storage, store: Store, target: Path, key: bytes) -> None:
        super().test_an_object_is_fetched_as_it_is(storage, store, target, key)

    @pytest.mark.parametrize("key", SAYABLE)
    def test_a_file_becomes_an_object(self, storage: Storage, store: Store, result: Path, key: bytes) -> None:
        super().test_a_file_becomes_an_object(storage, store, result, key)
