"""What came in on stdin: wrappings off, and whether it speaks of an object of a storage.

In:  the bytes of one event. Out: `Incoming`. Pure.
Not here: the events in it (oscar_events/notifications), which provider exactly and which credentials (job_of_event.py).

The order is OSCAR's (reference/supervisor.md §5), and laxer than our ingest's: any document with a top-level `event` is
taken for a delegated one, and what holds no known storage is a message, whatever it looks like: the script gets it as
it is. Changed on purpose: `isBase64Encoded` is obeyed, inner documents keep their bytes, Ceph's records count as S3's,
and lists, numbers and half documents are messages, where OSCAR's supervisor crashes.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from oscar_events.errors import EventError

# Storage by `eventSource` of a record, as OSCAR's supervisor knows them.
_BY_EVENT_SOURCE = {
    "minio:s3": "minio",
    "aws:s3": "s3",
    "ceph:s3": "s3",
    "OneTrigger": "onedata",
    "rucio": "rucio",
}
# OSCAR looks these up under one fixed name.
DCACHE, RUCIO = "webdav.dcache", "rucio.rucio"
# A delegated event in a call through a gateway is two; more is a document that wraps itself.
_MOST_WRAPPINGS = 3

_Object = dict[str, msgspec.Raw]
_object = msgspec.json.Decoder(_Object)
_list = msgspec.json.Decoder(list[msgspec.Raw])
_text = msgspec.json.Decoder(str)


@dataclass(frozen=True, slots=True)
class Incoming:
    """The innermost event. storage: type of the storage it speaks of, or a whole provider id; None = it is a message.

    provider: as a delegating cluster named it, `<id>` or `<type>.<id>`. parameters: of the query, if a gateway called.
    """

    body: bytes
    storage: str | None
    provider: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)


def unwrap(body: bytes) -> Incoming:
    """Return what is inside. Raises EventError for a wrapping that cannot be taken off."""
    provider: str | None = None
    parameters: dict[str, str] = {}
    for _ in range(_MOST_WRAPPINGS):
        document = _read(body)
        if "httpMethod" in document:
            parameters |= _parameters(document)
            body = _gateway_body(document)
        elif storage := _storage(document):
            return Incoming(body, storage, provider, parameters)
        elif "event" in document:
            provider = _string(document, "storage_provider")
            body = _content(document["event"])
        else:
            return Incoming(body, None, provider, parameters)
    return Incoming(body, _storage(_read(body)), provider, parameters)


def _storage(document: _Object) -> str | None:
    if "event" in document and "subscription" in document:
        return DCACHE
    if "event_type" in document and "scope" in _read(document.get("payload", b"")):
        return RUCIO
    for record in _read_list(document.get("Records", b"[]")):  # one by one: a message may be a list of a million
        if storage := _BY_EVENT_SOURCE.get(_string(_read(record), "eventSource") or ""):
            return storage
    return None


def _gateway_body(document: _Object) -> bytes:
    body = _content(document["body"]) if "body" in document else b""
    if "isBase64Encoded" not in document or bytes(document["isBase64Encoded"]) != b"true":
        return body
    try:
        return binascii.a2b_base64(body, strict_mode=True)
    except binascii.Error as error:
        raise EventError(f"a gateway's body says isBase64Encoded and is not: {error}") from error


def _parameters(document: _Object) -> dict[str, str]:
    written = _read(document.get("queryStringParameters", b""))
    texts = {name: _string(written, name) for name in written}
    return {name: text for name, text in texts.items() if name and text}  # OSCAR leaves empty ones out


def _read(data: msgspec.Raw | bytes) -> _Object:
    """Return the members of a JSON object; of anything else, none."""
    try:
        return _object.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}


def _read_list(data: msgspec.Raw | bytes) -> list[msgspec.Raw]:
    """Return the elements of a JSON list; of anything else, none."""
    try:
        return _list.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []


def _string(document: _Object, name: str) -> str | None:
    try:
        return _text.decode(document[name])
    except (KeyError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def _content(value: msgspec.Raw) -> bytes:
    """Return what a member holds: the text of a string, else the JSON that stands there; nothing of null."""
    data = bytes(value)
    if data == b"null":
        return b""
    return _text.decode(data).encode() if data.startswith(b'"') else data
