"""A storage event of another oscar-events, sent on as it lay on its bus.

In:  its CloudEvent. Out: the event, with all that identity and authority rest on taken from the route.
Not here: the envelope itself (codec.py, imported late: it is not light).
"""

from __future__ import annotations

from dataclasses import replace

from oscar_events.errors import EventError
from oscar_events.event import StorageEvent
from oscar_events.identity import cloudevent_event_id, object_source
from oscar_events.notifications.fields import Document, text, whole_number
from oscar_events.notifications.objects import check_bucket, check_hops
from oscar_events.notifications.part import Part
from oscar_events.notifications.strict_json import dump

TYPE_PREFIX = "oscar.storage.object."


def forwarded(part: Part, cloudevent: Document) -> StorageEvent:
    """Return the event as this platform's own.

    Its id is computed anew: one taken from the body could name another event, which then would not run. Inode and
    modification time are left out: they mean something on the machine that the file is on, and only there.
    """
    from oscar_events import codec

    # Beside headers, attributes are text.
    event = codec.decode(dump({**cloudevent, "hopcount": whole_number(cloudevent, "hopcount") or 0}))
    if text(cloudevent, "type") != codec.ce_type(event.action):
        raise EventError(f"type is {text(cloudevent, 'type')[:64]!a}, data.action {event.action}")
    check_bucket(event.bucket)
    if (event.size or 0) < 0:
        raise EventError(f"data.object.size is {event.size}, expected 0 or more")
    check_hops(event.hop_count)
    route = part.route
    return replace(
        event,
        id=cloudevent_event_id(route.provider, text(cloudevent, "source"), event.id),
        provider=route.provider,
        source=object_source(route.provider, event.bucket),
        recorded=part.received,
        tenant=route.tenant,
        service=route.service,
        service_uids=(),
        file_id=None,
        modified_ns=None,
        adapter=route.source,
    )
