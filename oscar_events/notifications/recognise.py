"""Which format a notification has, and what it comes to.

In:  a notification and its route. Out: the events, what was ignored and why, what was refused and why.
Not here: any format (one module each beside this), receiving and publishing (the sources).

The order is that of reference/event-formats.md §11: the first that fits counts. What is known but broken is refused;
what is not known is a message. Light at import, as the supervisor imports it for one event: the standard library only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from oscar_events.errors import EventError
from oscar_events.event import StorageEvent
from oscar_events.notifications import (
    aws,
    azure,
    dcache,
    flowfile,
    onedata,
    pubsub,
    records,
    rucio,
    s3,
    wrappers,
)
from oscar_events.notifications.fields import Document, is_unicode
from oscar_events.notifications.message import message_event
from oscar_events.notifications.objects import check_texts
from oscar_events.notifications.part import ID_HEADER, Ignored, Outcome, Part
from oscar_events.notifications.port import Normalised, Notification, Refusal, Route
from oscar_events.notifications.strict_json import NotJsonError, parse

# AWS sends one, SQS's batches hold ten; a body of 128 KiB has no room for more real ones.
MAX_RECORDS = 1000
EMPTY = Ignored("an empty message")

_Reader = Callable[[Part, Document], Outcome | Iterable[Outcome]]


def _test_event(part: Part, document: Document) -> Outcome:
    return s3.TEST_EVENT


def _is_cloudevent(document: Document) -> bool:
    return {"specversion", "id", "source", "type"} <= document.keys()


def _cloudevent(part: Part, document: Document) -> Iterable[Outcome]:
    from oscar_events.notifications import cloudevents  # late: most processes see none

    return cloudevents.structured(part, document)


# §11. What stands between its rows is of §2.3, §7.5 and §9, at the place where it shadows nothing.
_FORMATS: tuple[tuple[Callable[[Document], bool], _Reader], ...] = (
    (_is_cloudevent, _cloudevent),
    (aws.is_sns, aws.sns),
    (aws.is_sqs, aws.sqs),
    (s3.is_test_event, _test_event),
    (aws.is_eventbridge, aws.eventbridge),
    (azure.is_event_grid, azure.event_grid),
    (pubsub.is_push, pubsub.push),
    (records.is_records, records.read),
    (dcache.is_inotify, dcache.inotify),
    (dcache.is_system, dcache.system),
    (rucio.is_rucio, rucio.event),
    (onedata.is_change, onedata.change),
    (dcache.is_billing, dcache.billing),
    (flowfile.is_listing, flowfile.listed),
    (wrappers.is_delegated, wrappers.delegated),
    (wrappers.is_gateway, wrappers.gateway),
)


def normalise(notification: Notification, route: Route) -> Normalised:
    """Return what a notification comes to on this route.

    Raises EventError with the reason if it is no usable notification as a whole; single bad records are in `refused`.
    """
    encoding = notification.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        # Unpacking is where bombs are, and senders of events need not compress them.
        raise EventError(f"the body is compressed ({encoding})")
    events: list[StorageEvent] = []
    ignored: list[str] = []
    refused: list[Refusal] = []
    for number, outcome in enumerate(_outcomes(Part.whole(notification, route)), 1):
        if number > MAX_RECORDS:
            raise EventError(f"more than {MAX_RECORDS} records in one message")
        if isinstance(outcome, StorageEvent):
            events.append(outcome)
        elif isinstance(outcome, Ignored):
            ignored.append(outcome.reason)
        else:
            refused.append(outcome)
    return Normalised(tuple(events), tuple(ignored), tuple(refused))


def _outcomes(part: Part) -> Iterator[StorageEvent | Ignored | Refusal]:
    for outcome in _read(part):
        if isinstance(outcome, Part):
            try:
                yield from _outcomes(outcome)
            except EventError as error:
                yield _refusal(outcome, outcome.body, str(error))
        elif isinstance(outcome, StorageEvent):
            yield _checked(part, outcome)
        elif isinstance(outcome, Refusal):
            yield _refusal(part, outcome.body, outcome.reason)
        else:
            yield outcome


def _checked(part: Part, event: StorageEvent) -> StorageEvent | Refusal:
    try:
        check_texts(event)
    except EventError as error:
        return _refusal(part, event.raw.body, str(error))
    return event


def _refusal(part: Part, body: bytes, reason: str) -> Refusal:
    """Return what is to be kept of a part: sent again by itself, it is read as it was, and named as it was."""
    if part.depth == 0:
        return Refusal(body, reason)
    headers = {**part.headers, ID_HEADER: part.own_id}
    return Refusal(body, reason, {name: value for name, value in headers.items() if is_unicode(value)})


def _read(part: Part) -> Iterable[Outcome]:
    if part.media_type == flowfile.MEDIA_TYPE:
        return flowfile.packages(part)
    if part.is_labelled_cloudevents:
        from oscar_events.notifications import cloudevents

        return cloudevents.labelled(part)
    if not part.body:
        return (flowfile.listed(part, part.headers) if flowfile.is_listing(part.headers) else EMPTY,)
    try:
        document = parse(part.body)
    except NotJsonError:
        # Without a service nothing can be made of a message: then what is to be mended is the JSON it began to be.
        if part.is_labelled_json or (part.route.service is None and part.body.lstrip()[:1] in (b"{", b"[")):
            raise
        return (message_event(part, is_json=False),)
    if isinstance(document, list) and document and all(_reader(each) for each in document):
        return wrappers.array(part, document)
    reader = _reader(document)
    if reader is None or not isinstance(document, dict):
        return (message_event(part, is_json=True),)
    outcome = reader(part, document)
    return (outcome,) if isinstance(outcome, Outcome) else outcome


def _reader(document: object) -> _Reader | None:
    if not isinstance(document, dict):
        return None
    return next((reader for recognises, reader in _FORMATS if recognises(document)), None)
