"""Recorded notifications, and what they come to on a route; for the tests beside it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from oscar_events.event import StorageEvent
from oscar_events.notifications.port import Normalised, Notification, Route
from oscar_events.notifications.recognise import normalise

SAMPLES = Path(__file__).parents[3] / "data" / "notifications"
RECEIVED = datetime(2026, 11, 21, 12, tzinfo=UTC)
ROUTE = Route(source="uploads", provider="minio.default", tenant="alice")
# Messages without object need a service to go to.
TO_SERVICE = replace(ROUTE, service="plants")
KEY = "photos/red flower+é%41.jpg".encode()


def sample(name: str) -> bytes:
    """Return the body of a recorded notification, out of the request or record it was kept in."""
    whole = (SAMPLES / f"{name}.json").read_bytes()
    document = json.loads(whole)
    if isinstance(document, dict) and "headers" in document:
        return str(document.get("body", document.get("value"))).encode()
    return whole


def document(name: str) -> Any:
    """Return a recorded notification, to be changed."""
    return json.loads(sample(name))


def arrive(body: object, route: Route = ROUTE, **headers: str) -> Normalised:
    """Return what a body comes to: bytes as they are, else as its JSON. headers: `_` is `-`, but in Kafka's."""
    named = {name if name.startswith("ce_") else name.replace("_", "-"): value for name, value in headers.items()}
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return normalise(Notification(data, named, RECEIVED, "fresh"), route)


def only_event(body: object, route: Route = ROUTE, **headers: str) -> StorageEvent:
    """Return the one event that a body comes to."""
    result = arrive(body, route, **headers)
    assert (len(result.events), result.ignored, result.refused) == (1, (), ()), result
    return result.events[0]


def ignored(body: object, route: Route = ROUTE, **headers: str) -> str:
    """Return why the one thing in a body is ignored."""
    result = arrive(body, route, **headers)
    assert (result.events, len(result.ignored), result.refused) == ((), 1, ()), result
    return result.ignored[0]


def refused(body: object, route: Route = ROUTE, **headers: str) -> str:
    """Return why the one thing in a body is refused."""
    result = arrive(body, route, **headers)
    assert (result.events, result.ignored, len(result.refused)) == ((), (), 1), result
    return result.refused[0].reason
