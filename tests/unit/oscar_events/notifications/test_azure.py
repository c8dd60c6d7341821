"""A blob of Azure is one event, in Event Grid's own schema and as a CloudEvent."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from oscar_events.errors import EventError
from oscar_events.event import Action
from oscar_events.notifications.port import Route
from tests.unit.oscar_events.notifications.arriving import KEY, arrive, document, ignored, only_event

ROUTE = Route(source="azure", provider="azure.default")
BLOB = document("docs-cloudevents-azure-BlobCreated")


def grid(**changed: object) -> Any:
    """The same event in Event Grid's schema, which wraps even one in an array."""
    made = {
        "topic": BLOB["source"],
        "id": BLOB["id"],
        "subject": BLOB["subject"],
        "eventType": BLOB["type"],
        "eventTime": BLOB["time"],
        "dataVersion": "",
        "metadataVersion": "1",
        "data": BLOB["data"],
    }
    return [made | changed]


def test_a_blob_is_an_event_of_its_container() -> None:
    event = only_event(BLOB, ROUTE)
    assert (event.bucket, event.key, event.size, event.content_type) == ("in", KEY, 5, "image/jpeg")
    assert (event.action, event.sequence) == (Action.CREATED, "00000000000004420000000000028963")
    assert event.source == "s3://azure.default/in"


def test_both_schemas_tell_one_event_and_scripts_find_the_cloudevent() -> None:
    event = only_event(grid(), ROUTE)
    assert event.id == only_event(BLOB, ROUTE).id
    assert only_event(json.loads(event.raw.body), ROUTE).id == event.id


def test_a_deleted_blob_is_removed() -> None:
    assert only_event(BLOB | {"type": "Microsoft.Storage.BlobDeleted"}, ROUTE).action is Action.REMOVED


def test_a_blob_without_content_yet_starts_nothing() -> None:
    made = BLOB | {"data": BLOB["data"] | {"api": "CreateFile"}}
    assert ignored(made, ROUTE) == "the blob was created, its content is still to come"
    assert only_event(BLOB | {"data": BLOB["data"] | {"api": "FlushWithClose"}}, ROUTE)


def test_other_types_and_the_handshake_start_nothing() -> None:
    assert ignored(BLOB | {"type": "Microsoft.Storage.BlobRenamed"}, ROUTE)
    handshake = grid(eventType="Microsoft.EventGrid.SubscriptionValidationEvent", data={"validationCode": "1"})
    assert "handshake" in ignored(handshake, ROUTE)


def test_what_else_event_grid_sends_is_a_message() -> None:
    event = only_event(grid(eventType="Contoso.Told"), replace(ROUTE, service="s"))
    assert (event.action, event.key) == (Action.RECEIVED, BLOB["id"].encode())


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"subject": "/blobs/a"}, "subject"),
        ({"subject": "/blobServices/default/containers/in/blobs/"}, "key is empty"),
        ({"time": None}, "time"),
        ({"data": 5}, "data is 5"),
    ],
)
def test_a_broken_blob_event_is_refused(changed: dict[str, object], reason: str) -> None:
    with pytest.raises(EventError, match=reason):
        arrive(BLOB | changed, ROUTE)
