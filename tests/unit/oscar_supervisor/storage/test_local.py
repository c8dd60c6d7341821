"""Directories as buckets: what only they can get wrong."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest

from oscar_events.errors import ConfigurationError, EventError
from oscar_events.job import InputObject
from oscar_events.paths import STAGING
from oscar_supervisor.storage.local import LocalStorage
from oscar_supervisor.storage.port import InputUnusableError
from oscar_supervisor.storage.table import open_storage


class Buckets:
    def __init__(self, directory: Path) -> None:
        self.root = directory / "buckets"
        self.staging = directory / "staging"
        self.target = directory / "target"
        (self.root / "in").mkdir(parents=True)
        self.file = self.root / "in" / "file"
        self.file.write_bytes(b"content")
        self.settings = {"root": str(self.root), "staging": str(self.staging)}

    def storage(self) -> LocalStorage:
        return LocalStorage(self.settings, "execution", 1)

    def pinned(self, key: bytes = b"file") -> InputObject:
        stat = self.file.stat()
        return InputObject(
            provider="local",
            bucket="in",
            key=key,
            size=stat.st_size,
            file_id=str(stat.st_ino),
            modified_ns=stat.st_mtime_ns,
        )

    def fetch(self, source: InputObject) -> bytes:
        with self.storage() as storage:
            storage.fetch(source, os.fsencode(self.target), lambda: None)
        return self.target.read_bytes()

    def put(self, bucket: str, key: bytes, content: bytes = b"result") -> None:
        result = self.root.parent / "result"
        result.write_bytes(content)
        with self.storage() as storage, open(result, "rb") as file:
            storage.put(file.fileno(), bucket, key, lambda: None)


@pytest.fixture
def buckets(tmp_path: Path) -> Buckets:
    return Buckets(tmp_path)


def test_a_file_whose_time_was_set_back_after_closing_is_the_same_version(buckets: Buckets) -> None:
    pinned = buckets.pinned()
    os.utime(buckets.file, (1, 1))
    assert buckets.fetch(pinned) == b"content"


def test_a_file_written_again_with_the_same_size_is_another_version(buckets: Buckets) -> None:
    pinned = buckets.pinned()
    buckets.file.write_bytes(b"CONTENT")
    later = (pinned.modified_ns or 0) + 1
    os.utime(buckets.file, ns=(later, later))
    with pytest.raises(InputUnusableError, match="replaced"):
        buckets.fetch(pinned)


def test_a_file_moved_over_it_is_another_version_even_with_the_same_size_and_time(buckets: Buckets) -> None:
    pinned = buckets.pinned()
    twin = buckets.root / "in" / "twin"
    shutil.copy2(buckets.file, twin)
    twin.rename(buckets.file)
    with pytest.raises(InputUnusableError, match="replaced"):
        buckets.fetch(pinned)


def test_a_file_overwritten_during_the_copy_is_noticed(buckets: Buckets) -> None:
    pinned = buckets.pinned()

    def overwrite() -> None:
        with open(buckets.file, "r+b") as file:
            file.write(b"C")
        os.utime(buckets.file, ns=(0, (pinned.modified_ns or 0) + 1))

    with buckets.storage() as storage, pytest.raises(InputUnusableError, match="replaced"):
        storage.fetch(pinned, os.fsencode(buckets.target), overwrite)


def test_what_the_event_does_not_know_is_not_checked(buckets: Buckets) -> None:
    assert buckets.fetch(InputObject(provider="local", bucket="in", key=b"file")) == b"content"


@pytest.mark.parametrize("key", [b"../in/file", b"/file", b"a//b", b".", b"", b"file/", b"nul\0"])
def test_a_key_that_is_no_path_below_the_bucket_is_refused(buckets: Buckets, key: bytes) -> None:
    with pytest.raises(EventError):
        buckets.fetch(InputObject(provider="local", bucket="in", key=key))
    with pytest.raises(EventError):
        buckets.put("out", key)


@pytest.mark.parametrize("bucket", ["..", "a/b", "", "/tmp"])
def test_a_bucket_is_one_directory(buckets: Buckets, bucket: str) -> None:
    with pytest.raises(EventError):
        buckets.put(bucket, b"key")


def test_a_link_in_a_bucket_leads_nowhere(buckets: Buckets, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"secret")
    (buckets.root / "in" / "link").symlink_to(tmp_path / "outside")
    (buckets.root / "in" / "file-link").symlink_to(tmp_path / "outside" / "secret")
    for key in (b"link/secret", b"file-link"):
        with pytest.raises(OSError):
            buckets.fetch(InputObject(provider="local", bucket="in", key=key))
    with pytest.raises(OSError):
        buckets.put("in", b"link/secret")
    assert (tmp_path / "outside" / "secret").read_bytes() == b"secret"


def test_a_result_replaces_a_link_and_not_what_it_points_to(buckets: Buckets, tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"mine")
    (buckets.root / "in" / "link").symlink_to(tmp_path / "outside")
    buckets.put("in", b"link")
    assert (tmp_path / "outside").read_bytes() == b"mine"
    assert (buckets.root / "in" / "link").read_bytes() == b"result"


def test_an_input_that_is_a_fifo_blocks_nobody(buckets: Buckets) -> None:
    os.mkfifo(buckets.root / "in" / "fifo")
    with pytest.raises(IsADirectoryError, match="no regular file"):
        buckets.fetch(InputObject(provider="local", bucket="in", key=b"fifo"))


def test_a_reader_sees_the_old_result_or_the_new_one_and_never_a_piece(buckets: Buckets) -> None:
    old, new = b"o" * 2_000_000, b"n" * 2_000_000
    buckets.put("out", b"file", old)
    seen: set[bytes] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add((buckets.root / "out" / "file").read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(5):
            buckets.put("out", b"file", new)
            buckets.put("out", b"file", old)
    finally:
        done.set()
        reader.join()
    assert seen <= {old, new}
    assert seen


def test_nothing_is_left_of_staging_not_even_from_an_attempt_that_was_killed(buckets: Buckets) -> None:
    leftover = buckets.staging / "execution" / "object"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half of a result that was longer than the next one")
    buckets.put("out", b"file")
    assert (buckets.root / "out" / "file").read_bytes() == b"result"
    assert list(buckets.staging.iterdir()) == []


def test_what_a_killed_attempt_left_in_staging_goes_also_if_the_next_one_puts_nothing(buckets: Buckets) -> None:
    leftover = buckets.staging / "execution" / "object"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half a res")
    with buckets.storage():
        pass
    assert list(buckets.staging.iterdir()) == []


def test_without_a_staging_directory_on_its_device_a_bucket_has_its_own(buckets: Buckets) -> None:
    shared_memory = Path("/dev/shm")
    if not shared_memory.is_dir() or shared_memory.stat().st_dev == buckets.root.stat().st_dev:
        pytest.skip("needs a second file system")
    buckets.settings["staging"] = str(shared_memory / f"oscar-events-test-{os.getpid()}")
    try:
        buckets.put("out", b"sub/file")
    finally:
        shutil.rmtree(buckets.settings["staging"], ignore_errors=True)
    assert (buckets.root / "out" / "sub" / "file").read_bytes() == b"result"
    assert list((buckets.root / "out" / STAGING).iterdir()) == []


def test_a_name_that_is_not_utf_8_is_a_name(buckets: Buckets) -> None:
    buckets.put("out", b"caf\xe9/\xff")
    assert os.listdir(os.fsencode(buckets.root / "out" / os.fsdecode(b"caf\xe9"))) == [b"\xff"]


def test_settings_that_are_wrong_name_what_is_wrong() -> None:
    with pytest.raises(ConfigurationError, match="root"):
        LocalStorage({}, "execution", 1)
    with pytest.raises(ConfigurationError, match=r"provider rucio\.a has the type 'rucio'; known are local, minio, s3"):
        open_storage("rucio.a", {"type": "rucio"}, "execution", 1)
    with pytest.raises(ConfigurationError, match=r"no settings for the storage provider minio\.a"):
        open_storage("minio.a", None, "execution", 1)
