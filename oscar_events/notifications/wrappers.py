"""What others put around a notification: OSCAR's delegation, an API gateway, an array.

In:  the wrapper. Out: what it holds, to be read. How deep is bounded where parts are made (part.py).
Not here: AWS's envelopes (aws.py), CloudEvents (cloudevents.py), FlowFiles (flowfile.py).
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from oscar_events.errors import EventError
from oscar_events.notifications.fields import Document, mapping
from oscar_events.notifications.part import Part
from oscar_events.notifications.strict_json import dump

# They speak of the caller, not of the notification, and what is refused is kept with its headers.
_SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key"})


def is_delegated(document: Document) -> bool:
    """Whether OSCAR handed an event on. An `event` alone is not enough: any user's document may have one (§11)."""
    return "storage_provider" in document and "event" in document


def delegated(part: Part, document: Document) -> Part:
    """Return the event handed on. Its `storage_provider` is the sender's word; the route's counts (house rule 3)."""
    return part.inside(_bytes(document["event"], "event"))


def is_gateway(document: Document) -> bool:
    """Whether an API gateway wraps a body. Without one the parameters are the message, and stay together."""
    return "httpMethod" in document and document.get("body") not in (None, "")


def gateway(part: Part, document: Document) -> Part:
    """Return the body of an API gateway's request, with its headers."""
    headers = {
        name.lower(): value
        for name, value in mapping(document, "headers").items()
        if isinstance(value, str) and name.lower() not in _SECRET_HEADERS
    }
    body = _bytes(document["body"], "body")
    return part.inside(from_base64(body, "body") if document.get("isBase64Encoded") is True else body, headers=headers)


def array(part: Part, documents: Sequence[object], headers: Mapping[str, str] = MappingProxyType({})) -> Iterator[Part]:
    """Yield each of an array's documents. headers: what is known of all of them."""
    return (part.inside(dump(document), index=index, headers=headers) for index, document in enumerate(documents))


def from_base64(text: bytes | str, where: str) -> bytes:
    """Return what the base64 text at this place means. Raises EventError for anything but base64."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise EventError(f"{where} is not base64: {error}") from error


def _bytes(value: object, where: str) -> bytes:
    if isinstance(value, dict | list):
        return dump(value)
    if isinstance(value, str):
        return value.encode()
    raise EventError(f"{where} is {str(value)[:20]}, expected an object or its JSON as text")
