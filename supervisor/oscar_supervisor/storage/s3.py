"""Storage `minio` and `s3`: objects of an S3 store, through obstore.

In:  settings of s3_settings.py. Out: whole files; objects that say which execution made them.
Not here: building stores (s3_store.py), what errors mean (s3_errors.py), making buckets.

obstore bridges outages by itself, and resumes a fetch that was cut. A result is put in one request, or in parts that S3
makes visible together; parts of an upload that was given up are removed, unless the store cannot be reached: those are
the store's to expire (MinIO after 24 h, AWS by a lifecycle rule).

obstore's synchronous calls only: a process that made an asynchronous one ends with SIGABRT in up to half of all cases,
as a thread of its runtime may call into the interpreter that is being taken down (obstore 0.12.1, seen with each of
get, stream and put; https://github.com/PyO3/pyo3-async-runtimes/issues/40). aside.py makes them interruptible.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

import obstore
from obstore.exceptions import BaseError

from oscar_events.job import InputObject
from oscar_events.paths import printable
from oscar_supervisor.storage.addressable import addressable, addressable_bucket
from oscar_supervisor.storage.aside import aside
from oscar_supervisor.storage.content_types import content_type
from oscar_supervisor.storage.port import Checkpoint, Storage, StorageUnavailableError
from oscar_supervisor.storage.s3_errors import replaced, translated
from oscar_supervisor.storage.s3_settings import S3Settings, s3_settings
from oscar_supervisor.storage.s3_store import s3_store

if TYPE_CHECKING:
    from obstore import Attributes, GetOptions
    from obstore.store import S3Store

# Of what comes at a time; more would only be held in memory longer.
_CHUNK_BYTES = 1024 * 1024
# Up to here an object is one request. Parts cost two requests more, one request holds all of it in memory.
_ONE_REQUEST_BYTES = 16 * 1024 * 1024
_PART_BYTES = 8 * 1024 * 1024
# Two parts under way keep a connection busy; memory is these and the one being read (reference/libraries.md §3.3).
_PARTS_AT_A_TIME = 2
# S3 takes 10,000 parts; a file that needs more gets larger ones.
_MOST_PARTS = 10_000

# What results carry, so that whoever finds one knows where it is from, and a loop of services can be told from work.
EXECUTION_METADATA = "oscar-events-execution"
HOPS_METADATA = "oscar-events-hops"


class S3Storage(Storage):
    """The buckets of one S3 store."""

    def __init__(self, settings: dict[str, str], execution: str, hops: int) -> None:
        self._settings: S3Settings = s3_settings(settings)
        self._stores: dict[str, S3Store] = {}
        self._marks: Attributes = {EXECUTION_METADATA: execution, HOPS_METADATA: str(hops)}
        if not self._settings.verify:
            import logging  # late: nothing else in a run needs it

            logging.getLogger(__name__).warning(
                "the certificate of %s is not checked (verify: false): whoever is between can read and change",
                self._settings.host,
            )

    def fetch(self, source: InputObject, target: bytes, checkpoint: Checkpoint) -> None:
        key, name = addressable(source.key), f"{source.bucket}/{printable(source.key)}"
        with self._errors_of(name):
            aside(partial(self._fetch, source, key, name, target), checkpoint)

    def put(self, file: int, bucket: str, key: bytes, checkpoint: Checkpoint) -> int:
        text = addressable(key)
        attributes: Attributes = {**self._marks, "Content-Type": content_type(text)}
        with self._errors_of(f"{bucket}/{printable(key)}"):
            return aside(partial(self._put, os.dup(file), bucket, text, attributes), checkpoint)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stores.clear()  # what was not published was removed when its put ended

    def _store(self, bucket: str) -> S3Store:
        """Return the store of a bucket: one for all its objects, so that they share a connection."""
        if bucket not in self._stores:
            self._stores[bucket] = s3_store(self._settings, addressable_bucket(bucket))
        return self._stores[bucket]

    @contextlib.contextmanager
    def _errors_of(self, name: str) -> Iterator[None]:
        try:
            yield
        except (BaseError, FileNotFoundError) as error:
            if (ours := translated(error, self._settings.host, name)) is error:
                raise
            raise ours from error

    def _fetch(self, source: InputObject, key: str, name: str, target: bytes, checkpoint: Checkpoint) -> None:
        checkpoint()
        found = obstore.get(self._store(source.bucket), key, options=_pinned(source))
        size = found.meta["size"]
        # Also asked afterwards: not every store that speaks S3 knows If-Match, and size is all that some events say.
        if (source.size not in (None, size)) or (
            source.version is None and source.etag and _bare(found.meta["e_tag"]) != _bare(source.etag)
        ):
            raise replaced(name)
        copied = 0
        with open(target, "wb", buffering=0) as sink:
            for chunk in found.stream(min_chunk_size=_CHUNK_BYTES):
                checkpoint()
                view = memoryview(chunk)
                while view:
                    view = view[sink.write(view) :]
                copied += len(chunk)
        if copied != size:
            host = self._settings.host
            raise StorageUnavailableError(f"{name}: {host} sent {copied} bytes of an object of {size}")

    def _put(self, file: int, bucket: str, key: str, attributes: Attributes, checkpoint: Checkpoint) -> int:
        """Put a file and close it."""
        try:
            store = self._store(bucket)
            if (size := os.fstat(file).st_size) <= _ONE_REQUEST_BYTES:
                content = b"".join(_pieces(file, _ONE_REQUEST_BYTES, checkpoint))  # of one piece: no copy
                obstore.put(store, key, content, attributes=attributes, use_multipart=False)
                return len(content)
            part = max(_PART_BYTES, -(-size // _MOST_PARTS))
            parts = _Counted(_pieces(file, part, checkpoint))
            # An error from the parts makes obstore remove what was sent.
            obstore.put(store, key, parts, attributes=attributes, chunk_size=part, max_concurrency=_PARTS_AT_A_TIME)
            return parts.size
        finally:
            os.close(file)


class _Counted:
    """An iterator that knows how much came through it."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.size = 0
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self.size += len(piece)
            yield piece


def _pinned(source: InputObject) -> GetOptions:
    """Return what makes the store give this very version or nothing; events tell the ETag without its quotes."""
    if source.version is not None:
        return {"version": source.version}
    return {"if_match": f'"{_bare(source.etag)}"'} if source.etag else {}


def _bare(etag: str | None) -> str:
    return (etag or "").strip('"')


def _pieces(file: int, size: int, checkpoint: Checkpoint) -> Iterator[bytes]:
    """Yield what the file holds from its start; the last checkpoint is after its last piece was read."""
    offset = 0
    while True:
        checkpoint()
        if not (piece := os.pread(file, size, offset)):
            return
        offset += len(piece)
        yield piece
