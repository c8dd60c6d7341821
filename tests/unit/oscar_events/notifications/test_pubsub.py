"""An object of Google Cloud Storage is one event, by Pub/Sub and by Eventarc."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from oscar_events.errors import EventError
from oscar_events.event import Action
from oscar_events.notifications.port import Route
from tests.unit.oscar_events.notifications.arriving import KEY, arrive, document, ignored, only_event, sample

ROUTE = Route(source="gcs", provider="gcs.default")
RESOURCE = {"size": "5", "etag": "CJ", "contentType": "image/jpeg", "metadata": {"X1": "v1"}}


def push(data: bytes = json.dumps(RESOURCE).encode(), **attributes: str | None) -> Any:
    made = document("docs-gcs-pubsub-OBJECT_FINALIZE")
    made["message"]["attributes"] |= attributes
    for name in [name for name, value in attributes.items() if value is None]:
        del made["message"]["attributes"][name]
    made["message"]["data"] = base64.b64encode(data).decode()
    return made


def test_a_finished_object_is_an_event_by_the_attributes_alone() -> None:
    event = only_event(sample("docs-gcs-pubsub-OBJECT_FINALIZE"), ROUTE)
    assert (event.bucket, event.key, event.action, event.reason) == ("in", KEY, Action.CREATED, "put")
    assert (event.version, event.sequence) == ("1795235427946000", "00001795235427946000")
    assert event.source == "s3://gcs.default/in"


def test_what_the_data_say_of_the_object_is_taken_too() -> None:
    event = only_event(push(), ROUTE)
    assert (event.size, event.etag, event.content_type) == (5, "CJ", "image/jpeg")
    assert event.metadata == {"x-amz-meta-x1": "v1"}


def test_eventarc_and_pubsub_tell_one_event_and_scripts_find_the_same() -> None:
    pushed = only_event(push(), ROUTE)
    arc = only_event(json.loads(pushed.raw.body), ROUTE, content_type="application/cloudevents+json")
    assert (arc.id, arc.key, arc.size, arc.metadata) == (pushed.id, pushed.key, pushed.size, pushed.metadata)


@pytest.mark.parametrize(("event_type", "reason"), [("OBJECT_DELETE", "delete"), ("OBJECT_ARCHIVE", "archive")])
def test_an_object_that_is_gone_is_removed(event_type: str, reason: str) -> None:
    event = only_event(push(eventType=event_type), ROUTE)
    assert (event.action, event.reason) == (Action.REMOVED, reason)


def test_metadata_and_overwritten_generations_start_nothing() -> None:
    assert ignored(push(eventType="OBJECT_METADATA_UPDATE"), ROUTE).startswith("tags, retention or access")
    assert "overwritten" in ignored(push(eventType="OBJECT_DELETE", overwrittenByGeneration="2"), ROUTE)


def test_our_own_results_are_seen_in_the_metadata() -> None:
    data = json.dumps(RESOURCE | {"metadata": {"oscar-events-hops": "17"}}).encode()
    with pytest.raises(EventError, match="a loop of services"):
        arrive(push(data), ROUTE)


def test_other_messages_of_pubsub_are_opened() -> None:
    made = push(b"hello", objectId=None)
    event = only_event(made, replace(ROUTE, service="s"))
    assert (event.action, event.raw.body, event.key) == (Action.RECEIVED, b"hello", b"2070443601311540")


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (push(eventType="OBJECT_DREAMT"), "OBJECT_DREAMT"),
        (push(objectGeneration=None), "objectGeneration"),
        (push(objectGeneration="x"), r"data\.generation"),
        (push(bucketId=None), "bucketId"),
        (push(b"[]"), "no JSON object"),
        (push(b"x"), "not JSON"),
    ],
)
def test_a_broken_push_is_refused(made: object, reason: str) -> None:
    with pytest.raises(EventError, match=reason):
        arrive(made, ROUTE)
