"""What every normaliser takes and gives.

In:  a notification as its sender made it, and what its authenticated route says. Out: storage events, one per record.
Not here: any format (one module each beside this), which format it is (recognise.py), receiving and publishing.

Pure: the same bytes on the same route give the same events with the same ids, on any transport and at any time. What
differs between two looks at the same bytes (`received`, `fresh_id`) comes in from the caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from oscar_events.event import DEFAULT_TENANT, StorageEvent
from oscar_events.notifications.keys import KeyEncoding

# What the source of folders calls itself, in the quarantine too, where a path of it lies and no bytes: no source of
# config.yaml may be called so.
FOLDER_SOURCE = "folder"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What is known of a notification before it is read; identity and authority come from here (house rule 3).

    source: the source's name as configured. provider: the storage that it speaks for, like `minio.default`.
    key_encoding: how its sender writes keys; None = as the recognised format does (reference/event-formats.md §10).
    directory: where the files are that its sender names without a path (dCache's inotify events), like /data/in.
    """

    source: str
    provider: str
    tenant: str = DEFAULT_TENANT
    service: str | None = None
    key_encoding: KeyEncoding | None = None
    directory: str | None = None


@dataclass(frozen=True, slots=True)
class Notification:
    """A request or record as it came. headers: names in lower case; never `authorization`.

    fresh_id: what a message without any identity of its own is called: random on arrival, so that equal bodies stay
    two events; the quarantine's id of it when it is sent again from there.
    """

    body: bytes
    headers: Mapping[str, str]
    received: datetime
    fresh_id: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """One record that is no usable event, with the bytes to keep. The rest of its notification is not touched by it.

    headers: those the bytes had inside of another message, their id there among them; None: the notification's.
    """

    body: bytes
    reason: str
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Normalised:
    """What a notification came to. ignored: a short fixed reason per record that is meant to start nothing (§12)."""

    events: tuple[StorageEvent, ...] = ()
    ignored: tuple[str, ...] = ()
    refused: tuple[Refusal, ...] = field(default=())
