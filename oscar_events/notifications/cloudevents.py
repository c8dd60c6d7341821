"""CloudEvents: binary, structured and batched, over HTTP and Kafka.

In:  a part with CloudEvents' headers, media type or members. Out: the event of an object, for the types of stores that
     this platform knows; else a message, whose body is the data.
Not here: what the stores' own data mean (s3.py, azure.py, pubsub.py). The attributes are read and checked by the
cloudevents library; the data it does not touch. It takes 67 ms to import: recognise.py imports this module late, so
that a process that sees no CloudEvent pays nothing for it, and the webhook source early.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import unquote_to_bytes

from cloudevents.core.bindings import http, kafka
from cloudevents.core.exceptions import BaseCloudEventException
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from oscar_events.errors import EventError
from oscar_events.event import Raw
from oscar_events.identity import cloudevent_event_id
from oscar_events.notifications import azure, forwarded, pubsub, records, s3
from oscar_events.notifications.fields import Document
from oscar_events.notifications.message import received
from oscar_events.notifications.part import CLOUDEVENTS, Outcome, Part, is_json, media_type
from oscar_events.notifications.strict_json import NotJsonError, dump, parse
from oscar_events.notifications.wrappers import array, from_base64

_JSON, _BATCH = f"{CLOUDEVENTS}+json", f"{CLOUDEVENTS}-batch+json"
_HTTP, _KAFKA = "ce-", "ce_"
_REQUIRED = ("specversion", "id", "source", "type")
_DATA = ("data", "data_base64")
# Ceph leaves the `s3.` out, and the encoding of the subject, which says nothing that its record does not.
_CEPH = "com.amazonaws.Object"
_AMAZON = ("com.amazonaws.s3.", _CEPH)


@dataclass(frozen=True, slots=True)
class _CloudEvent:
    """attributes: as checked by the library, the time parsed. document: the data if it is JSON, else None."""

    attributes: Mapping[str, str]
    time: datetime | None
    data: bytes
    document: object

    @property
    def structured(self) -> Document:
        """The event in CloudEvents' JSON form."""
        return {**self.attributes, **({} if self.document is None else {"data": self.document})}


def labelled(part: Part) -> Iterable[Outcome]:
    """Return what a part that says it is CloudEvents comes to. Raises EventError where it is not."""
    if not part.media_type.startswith(CLOUDEVENTS):
        return _outcomes(part, _binary(part))
    document = parse(part.body)
    if part.media_type == _BATCH:
        if not isinstance(document, list):
            raise EventError("a CloudEvents batch is a JSON array")
        return array(part, document, {"content-type": _JSON})
    if part.media_type not in (_JSON, CLOUDEVENTS):
        raise EventError(f"content-type {part.media_type}: of CloudEvents' formats this platform reads JSON")
    if not isinstance(document, dict):
        raise EventError("a structured CloudEvent is a JSON object")
    return structured(part, document)


def structured(part: Part, document: Document) -> Iterable[Outcome]:
    """Return what a CloudEvent in JSON comes to."""
    _require(document)
    given = {name: value for name, value in document.items() if value is not None}
    bare = {name: value for name, value in given.items() if name not in _DATA}
    attributes, time = _checked(bare, lambda: JSONFormat().read(CloudEvent, dump(bare)).get_attributes())
    if all(name in given for name in _DATA):
        raise EventError("CloudEvents: data and data_base64 exclude each other")
    if "data_base64" in given:
        encoded = given["data_base64"]
        if not isinstance(encoded, str):
            raise EventError("CloudEvents: data_base64 is no text")
        return _outcomes(part, _with_data(attributes, time, from_base64(encoded, "data_base64")))
    value = given.get("data")
    is_text = isinstance(value, str) and not _is_json(attributes)
    data = value.encode() if is_text and isinstance(value, str) else b"" if value is None else dump(value)
    return _outcomes(part, _CloudEvent(attributes, time, data, None if is_text else value))


def _binary(part: Part) -> _CloudEvent:
    is_http = any(f"{_HTTP}{name}" in part.headers for name in _REQUIRED)
    prefix = _HTTP if is_http else _KAFKA
    headers = {name: value for name, value in part.headers.items() if name.startswith(prefix) or name == "content-type"}
    if headers.get(f"{prefix}type", "").startswith(_CEPH):
        headers.pop(f"{prefix}subject", None)
    given = {name.removeprefix(prefix): value for name, value in headers.items() if name.startswith(prefix)}
    _require(given)
    if is_http:
        _refuse_broken_percents(given)

    def read() -> Mapping[str, object]:
        # Without the body: the library would guess its type, and read JSON that strict_json refuses.
        if is_http:
            return http.from_binary(http.HTTPMessage(headers, b""), JSONFormat(), CloudEvent).get_attributes()
        encoded = {name: value.encode() for name, value in headers.items()}
        return kafka.from_binary(kafka.KafkaMessage(encoded, None, b""), JSONFormat(), CloudEvent).get_attributes()

    checked, time = _checked(given, read)
    return _with_data(checked, time, part.body)


