"""A document with `Records`: S3's, and all that took over its shape; one record, one event.

In:  the document. Out: one outcome per record, each by its own `eventSource`; a bad one spoils no other.
Not here: what a record says (s3.py, onedata.py, rucio.py, aws.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from oscar_events.errors import EventError
from oscar_events.notifications import aws, onedata, rucio, s3
from oscar_events.notifications.fields import Document
from oscar_events.notifications.part import Outcome, Part
from oscar_events.notifications.port import Refusal
from oscar_events.notifications.strict_json import dump

_OBJECTS = {
    s3.MINIO: s3.record_event,
    s3.AWS: s3.record_event,
    s3.CEPH: s3.record_event,
    "OneTrigger": onedata.record_event,
    "rucio": rucio.record_event,
}
_ENVELOPES = {"aws:sqs": aws.queued, "aws:sns": aws.published}
_SENDERS = _OBJECTS.keys() | _ENVELOPES.keys()
# Each event keeps what stands beside its record: 32 times what a request may have is no notification any more.
_MAX_COPIED_BYTES = 4 * 1024 * 1024


def is_records(document: Document) -> bool:
    """Whether at least one of its `Records` is of a sender this platform knows."""
    records = document.get("Records")
    return isinstance(records, list) and any(_sender(record) in _SENDERS for record in records)


def read(part: Part, document: Document) -> Iterator[Outcome]:
    """Yield what each record comes to."""
    records = document["Records"]
    assert isinstance(records, list)
    is_alone = len(records) == 1
    if not is_alone and (beside := len(dump({**document, "Records": []}))) * len(records) > _MAX_COPIED_BYTES:
        raise EventError(f"{beside} bytes beside {len(records)} records would be copied to each event")
    for index, record in enumerate(records):
        raw = part.body if is_alone else _alone(part, document, record)
        try:
            yield _outcome(part, document, record, index, raw)
        except EventError as error:
            yield Refusal(raw, str(error))


def _outcome(part: Part, document: Document, record: object, index: int, raw: bytes) -> Outcome:
    sender = _sender(record)
    if not isinstance(record, Mapping):
        raise EventError(f"Records[{index}] is no object")
    if sender in _ENVELOPES:
        return _ENVELOPES[sender](part, record, index)
    if sender in _OBJECTS:
        return _OBJECTS[sender](part, document, record, raw)
    raise EventError(f"Records[{index}].eventSource is {str(sender)[:64]!a}, which this platform does not know")


def _alone(part: Part, document: Document, record: object) -> bytes:
    """Return a document of one record out of many: what its script finds in EVENT (§15)."""
    names: Document = {}
    if isinstance(record, Mapping) and _sender(record) in s3.ENCODINGS:
        names = s3.names(part, document, record)
    return dump({**document, **names, "Records": [record]})


def _sender(record: object) -> str | None:
    if not isinstance(record, Mapping):
        return None
    sender = record.get("eventSource", record.get("EventSource"))  # Lambda writes SNS's with a capital
    return sender if isinstance(sender, str) else None
