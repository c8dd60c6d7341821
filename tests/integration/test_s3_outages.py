"""A store that goes away in the middle of a transfer, and one that never was there: a real MinIO, killed and paused."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from oscar_events.job import FailureClass, InputObject
from oscar_supervisor import failures
from oscar_supervisor.storage import s3_store
from oscar_supervisor.storage.port import StorageUnavailableError
from oscar_supervisor.storage.s3 import S3Storage
from tests.contracts.storage import StopNowError, go_on
from tests.testbed.minio import SECRET_KEY, MinioServer, running_minio

MIB = 1024 * 1024
BUCKET = "outages"


@pytest.fixture
def minio(minio_here: Path, tmp_path: Path) -> Iterator[MinioServer]:
    """A server of this test's own: it will be killed."""
    with running_minio(tmp_path / "minio") as server:
        server.client.make_bucket(BUCKET)
        yield server


@pytest.fixture
def storage(minio: MinioServer) -> Iterator[S3Storage]:
    with S3Storage(minio.settings, "execution", 1) as storage:
        yield storage


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bridge outages of a second instead of minutes."""
    monkeypatch.setattr(s3_store, "BRIDGED_S", 1.0)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(os.urandom(96 * MIB))
    return path


def pin(key: bytes) -> InputObject:
    return InputObject(provider="minio.default", bucket=BUCKET, key=key)


class At:
    """A checkpoint that does something once, the n-th time it is asked."""

    def __init__(self, number: int, action: Callable[[], object]) -> None:
        self._left, self._action = number, action

    def __call__(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._action()


def restarting(minio: MinioServer) -> Callable[[], None]:
    def restart() -> None:
        minio.kill()
        minio.start()

    return restart


def test_a_fetch_outlives_a_kill_of_the_store(storage: S3Storage, minio: MinioServer, large: Path) -> None:
    minio.client.put(BUCKET, b"a", large.read_bytes())
    target = large.with_name("target")
    storage.fetch(pin(b"a"), os.fsencode(target), At(20, restarting(minio)))
    assert target.read_bytes() == large.read_bytes()


def test_an_upload_outlives_a_kill_of_the_store(storage: S3Storage, minio: MinioServer, large: Path) -> None:
    with large.open("rb") as file:
        storage.put(file.fileno(), BUCKET, b"a", At(5, restarting(minio)))
    answer = minio.client.get(BUCKET, b"a")
    assert answer is not None
    assert answer.body == large.read_bytes()
    assert minio.unfinished_uploads() == []


@pytest.mark.usefixtures("_impatient")
def test_a_store_that_stays_away_is_nobodys_fault_and_leaves_no_half_object(minio: MinioServer, large: Path) -> None:
    minio.client.put(BUCKET, b"a", large.read_bytes())
    with S3Storage(minio.settings, "execution", 1) as storage:
        with pytest.raises(StorageUnavailableError, match=f"{BUCKET}/a: 127.0.0.1:{minio.port} ") as fetching:
            storage.fetch(pin(b"a"), os.fsencode(large.with_name("target")), At(20, minio.kill))
        minio.start()
        with large.open("rb") as file, pytest.raises(StorageUnavailableError, match="Connection refused") as putting:
            storage.put(file.fileno(), BUCKET, b"b", At(5, minio.kill))
    for error in (fetching.value, putting.value):
        assert failures.class_of(error) is FailureClass.INFRASTRUCTURE
    minio.start()
    assert minio.client.keys(BUCKET) == ["a"]


@pytest.mark.parametrize("way", ["fetch", "put"])
def test_an_interruption_is_heard_while_the_store_is_silent(
    storage: S3Storage, minio: MinioServer, large: Path, way: str
) -> None:
    """The server stays paused: only the checkpoint ends this, or the 30 s of a read."""
    minio.client.put(BUCKET, b"a", large.read_bytes())
    asked_since = 0

    def checkpoint() -> None:
        nonlocal asked_since
        asked_since += 1
        if asked_since == 4:
            minio.pause()
        if asked_since == 30:
            raise StopNowError

    target = os.fsencode(large.with_name("target"))
    with large.open("rb") as file:
        transfer: dict[str, Callable[[], object]] = {
            "fetch": partial(storage.fetch, pin(b"a"), target, checkpoint),
            "put": partial(storage.put, file.fileno(), BUCKET, b"b", checkpoint),
        }
        with pytest.raises(StopNowError):
            transfer[way]()
    minio.resume()
    assert minio.client.keys(BUCKET) == ["a"]


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        ("http://127.0.0.1:1", "Connection refused"),
        ("http://no-such-host.invalid:9000", "no-such-host.invalid:9000 cannot be asked: its name cannot be looked up"),
    ],
)
def test_a_store_that_cannot_be_reached_is_named_with_the_reason(endpoint: str, said: str, tmp_path: Path) -> None:
    settings = {"type": "minio", "endpoint": endpoint, "access_key": "user", "secret_key": SECRET_KEY}
    with S3Storage(settings, "execution", 1) as storage, pytest.raises(StorageUnavailableError, match=said) as told:
        storage.fetch(pin(b"a"), os.fsencode(tmp_path / "target"), go_on)
    assert SECRET_KEY not in repr(told.value) + repr(told.value.__cause__)


@pytest.mark.usefixtures("_impatient")
def test_https_to_a_store_without_it_says_so(minio: MinioServer, tmp_path: Path) -> None:
    settings = minio.settings | {"endpoint": f"https://127.0.0.1:{minio.port}"}
    with S3Storage(settings, "execution", 1) as storage, pytest.raises(StorageUnavailableError, match="not speak TLS"):
        storage.fetch(pin(b"a"), os.fsencode(tmp_path / "target"), go_on)