def _checked(
    given: Mapping[str, object], read: Callable[[], Mapping[str, object]]
) -> tuple[dict[str, str], datetime | None]:
    """Return the attributes as the library reads them, as text, and the time if one was given."""
    try:
        attributes = {**read()}
        time = attributes.pop("time")
        assert isinstance(time, datetime)
        time = time.astimezone(UTC)
    except (BaseCloudEventException, ValueError, TypeError, OverflowError) as error:
        raise EventError(f"CloudEvents: {error}") from error
    checked = {name: _as_text(name, value) for name, value in attributes.items()}
    if "time" not in given:
        return checked, None  # the library made one up
    return {**checked, "time": time.isoformat()}, time


def _as_text(name: str, value: object) -> str:
    if not isinstance(value, str | int):
        raise EventError(f"CloudEvents: the attribute {name[:32]} is no text, number or boolean")
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if any(char < " " or "\x7f" <= char <= "\x9f" for char in text):  # forbidden by CloudEvents (§9)
        raise EventError(f"CloudEvents: the attribute {name[:32]} holds control characters")
    return text


def _with_data(attributes: Mapping[str, str], time: datetime | None, data: bytes) -> _CloudEvent:
    document = None
    if data and _is_json(attributes):
        try:
            document = parse(data)
        except NotJsonError as error:
            if "datacontenttype" in attributes:  # beside headers, data of no named type may be anything
                raise EventError(f"CloudEvents: the data is {error}") from error
    return _CloudEvent(attributes, time, data, document)


def _outcomes(part: Part, event: _CloudEvent) -> Iterable[Outcome]:
    """Return the event of the object that the type tells of, or of the message."""
    kind = event.attributes["type"]
    if kind.startswith(_AMAZON):
        if isinstance(event.document, dict) and records.is_records(event.document):
            return (part.inside(event.data),)  # Ceph: the notification as ever, with CloudEvents' headers
        return (_s3(part, event, kind.removeprefix("com.amazonaws.").removeprefix("s3.")),)
    if kind.startswith(azure.TYPE_PREFIX):
        return (azure.blob(part, event.structured, dump(event.structured)),)
    if kind.startswith(pubsub.TYPE_PREFIX):
        return (pubsub.stored(part, event.structured, dump(event.structured)),)
    if kind.startswith(forwarded.TYPE_PREFIX):
        return (forwarded.forwarded(part, event.structured),)
    return (_message(part, event),)


def _s3(part: Part, event: _CloudEvent, name: str) -> Outcome:
    """Return the event of S3's adapter (§9): the data is a record, perhaps without what the attributes say too."""
    if not isinstance(event.document, dict):
        raise EventError("CloudEvents of S3: the data is no record")
    said = {"eventSource": s3.AWS, "eventName": name, "eventTime": event.attributes.get("time", "")}
    record = {**said, **event.document}
    document = {"Records": [record]}
    return s3.record_event(part, document, record, dump(document))


def _message(part: Part, event: _CloudEvent) -> Outcome:
    attributes = event.attributes
    mediatype = attributes.get("datacontenttype", "application/json" if event.document is not None else "")
    return received(
        part,
        id=cloudevent_event_id(part.route.source, attributes["source"], attributes["id"]),
        name=f"{attributes['source']} {attributes['id']}",
        raw=Raw(event.data, mediatype or "application/octet-stream"),
        time=event.time or part.received,
        native_name=attributes["type"],
        metadata={f"ce-{name}": value for name, value in attributes.items()},
    )


def _is_json(attributes: Mapping[str, str]) -> bool:
    return is_json(media_type(attributes.get("datacontenttype", "application/json")))


def _require(given: Mapping[str, object]) -> None:
    """Raise EventError for another version, and where an attribute is missing: the library would make an id up."""
    if given.get("specversion") != "1.0":
        raise EventError(f"CloudEvents specversion {str(given.get('specversion'))[:16]!a}; this platform reads 1.0")
    for name in _REQUIRED:
        if not given.get(name):
            raise EventError(f"CloudEvents: the attribute {name} is missing")


def _refuse_broken_percents(given: Mapping[str, str]) -> None:
    for name, value in given.items():
        try:
            unquote_to_bytes(value).decode()
        except UnicodeError as error:
            raise EventError(f"CloudEvents: the header ce-{name[:32]} is not UTF-8 behind its percents") from error
