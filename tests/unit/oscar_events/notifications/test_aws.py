"""What AWS wraps around a notification is taken off, and one object told on two roads is one event."""

from __future__ import annotations

import json
from typing import Any

import pytest

from oscar_events.event import Action
from tests.unit.oscar_events.notifications.arriving import (
    KEY,
    TO_SERVICE,
    arrive,
    document,
    ignored,
    only_event,
    sample,
)

S3 = sample("docs-aws-ObjectCreated-Put").decode()
OBJECT = only_event(S3.encode())


def lambda_batch(*bodies: str) -> Any:
    return {
        "Records": [{"messageId": f"m{n}", "body": body, "eventSource": "aws:sqs"} for n, body in enumerate(bodies)]
    }


def sns(message: str, **members: str) -> Any:
    return {"Type": "Notification", "MessageId": "n1", "TopicArn": "arn:aws:sns:x", "Message": message, **members}


@pytest.mark.parametrize(
    "body",
    [
        sample("docs-sqs-message"),
        sample("docs-sns-notification"),
        lambda_batch(S3),
        {"Records": [{"EventSource": "aws:sns", "Sns": sns(S3)}]},
        lambda_batch(json.dumps(sns(S3))),  # SNS feeds SQS
        [sns(json.dumps(lambda_batch(S3)))],
    ],
    ids=["sqs", "sns", "lambda of sqs", "lambda of sns", "sns in sqs", "three envelopes"],
)
def test_an_object_is_the_same_event_in_every_envelope(body: object) -> None:
    event = only_event(body)
    assert event == OBJECT
    assert event.raw.body == S3.encode()


def test_one_bad_message_of_a_batch_spoils_no_other() -> None:
    result = arrive(lambda_batch(S3, '{"Records":[{"eventSource":"aws:s3"}]}', '{"a":NaN}'))
    assert [event.key for event in result.events] == [KEY]
    assert [refusal.body for refusal in result.refused] == [b'{"Records":[{"eventSource":"aws:s3"}]}', b'{"a":NaN}']


def test_a_queued_message_without_object_is_named_by_its_queue() -> None:
    result = arrive(lambda_batch("hello", "hello"), TO_SERVICE)
    assert [event.key for event in result.events] == [b"m0", b"m1"]
    assert [event.raw.body for event in result.events] == [b"hello", b"hello"]


def test_setting_up_a_notification_starts_nothing() -> None:
    assert ignored(sample("docs-aws-TestEvent")) == "s3:TestEvent, sent when notifications are set up"
    assert ignored(lambda_batch(sample("docs-aws-TestEvent").decode())).startswith("s3:TestEvent")


@pytest.mark.parametrize("kind", ["SubscriptionConfirmation", "UnsubscribeConfirmation"])
def test_subscriptions_to_sns_start_nothing_and_nothing_is_fetched(kind: str) -> None:
    assert "SNS subscription" in ignored(sns("confirm", Type=kind, SubscribeURL="http://127.0.0.1:1/"))


def test_eventbridge_tells_the_same_event_in_its_own_words() -> None:
    event = only_event(sample("docs-eventbridge-ObjectCreated"))
    assert (event.id, event.key, event.version, event.sequence) == (OBJECT.id, KEY, OBJECT.version, OBJECT.sequence)
    assert (event.etag, event.size, event.reason, event.source) == (OBJECT.etag, 5, "put", OBJECT.source)


def test_scripts_find_eventbridges_event_as_s3_would_have_sent_it() -> None:
    event = only_event(sample("docs-eventbridge-ObjectCreated"))
    record = json.loads(event.raw.body)["Records"][0]
    assert record["eventSource"] == "aws:s3"
    assert record["s3"]["object"]["key"] == "photos/red+flower%2B%C3%A9%2541.jpg"
    again = only_event(event.raw.body)
    assert (again.id, again.key) == (event.id, event.key)


@pytest.mark.parametrize(
    ("detail_type", "detail", "action", "reason"),
    [
        ("Object Created", {"reason": "POST Object"}, Action.CREATED, "post"),
        ("Object Created", {"reason": "CopyObject"}, Action.CREATED, "copy"),
        ("Object Created", {"reason": "CompleteMultipartUpload"}, Action.CREATED, "multipart"),
        ("Object Deleted", {"deletion-type": "Permanently Deleted"}, Action.REMOVED, "delete"),
        ("Object Deleted", {"deletion-type": "Delete Marker Created"}, Action.REMOVED, "delete_marker"),
        ("Object Restore Completed", {}, Action.RESTORED, "restore"),
    ],
)
def test_what_eventbridge_says_happened(detail_type: str, detail: dict[str, str], action: Action, reason: str) -> None:
    made = document("docs-eventbridge-ObjectCreated")
    made["detail-type"] = detail_type
    made["detail"] |= detail
    event = only_event(made)
    assert (event.action, event.reason) == (action, reason)


@pytest.mark.parametrize(
    "detail_type",
    [
        "Object Restore Initiated",
        "Object Restore Expired",
        "Object Storage Class Changed",
        "Object Access Tier Changed",
        "Object ACL Updated",
        "Object Tags Added",
        "Object Tags Deleted",
    ],
)
def test_what_changes_no_content_is_ignored_over_eventbridge_too(detail_type: str) -> None:
    made = document("docs-eventbridge-ObjectCreated")
    made["detail-type"] = detail_type
    assert ignored(made)


def test_other_services_over_eventbridge_send_messages_named_by_their_id() -> None:
    made = document("docs-eventbridge-ObjectCreated") | {"source": "aws.ec2"}
    event = only_event(made, TO_SERVICE)
    assert (event.action, event.key) == (Action.RECEIVED, b"17793124-05d4-b198-2fde-7ededc63b103")


def test_a_reason_nobody_knows_is_refused() -> None:
    made = document("docs-eventbridge-ObjectCreated")
    made["detail"]["reason"] = "Telepathy"
    with pytest.raises(Exception, match="Telepathy"):
        arrive(made)
