"""What a listening connection tells becomes what the webhook would have sent, byte for byte in what matters."""

from __future__ import annotations

import json
from urllib.parse import unquote_plus

import pytest

from oscar_events.errors import EventError
from oscar_events.event import Action
from oscar_events.notifications.minio import event_names, webhook_bodies
from oscar_events.notifications.port import Route
from tests.unit.oscar_events.notifications.arriving import arrive, document, only_event

WEBHOOK = "minio-kafka-ObjectCreated-Put"
ROUTE = Route(source="heard", provider="minio.default")


def test_the_same_record_is_the_same_event_with_the_same_body() -> None:
    sent = document(WEBHOOK)
    heard = json.loads(json.dumps({"Records": sent["Records"]}))
    place = heard["Records"][0]["s3"]["object"]
    place["key"] = unquote_plus(place["key"])
    (body,) = webhook_bodies(heard)
    assert json.loads(body) == sent
    assert only_event(json.loads(body), ROUTE).id == only_event(sent, ROUTE).id


def test_what_is_no_record_is_left_for_the_normaliser_to_refuse() -> None:
    for strange in ({"Records": [{"eventName": "s3:ObjectCreated:Put"}]}, {"Records": ["text"]}, {"other": 1}, [1]):
        (body,) = webhook_bodies(strange)
        with pytest.raises(EventError):
            arrive(json.loads(body), ROUTE)


def test_every_wanted_action_has_names_of_its_own_and_no_wildcard() -> None:
    names = {action: event_names([action]) for action in Action}
    assert len(names[Action.CREATED]) == 4
    assert all("*" not in name for group in names.values() for name in group)
    assert names[Action.UPDATED] == ()
