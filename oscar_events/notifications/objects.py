"""The event of an object, whatever format told of it.

In:  what a format's module found out. Out: `StorageEvent` with all that the route decides; or the reason to ignore it.
Not here: the ids (identity.py), where the facts stand in a document (one module per format).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime

from oscar_events.errors import EventError
from oscar_events.event import MAX_HOPS, Action, Raw, StorageEvent
from oscar_events.identity import object_source
from oscar_events.notifications.fields import Document, is_storable, optional_text
from oscar_events.notifications.part import Ignored, Part

METADATA_PREFIX = "x-amz-meta-"
# Written by our supervisor with each result: how many runs made the object, one out of the other.
HOPS = f"{METADATA_PREFIX}oscar-events-hops"
FOLDER_MARKER = Ignored("a folder's marker, not a file")
_FIELDS = tuple(field.name for field in fields(StorageEvent))
# The longest name of a bucket any store we know allows (S3's old rules).
_MAX_BUCKET_BYTES = 255


def object_event(
    part: Part,
    *,
    id: str,
    kind: str,
    bucket: str,
    key: bytes,
    action: Action,
    reason: str,
    time: datetime,
    raw: bytes,
    native_name: str,
    version: str | None = None,
    etag: str | None = None,
    size: int | None = None,
    content_type: str | None = None,
    sequencer: str | None = None,
    sequence: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> StorageEvent | Ignored:
    """Return the event, or why it is ignored. raw: the bytes of EVENT, JSON. Raises EventError for no usable object."""
    check_bucket(bucket)
    if key.endswith(b"/") and not size:
        return FOLDER_MARKER
    metadata = metadata or {}
    hops = _hops(metadata)
    check_hops(hops)
    return StorageEvent(
        id=id,
        provider=part.route.provider,
        bucket=bucket,
        key=key,
        source=object_source(part.route.provider, bucket),
        time=time,
        recorded=part.received,
        raw=Raw(raw),
        kind=kind,
        action=action,
        reason=reason,
        version=version,
        etag=etag,
        size=size,
        content_type=content_type,
        sequencer=sequencer,
        sequence=sequence,
        metadata=metadata,
        tenant=part.route.tenant,
        service=part.route.service,
        hop_count=hops,
        native_name=native_name,
        adapter=part.route.source,
    )


def check_hops(hops: int) -> None:
    """Raise EventError at the end of a loop of services that nobody saw when they were applied.

    Refused, not ignored: somebody has to hear of it, and the quarantine keeps what the loop ended with.
    """
    if hops > MAX_HOPS:
        raise EventError(
            f"a loop of services: the object was made by {hops} runs, each out of the result of the one before, and "
            f"{MAX_HOPS} are the most; change where one of them reads or writes"
        )


def check_bucket(bucket: str) -> None:
    """Raise EventError for what names no bucket; on a folder it would name another directory."""
    is_name = bucket not in ("", ".", "..") and "/" not in bucket and bucket.isprintable()
    if not is_name or len(bucket.encode()) > _MAX_BUCKET_BYTES:
        raise EventError(f"the bucket {bucket[:64]!a} is no name of a bucket")


def check_texts(event: StorageEvent) -> None:
    """Raise EventError where a text of the event is none that every database and the bus can hold."""
    texts = [value for name in _FIELDS if isinstance(value := getattr(event, name), str)]
    texts += [event.raw.mediatype, *event.metadata, *event.metadata.values()]
    if not is_storable("".join(texts)):
        wrong = next(text for text in texts if not is_storable(text))
        raise EventError(f"{wrong[:64]!a} holds NUL or half a surrogate pair, which no database text can")


def split_path(path: str) -> tuple[str, bytes]:
    """Return bucket and key of an absolute path: its first segment and the rest, as in a service's `path`."""
    bucket, _, key = path.lstrip("/").partition("/")
    if not key:
        raise EventError(f"the path {path[:64]!a} names no file below a first folder")
    return bucket, key.encode()


def user_metadata(pairs: Document) -> dict[str, str]:
    """Return what users wrote beside the object (x-amz-meta-*), names in lower case. Raises EventError for no text."""
    return {
        name.lower(): optional_text(pairs, name) or "" for name in pairs if name.lower().startswith(METADATA_PREFIX)
    }


def _hops(metadata: Mapping[str, str]) -> int:
    written = metadata.get(HOPS, "0")
    if not (written.isascii() and written.isdigit() and len(written) <= len(str(MAX_HOPS)) + 1):
        raise EventError(f"the object's metadata {HOPS} is {written[:20]!a}, expected a small number")
    return int(written)
