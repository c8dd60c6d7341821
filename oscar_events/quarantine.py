"""Bytes that came in authenticated but are no usable event, as they lie on the quarantine topic.

In:  the bytes, where they came from, why they are refused. Out: a bus record with the first 256 KiB of them.
Not here: deciding to refuse (the sources, intake), publishing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime

import msgspec

from oscar_events.codec import iso
from oscar_events.errors import EventError
from oscar_events.record import Record

# Twice what a raw event may have (design §3.1), and with base64 well below a broker's 1 MiB.
KEPT_BYTES = 256 * 1024


class Refused(msgspec.Struct, frozen=True):
    """What is kept. body: the beginning, base64 in JSON. length, sha256: of all of it. time: when it was refused.

    headers: those it came with, names in lower case, as far as they say what it is: never `authorization`.
    """

    source: str
    reason: str
    time: str
    length: int
    sha256: str
    body: bytes
    headers: dict[str, str] = {}

    @property
    def is_whole(self) -> bool:
        """Whether all of the bytes were kept: only then they can be sent again."""
        return len(self.body) == self.length


_decode = msgspec.json.Decoder(Refused).decode


def quarantine_record(
    body: bytes, source: str, reason: str, now: datetime, headers: Mapping[str, str] | None = None
) -> Record:
    """Return the record to publish on the quarantine topic; its key is the same for the same bytes."""
    digest = hashlib.sha256(body).hexdigest()
    refused = Refused(source, reason, iso(now), len(body), digest, body[:KEPT_BYTES], dict(headers or {}))
    return Record(digest[:16].encode(), msgspec.json.encode(refused), int(now.timestamp() * 1000))


def refused_in(value: bytes) -> Refused:
    """Return what a record of the quarantine topic holds. Raises EventError if another version wrote it otherwise."""
    try:
        return _decode(value)
    except msgspec.DecodeError as error:
        raise EventError(f"this version cannot read what was kept: {error}") from error
