"""dCache: its inotify events, and its billing records.

In:  the data of a server-sent event, as NiFi hands it on, or a record of the billing topic. Out: the event of a file.
Not here: subscribing, missed events, the directory behind a subscription (a source). Source: reference/event-formats.md
§3, from dCache's code and documentation, never seen on a real server.
"""

from __future__ import annotations

from oscar_events.errors import EventError
from oscar_events.event import Action, StorageEvent
from oscar_events.identity import dcache_billing_event_id, dcache_event_id
from oscar_events.notifications.fields import Document, at, moment, optional_text, text, whole_number
from oscar_events.notifications.objects import object_event, split_path
from oscar_events.notifications.part import Ignored, Part
from oscar_events.notifications.strict_json import dump

KIND = "dcache"
SYSTEM = Ignored("dCache speaks of the channel, not of a file")
DIRECTORY = Ignored("a directory, not a file")
NOT_COMPLETE = Ignored("the file was created, opened or changed, not closed")
NOT_WRITTEN = Ignored("dCache billed something else than a file that was written or removed")
_SYSTEM_TYPES = ("NEW_SUBSCRIPTION", "SUBSCRIPTION_CLOSED", "EVENT_LOSS", "COMPETING_CLIENT", "SHUTDOWN")
# What a mask means; never IN_CREATE: the file is still being written (§3.1).
_MASKS = {
    "IN_CLOSE_WRITE": (Action.CREATED, "close_write"),
    "IN_MOVED_TO": (Action.CREATED, "moved_to"),
    "IN_DELETE": (Action.REMOVED, "delete"),
    "IN_MOVED_FROM": (Action.REMOVED, "moved_from"),
}


def is_system(document: Document) -> bool:
    """Whether this speaks of the channel; users' documents with a `type` have more members."""
    return document.get("type") in _SYSTEM_TYPES and document.keys() <= {"type", "subscription"}


def system(part: Part, document: Document) -> Ignored:
    """Return why this starts nothing."""
    return SYSTEM


def is_inotify(document: Document) -> bool:
    """Whether this is an inotify event."""
    event = document.get("event")
    return "subscription" in document and isinstance(event, dict) and "mask" in event


def inotify(part: Part, document: Document) -> StorageEvent | Ignored:
    """Return the event of a file. Its path: `Key`, as our own billing documents have it, else directory and name.

    The id in the channel comes beside the data, if at all: as the part's own id.
    """
    masks = at(document, "event", "mask")
    if not isinstance(masks, list):
        raise EventError("event.mask is no list")
    name = optional_text(document, "event", "name")
    if name is None:
        return SYSTEM  # IN_Q_OVERFLOW, IN_IGNORED, IN_UNMOUNT, and what befell the watched directory itself
    if "IN_ISDIR" in masks:
        return DIRECTORY
    known = [_MASKS[mask] for mask in masks if isinstance(mask, str) and mask in _MASKS]
    if not known:
        return NOT_COMPLETE
    action, reason = known[0]
    bucket, key = split_path(_path(part, document, name))
    channel = (optional_text(document, "subscription") or "").partition("/subscriptions/")[0]
    return object_event(
        part,
        id=dcache_event_id(part.route.provider, channel, part.own_id),
        kind=KIND,
        bucket=bucket,
        key=key,
        action=action,
        reason=reason,
        time=part.received,
        raw=part.body,
        native_name=",".join(mask for mask in masks if isinstance(mask, str)),
    )


def is_billing(document: Document) -> bool:
    """Whether this is a billing record."""
    return "msgType" in document and ("pnfsid" in document or "cellName" in document)


def billing(part: Part, document: Document) -> StorageEvent | Ignored:
    """Return the event of a file that was written or removed. EVENT looks like an inotify event with `Key` (§15)."""
    record_type = text(document, "msgType")
    is_written = (
        record_type == "transfer"
        and document.get("isWrite") == "write"
        and document.get("isP2p") is False
        and at(document, "status", "code") == 0
    )
    if not is_written and record_type != "remove":
        return NOT_WRITTEN
    path = optional_text(document, "billingPath") or text(document, "transferPath")
    bucket, key = split_path(path)
    date, pnfsid = text(document, "date"), text(document, "pnfsid")
    mask = "IN_CLOSE_WRITE" if is_written else "IN_DELETE"
    action, reason = _MASKS[mask]
    return object_event(
        part,
        id=dcache_billing_event_id(
            part.route.provider, optional_text(document, "session") or "", pnfsid, record_type, date
        ),
        kind=KIND,
        bucket=bucket,
        key=key,
        action=action,
        reason=reason,
        time=moment(document, "date"),
        raw=dump({"event": {"name": path.rpartition("/")[2], "mask": [mask]}, "subscription": "", "Key": path}),
        native_name=record_type,
        size=whole_number(document, "fileSize"),
        metadata={"pnfsid": pnfsid},
    )


def _path(part: Part, document: Document, name: str) -> str:
    if "/" in name:
        raise EventError(f"event.name is {name[:64]!a}, expected a name without slash")
    path = optional_text(document, "Key")
    if path is not None:
        return path
    if part.route.directory is None:
        raise EventError(f"event.name is a name without path, and the source {part.route.source} has no `directory`")
    return f"{part.route.directory.rstrip('/')}/{name}"
