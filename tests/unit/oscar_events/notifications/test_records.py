"""A document of many records is as many events, each with a document of its own."""

from __future__ import annotations

import json

import pytest

from oscar_events.errors import EventError
from oscar_events.notifications.recognise import MAX_RECORDS
from tests.unit.oscar_events.notifications.arriving import KEY, arrive, document, only_event

MINIO, CEPH, AWS = "minio-kafka-ObjectCreated-Put", "ceph-http-ObjectCreated-Put", "docs-aws-ObjectCreated-Put"


def records(*names: str, **beside: object) -> dict[str, object]:
    return {**beside, "Records": [document(name)["Records"][0] for name in names]}


def test_each_record_is_read_by_the_rule_of_its_own_sender() -> None:
    result = arrive(records(MINIO, CEPH, AWS))
    assert [event.key for event in result.events] == [KEY, KEY, KEY]
    assert [event.bucket for event in result.events] == ["in-kit", "bkt-kit", "in"]


def test_ids_do_not_depend_on_what_else_is_in_the_message() -> None:
    result = arrive(records(MINIO, CEPH, AWS))
    assert [event.id for event in result.events] == [only_event(document(name)).id for name in (MINIO, CEPH, AWS)]


def test_each_script_finds_its_own_record_and_what_stood_beside_it() -> None:
    result = arrive(records(MINIO, AWS, opaqueData="x", EventName="s3:ObjectCreated:Put", Key="in-kit/other"))
    for event, name in zip(result.events, (MINIO, AWS), strict=True):
        found = json.loads(event.raw.body)
        assert found["Records"] == document(name)["Records"]
        assert found["Key"] == f"{event.bucket}/{KEY.decode()}"
        assert found["EventName"] == found["Records"][0]["eventName"]
        assert found["opaqueData"] == "x"


def test_a_record_taken_out_of_its_message_is_the_same_event_when_it_is_read_again() -> None:
    for event in arrive(records(MINIO, CEPH, AWS, MINIO)).events:
        again = only_event(event.raw.body)
        assert (again.id, again.key, again.raw) == (event.id, event.key, event.raw)


def test_one_bad_record_is_kept_apart_and_the_others_go_on() -> None:
    made = records(MINIO, AWS)
    made["Records"] = [*made["Records"], {"eventSource": "aws:s3"}, {"eventSource": "new:s3"}, 5]  # type: ignore[misc]
    result = arrive(made)
    assert len(result.events) == 2
    reasons = [refusal.reason for refusal in result.refused]
    assert reasons[0] == "eventName is missing or empty"
    assert reasons[1] == "Records[3].eventSource is 'new:s3', which this platform does not know"
    assert reasons[2] == "Records[4] is no object"
    assert json.loads(result.refused[1].body)["Records"] == [{"eventSource": "new:s3"}]


def test_more_records_than_a_message_may_have_are_refused_as_a_whole() -> None:
    tagging = {"eventSource": "minio:s3", "eventName": "s3:ObjectCreated:PutTagging"}
    assert len(arrive({"Records": [tagging] * MAX_RECORDS}).ignored) == MAX_RECORDS
    with pytest.raises(EventError, match="more than 1000 records"):
        arrive({"Records": [tagging] * (MAX_RECORDS + 1)})


def test_a_small_message_cannot_be_blown_up_by_what_stands_beside_its_records() -> None:
    made = records(*[MINIO] * 100, beside="x" * 100_000)
    with pytest.raises(EventError, match="would be copied"):
        arrive(made)
