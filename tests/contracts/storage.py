"""What every storage promises, as tests. A storage subclasses StorageContract beside this file and gives the fixtures.

In:  a storage and a way to look into it that does not use it. Out: pass or fail.
Not here: what only one storage does (tests/unit/oscar_supervisor/storage/).
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from pathlib import Path

import pytest

from oscar_events.job import InputObject
from oscar_supervisor.storage.port import InputUnusableError, Storage

KEYS = [
    b"a.txt",
    b"a/b/c.txt",
    b" a b+c%41.txt",
    "na\u00efve \U0001f600".encode(),
    "nai\u0308ve".encode(),
    b"new\nline",
]


class StopNowError(Exception):
    """What a test's checkpoint raises."""


def go_on() -> None:
    """Be a checkpoint that never ends anything."""


class Store(ABC):
    """The store behind the storage, seen without it. inputs, outputs: names of two buckets that are there, empty."""

    inputs: str
    outputs: str

    @abstractmethod
    def write(self, bucket: str, key: bytes, content: bytes) -> InputObject:
        """Put an object and return it pinned as an event of it would."""

    @abstractmethod
    def remove(self, bucket: str, key: bytes) -> None: ...

    @abstractmethod
    def read(self, bucket: str, key: bytes) -> bytes | None:
        """Return an object, None if it is not there."""


class StorageContract:
    """Fixtures storage (entered) and store."""

    @pytest.fixture
    def storage(self) -> Storage:
        pytest.fail("a storage's own suite gives it")

    @pytest.fixture
    def store(self) -> Store:
        pytest.fail("a storage's own suite gives it")

    @pytest.fixture
    def target(self, tmp_path: Path) -> Path:
        return tmp_path / "staged-in"

    @pytest.fixture
    def result(self, tmp_path: Path) -> Path:
        return tmp_path / "result"

    def put(self, storage: Storage, result: Path, bucket: str, key: bytes, content: bytes) -> int:
        result.write_bytes(content)
        file = os.open(result, os.O_RDONLY)
        try:
            return storage.put(file, bucket, key, go_on)
        finally:
            os.close(file)

    @pytest.mark.parametrize("key", KEYS)
    def test_an_object_is_fetched_as_it_is(self, storage: Storage, store: Store, target: Path, key: bytes) -> None:
        pinned = store.write(store.inputs, key, b"content of it")
        storage.fetch(pinned, os.fsencode(target), go_on)
        assert target.read_bytes() == b"content of it"

    @pytest.mark.parametrize("key", KEYS)
    def test_a_file_becomes_an_object(self, storage: Storage, store: Store, result: Path, key: bytes) -> None:
        assert self.put(storage, result, store.outputs, key, b"12345") == 5
        assert store.read(store.outputs, key) == b"12345"

    def test_an_object_of_several_mebibytes_arrives_whole(
        self, storage: Storage, store: Store, target: Path, result: Path
    ) -> None:
        content = os.urandom(3 * 1024 * 1024 + 1)
        self.put(storage, result, store.outputs, b"large", content)
        assert store.read(store.outputs, b"large") == content
        storage.fetch(store.write(store.inputs, b"large", content), os.fsencode(target), go_on)
        assert target.read_bytes() == content

    def test_a_result_replaces_what_was_there(self, storage: Storage, store: Store, result: Path) -> None:
        store.write(store.outputs, b"a", b"something longer from before")
        self.put(storage, result, store.outputs, b"a", b"new")
        assert store.read(store.outputs, b"a") == b"new"

    def test_an_input_that_is_gone_cannot_be_used(self, storage: Storage, store: Store, target: Path) -> None:
        pinned = store.write(store.inputs, b"a", b"1")
        store.remove(store.inputs, b"a")
        with pytest.raises(InputUnusableError, match=f"{store.inputs}/a is gone"):
            storage.fetch(pinned, os.fsencode(target), go_on)

    def test_an_input_that_was_replaced_cannot_be_used(self, storage: Storage, store: Store, target: Path) -> None:
        pinned = store.write(store.inputs, b"a", b"1")
        store.remove(store.inputs, b"a")
        store.write(store.inputs, b"a", b"another")
        with pytest.raises(InputUnusableError, match="replaced after the event"):
            storage.fetch(pinned, os.fsencode(target), go_on)

    def test_a_checkpoint_ends_a_fetch(self, storage: Storage, store: Store, target: Path) -> None:
        with pytest.raises(StopNowError):
            storage.fetch(store.write(store.inputs, b"a", b"1"), os.fsencode(target), self.stop)

    def test_a_checkpoint_ends_a_put_and_nothing_is_visible(self, storage: Storage, store: Store, result: Path) -> None:
        """Also at the last moment: an empty file has no other checkpoint than the one before it becomes visible."""
        result.write_bytes(b"")
        with open(result, "rb") as file, pytest.raises(StopNowError):
            storage.put(file.fileno(), store.outputs, b"a", self.stop)
        assert store.read(store.outputs, b"a") is None

    @staticmethod
    def stop() -> None:
        raise StopNowError
