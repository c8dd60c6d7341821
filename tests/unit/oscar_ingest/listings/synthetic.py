"""A store that exists only in its listing.

In:  keys, ages, whether only the content tells versions apart. Out: a `Lister`.
Not here: any real store (oscar_ingest/listings).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from datetime import datetime, timedelta
from itertools import islice

from oscar_events.errors import OscarEventsError
from oscar_events.event import Raw, StorageEvent
from oscar_events.identity import object_source
from oscar_ingest.listings.port import Lister
from oscar_ingest.listings.s3_page import ListedObject, Store

PAGE = 1000


class SyntheticLister(Lister[ListedObject]):
    """Lists what it is given. broken: buckets that cannot be listed. listings: how often it was asked."""

    def __init__(
        self,
        objects: Iterable[tuple[bytes, datetime]] = (),
        *,
        provider: str = "minio.default",
        tells_time: bool = True,
        min_age: timedelta = timedelta(0),
        rest: timedelta = timedelta(0),
    ) -> None:
        self.provider = self.source = provider
        self.min_age, self.rest = min_age, rest
        self.objects, self.tells_time = objects, tells_time
        self.broken: dict[str, OscarEventsError] = {}
        self.listings = 0

    async def pages(self, bucket: str, folders: Sequence[bytes]) -> AsyncGenerator[Sequence[ListedObject]]:
        self.listings += 1
        if bucket in self.broken:
            raise self.broken[bucket]
        store = Store(self.provider, bucket, self.tells_time)
        objects = iter(self.objects)
        while page := [ListedObject(store, key, 1, "e1", arrived) for key, arrived in islice(objects, PAGE)]:
            yield page

    async def event(
        self, found: ListedObject, recorded: datetime, service_uids: tuple[str, ...]
    ) -> StorageEvent | None:
        return StorageEvent(
            id=found.event_id,
            provider=self.provider,
            kind="s3",
            bucket=found.bucket,
            key=found.key,
            source=object_source(self.provider, found.bucket),
            time=found.arrived,
            recorded=recorded,
            raw=Raw(b"{}"),
            etag=found.etag,
            size=found.size,
            service_uids=service_uids,
            by_etag=found.by_etag,
        )
