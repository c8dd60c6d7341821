"""Google Cloud Storage: by Pub/Sub push, and as CloudEvents from Eventarc.

In:  either. Out: the event of an object; other Pub/Sub messages' data, to be read.
Not here: pulling from Pub/Sub. Source: reference/event-formats.md §9, from the vendor's documentation.
"""

from __future__ import annotations

from oscar_events.errors import EventError
from oscar_events.event import Action, StorageEvent
from oscar_events.identity import s3_event_id
from oscar_events.notifications.fields import Document, mapping, moment, optional_text, text, whole_number
from oscar_events.notifications.keys import KeyEncoding, decode_key
from oscar_events.notifications.objects import METADATA_PREFIX, object_event, user_metadata
from oscar_events.notifications.part import Ignored, Part
from oscar_events.notifications.s3 import CHANGED_BESIDE, KIND
from oscar_events.notifications.strict_json import dump, parse
from oscar_events.notifications.wrappers import from_base64

TYPE_PREFIX = "google.cloud.storage.object.v1."
OVERWRITTEN = Ignored("an older generation was overwritten; the newer one has its own event")
_TYPES = {
    "OBJECT_FINALIZE": "finalized",
    "OBJECT_DELETE": "deleted",
    "OBJECT_ARCHIVE": "archived",
    "OBJECT_METADATA_UPDATE": "metadataUpdated",
}
_MEANINGS = {
    "finalized": (Action.CREATED, "put"),
    "deleted": (Action.REMOVED, "delete"),
    "archived": (Action.REMOVED, "archive"),
}


def is_push(document: Document) -> bool:
    """Whether Pub/Sub pushed this."""
    message = document.get("message")
    return "subscription" in document and isinstance(message, dict) and "attributes" in message


def push(part: Part, document: Document) -> StorageEvent | Ignored | Part:
    """Return the event of an object, or what else the message holds. EVENT is what Eventarc would have sent (§15)."""
    attributes = mapping(document, "message", "attributes")
    data = from_base64(optional_text(document, "message", "data") or "", "message.data")
    if "objectId" not in attributes:
        return part.inside(data, optional_text(document, "message", "messageId"))
    native = text(attributes, "eventType")
    if native not in _TYPES:
        raise EventError(f"eventType is {native[:64]!a}, which this platform does not know")
    if "overwrittenByGeneration" in attributes:
        return OVERWRITTEN
    resource = parse(data) if data else {}
    if not isinstance(resource, dict):
        raise EventError("message.data is no JSON object")
    bucket, name = text(attributes, "bucketId"), text(attributes, "objectId")
    resource = {**resource, "bucket": bucket, "name": name, "generation": text(attributes, "objectGeneration")}
    cloudevent = {
        "specversion": "1.0",
        "id": text(document, "message", "messageId"),
        "source": f"//storage.googleapis.com/projects/_/buckets/{bucket}",
        "type": TYPE_PREFIX + _TYPES[native],
        "subject": f"objects/{name}",
        "time": text(attributes, "eventTime"),
        "datacontenttype": "application/json",
        "data": resource,
    }
    return stored(part, cloudevent, dump(cloudevent))


def stored(part: Part, cloudevent: Document, raw: bytes) -> StorageEvent | Ignored:
    """Return the event of an object that a CloudEvent of Eventarc tells. The generation is the version."""
    what = text(cloudevent, "type").removeprefix(TYPE_PREFIX)
    if what == "metadataUpdated":
        return CHANGED_BESIDE
    if what not in _MEANINGS:
        raise EventError(f"type is {TYPE_PREFIX}{what[:64]}, which this platform does not know")
    action, reason = _MEANINGS[what]
    bucket = text(cloudevent, "data", "bucket")
    key = decode_key(text(cloudevent, "data", "name"), part.route.key_encoding or KeyEncoding.NONE)
    generation = whole_number(cloudevent, "data", "generation")
    if generation is None:
        raise EventError("data.generation is missing")
    own = {f"{METADATA_PREFIX}{name}": value for name, value in mapping(cloudevent, "data", "metadata").items()}
    return object_event(
        part,
        id=s3_event_id(part.route.provider, bucket, key, str(generation), action),
        kind=KIND,
        bucket=bucket,
        key=key,
        action=action,
        reason=reason,
        time=moment(cloudevent, "time"),
        raw=raw,
        native_name=text(cloudevent, "type"),
        version=str(generation),
        etag=optional_text(cloudevent, "data", "etag"),
        size=whole_number(cloudevent, "data", "size"),
        content_type=optional_text(cloudevent, "data", "contentType"),
        sequencer=str(generation),
        sequence=f"{generation:020d}",
        metadata=user_metadata(own),
    )
