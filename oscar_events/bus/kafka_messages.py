"""What the records of each channel say, for those who read them without our code: the models of the AsyncAPI document.

In:  nothing. Out: a model and a sentence per topic.
Not here: encoding (codec.py, quarantine.py, ledger/runs.py: tests hold the models against what these write).

A later version may add fields: a reader ignores those it does not know, as these models do.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field

from oscar_events.bus.port import DEADLETTER, EVENTS, EXECUTIONS, QUARANTINE


class _Message(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, use_attribute_docstrings=True)


class Storage(_Message):
    """Where the object is."""

    provider: str
    """Of the storage, like `minio.default`."""
    kind: str = ""
    """Like `s3` or `folder`."""


class Object(_Message):
    """The object, in the version the event speaks of. Its key is `key` or, if that is no text, `key_b64`."""

    bucket: str
    key: str | None = None
    key_b64: Base64Bytes | None = None
    name: str | None = None
    version: str | None = None
    etag: str | None = None
    size: int | None = None
    contenttype: str | None = None
    sequencer: str | None = None
    metadata: dict[str, str] = {}
    fileid: str | None = None
    modifiedns: int | None = None


class Native(_Message):
    """What the source itself calls it."""

    name: str | None = None


class Origin(_Message):
    """How we came to know."""

    adapter: str = ""
    byetag: bool = False


class Raw(_Message):
    """The notification as it came."""

    body: str
    mediatype: str = "application/json"
    encoding: Literal["identity", "base64"] = "identity"
    sha256: str = ""


class ObjectEventData(_Message):
    """What happened to an object."""

    # `schema` is a method of every pydantic model; the record has the name without the underscore.
    schema_: Annotated[Literal[1], Field(alias="schema")]
    action: str
    reason: str = ""
    storage: Storage
    object: Object
    native: Native = Native()
    origin: Origin = Origin()
    services: list[str] = []
    """Ids of the services it is for alone; empty for all that match."""
    raw: Raw


class StorageEventMessage(_Message):
    """A storage event: CloudEvents 1.0, structured JSON. Events of one object have one key; order is not promised."""

    specversion: Literal["1.0"]
    id: str
    source: str
    type: str
    subject: str = ""
    time: datetime
    recordedtime: datetime
    datacontenttype: str = ""
    dataschema: str = ""
    partitionkey: str = ""
    sequence: str | None = None
    tenant: str = ""
    service: str | None = None
    hopcount: int = 0
    data: ObjectEventData


class RunMessage(_Message):
    """A run that has ended, as `oscar-events runs show --json` prints it. The record's key is its id."""

    id: str
    service: str
    tenant: str
    state: str
    attempt: int
    event_id: str
    bucket: str | None
    key: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    exit_code: int | None
    failure: str | None
    reason: str | None
    cancel_requested: bool | None
    outputs: list[str]
    redrive_of: str | None
    replay: str | None
    purged_at: datetime | None


class QuarantineMessage(_Message):
    """Bytes that came in authenticated and are no usable event: the first 256 KiB of them, and why."""

    source: str
    reason: str
    time: datetime
    length: int
    sha256: str
    body: Base64Bytes
    headers: dict[str, str] = {}


MODELS: dict[str, type[BaseModel]] = {
    EVENTS: StorageEventMessage,
    EXECUTIONS: RunMessage,
    DEADLETTER: RunMessage,
    QUARANTINE: QuarantineMessage,
}
DESCRIPTIONS = {
    EVENTS: "Every storage event that was accepted, once or more often: the same event has the same id.",
    EXECUTIONS: "Every run that has ended, at least once.",
    DEADLETTER: "Every run that was given up on, at least once.",
    QUARANTINE: "What came in and was no usable event.",
}
