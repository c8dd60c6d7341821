"""Azure Blob Storage by Event Grid, in its own schema and as CloudEvents.

In:  either. Out: the event of a blob.
Not here: Event Grid's handshakes: CloudEvents has OPTIONS for it (the webhook), the own schema's is not answered.
Source: reference/event-formats.md §9, from the vendor's documentation.
"""

from __future__ import annotations

from oscar_events.errors import EventError
from oscar_events.event import Action, StorageEvent
from oscar_events.identity import s3_event_id
from oscar_events.notifications.fields import Document, moment, optional_text, text, whole_number
from oscar_events.notifications.keys import KeyEncoding, decode_key
from oscar_events.notifications.message import message_event
from oscar_events.notifications.objects import object_event
from oscar_events.notifications.part import Ignored, Part
from oscar_events.notifications.s3 import KIND
from oscar_events.notifications.strict_json import dump

TYPE_PREFIX = "Microsoft.Storage."
VALIDATION = Ignored("Event Grid's handshake; use its CloudEvents schema, whose handshake is answered")
NOT_COMPLETE = Ignored("the blob was created, its content is still to come")
NOT_A_BLOB = Ignored("Azure tells something else than that a blob was created or deleted")
_GRID = {"eventType", "subject", "eventTime", "data", "dataVersion"}
_CONTAINERS, _BLOBS = "/blobServices/default/containers/", "/blobs/"


def is_event_grid(document: Document) -> bool:
    """Whether this is an event of Event Grid's own schema."""
    return document.keys() >= _GRID


def event_grid(part: Part, document: Document) -> StorageEvent | Ignored:
    """Return the event of one of them. EVENT is the CloudEvent it would have been (§15)."""
    kind = text(document, "eventType")
    if kind == "Microsoft.EventGrid.SubscriptionValidationEvent":
        return VALIDATION
    if not kind.startswith(TYPE_PREFIX):
        return message_event(part.named(text(document, "id")), is_json=True)
    cloudevent = {
        "specversion": "1.0",
        "id": text(document, "id"),
        "source": text(document, "topic"),
        "type": kind,
        "subject": text(document, "subject"),
        "time": text(document, "eventTime"),
        "datacontenttype": "application/json",
        "data": document["data"],
    }
    return blob(part, cloudevent, dump(cloudevent))


def blob(part: Part, cloudevent: Document, raw: bytes) -> StorageEvent | Ignored:
    """Return the event of a blob that a CloudEvent tells; its container where others have the bucket."""
    kind = text(cloudevent, "type").removeprefix(TYPE_PREFIX)
    if kind not in ("BlobCreated", "BlobDeleted"):
        return NOT_A_BLOB
    if optional_text(cloudevent, "data", "api") == "CreateFile":
        return NOT_COMPLETE  # hierarchical accounts: FlushWithClose follows
    subject = text(cloudevent, "subject")
    container, blobs, name = subject.removeprefix(_CONTAINERS).partition(_BLOBS)
    if not subject.startswith(_CONTAINERS) or not blobs:
        raise EventError(f"subject is {subject[:64]!a}, expected {_CONTAINERS}<name>{_BLOBS}<name>")
    key = decode_key(name, part.route.key_encoding or KeyEncoding.NONE)
    time = moment(cloudevent, "time")
    etag = optional_text(cloudevent, "data", "eTag")
    sequencer = optional_text(cloudevent, "data", "sequencer")
    action = Action.CREATED if kind == "BlobCreated" else Action.REMOVED
    version = f"{etag or ''}+{sequencer or time.isoformat()}"
    return object_event(
        part,
        id=s3_event_id(part.route.provider, container, key, version, action),
        kind=KIND,
        bucket=container,
        key=key,
        action=action,
        reason="put" if action is Action.CREATED else "delete",
        time=time,
        raw=raw,
        native_name=text(cloudevent, "type"),
        etag=etag,
        size=whole_number(cloudevent, "data", "contentLength"),
        content_type=optional_text(cloudevent, "data", "contentType"),
        sequencer=sequencer,
        sequence=sequencer,
    )
