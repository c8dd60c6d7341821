"""MinIO's own words: the names it has for what services want, and what it tells on a listening connection.

In:  actions; a document of ListenBucketNotification. Out: event names to ask for; what its webhook would have sent.
Not here: the connection (oscar_ingest/sources/minio_listen.py), what a record means (s3.py).

A listening connection tells the same records as webhook and Kafka target but for two things (cmd/event-notification.go
of the server: `ToEvent(false)`): the key is not encoded, and `EventName` and `Key` are missing at the top. Both are put
back, so that one event has one id, and one text in EVENT, whatever road it came.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote_plus

from oscar_events.errors import EventError
from oscar_events.event import Action
from oscar_events.notifications.fields import text
from oscar_events.notifications.strict_json import dump

# `s3:ObjectCreated:*` would tell of changed tags and locks as well, which make no object (event-formats.md §2.1).
_NAMES: dict[Action, tuple[str, ...]] = {
    Action.CREATED: (
        "s3:ObjectCreated:Put",
        "s3:ObjectCreated:Post",
        "s3:ObjectCreated:Copy",
        "s3:ObjectCreated:CompleteMultipartUpload",
    ),
    Action.REMOVED: (
        "s3:ObjectRemoved:Delete",
        "s3:ObjectRemoved:DeleteMarkerCreated",
        "s3:ObjectRemoved:DeleteAllVersions",
    ),
    Action.RESTORED: ("s3:ObjectRestore:Completed",),
}


def event_names(actions: Iterable[Action]) -> tuple[str, ...]:
    """Return what to ask MinIO for, so that it tells of these actions; nothing for those it has no event for."""
    wanted = frozenset(actions)
    return tuple(name for action, names in _NAMES.items() if action in wanted for name in names)


def webhook_bodies(document: object) -> Iterator[bytes]:
    """Yield per record of what a listening connection told the body a webhook would have got.

    What is no such document is yielded as it is: the normaliser then says what is wrong with it.
    """
    records = document.get("Records") if isinstance(document, Mapping) else None
    if not isinstance(records, list):
        yield dump(document)
        return
    for record in records:
        yield dump(_as_by_webhook(record))


def _as_by_webhook(record: object) -> dict[str, object]:
    if not isinstance(record, Mapping):
        return {"Records": [record]}
    try:
        name, bucket = text(record, "eventName"), text(record, "s3", "bucket", "name")
        key = text(record, "s3", "object", "key")
    except EventError:
        return {"Records": [record]}
    s3 = record["s3"]
    encoded = {**record, "s3": {**s3, "object": {**s3["object"], "key": quote_plus(key, safe="")}}}
    return {"EventName": name, "Key": f"{bucket}/{key}", "Records": [encoded]}
