"""What an object's key is, once a sender's encoding of it is undone.

In:  the key as it stands in a notification, and the encoding its sender uses. Out: the key's own bytes.
Not here: which sender uses which encoding (each source), keys as file names (paths.py): `..`, `//` and a leading `/`
are legal in keys and survive unchanged. Source of the rules and their vectors: reference/event-formats.md §10.
"""

from __future__ import annotations

from enum import StrEnum
from urllib.parse import unquote_to_bytes

from oscar_events.errors import EventError


class KeyEncoding(StrEnum):
    """How a sender writes a key."""

    FORM = "form"  # MinIO, AWS: percent-encoded, space as plus
    PERCENT = "percent"  # WebDAV, Azure: percent-encoded, a plus is a plus
    NONE = "none"  # Ceph, EventBridge, MinIO's Listen API: as it is


def decode_key(wire: str, encoding: KeyEncoding) -> bytes:
    """Return the key's bytes, neither normalised nor made safe.

    Raises EventError for what no S3-like store can hold: bytes that are not UTF-8, and NUL.
    """
    try:
        key = _decoded(wire, encoding)
        key.decode()
    except UnicodeError as error:
        raise EventError(f"the key {wire!r} is not UTF-8") from error
    if b"\0" in key:
        raise EventError(f"the key {wire!r} contains a NUL byte")
    return key


def decode_minio_key(wire: str, bucket: str, top_level_key: str | None) -> bytes:
    """Return the key of a MinIO record, checked against the document's top-level `Key`, which is never encoded.

    Where the two differ, something on the way undid the encoding of the record's, and the top-level one holds.
    """
    key = decode_key(wire, KeyEncoding.FORM)
    if top_level_key is None or not top_level_key.startswith(f"{bucket}/"):
        return key
    return decode_key(top_level_key.removeprefix(f"{bucket}/"), KeyEncoding.NONE)


def _decoded(wire: str, encoding: KeyEncoding) -> bytes:
    match encoding:
        case KeyEncoding.FORM:
            return unquote_to_bytes(wire.replace("+", " "))
        case KeyEncoding.PERCENT:
            return unquote_to_bytes(wire)
        case KeyEncoding.NONE:
            return wire.encode()
