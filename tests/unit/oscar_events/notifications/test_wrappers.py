"""OSCAR's delegation, API gateways and arrays are taken off, three deep at most."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from oscar_events.errors import EventError
from oscar_events.event import Action
from tests.unit.oscar_events.notifications.arriving import (
    ROUTE,
    TO_SERVICE,
    arrive,
    document,
    only_event,
    refused,
    sample,
)

MINIO = document("minio-kafka-ObjectCreated-Put")
OBJECT = only_event(sample("minio-kafka-ObjectCreated-Put"))


def delegated(event: object) -> dict[str, object]:
    return {"storage_provider": "minio.cluster2", "event": event}


def request(body: object, **members: object) -> dict[str, object]:
    return {"httpMethod": "POST", "headers": {"Content-Type": "text/plain"}, "body": body, **members}


@pytest.mark.parametrize(
    "wrapped",
    [
        delegated(MINIO),
        delegated(json.dumps(MINIO)),
        request(MINIO),
        request(json.dumps(MINIO)),
        request(base64.b64encode(json.dumps(MINIO).encode()).decode(), isBase64Encoded=True),
        [MINIO],
        request(json.dumps(delegated(MINIO))),
        [delegated(request(MINIO))],
    ],
    ids=["object", "text", "gateway object", "gateway text", "gateway base64", "array", "two", "three"],
)
def test_an_object_is_the_same_event_in_every_wrapper(wrapped: object) -> None:
    event = only_event(wrapped)
    assert json.loads(event.raw.body) == MINIO
    assert replace(event, raw=OBJECT.raw) == OBJECT


def test_the_provider_a_wrapper_names_is_not_believed() -> None:
    assert only_event(delegated(MINIO)).provider == "minio.default"


def test_a_fourth_wrapper_is_refused() -> None:
    assert refused([delegated(request(delegated(MINIO)))]) == "more than 3 envelopes around each other"


def test_an_event_alone_is_a_users_own_document() -> None:
    event = only_event({"event": MINIO}, TO_SERVICE)
    assert event.action is Action.RECEIVED


@pytest.mark.parametrize("inner", [5, None, True])
def test_a_wrapper_around_nothing_readable_is_refused(inner: object) -> None:
    with pytest.raises(EventError, match="expected an object or its JSON as text"):
        arrive(delegated(inner), TO_SERVICE)


def test_a_gateways_base64_is_decoded_to_the_byte() -> None:
    event = only_event(request(base64.b64encode(b"\0\xff").decode(), isBase64Encoded=True), TO_SERVICE)
    assert (event.raw.body, event.raw.mediatype) == (b"\0\xff", "text/plain")


def test_a_gateways_broken_base64_is_refused() -> None:
    with pytest.raises(EventError, match="body is not base64"):
        arrive(request("hello world!", isBase64Encoded=True), TO_SERVICE)


def test_a_gateways_request_names_its_message_by_its_own_header() -> None:
    event = only_event(request("x", headers={"Idempotency-Key": "k1", "Authorization": "Bearer t"}), TO_SERVICE)
    assert event.key == b"k1"
    assert b"Bearer" not in event.raw.body


def test_a_gateways_request_without_body_keeps_its_parameters() -> None:
    made: dict[str, Any] = {"httpMethod": "GET", "queryStringParameters": {"a": "1"}, "body": None}
    assert json.loads(only_event(made, TO_SERVICE).raw.body) == made


def test_an_array_with_anything_unknown_in_it_is_one_message() -> None:
    assert only_event([MINIO, {"a": 1}], TO_SERVICE).action is Action.RECEIVED
    assert only_event([], TO_SERVICE).raw.body == b"[]"


def test_an_arrays_documents_are_events_each_and_a_broken_one_spoils_no_other() -> None:
    result = arrive([MINIO, {"Records": [{"eventSource": "minio:s3"}]}, MINIO])
    assert [event.id for event in result.events] == [OBJECT.id] * 2
    assert [refusal.body for refusal in result.refused] == [b'{"Records":[{"eventSource":"minio:s3"}]}']


def test_messages_out_of_one_request_have_names_of_their_own() -> None:
    batch = {"Records": [{"eventSource": "aws:sqs", "body": "a"}, {"eventSource": "aws:sqs", "body": "b"}]}
    result = arrive(batch, TO_SERVICE, idempotency_key="k")
    assert [event.key for event in result.events] == [b"k-0", b"k-1"]


def test_a_message_on_a_route_for_objects_is_refused_wherever_it_lies() -> None:
    assert "names no service" in refused(delegated("hello"), ROUTE)
