"""Names that are computed, so that the same thing told twice gets the same name.

In:  the fields that make an event or an execution what it is. Out: their ids.
Not here: which fields a technology has (the sources), what happens when an id is seen again (ledger).

Every field is hashed with its length in front: without it ("a", "bc") and ("ab", "c") would be one event.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from datetime import UTC, datetime, timedelta
from urllib.parse import quote_plus

# 16 bytes of SHA-256 give 26 characters of base32, 128 bits: no two of 10^15 events share an id by chance.
_EVENT_ID_BYTES = 16
EXECUTION_ID_LENGTH = 26
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Types of providers whose objects lie in no S3-like bucket, with the scheme of their URIs; all others speak S3.
_SCHEMES = {"local": "folder", "onedata": "onedata", "webdav": "webdav", "dcache": "dcache", "rucio": "rucio"}


def _digest(fields: tuple[str | bytes, ...]) -> bytes:
    hashed = hashlib.sha256()
    for field in fields:
        data = field.encode() if isinstance(field, str) else field
        hashed.update(struct.pack(">I", len(data)) + data)
    return hashed.digest()


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode("ascii").rstrip("=").lower()


def event_id(kind: str, *fields: str | bytes) -> str:
    """Return the id of the event with these identity fields. Source: reference/event-formats.md §14."""
    return f"{kind}-{_base32(_digest((kind, *fields))[:_EVENT_ID_BYTES])}"


def s3_event_id(provider: str, bucket: str, key: bytes, version: str, action: str) -> str:
    """Return the id of an event of an S3-like store.

    version: the versionId if there is one, else what the store has instead (MinIO: modification time in ms). An empty
    versionId and "null" (versioning suspended) are no version; the caller has replaced them (design §3.2).
    """
    return event_id("s3", provider, bucket, key, version, action)


def object_version(version_id: str | None, modified: datetime) -> str:
    """Return what stands for the version of an object in the id of its event, from what a listing tells of it.

    version_id: none, empty and "null" (written before versioning, or while it is suspended) are no version: then the
    time of modification in ms counts, which MinIO tells in events and in listings alike (seen on a real server).
    """
    if version_id and version_id != "null":
        return version_id
    return str((modified - _EPOCH) // timedelta(milliseconds=1))


def folder_event_id(provider: str, bucket: str, key: bytes, inode: int, size: int, mtime_ns: int) -> str:
    """Return the id of a file as it was: the same path with another inode, size or time is another event."""
    path = bucket.encode() + b"/" + key
    return event_id("folder", provider, path, str(inode), str(size), str(mtime_ns))


def dcache_event_id(provider: str, channel: str, own_id: str) -> str:
    """Return the id of a dCache inotify event. channel: its URL. own_id: the id in that channel."""
    return event_id("dcache", provider, channel, own_id)


def dcache_billing_event_id(provider: str, session: str, pnfsid: str, record_type: str, date: str) -> str:
    """Return the id of a dCache billing record."""
    return event_id("dcache", provider, session, pnfsid, record_type, date)


def onedata_event_id(provider: str, space: str, file_id: str, moment: str) -> str:
    """Return the id of an event of a file in Onedata. moment: the change's `seq`, or OneTrigger's `eventTime`."""
    return event_id("onedata", provider, space, file_id, moment)


def rucio_event_id(provider: str, event_type: str, vo: str, scope: str, name: str, created_at: str) -> str:
    """Return the id of a Rucio (Hermes) event. event_type: in lower case. vo: empty where there is only one."""
    return event_id("rucio", provider, event_type, vo, scope, name, created_at)


def cloudevent_event_id(authority: str, source: str, own_id: str) -> str:
    """Return the id of a CloudEvent whose data gives it none. source, own_id: its attributes `source` and `id`.

    authority: whose word these are: the provider for an object's event, our source's name for a message. It is hashed
    too: what one sender claims to be must neither hide another's event nor take its place in the ledger.
    """
    return event_id("cloudevents", authority, source, own_id)


def message_event_id(source: str, own_id: str) -> str:
    """Return the id of a message without object. source: name of the source that it came in by."""
    return event_id("message", source, own_id)


def object_source(provider: str, bucket: str) -> str:
    """Return the CloudEvents `source` of the events of a bucket: the same on every road they come (§15).

    The provider's id stands where §15 has a host: two roads may know one storage by two addresses.
    """
    return f"{_SCHEMES.get(provider.partition('.')[0], 's3')}://{provider}/{quote_plus(bucket)}"


def message_source(source: str) -> str:
    """Return the CloudEvents `source` of the messages without object that come in by the source of this name."""
    return f"message://{quote_plus(source)}"


def execution_id(tenant: str, service_uid: str, event: str, *again: str) -> str:
    """Return the id of the execution of one service for one event: 26 characters of base32, 130 bits.

    again: ("redrive", id) or ("replay", id) for an execution that is meant to be another one. Source: design §3.4.
    """
    return _base32(_digest((tenant, service_uid, event, *again)))[:EXECUTION_ID_LENGTH]


def partition_key(source: str, key: bytes) -> str:
    """Return the key of the bus record: events of one object stay in order, objects of one bucket spread (§15)."""
    return hashlib.sha256(source.encode() + b"\0" + key).hexdigest()[:16]
