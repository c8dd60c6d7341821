"""What is looked at while a notification is taken apart: the whole of it, then what its envelopes hold.

In:  a notification and its route. Out: `Part`, and what reading one gives: an event, a reason to do nothing, a refusal,
     or another part to read.
Not here: reading (one module per format), the order of formats and the way down (recognise.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType

from oscar_events.errors import EventError
from oscar_events.event import StorageEvent
from oscar_events.notifications.fields import is_unicode
from oscar_events.notifications.port import Notification, Refusal, Route

# S3 in SNS in SQS, called by a gateway: nobody builds more, and each level is parsed again.
MAX_ENVELOPES = 3
CLOUDEVENTS = "application/cloudevents"
# Where senders without CloudEvents write their own id: HTTP's draft header, NiFi by InvokeHTTP, NiFi by PublishKafka.
ID_HEADER = "idempotency-key"
_ID_HEADERS = (ID_HEADER, "x-nifi-uuid", "uuid")


@dataclass(frozen=True, slots=True)
class Ignored:
    """Meant to start nothing. reason: short and fixed, as it is counted by it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes that may be a notification, with what came beside them.

    headers: names in lower case. own_id: what the bytes are called if nothing in them says it better.
    """

    body: bytes
    headers: Mapping[str, str]
    own_id: str
    received: datetime
    route: Route
    depth: int = 0

    @classmethod
    def whole(cls, notification: Notification, route: Route) -> Part:
        """Return all of a notification. Raises EventError for a header that is no text."""
        headers = notification.headers
        for name, value in headers.items():
            if not is_unicode(value):
                raise EventError(f"the header {name[:64]!a} holds half a surrogate pair, which is no text")
        own_id = _said_id(headers, notification.fresh_id)
        return cls(notification.body, headers, own_id, notification.received, route)

    def inside(
        self,
        body: bytes,
        own_id: str | None = None,
        index: int | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> Part:
        """Return what this envelope holds.

        own_id: as the envelope names it. index: of one among several, which must not share a name then.
        Raises EventError at the fourth envelope around each other.
        """
        if self.depth == MAX_ENVELOPES:
            raise EventError(f"more than {MAX_ENVELOPES} envelopes around each other")
        name = self.own_id if index is None else f"{self.own_id}-{index}"
        return Part(body, headers, own_id or _said_id(headers, name), self.received, self.route, self.depth + 1)

    def named(self, own_id: str) -> Part:
        """Return the same with the id that its content gives it."""
        return replace(self, own_id=own_id)

    @property
    def media_type(self) -> str:
        """The media type its sender names; empty if none."""
        return media_type(self.headers.get("content-type", ""))

    @property
    def is_labelled_cloudevents(self) -> bool:
        """Whether the media type, or headers as of HTTP or of Kafka, say that this is CloudEvents."""
        headers = ("ce-specversion", "ce-id", "ce_specversion", "ce_id")
        return self.media_type.startswith(CLOUDEVENTS) or any(name in self.headers for name in headers)

    @property
    def is_labelled_json(self) -> bool:
        """Whether the sender says that this is JSON."""
        return is_json(self.media_type)


def media_type(content_type: str) -> str:
    """Return a content type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def is_json(media: str) -> bool:
    """Whether a media type is of JSON."""
    return media.endswith(("/json", "+json"))


def _said_id(headers: Mapping[str, str], otherwise: str) -> str:
    return next((headers[name] for name in _ID_HEADERS if name in headers), otherwise)


Outcome = StorageEvent | Ignored | Refusal | Part
