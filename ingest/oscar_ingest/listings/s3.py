"""The listings of S3-like stores, through miniopy-async.

In:  a provider with its settings. Out: objects a thousand at a time; their events, as the store would have told them.
Not here: what an answer says (s3_page.py), the client and its errors (oscar_events/minio_client.py).

One request finds out whether the bucket keeps versions, then there is one per 1,000 keys. All versions of an object are
listed, not only the newest: each was an event of its own (design §3.2), and each of them still has its bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import cast

from miniopy_async.api import Minio

from oscar_events.errors import UnavailableError
from oscar_events.event import StorageEvent
from oscar_events.minio_client import REGION, minio_client, telling
from oscar_events.notifications.part import Ignored, Part
from oscar_events.notifications.port import Route
from oscar_events.notifications.s3 import aws_record, record_event
from oscar_events.notifications.strict_json import dump
from oscar_ingest.listings.port import Lister
from oscar_ingest.listings.s3_page import ListedObject, Store, is_versioned, read_page
from oscar_ingest.minio_document import minio_document

# The most that S3 gives at once.
PAGE = 1000
# The first page of a bucket with millions of objects, on disks that are busy, takes tens of seconds: a store that is
# asked again sooner would never be through.
_SILENCE_S = 120.0
_RIGHTS = "s3:ListBucket, s3:ListBucketVersions and s3:GetBucketVersioning"


class S3Lister(Lister[ListedObject]):
    """One store. settings: of its provider, as config.yaml has them, with `type`."""

    def __init__(
        self, provider: str, settings: Mapping[str, str], min_age: timedelta, rest: timedelta = timedelta(0)
    ) -> None:
        self.provider = self.source = provider
        self.min_age, self.rest = min_age, rest
        aws = f"https://s3.{settings.get('region') or REGION}.amazonaws.com"
        self._settings = {**settings, "endpoint": settings.get("endpoint") or aws}
        self._is_minio = settings.get("type") == "minio"

    async def pages(self, bucket: str, folders: Sequence[bytes]) -> AsyncGenerator[Sequence[ListedObject]]:
        store = Store(self.provider, bucket, tells_time=self._is_minio)
        async with minio_client(self._settings, _SILENCE_S) as client:
            versions = is_versioned(await self._ask(client, bucket, {"versioning": ""}))
            asked: dict[str, str] = {"versions": ""} if versions else {"list-type": "2"}
            if self._is_minio:
                asked["metadata"] = "true"  # holds how many runs made the object, one out of the other
            asked |= {"encoding-type": "url", "delimiter": "", "max-keys": str(PAGE)}
            for folder in folders:
                prefix = (folder + b"/").decode() if folder else ""
                following: Mapping[str, str] | None = {}
                deleted: bytes | None = None
                while following is not None:
                    body = await self._ask(client, bucket, {**asked, "prefix": prefix, **following})
                    page = await asyncio.to_thread(read_page, body, store, deleted)
                    if page.following == following:
                        raise UnavailableError(f"listing {bucket} of {self.provider}: the store repeats a page")
                    following, deleted = page.following, page.deleted
                    if page.objects:
                        yield page.objects

    async def event(
        self, found: ListedObject, recorded: datetime, service_uids: tuple[str, ...]
    ) -> StorageEvent | None:
        part = Part(b"", {}, "", recorded, Route(source=self.source, provider=self.provider))
        document = _document(found, self._is_minio)
        (record,) = cast("list[dict[str, object]]", document["Records"])
        event = record_event(part, document, record, dump(document), found.key)
        if isinstance(event, Ignored):
            return None
        return replace(event, id=found.event_id, reason="listed", service_uids=service_uids, by_etag=found.by_etag)

    async def _ask(self, client: Minio, bucket: str, query: Mapping[str, str]) -> bytes:
        with telling(f"listing bucket {bucket} of {self.provider}", _RIGHTS, _SILENCE_S):
            # The public method hides pages, the order of versions and delete markers, and MinIO's metadata of versions.
            response = await client._execute("GET", bucket, query_params=dict(query))
            return bytes(await response.read())


def _document(found: ListedObject, is_minio: bool) -> dict[str, object]:
    """Return the notification that the store would have sent: what a script finds in EVENT."""
    details = {
        "size": found.size,
        "eTag": found.etag,
        "contentType": found.metadata.get("content-type"),
        "userMetadata": dict(found.metadata) or None,
        "versionId": found.version,
    }
    if is_minio:
        sequencer = f"{found.arrived_ns:X}"
        return minio_document(found.bucket, found.key, found.arrived, {**details, "sequencer": sequencer})
    return {"Records": [aws_record("ObjectCreated:Put", found.bucket, found.key, found.arrived, details)]}
