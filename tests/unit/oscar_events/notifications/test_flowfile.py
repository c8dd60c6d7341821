"""NiFi's packages come out with their attributes, and an object that ListS3 found is an event."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from oscar_events.errors import EventError
from oscar_events.event import Action
from tests.unit.oscar_events.notifications.arriving import (
    KEY,
    ROUTE,
    TO_SERVICE,
    arrive,
    document,
    only_event,
    sample,
)

MEDIA = "application/flowfile-v3"
# reference/event-formats.md §7.3, checked there against NiFi's own test file
VECTOR = bytes.fromhex(
    "4e6946694646330002000866696c656e616d65001472656420666c6f7765722bc3a92534312e6a7067"
    "000973332e6275636b65740002696e000000000000000568656c6c6f"
)
LISTED = document("docs-nifi-lists3-attributes")
MINIO = sample("minio-kafka-ObjectCreated-Put")


def package(content: bytes, **attributes: str) -> bytes:
    made = b"NiFiFF3" + number(len(attributes))
    for name, value in attributes.items():
        made += number(len(name.encode())) + name.encode() + number(len(value.encode())) + value.encode()
    return made + len(content).to_bytes(8, "big") + content


def number(value: int) -> bytes:
    return value.to_bytes(2, "big") if value < 0xFFFF else b"\xff\xff" + value.to_bytes(4, "big")


def test_the_vector_of_the_reference_is_read() -> None:
    event = only_event(VECTOR, TO_SERVICE, content_type=MEDIA)
    assert (event.raw.body, event.action) == (b"hello", Action.RECEIVED)


def test_packages_in_one_body_are_events_each_named_by_their_uuid() -> None:
    body = package(b"a", uuid="u1", **{"mime.type": "text/plain"}) + package(MINIO, uuid="u2") + package(b"c")
    result = arrive(body, TO_SERVICE, content_type=MEDIA)
    assert [event.key for event in result.events] == [b"u1", KEY, b"fresh-2"]
    assert [event.raw.body for event in result.events] == [b"a", MINIO, b"c"]
    assert result.events[0].raw.mediatype == "text/plain"
    assert result.events[1].id == only_event(MINIO).id


def test_a_long_attribute_has_its_length_in_four_bytes() -> None:
    event = only_event(package(b"a", uuid="u1", long="x" * 70_000), TO_SERVICE, content_type=MEDIA)
    assert event.key == b"u1"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "the beginning of 7 bytes"),
        (b"NiFiFF2\0\0", "does not begin with NiFiFF3"),
        (VECTOR[:-1], "the content of 5 bytes"),
        (VECTOR[:20], "an attribute's value|an attribute's name"),
        (VECTOR + b"x", "the beginning of 7 bytes"),
        (b"NiFiFF3\xff\xff\xff\xff\xff\xff", "an attribute's name"),
        (b"NiFiFF3\0\0" + b"\xff" * 8, "the content of 18446744073709551615 bytes"),
        (b"NiFiFF3\0\1\0\1\xff\0\0", "not UTF-8"),
    ],
)
def test_a_broken_package_is_refused_and_no_length_is_believed(body: bytes, reason: str) -> None:
    with pytest.raises(EventError, match=reason):
        arrive(body, TO_SERVICE, content_type=MEDIA)


def test_an_empty_package_starts_nothing() -> None:
    assert arrive(package(b"", uuid="u"), TO_SERVICE, content_type=MEDIA).ignored == ("an empty message",)


@pytest.mark.parametrize("road", ["package", "headers", "json"])
def test_an_object_that_was_listed_is_an_event_by_its_attributes_alone(road: str) -> None:
    if road == "package":
        event = only_event(package(b"", **LISTED), ROUTE, content_type=MEDIA)
    elif road == "headers":
        event = only_event(b"", ROUTE, **{name.lower(): value for name, value in LISTED.items()})
    else:
        event = only_event(LISTED)
    assert (event.bucket, event.key, event.size, event.etag) == ("in", KEY, 5, "5d41402abc4b2a76b9719d911017c592")
    assert event.version == "096fKKXTRTtl3on89fVO.nfljtsv6qko"
    assert event.time == datetime(2026, 11, 21, 4, 30, 27, 946000, UTC)
    assert json.loads(event.raw.body)["Records"][0]["s3"]["bucket"]["name"] == "in"


def test_listing_an_object_of_minio_and_its_notification_are_one_event() -> None:
    unversioned = {name: value for name, value in LISTED.items() if name != "s3.version"}
    assert only_event(unversioned).id == only_event(sample("docs-minio-ObjectCreated-Put")).id


def test_listing_a_version_on_aws_and_its_notification_are_one_event() -> None:
    aws = replace(ROUTE, provider="s3.default")
    assert only_event(LISTED, aws).id == only_event(sample("docs-aws-ObjectCreated-Put"), aws).id


@pytest.mark.parametrize("value", ["", "soon", "9" * 30, str(10**18)])
def test_a_listing_without_a_usable_time_is_refused(value: str) -> None:
    with pytest.raises(EventError, match=r"s3\.lastmodified|s3\.lastModified"):
        arrive(LISTED | {"s3.lastModified": value})


def test_a_package_with_content_is_not_taken_for_a_listing() -> None:
    event = only_event(package(b"the file itself", **LISTED), TO_SERVICE, content_type=MEDIA)
    assert (event.action, event.raw.body) == (Action.RECEIVED, b"the file itself")


@pytest.mark.parametrize("attributes", [{"mime.type": "a\0b"}, {"uuid": "a\0b"}])
def test_an_attribute_that_no_database_can_hold_is_refused(attributes: dict[str, str]) -> None:
    result = arrive(package(b"x", **attributes), TO_SERVICE, content_type=MEDIA)
    assert (result.events, [refusal.body for refusal in result.refused]) == ((), [b"x"])
