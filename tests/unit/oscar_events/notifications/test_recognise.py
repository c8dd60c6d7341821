"""The first format that fits counts, in the order of reference/event-formats.md §11; what fits none is a message."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from oscar_events.errors import EventError
from oscar_events.event import Action
from oscar_events.notifications.port import Notification
from oscar_events.notifications.recognise import normalise
from tests.unit.oscar_events.notifications.arriving import (
    RECEIVED,
    ROUTE,
    TO_SERVICE,
    arrive,
    document,
    only_event,
    sample,
)
from tests.unit.oscar_events.notifications.test_flowfile import VECTOR

EVERYWHERE = replace(TO_SERVICE, directory="/data")
CLOUDEVENT = {"specversion": "1.0", "id": "1", "source": "/a", "type": "com.example.told"}
SNS = {"Type": "Notification", "TopicArn": "arn:x", "MessageId": "n1", "Message": "hello"}
SQS = {"MessageId": "q1", "ReceiptHandle": "r", "Body": "hello"}
TEST_EVENT = document("docs-aws-TestEvent")
EVENTBRIDGE = document("docs-eventbridge-ObjectCreated")
PUBSUB = document("docs-gcs-pubsub-OBJECT_FINALIZE")
RECORDS = document("minio-kafka-ObjectCreated-Put")
INOTIFY = document("docs-dcache-inotify-IN_CLOSE_WRITE")
RUCIO = document("docs-rucio-close")
CHANGE = document("docs-onedata-changes")
BILLING = document("docs-dcache-billing-transfer")
LISTED = document("docs-nifi-lists3-attributes")
DELEGATED = {"storage_provider": "x", "event": "hello"}
GATEWAY = {"httpMethod": "POST", "body": "hello"}

# How each row shows in its event: the name its sender gave it, or for messages their own id.
ROWS: list[tuple[str, dict[str, Any], str]] = [
    ("CloudEvents", CLOUDEVENT, "com.example.told"),
    ("SNS", SNS, "n1"),
    ("SQS", SQS, "q1"),
    ("test event", TEST_EVENT, "ignored"),
    ("EventBridge", EVENTBRIDGE, "ObjectCreated:Put"),
    ("Pub/Sub", PUBSUB, "google.cloud.storage.object.v1.finalized"),
    ("Records", RECORDS, "s3:ObjectCreated:Put"),
    ("dCache inotify", INOTIFY, "IN_CLOSE_WRITE"),
    ("Rucio", RUCIO, "close"),
    ("Onedata changes", CHANGE, "changes"),
    ("dCache billing", BILLING, "transfer"),
    ("NiFi ListS3", LISTED, "ObjectCreated:Put"),
    ("delegated", DELEGATED, "fresh"),
    ("gateway", GATEWAY, "fresh"),
]


def shown(body: object, **headers: str) -> str:
    result = arrive(body, EVERYWHERE, **headers)
    if result.ignored:
        return "ignored"
    (event,) = result.events
    return event.native_name or event.key.decode()


@pytest.mark.parametrize(("body", "name"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_each_format_is_recognised_without_a_label(body: dict[str, Any], name: str) -> None:
    assert shown(body) == name


@pytest.mark.parametrize(
    ("earlier", "later"),
    [(one, other) for one, other in itertools.combinations(ROWS[1:], 2) if not one[1].keys() & other[1].keys()],
    ids=lambda row: row[0],
)
def test_where_two_formats_fit_the_earlier_counts(
    earlier: tuple[str, dict[str, Any], str], later: tuple[str, dict[str, Any], str]
) -> None:
    assert shown(later[1] | earlier[1]) == earlier[2]


@pytest.mark.parametrize("other", [row[1] for row in ROWS[1:]], ids=[row[0] for row in ROWS[1:]])
def test_what_has_the_members_of_a_cloudevent_must_be_one(other: dict[str, Any]) -> None:
    if "Type" not in other:
        other = other | {"Type": "x"}  # no attribute has such a name
    with pytest.raises(EventError, match="CloudEvents"):
        arrive(other | CLOUDEVENT, EVERYWHERE)


def test_a_label_counts_before_anything_in_the_body() -> None:
    assert shown(VECTOR, content_type="application/flowfile-v3") == "fresh-0"
    headers = {f"ce-{name}": value for name, value in CLOUDEVENT.items()}
    assert shown(RECORDS, **headers) == "com.example.told"
    with pytest.raises(EventError, match="FlowFile"):
        arrive(RECORDS, EVERYWHERE, content_type="application/flowfile-v3")


@pytest.mark.parametrize(
    "body",
    [
        {"Type": "Notification"},  # no TopicArn
        {"detail-type": "Object Created"},
        {"message": {"attributes": {}}},
        {"message": "words", "subscription": "s"},
        {"Records": []},
        {"Records": "none"},
        {"Records": [{"eventSource": "narnia"}]},
        {"event": {"mask": ["IN_CREATE"]}},
        {"event": "words", "subscription": "s"},
        {"event_type": "close"},
        {"event_type": "close", "payload": "words"},
        {"seq": 5},
        {"msgType": "transfer"},
        {"storage_provider": "minio.default"},
        {"httpMethod": "GET"},
        {"specversion": "1.0", "id": "1"},
        {"s3.bucket": "in"},
        {"EventName": "s3:ObjectCreated:Put", "Key": "in/é"},
        "words",
        5,
        None,
        True,
        [],
        [5],
    ],
    ids=str,
)
def test_what_only_resembles_a_format_is_a_message(body: object) -> None:
    assert only_event(body, TO_SERVICE).action is Action.RECEIVED


@pytest.mark.parametrize(
    "body",
    [
        {"Records": [{"eventSource": "minio:s3"}]},
        {"Records": [{"eventSource": "ceph:s3", "eventName": "ObjectCreated:Put", "s3": 5}]},
        {"Records": [{"eventSource": "OneTrigger"}]},
        {"detail-type": "Object Created", "source": "aws.s3", "detail": {}},
        {"event": {"mask": [], "name": 5}, "subscription": "s"},
        {"event_type": "close", "payload": {"scope": "s"}},
        {"seq": 5, "fileId": "1", "fileLocation": {"changed": True, "fields": {"size": 1}}},
        {"msgType": "remove", "pnfsid": "1"},
    ],
    ids=str,
)
def test_what_is_a_format_but_broken_is_refused_and_no_message(body: object) -> None:
    try:
        result = arrive(body, TO_SERVICE)
    except EventError:
        return
    assert (result.events, len(result.refused)) == ((), 1)


def test_text_that_says_it_is_json_and_is_not_is_refused() -> None:
    assert only_event(b"{", TO_SERVICE).action is Action.RECEIVED
    for content_type in ("application/json; charset=utf-8", "Application/JSON", "application/x+json"):
        with pytest.raises(EventError, match="not JSON"):
            arrive(b"{", TO_SERVICE, content_type=content_type)


def test_the_same_bytes_come_to_the_same_at_any_time() -> None:
    assert arrive(sample("minio-webhook-request")) == arrive(sample("minio-webhook-request"))


def test_recognising_imports_only_what_every_process_has() -> None:
    """The supervisor pays for it in each run (issue 4, part 7)."""
    heavy = ("cloudevents", "dateutil", "msgspec", "pydantic", "yaml", "starlette", "sqlalchemy")
    code = f"import sys, oscar_events.notifications.recognise; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_an_object_needs_no_service_on_its_route() -> None:
    assert only_event(RECORDS, ROUTE).service is None


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (SNS, {"content-type": "application/json"}),
        (SQS, {"content-type": "application/json", "idempotency-key": "of the request"}),
        ({"Records": [{"eventSource": "aws:sqs", "messageId": one, "body": one} for one in "ab"]}, {}),
        ([GATEWAY, {**GATEWAY, "body": "another"}], {"idempotency-key": "of the request"}),
        (VECTOR + VECTOR, {"content-type": "application/flowfile-v3"}),
    ],
)
def test_a_part_that_was_refused_is_the_event_it_would_have_been_when_it_is_sent_again(
    body: Any, headers: dict[str, str]
) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    arrived = Notification(data, headers, RECEIVED, "fresh")
    meant = normalise(arrived, TO_SERVICE).events
    assert meant
    refused = normalise(arrived, ROUTE).refused  # its source names no service yet
    again = [
        event
        for number, one in enumerate(refused)
        for event in normalise(Notification(one.body, one.headers or {}, RECEIVED, f"kept {number}"), TO_SERVICE).events
    ]
    assert [(event.id, event.raw.body) for event in again] == [(event.id, event.raw.body) for event in meant]


def test_json_that_breaks_off_is_refused_with_the_place_where_no_service_would_take_it_as_a_message() -> None:
    with pytest.raises(EventError, match=r"not JSON: .* line 1 column 22"):
        arrive(b'{"Records": [{"bad": ', ROUTE)
    with pytest.raises(EventError, match="no notification of an object"):
        arrive(b"no JSON at all", ROUTE)
    assert arrive(b'{"Records": [{"bad": ', TO_SERVICE).events[0].raw.body == b'{"Records": [{"bad": '
