"""The contract of storages, kept by directories."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from oscar_events.job import InputObject
from oscar_supervisor.storage.local import LocalStorage
from oscar_supervisor.storage.port import Storage
from tests.contracts.storage import StorageContract, Store


class Directories(Store):
    inputs, outputs = "in", "out"

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, bucket: str, key: bytes) -> Path:
        return self._root / bucket / os.fsdecode(key)

    def write(self, bucket: str, key: bytes, content: bytes) -> InputObject:
        path = self.path(bucket, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        stat = path.stat()
        return InputObject(
            provider="local",
            bucket=bucket,
            key=key,
            size=stat.st_size,
            file_id=str(stat.st_ino),
            modified_ns=stat.st_mtime_ns,
        )

    def remove(self, bucket: str, key: bytes) -> None:
        self.path(bucket, key).unlink()

    def read(self, bucket: str, key: bytes) -> bytes | None:
        path = self.path(bucket, key)
        return path.read_bytes() if path.exists() else None


class TestLocalStorage(StorageContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return Directories(tmp_path / "buckets")

    @pytest.fixture
    def storage(self, tmp_path: Path) -> Iterator[Storage]:
        settings = {"type": "local", "root": f"{tmp_path}/buckets", "staging": f"{tmp_path}/staging"}
        with LocalStorage(settings, "execution", 1) as storage:
            yield storage
