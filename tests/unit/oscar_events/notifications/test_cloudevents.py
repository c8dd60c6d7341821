"""CloudEvents in every mode: objects of stores are storage events, all others messages with the data as body."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from oscar_events.errors import EventError
from oscar_events.event import Action
from tests.unit.oscar_events.notifications.arriving import (
    KEY,
    RECEIVED,
    TO_SERVICE,
    arrive,
    document,
    only_event,
    refused,
    sample,
)

STRUCTURED = "application/cloudevents+json"
EVENT = {"specversion": "1.0", "id": "1", "source": "/a", "type": "com.example.told", "data": {"b": 1}}


def binary(body: bytes = b"x", prefix: str = "ce-", **changed: str) -> Any:
    """The keyword arguments of a binary CloudEvent for `only_event`; an empty one takes an attribute away."""
    given = {"specversion": "1.0", "id": "1", "source": "/a", "type": "com.example.told", **changed}
    content_type = given.pop("content_type", "text/plain")
    headers = {f"{prefix}{name}": value for name, value in given.items() if value}
    return {"body": body, "route": TO_SERVICE, "content-type": content_type, **headers}


def test_the_same_event_in_every_mode_has_one_id_and_its_data_as_body() -> None:
    structured = only_event(EVENT, TO_SERVICE, content_type=STRUCTURED)
    unlabelled = only_event(EVENT, TO_SERVICE)
    http = only_event(**binary(b'{"b":1}', content_type="application/json"))
    kafka = only_event(**binary(b'{"b":1}', prefix="ce_", content_type="application/json"))
    batch = only_event([EVENT], TO_SERVICE, content_type="application/cloudevents-batch+json")
    events = (structured, unlabelled, http, kafka, batch)
    assert len({event.id for event in events}) == 1
    for event in events:
        assert (event.raw.body, event.raw.mediatype) == (b'{"b":1}', "application/json")
        assert (event.action, event.kind, event.key) == (Action.RECEIVED, "message", b"/a 1")
        assert (event.bucket, event.native_name) == ("uploads", "com.example.told")


def test_an_event_is_named_by_source_and_id() -> None:
    first = only_event(EVENT, TO_SERVICE)
    assert only_event(EVENT | {"data": 2}, TO_SERVICE).id == first.id
    assert only_event(EVENT | {"id": "2"}, TO_SERVICE).id != first.id
    assert only_event(EVENT | {"source": "/b"}, TO_SERVICE).id != first.id


def test_a_message_of_one_source_never_stands_for_that_of_another_on_the_same_provider() -> None:
    other = replace(TO_SERVICE, source="other", service="animals")
    forged = EVENT | {"data": "forged"}
    assert only_event(EVENT, TO_SERVICE).id != only_event(forged, other).id


def test_an_event_without_time_happened_when_it_came() -> None:
    assert only_event(EVENT, TO_SERVICE).time == RECEIVED
    told = only_event(EVENT | {"time": "2026-11-21T05:30:28+01:00"}, TO_SERVICE)
    assert told.time == datetime(2026, 11, 21, 4, 30, 28, tzinfo=UTC)


def test_a_script_finds_the_attributes_beside_the_data() -> None:
    event = only_event(EVENT | {"subject": "s", "count": 3, "flag": True}, TO_SERVICE)
    assert event.metadata["ce-subject"] == "s"
    assert (event.metadata["ce-count"], event.metadata["ce-flag"]) == ("3", "true")


@pytest.mark.parametrize(
    ("members", "body", "mediatype"),
    [
        ({"data": None}, b"", "application/octet-stream"),
        ({"data": "words", "datacontenttype": "text/plain"}, b"words", "text/plain"),
        ({"data": "words"}, b'"words"', "application/json"),
        ({"data": "a", "datacontenttype": "application/x+json; a=b"}, b'"a"', "application/x+json; a=b"),
        ({"data_base64": base64.b64encode(b"\0\xff").decode(), "datacontenttype": "a/b"}, b"\0\xff", "a/b"),
    ],
)
def test_data_in_json_becomes_the_bytes_it_stands_for(members: Any, body: bytes, mediatype: str) -> None:
    made = {name: value for name, value in EVENT.items() if name != "data"} | members
    event = only_event(made, TO_SERVICE, content_type=STRUCTURED)
    assert (event.raw.body, event.raw.mediatype) == (body, mediatype)


def test_data_beside_headers_is_not_touched() -> None:
    event = only_event(**binary(b"\0\xff\xfe", content_type="image/png"))
    assert (event.raw.body, event.raw.mediatype) == (b"\0\xff\xfe", "image/png")


def test_headers_are_decoded_over_http_and_taken_as_they_are_from_kafka() -> None:
    assert only_event(**binary(subject="a%20%C3%A9")).metadata["ce-subject"] == "a é"
    assert only_event(**binary(subject="a%20é", prefix="ce_")).metadata["ce-subject"] == "a%20é"


@pytest.mark.parametrize("missing", ["id", "source", "type"])
def test_an_event_without_a_required_attribute_is_refused_not_completed(missing: str) -> None:
    with pytest.raises(EventError, match=f"the attribute {missing} is missing"):
        arrive({**EVENT, missing: None}, TO_SERVICE, content_type=STRUCTURED)
    with pytest.raises(EventError, match=f"the attribute {missing} is missing"):
        arrive(**binary(b"x", "ce-", **{missing: ""}))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"specversion": "0.3"}, "specversion '0.3'; this platform reads 1.0"),
        ({"id": 5}, "CloudEvents"),
        ({"time": "yesterday"}, "CloudEvents"),
        ({"time": "2026-11-21T04:30:28"}, "timezone aware"),
        ({"time": 5}, "CloudEvents"),
        ({"Upper": "x"}, "lowercase"),
        ({"ext": {"a": 1}}, "no text, number or boolean"),
        ({"subject": "a\nb"}, "control characters"),
        ({"data_base64": "eA=="}, "exclude each other"),
        ({"data": None, "data_base64": "%%%"}, "not base64"),
        ({"data": None, "data_base64": 5}, "no text"),
    ],
)
def test_a_broken_event_is_refused(changed: dict[str, object], reason: str) -> None:
    with pytest.raises(EventError, match=reason):
        arrive(EVENT | changed, TO_SERVICE, content_type=STRUCTURED)


@pytest.mark.parametrize(
    ("body", "content_type", "reason"),
    [
        (b"x", STRUCTURED, "not JSON"),
        (b"[]", STRUCTURED, "JSON object"),
        (b"{}", "application/cloudevents-batch+json", "JSON array"),
        (b"<a/>", "application/cloudevents+xml", "not JSON"),
        (b"{}", "application/cloudevents+avro", "this platform reads JSON"),
    ],
)
def test_what_says_it_is_cloudevents_and_is_not_is_refused(body: bytes, content_type: str, reason: str) -> None:
    with pytest.raises(EventError, match=reason):
        arrive(body, TO_SERVICE, content_type=content_type)


def test_percents_that_are_no_utf8_are_refused() -> None:
    with pytest.raises(EventError, match="ce-subject is not UTF-8"):
        arrive(**binary(subject="%E9"))


def test_json_that_readers_disagree_on_is_refused_as_data_too() -> None:
    with pytest.raises(EventError, match="twice"):
        arrive(**binary(b'{"a":1,"a":2}', content_type="application/json"))


def test_one_bad_event_of_a_batch_spoils_no_other() -> None:
    batch = [EVENT, {"id": "2"}, EVENT | {"id": "3"}]
    result = arrive(batch, TO_SERVICE, content_type="application/cloudevents-batch+json")
    assert [event.key for event in result.events] == [b"/a 1", b"/a 3"]
    assert [refusal.body for refusal in result.refused] == [b'{"id":"2"}']


def test_s3s_adapter_tells_an_object() -> None:
    event = only_event(sample("docs-cloudevents-s3-ObjectCreated-Put"), content_type=STRUCTURED)
    assert (event.kind, event.bucket, event.key, event.size, event.reason) == ("s3", "in", KEY, 5, "put")
    assert json.loads(event.raw.body)["Records"][0]["eventSource"] == "aws:s3"


def test_s3s_adapter_and_s3_itself_tell_one_event() -> None:
    record = document("docs-aws-ObjectCreated-Put")["Records"][0]
    made = EVENT | {"type": "com.amazonaws.s3.ObjectCreated:Put", "data": record}
    assert only_event(made).id == only_event(sample("docs-aws-ObjectCreated-Put")).id


def test_cephs_own_cloudevents_are_its_notification() -> None:
    body = sample("ceph-http-ObjectCreated-Put")
    event = only_event(**binary(body, type="com.amazonaws.ObjectCreated:Put", content_type="application/json"))
    assert (event.key, event.raw.body) == (KEY, body)
    assert event.id == only_event(body).id


def test_cephs_subject_is_not_encoded_and_not_needed() -> None:
    body = sample("ceph-http-ObjectCreated-Put")
    made = binary(body, type="com.amazonaws.ObjectCreated:Put", content_type="application/json", subject="100%E9")
    assert only_event(**made).key == KEY


def test_data_of_no_named_type_beside_headers_may_be_anything() -> None:
    made = binary(b"{words")
    del made["content-type"]
    assert only_event(**made).raw.body == b"{words"
    with pytest.raises(EventError, match="the data is not JSON"):
        arrive(**binary(b"{words", content_type="application/json"))


def test_a_record_of_a_sender_nobody_knows_is_refused() -> None:
    made = EVENT | {"type": "com.amazonaws.s3.ObjectCreated:Put", "data": {"eventSource": "narnia"}}
    with pytest.raises(EventError, match="eventSource is 'narnia', expected one of minio:s3, aws:s3, ceph:s3"):
        arrive(made)


def test_an_object_without_a_record_is_refused() -> None:
    with pytest.raises(EventError, match="no record"):
        arrive(EVENT | {"type": "com.amazonaws.s3.ObjectCreated:Put", "data": 5})


def test_a_batch_element_that_no_service_waits_for_is_refused_alone() -> None:
    assert "names no service" in refused([EVENT], content_type="application/cloudevents-batch+json")
