"""One page of an S3-like store's listing: ListObjectsV2 and ListObjectVersions, as bytes.

In:  the body of an answer, what the page before left open. Out: objects, where to go on.
Not here: asking (s3.py). Pure. Layouts: recorded from a real MinIO, tests/unit/oscar_ingest/listings.

Keys come URL-encoded (`encoding-type=url`): XML has no way to say some characters that keys may hold. Versions of a key
come newest first, with its delete markers among them, as S3 and MinIO both order them: what is older than a delete
marker was deleted, so nobody wants a run for it.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote_to_bytes

from oscar_events.errors import UnavailableError
from oscar_events.identity import object_version, s3_event_id

# What is there only after a restore, which takes hours (S3's archive classes); a run would find no bytes.
_ARCHIVED = frozenset({"GLACIER", "DEEP_ARCHIVE"})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# MinIO makes each name of metadata an element's, although HTTP allows characters in it that XML does not (seen on a
# real server): one such object would keep its whole bucket from being read. Text has `<` escaped: only tags are found.
_ODD_TAG = re.compile(rb"<(/?)(x-amz-meta-[^<>]*[^<>a-z0-9._-][^<>]*)>", re.IGNORECASE)
_ODD = "in-hex."


@dataclass(frozen=True, slots=True)
class Store:
    """What is the same for all objects of a listing. tells_time: whether its listings hold the very time its
    notifications do, in ms; only MinIO's are known to."""

    provider: str
    bucket: str
    tells_time: bool


@dataclass(frozen=True, slots=True)
class ListedObject:
    """One version of an object. version: None where the store keeps none of it. metadata: as MinIO adds it."""

    store: Store
    key: bytes
    size: int
    etag: str
    arrived: datetime
    version: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def bucket(self) -> str:
        """The bucket it lies in."""
        return self.store.bucket

    @property
    def arrived_ns(self) -> int:
        """When it came, in nanoseconds since 1970, as far as a listing tells: to the millisecond."""
        return (self.arrived - _EPOCH) // timedelta(microseconds=1) * 1000

    @property
    def by_etag(self) -> bool:
        """Whether its notification may have another id, so that only the content's ETag can tell (design §3.9)."""
        return self.version is None and not self.store.tells_time

    @property
    def event_id(self) -> str:
        """The id of the event of its creation; a notification of a store that does not tell the time has another."""
        version = object_version(self.version, self.arrived)
        identity = f"{self.etag}+{version}" if self.by_etag else version
        return s3_event_id(self.store.provider, self.store.bucket, self.key, identity, "created")


@dataclass(frozen=True, slots=True)
class Page:
    """A page. following: the parameters that ask for the next one, None if this was the last.

    deleted: the key whose older versions, on the next page, a delete marker has taken away.
    """

    objects: list[ListedObject]
    following: Mapping[str, str] | None
    deleted: bytes | None = None


def read_page(body: bytes, store: Store, deleted: bytes | None = None) -> Page:
    """Return what an answer lists. deleted: from the page before. Raises UnavailableError for no answer of a store."""
    try:
        # Of a store that config.yaml names; expat refuses entities that grow (billion laughs) since 2.4.1.
        root = ET.fromstring(_ODD_TAG.sub(_in_hex, body))  # noqa: S314
        objects: list[ListedObject] = []
        key = b""
        for element in root:
            kind = _name(element)
            if kind not in ("Contents", "Version", "DeleteMarker"):
                continue
            fields = {_name(child): child for child in element}
            key = _key(fields["Key"].text)
            if kind == "DeleteMarker":
                deleted = key
            elif key != deleted and (found := _object(store, key, fields)) is not None:
                objects.append(found)
        return Page(objects, _following(root), deleted)
    except (ET.ParseError, KeyError, ValueError) as error:
        raise UnavailableError(f"the listing of {store.bucket} is not what S3 answers: {error!r}") from error


def is_versioned(body: bytes) -> bool:
    """Tell from the answer of GetBucketVersioning whether there are versions to list: enabled, or suspended since."""
    try:
        root = ET.fromstring(body)  # noqa: S314 - as above
    except ET.ParseError as error:
        raise UnavailableError(f"the answer about versioning is not what S3 answers: {error}") from error
    return any(_name(child) == "Status" and child.text for child in root)


def _object(store: Store, key: bytes, fields: Mapping[str, ET.Element]) -> ListedObject | None:
    """Return the object, None for what is no input: a folder's marker, or what lies in an archive."""
    size = int(fields["Size"].text or "0")
    if (key.endswith(b"/") and size == 0) or _text(fields, "StorageClass") in _ARCHIVED:
        return None
    version = _text(fields, "VersionId")
    metadata = fields.get("UserMetadata")
    return ListedObject(
        store,
        key,
        size,
        _text(fields, "ETag").strip('"'),
        datetime.fromisoformat(_text(fields, "LastModified")).astimezone(UTC),
        None if version in ("", "null") else version,
        {_metadata_name(one): one.text or "" for one in metadata} if metadata is not None else {},
    )


def _following(root: ET.Element) -> Mapping[str, str] | None:
    top = {_name(child): child.text or "" for child in root if len(child) == 0}
    if top.get("IsTruncated", "").lower() != "true":
        return None
    if token := top.get("NextContinuationToken"):
        return {"continuation-token": token}
    return {"key-marker": _key(top["NextKeyMarker"]).decode(), "version-id-marker": top["NextVersionIdMarker"]}


def _name(element: ET.Element) -> str:
    """Return the element's name without its namespace, which not all stores write."""
    return element.tag.rpartition("}")[2]


def _in_hex(tag: re.Match[bytes]) -> bytes:
    """Return a tag whose name XML does not allow as one that it does."""
    return b"<%b%b%b>" % (tag[1], _ODD.encode(), tag[2].hex().encode())


def _metadata_name(element: ET.Element) -> str:
    name = _name(element)
    return (bytes.fromhex(name.removeprefix(_ODD)).decode() if name.startswith(_ODD) else name).lower()


def _text(fields: Mapping[str, ET.Element], name: str) -> str:
    element = fields.get(name)
    return "" if element is None else element.text or ""


def _key(encoded: str | None) -> bytes:
    return unquote_to_bytes((encoded or "").replace("+", " "))
