"""A file in a folder, said as a storage event whose EVENT a script for MinIO understands.

In:  a `File`: where it lies and what stat says of it. Out: its id, its `StorageEvent`, its record in MinIO's shape.
Not here: finding files (sources/), whether one may be announced yet (sources/look.py), the record's shape
(minio_document.py). Pure, no clock.
"""

from __future__ import annotations

import json
import mimetypes
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from oscar_events.datadir import LOCAL_PROVIDER
from oscar_events.event import Raw, StorageEvent
from oscar_events.identity import folder_event_id, object_source
from oscar_ingest.minio_document import NAME, minio_document

KIND = "folder"
# Enough for nanoseconds until the year 5138: text then sorts as the numbers do.
_SEQUENCE_DIGITS = 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class File:
    """A regular file as stat saw it at one moment. size: bytes. Times: nanoseconds since 1970.

    moved_ns: when a folder it lies in was moved here, as far as a listing can tell; 0 = never.
    """

    bucket: str
    key: bytes
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    moved_ns: int = field(default=0, compare=False)

    @classmethod
    def from_stat(cls, bucket: str, key: bytes, stat: os.stat_result, moved_ns: int = 0) -> File:
        """Return the file at bucket and key with this stat."""
        return cls(bucket, key, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, moved_ns)

    @property
    def event_id(self) -> str:
        """The id of the event of this version of the file."""
        return folder_event_id(LOCAL_PROVIDER, self.bucket, self.key, self.inode, self.size, self.mtime_ns)

    @property
    def etag(self) -> str:
        """Tells versions of the file apart without reading it, as web servers do; no checksum of its content."""
        return f"{self.inode:x}-{self.size:x}-{self.mtime_ns:x}"

    @property
    def by_etag(self) -> bool:
        """Never: a listing tells the same of a file as the kernel does."""
        return False

    @property
    def changed(self) -> datetime:
        """When it became what it is: ctime. A move or `cp -p` brings an old mtime along, nobody can set a ctime."""
        return _EPOCH + timedelta(microseconds=self.ctime_ns // 1000)

    @property
    def arrived(self) -> datetime:
        """When it came to be here: it changed, or a folder it lies in was moved, which leaves the file's own times."""
        return _EPOCH + timedelta(microseconds=max(self.ctime_ns, self.moved_ns) // 1000)


def folder_event(file: File, reason: str, recorded: datetime, service_uids: tuple[str, ...] = ()) -> StorageEvent:
    """Return the event of a file. reason: close_write | moved_to | listed.

    Raises EventError when the key is no key an object may have: too long.
    """
    return StorageEvent(
        id=file.event_id,
        provider=LOCAL_PROVIDER,
        kind=KIND,
        bucket=file.bucket,
        key=file.key,
        source=object_source(LOCAL_PROVIDER, file.bucket),
        time=file.changed,
        recorded=recorded,
        raw=Raw(minio_record(file)),
        reason=reason,
        etag=file.etag,
        size=file.size,
        content_type=_content_type(file.key),
        sequencer=_sequencer(file),
        sequence=f"{max(file.mtime_ns, 0):0{_SEQUENCE_DIGITS}d}",
        file_id=str(file.inode),
        modified_ns=file.mtime_ns,
        service_uids=service_uids,
        native_name=NAME,
        adapter=KIND,
    )


def minio_record(file: File) -> bytes:
    """Return the bytes of EVENT: the same for the same stat."""
    content_type = _content_type(file.key)
    details = {
        "size": file.size,
        "eTag": file.etag,
        "versionId": "",
        "sequencer": _sequencer(file),
        "contentType": content_type,
        "userMetadata": None if content_type is None else {"content-type": content_type},
    }
    document = minio_document(file.bucket, file.key, file.changed, details)
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _sequencer(file: File) -> str:
    return f"{max(file.mtime_ns, 0):X}"


# The table of the standard library alone: the system's mime.types would give other bytes on another host.
_TYPES = mimetypes.MimeTypes()


def _content_type(key: bytes) -> str | None:
    # Only the name's end is looked at; as a path, so that a key with a colon is not taken for a URL.
    return _TYPES.guess_type(os.path.join("/", key.rpartition(b"/")[2].decode(errors="replace")))[0]
