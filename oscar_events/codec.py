"""A storage event as it lies on the bus: CloudEvents 1.0, structured JSON (reference/event-formats.md §15).

In:  a `StorageEvent`. Out: a bus record with its key and headers; and the way back.
Not here: publishing (bus/), what a source's own format looks like (ingest).

Forward compatible: attributes and fields this version does not know are ignored, missing optional ones have their
defaults; only another major `data.schema` is refused.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import quote, unquote_to_bytes

import msgspec

from oscar_events.errors import EventError
from oscar_events.event import DEFAULT_TENANT, Action, Raw, StorageEvent
from oscar_events.identity import partition_key
from oscar_events.record import Record

CONTENT_TYPE = b"application/cloudevents+json; charset=UTF-8"
SCHEMA_URI = "https://oscar-events.dev/schemas/storage-object/v1"
_SCHEMA = 1

# A time without zone would be read in the reader's own.
_Time = Annotated[datetime, msgspec.Meta(tz=True)]


class _Storage(msgspec.Struct, omit_defaults=True):
    provider: str
    kind: str = ""


class _Object(msgspec.Struct, omit_defaults=True):
    bucket: str
    key: str | None = None
    key_b64: str | None = None
    name: str | None = None
    version: str | None = None
    etag: str | None = None
    size: int | None = None
    contenttype: str | None = None
    sequencer: str | None = None
    metadata: dict[str, str] = {}
    fileid: str | None = None
    modifiedns: int | None = None


class _Native(msgspec.Struct, omit_defaults=True):
    name: str | None = None


class _Origin(msgspec.Struct, omit_defaults=True):
    adapter: str = ""
    byetag: bool = False


class _Raw(msgspec.Struct):
    body: str
    mediatype: str = "application/json"
    encoding: str = "identity"
    sha256: str = ""


class _Data(msgspec.Struct, kw_only=True):
    schema: int = _SCHEMA
    action: Action
    reason: str = ""
    storage: _Storage
    object: _Object
    native: _Native = msgspec.field(default_factory=_Native)
    origin: _Origin = msgspec.field(default_factory=_Origin)
    services: list[str] = []
    raw: _Raw


class _Envelope(msgspec.Struct, kw_only=True, omit_defaults=True):
    specversion: str
    id: str
    source: str
    type: str
    subject: str = ""
    time: _Time
    recordedtime: _Time
    datacontenttype: str = ""
    dataschema: str = ""
    partitionkey: str = ""
    sequence: str | None = None
    tenant: str = DEFAULT_TENANT
    service: str | None = None
    hopcount: int = 0
    data: _Data


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Envelope)


def encode(event: StorageEvent) -> Record:
    """Return the record to publish. Its key keeps events of one object in order."""
    text, key_b64 = _key_fields(event.key)
    key = partition_key(event.source, event.key)
    envelope = _Envelope(
        specversion="1.0",
        id=event.id,
        source=event.source,
        type=ce_type(event.action),
        subject=subject(event.key),
        time=event.time,
        recordedtime=event.recorded,
        datacontenttype="application/json",
        dataschema=SCHEMA_URI,
        partitionkey=key,
        sequence=event.sequence,
        tenant=event.tenant,
        service=event.service,
        hopcount=event.hop_count,
        data=_Data(
            action=event.action,
            reason=event.reason,
            storage=_Storage(event.provider, event.kind),
            object=_Object(
                bucket=event.bucket,
                key=text,
                key_b64=key_b64,
                name=_key_fields(event.name)[0],
                version=event.version,
                etag=event.etag,
                size=event.size,
                contenttype=event.content_type,
                sequencer=event.sequencer,
                metadata=dict(event.metadata),
                fileid=event.file_id,
                modifiedns=event.modified_ns,
            ),
            native=_Native(event.native_name),
            origin=_Origin(event.adapter, event.by_etag),
            services=list(event.service_uids),
            raw=_encode_raw(event.raw),
        ),
    )
    headers = (
        ("content-type", CONTENT_TYPE),
        ("ce_id", event.id.encode()),
        ("ce_type", envelope.type.encode()),
        ("ce_source", event.source.encode()),
    )
    return Record(key.encode(), _encoder.encode(envelope), int(event.recorded.timestamp() * 1000), headers)


def decode(value: bytes) -> StorageEvent:
    """Return the event in a record's value. Raises EventError with the reason, for the quarantine."""
    try:
        envelope = _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise EventError(f"not an oscar-events envelope: {error}") from error
    if envelope.specversion != "1.0":
        raise EventError(f"CloudEvents specversion {envelope.specversion!r}; this platform reads 1.0")
    data = envelope.data
    if data.schema != _SCHEMA:
        raise EventError(f"data.schema {data.schema}; this platform reads {_SCHEMA}")
    return StorageEvent(
        id=envelope.id,
        provider=data.storage.provider,
        bucket=data.object.bucket,
        key=_key_bytes(data.object),
        source=envelope.source,
        time=envelope.time,
        recorded=envelope.recordedtime,
        raw=_decode_raw(data.raw),
        kind=data.storage.kind,
        action=data.action,
        reason=data.reason,
        version=data.object.version,
        etag=data.object.etag,
        size=data.object.size,
        content_type=data.object.contenttype,
        sequencer=data.object.sequencer,
        sequence=envelope.sequence,
        metadata=data.object.metadata,
        file_id=data.object.fileid,
        modified_ns=data.object.modifiedns,
        tenant=envelope.tenant,
        service=envelope.service,
        service_uids=tuple(data.services),
        by_etag=data.origin.byetag,
        hop_count=envelope.hopcount,
        native_name=data.native.name,
        adapter=data.origin.adapter,
    )


