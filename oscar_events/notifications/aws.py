"""AWS's envelopes around S3's notifications: SQS, SNS, EventBridge.

In:  an envelope. Out: what it holds, to be read; or the event itself (EventBridge has a shape of its own).
Not here: S3's records (s3.py), polling queues, confirming subscriptions: no URL from an event is ever fetched (§16).
Source: reference/event-formats.md §2.3 to §2.5.
"""

from __future__ import annotations

from oscar_events.errors import EventError
from oscar_events.notifications import s3
from oscar_events.notifications.fields import Document, at, mapping, moment, optional_text, text
from oscar_events.notifications.keys import KeyEncoding, decode_key
from oscar_events.notifications.message import message_event
from oscar_events.notifications.part import Ignored, Outcome, Part
from oscar_events.notifications.strict_json import dump

TO_CONFIRM = Ignored("an SNS subscription that waits to be confirmed by hand")
ENDED = Ignored("an SNS subscription ended")
_SNS_TYPES = ("Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation")

# The name that S3 itself gives to what EventBridge tells as reason or type (§2.5).
_CREATED = {
    "PutObject": "ObjectCreated:Put",
    "POST Object": "ObjectCreated:Post",
    "CopyObject": "ObjectCreated:Copy",
    "CompleteMultipartUpload": "ObjectCreated:CompleteMultipartUpload",
}
_DELETED = {
    "Permanently Deleted": "ObjectRemoved:Delete",
    "Delete Marker Created": "ObjectRemoved:DeleteMarkerCreated",
}
_OTHERS = {
    "Object Restore Initiated": "ObjectRestore:Post",
    "Object Restore Completed": "ObjectRestore:Completed",
    "Object Restore Expired": "ObjectRestore:Delete",
    "Object Storage Class Changed": "LifecycleTransition",
    "Object Access Tier Changed": "IntelligentTiering",
    "Object ACL Updated": "ObjectAcl:Put",
    "Object Tags Added": "ObjectTagging:Put",
    "Object Tags Deleted": "ObjectTagging:Delete",
}


def is_sns(document: Document) -> bool:
    """Whether this is what SNS posts."""
    return document.get("Type") in _SNS_TYPES and "TopicArn" in document


def is_sqs(document: Document) -> bool:
    """Whether this is a message as a consumer of SQS gets it."""
    return {"MessageId", "ReceiptHandle", "Body"} <= document.keys()


def is_eventbridge(document: Document) -> bool:
    """Whether this came over EventBridge, from S3 or not."""
    return "detail-type" in document and "detail" in document


def sns(part: Part, document: Document, index: int | None = None) -> Outcome:
    """Return what an SNS envelope holds. index: of one among several."""
    kind = text(document, "Type")
    if kind != "Notification":
        return TO_CONFIRM if kind == "SubscriptionConfirmation" else ENDED
    return part.inside(_body(document, "Message"), optional_text(document, "MessageId"), index)


def sqs(part: Part, document: Document) -> Outcome:
    """Return what an SQS message holds."""
    return part.inside(_body(document, "Body"), optional_text(document, "MessageId"))


def queued(part: Part, record: Document, index: int) -> Outcome:
    """Return what a message of Lambda's SQS batch holds."""
    return part.inside(_body(record, "body"), optional_text(record, "messageId"), index)


def published(part: Part, record: Document, index: int) -> Outcome:
    """Return what a message of Lambda's SNS batch holds."""
    return sns(part, mapping(record, "Sns"), index)


def eventbridge(part: Part, document: Document) -> Outcome:
    """Return the event that EventBridge told; what is not S3's is a message, named by its `id`."""
    if document.get("source") != "aws.s3":
        return message_event(part.named(text(document, "id")), is_json=True)
    detail = mapping(document, "detail")
    name = _s3_name(text(document, "detail-type"), detail)
    bucket = text(detail, "bucket", "name")
    key = decode_key(text(detail, "object", "key"), part.route.key_encoding or KeyEncoding.NONE)
    details = {
        "size": at(detail, "object", "size"),
        "eTag": at(detail, "object", "etag"),
        "versionId": at(detail, "object", "version-id"),
        "sequencer": at(detail, "object", "sequencer"),
    }
    record = s3.aws_record(
        name,
        bucket,
        key,
        moment(document, "time"),
        details,
        region=optional_text(document, "region") or "",
        request_id=optional_text(detail, "request-id") or "",
    )
    made = {"Records": [record]}
    return s3.record_event(part, made, record, dump(made), key)


def _s3_name(detail_type: str, detail: Document) -> str:
    if detail_type == "Object Created":
        said, names = optional_text(detail, "reason"), _CREATED
    elif detail_type == "Object Deleted":
        said, names = optional_text(detail, "deletion-type"), _DELETED
    else:
        said, names = detail_type, _OTHERS
    if said not in names:
        raise EventError(
            f"S3 by EventBridge: {detail_type[:64]!a} with {str(said)[:64]!a}, which this platform does not know"
        )
    return names[said]


def _body(document: Document, name: str) -> bytes:
    return (optional_text(document, name) or "").encode()
