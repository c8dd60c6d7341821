"""Onedata: OneTrigger's webhook, and the documents of its changes stream.

In:  one of them. Out: the event of a new or changed file; directories, deletions and changed metadata are ignored.
Not here: reading the stream and remembering how far (a source). Source: reference/event-formats.md §4, from its code
and documentation, never seen on a real server.
"""

from __future__ import annotations

from datetime import UTC, datetime

from oscar_events.errors import EventError
from oscar_events.event import Action, StorageEvent
from oscar_events.identity import onedata_event_id
from oscar_events.notifications.fields import Document, at, mapping, moment, since_1970, text, whole_number
from oscar_events.notifications.objects import object_event, split_path
from oscar_events.notifications.part import Ignored, Part
from oscar_events.notifications.strict_json import dump

KIND = "onedata"
ONE_TRIGGER = "OneTrigger"
REMOVED = Ignored("a file was removed from Onedata")
DIRECTORY = Ignored("a directory, not a file")
CHANGED_BESIDE = Ignored("metadata changed, not the content")
_SEQUENCE_DIGITS = 20


def record_event(part: Part, document: Document, record: Document, raw: bytes) -> StorageEvent | Ignored:
    """Return the event of a record of OneTrigger; the path stands beside the records."""
    path = text(document, "Key")
    name = text(record, "objectKey")
    if path.rpartition("/")[2] != name:
        raise EventError(f"Key is {path[:64]!a}, which is not the path of {name[:64]!a}")
    space, key = split_path(path)
    when = text(record, "eventTime")
    return object_event(
        part,
        id=onedata_event_id(part.route.provider, space, text(record, "objectId"), when),
        kind=KIND,
        bucket=space,
        key=key,
        action=Action.CREATED,
        reason="poll",
        time=moment(record, "eventTime", zone_is_utc=True),
        raw=raw,
        native_name=ONE_TRIGGER,
    )


def is_change(document: Document) -> bool:
    """Whether this is a document of the changes stream, in its new or its old form."""
    return "seq" in document and ("fileId" in document or "file_id" in document)


def change(part: Part, document: Document) -> StorageEvent | Ignored:
    """Return the event of a change. EVENT is what OneTrigger would have sent (§15)."""
    is_new_form = "fileId" in document
    facts = _new_form(document) if is_new_form else _old_form(document)
    if at(facts, "deleted") is True:
        return REMOVED
    if at(facts, "type") not in (None, "REG", "reg"):
        return DIRECTORY
    size = whole_number(facts, "size")
    if size is None:
        return CHANGED_BESIDE
    path, file_id = text(facts, "path"), text(facts, "id")
    space, key = split_path(path)
    number = whole_number(document, "seq")
    if number is None:
        raise EventError("seq is empty")
    seconds = whole_number(facts, "mtime")
    time = part.received if seconds is None else since_1970(seconds, "mtime")
    return object_event(
        part,
        id=onedata_event_id(part.route.provider, space, file_id, str(number)),
        kind=KIND,
        bucket=space,
        key=key,
        action=Action.CREATED,
        reason="changes",
        time=time,
        raw=dump(_as_one_trigger(path, file_id, time)),
        native_name="changes",
        size=size,
        sequencer=str(number),
        sequence=f"{number:0{_SEQUENCE_DIGITS}d}",
    )


def _new_form(document: Document) -> Document:
    location = mapping(document, "fileLocation")
    return {
        "id": document.get("fileId"),
        "path": document.get("filePath"),
        "deleted": at(document, "fileMeta", "deleted"),
        "type": at(document, "fileMeta", "fields", "type"),
        "size": at(location, "fields", "size") if location.get("changed") is True else None,
        "mtime": at(document, "times", "fields", "mtime"),
    }


def _old_form(document: Document) -> Document:
    return {
        "id": document.get("file_id"),
        "path": document.get("file_path"),
        "deleted": document.get("deleted"),
        "type": at(document, "changes", "type"),
        "size": at(document, "changes", "size"),
        "mtime": at(document, "changes", "mtime"),
    }


def _as_one_trigger(path: str, file_id: str, time: datetime) -> Document:
    record = {
        "objectKey": path.rpartition("/")[2],
        "objectId": file_id,
        "eventTime": time.astimezone(UTC).replace(tzinfo=None).isoformat(),
        "eventSource": ONE_TRIGGER,
    }
    return {"Key": path, "Records": [record]}
