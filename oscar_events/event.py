"""A storage event: something happened to one object, said in the same words whatever store it came from.

In:  what a source learned. Out: `StorageEvent`, immutable.
Not here: its form on the bus (codec.py), its id (identity.py), which services it starts (matching/).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from oscar_events.errors import EventError

# What every store we know allows at most (S3's limit; a path on Linux may be longer, a folder source refuses it).
MAX_KEY_BYTES = 1024
# What databases hold: a file may bear a time beyond it (the year 2262), and would stop every claim it is in.
_MAX_NUMBER = 2**63 - 1

# Until routes and services have owners, everything is this tenant's.
DEFAULT_TENANT = "default"


class Action(StrEnum):
    """What happened: to an object, as in the CloudEvents type `oscar.storage.object.<action>.v1`, or that a message
    without any object came in (`oscar.message.received.v1`)."""

    CREATED = "created"
    REMOVED = "removed"
    UPDATED = "updated"
    RESTORED = "restored"
    RECEIVED = "received"


# A pipeline of services this long is a loop that nobody saw when its services were applied.
MAX_HOPS = 16


@dataclass(frozen=True, slots=True)
class Raw:
    """The notification as it came, cut to the one record this event is: what the script finds in EVENT.

    body: the bytes of the original single-record document, not re-serialised.
    """

    body: bytes
    mediatype: str = "application/json"


def _nothing() -> Mapping[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageEvent:
    """One storage notification, normalised. Equal ids mean the same version of the same object.

    provider: id of the storage as configured (`minio.default`); never taken from the event itself (house rule 3).
    key: bytes, as keys are bytes from outside: not normalised, not decoded, no leading bucket.
    source: the CloudEvents attribute, a canonical storage URI without credentials.
    time: when it happened, by the storage's clock. recorded: when this platform saw it. Both aware, UTC.
    version, etag, sequencer: the store's own, None where it has none. size: bytes.
    file_id, modified_ns: inode and modification time of a file in a folder, part of its identity (design §3.2).
    tenant, service: decided by the ingest route, never by the event's body.
    service_uids: not empty when a reconciler, backfill or replay names whom the event is for (design §3.9).
    by_etag: the id was made from a listing that lacks what the store's notifications tell versions apart by, so the
        claim also asks for the content's etag (design §3.9).
    hop_count: how many runs made the object, one out of the other; 0 = none of ours did.
    adapter: the source it came in by, as configured.

    A message (action RECEIVED) speaks of no object: its bucket is the name of its source, its key the message's own id
    there, so that people find both alike; it starts only the service that its route names.
    """

    id: str
    provider: str
    bucket: str
    key: bytes
    source: str
    time: datetime
    recorded: datetime
    raw: Raw
    kind: str
    action: Action = Action.CREATED
    reason: str = ""
    version: str | None = None
    etag: str | None = None
    size: int | None = None
    content_type: str | None = None
    sequencer: str | None = None
    sequence: str | None = None
    metadata: Mapping[str, str] = field(default_factory=_nothing)
    file_id: str | None = None
    modified_ns: int | None = None
    tenant: str = DEFAULT_TENANT
    service: str | None = None
    service_uids: tuple[str, ...] = ()
    by_etag: bool = False
    hop_count: int = 0
    native_name: str | None = None
    adapter: str = ""

    def __post_init__(self) -> None:
        """Refuse what no store can mean. Raises EventError: such input goes to quarantine."""
        if b"\0" in self.key:
            raise EventError("the key contains a NUL byte, which no file name and no database text can hold")
        if not self.key:
            raise EventError("the key is empty: the event speaks of a bucket, not of an object in it")
        if len(self.key) > MAX_KEY_BYTES:
            raise EventError(f"the key has {len(self.key)} bytes; {MAX_KEY_BYTES} at most")
        for what, number in (("size", self.size), ("modification time", self.modified_ns)):
            if number is not None and abs(number) > _MAX_NUMBER:
                raise EventError(f"the {what} {number} is beyond {_MAX_NUMBER}, the largest number a database holds")

    @property
    def key_in_ledger(self) -> str:
        """What the ledger keeps the event under: its id, apart for each tenant and service that a route is bound to."""
        return f"{self.tenant}/{self.service or '*'}/{self.id}"

    @property
    def has_object(self) -> bool:
        """Whether there is, or was, an object that the event speaks of."""
        return self.action is not Action.RECEIVED

    @property
    def name(self) -> bytes:
        """The last segment of the key."""
        return self.key.rstrip(b"/").rpartition(b"/")[2]
