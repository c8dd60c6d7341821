"""A record of an S3-like store: MinIO, AWS, Ceph, and what is put into their words (EventBridge, ListS3).

In:  one record of a `Records` document. Out: its event, or why it is ignored.
Not here: documents of several records (records.py), AWS's envelopes (aws.py).
Source: reference/event-formats.md §2, §10 to §14, and the recorded payloads in tests/data/notifications.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote_plus

from oscar_events.errors import EventError
from oscar_events.event import Action, StorageEvent
from oscar_events.identity import s3_event_id
from oscar_events.notifications.fields import (
    Document,
    at,
    mapping,
    moment,
    optional_text,
    text,
    whole_number,
)
from oscar_events.notifications.keys import KeyEncoding, decode_key, decode_minio_key
from oscar_events.notifications.objects import object_event, user_metadata
from oscar_events.notifications.part import Ignored, Part

KIND = "s3"
MINIO, AWS, CEPH = "minio:s3", "aws:s3", "ceph:s3"
# How each writes keys: one layout, opposite rules (§10, Ceph's seen on a real server).
ENCODINGS = {MINIO: KeyEncoding.FORM, AWS: KeyEncoding.FORM, CEPH: KeyEncoding.NONE}

CHANGED_BESIDE = Ignored("tags, retention or access changed, not the content")
READ = Ignored("the object was read")
REPLICATED = Ignored("replication")
KEPT_ELSEWHERE = Ignored("the object was moved to another storage class")
NOTHING_THERE = Ignored("nothing was removed")
UPLOAD_BEGUN = Ignored("a multipart upload began")
RESTORE_BEGUN = Ignored("a restore began or ended")
NOT_OF_AN_OBJECT = Ignored("about a bucket or the store, not an object")
TEST_EVENT = Ignored("s3:TestEvent, sent when notifications are set up")


# Event names without their `s3:` (§2.1, §2.2, §2.7). Only these four make an object.
_NAMES: dict[str, tuple[Action, str] | Ignored] = {
    "ObjectCreated:Put": (Action.CREATED, "put"),
    "ObjectCreated:Post": (Action.CREATED, "post"),
    "ObjectCreated:Copy": (Action.CREATED, "copy"),
    "ObjectCreated:CompleteMultipartUpload": (Action.CREATED, "multipart"),
    "ObjectCreated:PutTagging": CHANGED_BESIDE,
    "ObjectCreated:DeleteTagging": CHANGED_BESIDE,
    "ObjectCreated:PutRetention": CHANGED_BESIDE,
    "ObjectCreated:PutLegalHold": CHANGED_BESIDE,
    "ObjectRemoved:Delete": (Action.REMOVED, "delete"),
    "ObjectRemoved:DeleteMarkerCreated": (Action.REMOVED, "delete_marker"),
    "ObjectRemoved:DeleteAllVersions": (Action.REMOVED, "delete_all_versions"),
    "ObjectRemoved:NoOP": NOTHING_THERE,
    "ObjectRestore:Completed": (Action.RESTORED, "restore"),
    "LifecycleExpiration:Delete": (Action.REMOVED, "lifecycle"),
    "LifecycleExpiration:DeleteMarkerCreated": (Action.REMOVED, "lifecycle"),
    "ObjectLifecycle:Expiration:Current": (Action.REMOVED, "lifecycle"),
    "ObjectLifecycle:Expiration:NonCurrent": (Action.REMOVED, "lifecycle"),
    "LifecycleTransition": KEPT_ELSEWHERE,
    "IntelligentTiering": KEPT_ELSEWHERE,
    "ReducedRedundancyLostObject": NOT_OF_AN_OBJECT,
}
# Families of which no member starts anything, beyond those named above.
_FAMILIES: dict[str, Ignored] = {
    "ObjectTagging": CHANGED_BESIDE,
    "ObjectAcl": CHANGED_BESIDE,
    "ObjectAccessed": READ,
    "ObjectRestore": RESTORE_BEGUN,
    "ObjectTransition": KEPT_ELSEWHERE,
    "ObjectLifecycle": KEPT_ELSEWHERE,
    "LifecycleDelMarkerExpiration": NOTHING_THERE,
    "Replication": REPLICATED,
    "ObjectSynced": REPLICATED,
    "Scanner": NOT_OF_AN_OBJECT,
    "BucketCreated": NOT_OF_AN_OBJECT,
    "BucketRemoved": NOT_OF_AN_OBJECT,
}


def is_test_event(document: Document) -> bool:
    """Whether this is what AWS sends when a notification is set up (§2.2)."""
    return document.get("Event") == "s3:TestEvent"


def aws_record(
    name: str,
    bucket: str,
    key: bytes,
    time: datetime,
    details: Mapping[str, object],
    *,
    sender: str = AWS,
    region: str = "",
    request_id: str = "",
) -> dict[str, object]:
    """Return what S3 would have written: what scripts find in EVENT of formats they never saw (§15).

    details: further members of `object`; those that are None are left out.
    """
    known = {member: value for member, value in details.items() if value is not None}
    return {
        "eventVersion": "2.1",
        "eventSource": sender,
        "awsRegion": region,
        "eventTime": iso(time),
        "eventName": name,
        "responseElements": {"x-amz-request-id": request_id},
        "s3": {
            "s3SchemaVersion": "1.0",
            "bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"},
            "object": {"key": quote_plus(key, safe="/"), **known},
        },
    }


def names(part: Part, document: Document, record: Document) -> dict[str, str]:
    """Return `EventName` and `Key` of a record as MinIO would write them at the top: the key not encoded."""
    try:
        bucket = text(record, "s3", "bucket", "name")
        key = _key(part, document, record, text(record, "eventSource"), bucket).decode()
        return {"EventName": text(record, "eventName"), "Key": f"{bucket}/{key}"}
    except EventError:
        return {}  # the record is refused for the same reason; it is kept as it is


def record_event(
    part: Part, document: Document, record: Document, raw: bytes, key: bytes | None = None
) -> StorageEvent | Ignored:
    """Return the event of a record. document: what it stood in, for MinIO's `Key`. raw: the bytes of EVENT.

    key: where the caller knows it, as it made the record out of something else. Raises EventError for a record that
    lacks what an event needs.
    """
    name = text(record, "eventName").removeprefix("s3:")
    meaning = _meaning(name)
    if isinstance(meaning, Ignored):
        return meaning
    action, reason = meaning
    sender = text(record, "eventSource")
    if sender not in ENCODINGS:
        raise EventError(f"eventSource is {sender[:64]!a}, expected one of {', '.join(ENCODINGS)}")
    size = whole_number(record, "s3", "object", "size")
    if sender == CEPH and reason == "post" and not size:
        return UPLOAD_BEGUN
    bucket = text(record, "s3", "bucket", "name")
    key = _key(part, document, record, sender, bucket) if key is None else key
    time = moment(record, "eventTime")
    sequencer = optional_text(record, "s3", "object", "sequencer")
    etag = optional_text(record, "s3", "object", "eTag")
    version = optional_text(record, "s3", "object", "versionId")
    version = None if version == "null" else version  # versioning suspended (design §3.2)
    identity = version or _version_by_time(sender, sequencer, etag, time)
    return object_event(
        part,
        id=s3_event_id(part.route.provider, bucket, key, identity, action),
        kind=KIND,
        bucket=bucket,
        key=key,
        action=action,
        reason=reason,
        time=time,
        raw=raw,
        native_name=text(record, "eventName"),
        version=version,
        etag=etag,
        size=size,
        content_type=optional_text(record, "s3", "object", "contentType"),
        sequencer=sequencer,
        sequence=_sequence(sender, sequencer),
        metadata=_metadata(record),
    )


def _meaning(name: str) -> tuple[Action, str] | Ignored:
    family, colon, _ = name.partition(":")
    found = _NAMES.get(name) or (_FAMILIES.get(family) if colon else None)
    if found is None:
        raise EventError(f"eventName is {name[:64]!a}, which this platform does not know")
    return found


def _key(part: Part, document: Document, record: Document, sender: str, bucket: str) -> bytes:
    wire = text(record, "s3", "object", "key")
    if part.route.key_encoding is not None:
        return decode_key(wire, part.route.key_encoding)
    if sender == MINIO:
        records = document.get("Records")
        is_alone = isinstance(records, list) and len(records) == 1  # `Key` speaks of one record only
        return decode_minio_key(wire, bucket, optional_text(document, "Key") if is_alone else None)
    return decode_key(wire, ENCODINGS[sender])


def _version_by_time(sender: str, sequencer: str | None, etag: str | None, time: datetime) -> str:
    """Return what tells versions of an object apart where the store keeps none (§14)."""
    if sender == MINIO:
        # Older releases leave the sequencer out where it would be the time of the event.
        return str(_nanoseconds(sequencer) // 10**6 if sequencer else round(time.timestamp() * 1000))
    # A store without sequencer (seen with clones): the content uploaded again is another event all the same.
    return f"{etag or ''}+{sequencer or time.isoformat()}"


def _nanoseconds(sequencer: str) -> int:
    if len(sequencer) > 16 or not _is_hex(sequencer):
        raise EventError(f"the sequencer is {sequencer[:32]!a}, expected nanoseconds in hex, like 18E9F51C32EAEE80")
    return int(sequencer, 16)


def _sequence(sender: str, sequencer: str | None) -> str | None:
    """Return the sequencer in a form that sorts as text does, for one object (§13); None where it says nothing."""
    if sequencer is None or not _is_hex(sequencer):
        return None
    if sender == MINIO:
        return f"{_nanoseconds(sequencer):020d}"
    if sender == CEPH:
        if len(sequencer) != 16:
            return None
        seconds, nanoseconds = (
            int.from_bytes(bytes.fromhex(half), "little") for half in (sequencer[:8], sequencer[8:])
        )
        return f"{seconds * 10**9 + nanoseconds:020d}"
    return sequencer.upper().ljust(32, "0")


def iso(time: datetime) -> str:
    """Return a time as S3 writes it: UTC, milliseconds, Z."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _is_hex(digits: str) -> bool:
    return digits != "" and not digits.strip(string.hexdigits)


def _metadata(record: Document) -> dict[str, str]:
    """Return the user's metadata: an object in MinIO's records, a list of pairs in Ceph's."""
    pairs = at(record, "s3", "object", "metadata")
    if isinstance(pairs, list):
        if not all(isinstance(pair, Mapping) for pair in pairs):
            raise EventError("s3.object.metadata is no list of objects with key and val")
        return user_metadata({text(pair, "key"): pair.get("val") for pair in pairs})
    return user_metadata(mapping(record, "s3", "object", "userMetadata"))