def attributes(event: StorageEvent) -> dict[str, str]:
    """Return the CloudEvents attributes a script is offered as CE_<NAME>."""
    return {
        "id": event.id,
        "type": ce_type(event.action),
        "source": event.source,
        "subject": subject(event.key),
    }


def ce_type(action: Action) -> str:
    """Return the CloudEvents type of an event (§15)."""
    return "oscar.message.received.v1" if action is Action.RECEIVED else f"oscar.storage.object.{action}.v1"


def subject(key: bytes) -> str:
    """Return the percent-encoded key: ASCII, unique, reversible, fit for CloudEvents strings and database text."""
    return quote(key, safe="/")


def key_of(percent_encoded: str) -> bytes:
    """Return the key whose `subject` this is."""
    return unquote_to_bytes(percent_encoded)


def iso(time: datetime) -> str:
    """Return the time as users see it everywhere: UTC, milliseconds, Z."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _key_fields(key: bytes) -> tuple[str | None, str | None]:
    """Return (key, key_b64), one of them None: JSON holds text only, a file name may be any bytes."""
    try:
        return key.decode(), None
    except UnicodeDecodeError:
        return None, base64.b64encode(key).decode("ascii")


def _key_bytes(fields: _Object) -> bytes:
    if fields.key is not None:
        return fields.key.encode()
    if fields.key_b64 is not None:
        return _from_base64(fields.key_b64, "data.object.key_b64")
    raise EventError("neither data.object.key nor data.object.key_b64 is there")


def _encode_raw(raw: Raw) -> _Raw:
    digest = hashlib.sha256(raw.body).hexdigest()
    try:
        return _Raw(raw.body.decode(), raw.mediatype, "identity", digest)
    except UnicodeDecodeError:
        return _Raw(base64.b64encode(raw.body).decode("ascii"), raw.mediatype, "base64", digest)


def _decode_raw(raw: _Raw) -> Raw:
    if raw.encoding == "identity":
        return Raw(raw.body.encode(), raw.mediatype)
    if raw.encoding == "base64":
        return Raw(_from_base64(raw.body, "data.raw.body"), raw.mediatype)
    raise EventError(f"data.raw.encoding {raw.encoding!r}; identity or base64 is known")


def _from_base64(text: str, where: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise EventError(f"{where} is not base64: {error}") from error


__all__ = ["CONTENT_TYPE", "SCHEMA_URI", "attributes", "ce_type", "decode", "encode", "iso", "key_of", "subject"]
