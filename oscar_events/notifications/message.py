"""A message: bytes that speak of no object this platform knows, for the service that their route names.

In:  a part that no format claims, with its id. Out: an event with the action `received`.
Not here: what counts as an object's notification (recognise.py), laying the bytes before the script (the supervisor).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from oscar_events.errors import EventError
from oscar_events.event import Action, Raw, StorageEvent
from oscar_events.identity import message_event_id, message_source
from oscar_events.notifications.part import Part

KIND = "message"
# An id is typed, logged and shown in one line; UUIDs have 36.
_MAX_ID_CHARACTERS = 255
_NO_TYPE = "application/octet-stream"
_JSON_TYPE = "application/json"


def message_event(part: Part, *, is_json: bool) -> StorageEvent:
    """Return the event of a message as it came. is_json: it is, whether or not its sender said so."""
    mediatype = part.headers.get("content-type", _JSON_TYPE if is_json else _NO_TYPE)
    own_id = message_event_id(part.route.source, part.own_id)
    return received(part, id=own_id, name=part.own_id, raw=Raw(part.body, mediatype), time=part.received)


def received(
    part: Part,
    *,
    id: str,
    name: str,
    raw: Raw,
    time: datetime,
    native_name: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> StorageEvent:
    """Return the event of a message. name: its own id, for people, where an object has its key.

    Raises EventError where no service is there to take it, or its id is none.
    """
    route = part.route
    if route.service is None:
        raise EventError(
            f"no notification of an object in a format that is known, and for messages the source {route.source} "
            "names no service"
        )
    if not 1 <= len(name) <= _MAX_ID_CHARACTERS or not name.isprintable():
        raise EventError(f"the message's id is {name[:64]!a}, expected 1 to {_MAX_ID_CHARACTERS} printable characters")
    return StorageEvent(
        id=id,
        provider=route.provider,
        bucket=route.source,
        key=name.encode(),
        source=message_source(route.source),
        time=time,
        recorded=part.received,
        raw=raw,
        kind=KIND,
        action=Action.RECEIVED,
        size=len(raw.body),
        content_type=raw.mediatype,
        native_name=native_name,
        metadata=metadata or {},
        tenant=route.tenant,
        service=route.service,
        adapter=route.source,
    )
