"""Storage `local`: directories as buckets, files as objects.

In:  settings `root` (holds the buckets) and `staging` (beside it, on the same file system). Out: whole files.
Not here: noticing new files (oscar_ingest/sources/listing.py passes over STAGING).

A result is written where nobody looks, synced, and renamed: visible whole or not at all.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Self

from oscar_events.errors import ConfigurationError, EventError
from oscar_events.job import InputObject
from oscar_events.paths import STAGING, printable, split_key
from oscar_supervisor.below import open_directory, open_regular, open_root
from oscar_supervisor.storage.port import Checkpoint, InputUnusableError, Storage

# Large enough that Python's share of a copy disappears, small enough that a cancel is obeyed within milliseconds.
_COPY_BYTES = 1024 * 1024


class LocalStorage(Storage):
    """Objects below settings["root"]; results wait in settings["staging"]/<execution>.

    Attempts of one execution never overlap, so what is found there at first use is what a kill left, and goes.
    """

    def __init__(self, settings: dict[str, str], execution: str, hops: int) -> None:
        del hops  # files carry no metadata that survives a copy
        if "root" not in settings:
            raise ConfigurationError("a storage provider of type local needs `root`, the directory of its buckets")
        self._root = Path(settings["root"])
        self._staging = Path(settings["staging"]) if "staging" in settings else None
        self._execution = execution
        self._used: set[Path] = set()

    def fetch(self, source: InputObject, target: bytes, checkpoint: Checkpoint) -> None:
        name = f"{source.bucket}/{printable(source.key)}"
        try:
            file = self._open_input(source)
        except FileNotFoundError as error:
            raise InputUnusableError(f"the input {name} is gone") from error
        try:
            pinned = os.fstat(file)
            same = source.file_id in (None, str(pinned.st_ino))
            if not same or _is_another(pinned, source.size, source.modified_ns):
                raise _replaced(name)
            copied = _write_new(target, file, checkpoint)
            # Again, as it may have been written to during the copy.
            if copied != pinned.st_size or _is_another(os.fstat(file), pinned.st_size, pinned.st_mtime_ns):
                raise _replaced(name)
        finally:
            os.close(file)

    def put(self, file: int, bucket: str, key: bytes, checkpoint: Checkpoint) -> int:
        *folders, name = split_key(key)
        directory = self._bucket(bucket)
        directory.mkdir(parents=True, exist_ok=True)
        root = open_root(directory)
        try:
            destination = open_directory(root, folders, create=True)
        finally:
            os.close(root)
        try:
            waiting = self._staged(directory, os.fstat(destination).st_dev) / "object"
            size = _write_new(os.fsencode(waiting), file, checkpoint, durable=True)
            checkpoint()
            os.rename(waiting, name, dst_dir_fd=destination)
            os.fsync(destination)
        finally:
            os.close(destination)
        return size

    def __enter__(self) -> Self:
        if self._staging is not None:
            shutil.rmtree(self._staging / self._execution, ignore_errors=True)  # this attempt may have nothing to put
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for directory in self._used:
            shutil.rmtree(directory, ignore_errors=True)  # at the latest the next attempt removes it

    def _bucket(self, bucket: str) -> Path:
        if len(split_key(bucket.encode())) != 1:
            raise EventError(f"a bucket is one directory, and '{printable(bucket.encode())}' is not")
        return self._root / bucket

    def _open_input(self, source: InputObject) -> int:
        bucket = open_root(self._bucket(source.bucket))
        try:
            return open_regular(bucket, split_key(source.key))
        finally:
            os.close(bucket)

    def _staged(self, bucket: Path, device: int) -> Path:
        """Return a directory on this device in which results of this execution wait; empty when first returned."""
        directory = bucket / STAGING / self._execution  # if it is on another device than the staging directory
        if self._staging is not None:
            self._staging.mkdir(parents=True, exist_ok=True)
            if self._staging.stat().st_dev == device:
                directory = self._staging / self._execution
        if directory not in self._used:
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir(parents=True)
            self._used.add(directory)
        return directory


def _is_another(found: os.stat_result, size: int | None, modified_ns: int | None) -> bool:
    """Whether this is not the version of that size and time. Tools set times back after closing, never forward."""
    return (size is not None and found.st_size != size) or (modified_ns is not None and found.st_mtime_ns > modified_ns)


def _replaced(name: str) -> InputUnusableError:
    return InputUnusableError(f"the input {name} was replaced after the event; the newer version has its own event")


def _write_new(target: bytes, file: int, checkpoint: Checkpoint, durable: bool = False) -> int:
    """Copy what file holds from its start to the target, which must not exist yet or be a leftover; return its size."""
    copy = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        os.lseek(file, 0, os.SEEK_SET)
        with (
            os.fdopen(copy, "wb", buffering=0, closefd=False) as sink,
            os.fdopen(file, "rb", 0, closefd=False) as source,
        ):
            size = 0
            while chunk := source.read(_COPY_BYTES):
                checkpoint()
                view = memoryview(chunk)
                while view:
                    view = view[sink.write(view) :]
                size += len(chunk)
        if durable:
            os.fsync(copy)
    finally:
        os.close(copy)
    return size
