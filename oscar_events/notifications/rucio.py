"""Rucio (Hermes): a dataset was closed.

In:  a Hermes message, bare or behind a record. Out: the event of a closed dataset; every other type is ignored.
Not here: STOMP and AMQP. Source: reference/event-formats.md §8, from Rucio's code, never seen on a real server.
"""

from __future__ import annotations

from oscar_events.event import Action, StorageEvent
from oscar_events.identity import rucio_event_id
from oscar_events.notifications.fields import Document, moment, optional_text, text, whole_number
from oscar_events.notifications.objects import object_event
from oscar_events.notifications.part import Ignored, Part

KIND = "rucio"
NOT_CLOSED = Ignored("Rucio tells something else than that a dataset was closed")


def is_rucio(document: Document) -> bool:
    """Whether this is what Hermes sends."""
    payload = document.get("payload")
    return "event_type" in document and isinstance(payload, dict) and "scope" in payload


def event(part: Part, document: Document) -> StorageEvent | Ignored:
    """Return the event of a dataset: its scope where others have the bucket, its name where they have the key."""
    return record_event(part, document, document, part.body)


def record_event(part: Part, document: Document, record: Document, raw: bytes) -> StorageEvent | Ignored:
    """Return the event of a record with `eventSource` rucio; what it tells stands beside the records."""
    event_type = text(document, "event_type").lower()  # the catalogue keeps CLOSE, Hermes sends close
    if event_type != "close":
        return NOT_CLOSED
    scope, name = text(document, "payload", "scope"), text(document, "payload", "name")
    created_at = text(document, "created_at")
    vo = optional_text(document, "payload", "vo") or ""
    return object_event(
        part,
        id=rucio_event_id(part.route.provider, event_type, vo, scope, name, created_at),
        kind=KIND,
        bucket=scope,
        key=name.encode(),
        action=Action.CREATED,
        reason="close",
        time=moment(document, "created_at", zone_is_utc=True),
        raw=raw,
        native_name=event_type,
        size=whole_number(document, "payload", "bytes"),
    )
