"""One version of one object is one event, whatever way it is told: webhook, listening connection, listing.

Against the real server, case by case: what it writes into notifications and listings is where the identity comes from.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from miniopy_async.api import Minio
from miniopy_async.commonconfig import CopySource

from oscar_events.event import Action, StorageEvent
from oscar_events.minio_client import minio_client
from oscar_events.notifications.port import Notification, Route
from oscar_events.notifications.recognise import normalise
from oscar_ingest.listings.s3 import S3Lister
from oscar_ingest.sources.minio_listen import MinioListen
from tests.contracts.source import Collector, running
from tests.testbed.minio import WEBHOOK, announcing
from tests.testbed.minio_listening import ListeningMinio
from tests.testbed.notified import Receiver, receiving
from tests.waiting import wait_until

PROVIDER = "minio.default"
ALL = frozenset({Action.CREATED, Action.REMOVED})
_NUMBERS = count(1)


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def server(
    listening_minio: ListeningMinio, receiver: Receiver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ListeningMinio]:
    """A server of its own, that tells the receiver: targets are known from the start. The other shows it can be had."""
    del listening_minio
    server = ListeningMinio(tmp_path_factory.mktemp("identity"), announcing(receiver.url, "Bearer any"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@dataclass
class Bucket:
    """A bucket that is told of both ways at once."""

    name: str
    server: ListeningMinio
    client: Minio
    receiver: Receiver
    heard: Collector

    def put(self, key: str, body: bytes = b"x") -> None:
        self.server.client.put(self.name, key.encode(), body)

    def versioning(self, status: str) -> None:
        body = f"<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>".encode()
        self.server.client.ask("PUT", self.name, query={"versioning": ""}, body=body)

    def sent(self) -> list[StorageEvent]:
        """Return the events of what the webhook was sent."""
        events: list[StorageEvent] = []
        for told in self.receiver.told:
            notification = Notification(told.body, {"content-type": "application/json"}, datetime.now(UTC), "fresh")
            found = normalise(notification, Route(source="webhook", provider=PROVIDER))
            assert not found.refused, found
            events += [event for event in found.events if event.bucket == self.name]
        # A target without queue is served by several workers: it may be told in another order.
        return sorted(events, key=lambda event: (event.sequence or "", event.time, event.action))

    async def told(self, number: int) -> list[StorageEvent]:
        """Return the events of so many notifications, which both ways have told alike."""
        await wait_until(lambda: len(self.sent()) == number and len(self.heard.events) == number, f"{number} events")
        sent = self.sent()
        assert {event.id for event in sent} == self.heard.events.keys()
        for event in sent:
            other = self.heard.events[event.id]
            assert (event.key, event.version, event.etag, event.size, event.action, event.metadata) == (
                *(other.key, other.version, other.etag, other.size, other.action),
                other.metadata,
            )
        return sent

    async def listed(self) -> dict[bytes, list[str]]:
        """Return the ids that the reconciler computes: key -> newest first."""
        found: dict[bytes, list[str]] = {}
        async for page in S3Lister(PROVIDER, self.server.settings, timedelta()).pages(self.name, [b""]):
            for one in page:
                found.setdefault(one.key, []).append(one.event_id)
        return found


@pytest.fixture
async def bucket(server: ListeningMinio, receiver: Receiver) -> AsyncIterator[Bucket]:
    name = f"identity-{next(_NUMBERS)}"
    server.client.make_bucket(name)
    queue = f"<Queue>arn:minio:sqs::{WEBHOOK}:webhook</Queue>"
    queue += "<Event>s3:ObjectCreated:*</Event><Event>s3:ObjectRemoved:*</Event>"
    rules = f"<NotificationConfiguration><QueueConfiguration>{queue}</QueueConfiguration></NotificationConfiguration>"
    server.client.ask("PUT", name, query={"notification": ""}, body=rules.encode())

    async def wanted() -> Mapping[str, frozenset[Action]]:
        return {name: ALL}

    heard = Collector()
    source = MinioListen(Route(source="listening", provider=PROVIDER), server.settings, wanted)
    async with minio_client(server.settings) as client, running(source, heard):
        yield Bucket(name, server, client, receiver, heard)


async def test_each_overwrite_is_an_event_and_the_listing_has_the_last(bucket: Bucket) -> None:
    for body in (b"1", b"22", b"333"):
        bucket.put("a", body)
    told = await bucket.told(3)
    assert len({event.id for event in told}) == 3
    assert await bucket.listed() == {b"a": [told[-1].id]}


async def test_versions_are_events_by_their_version(bucket: Bucket) -> None:
    bucket.versioning("Enabled")
    for body in (b"1", b"22"):
        bucket.put("a", body)
    told = await bucket.told(2)
    assert all(event.version for event in told)
    assert await bucket.listed() == {b"a": [told[1].id, told[0].id]}


async def test_overwrites_while_versioning_is_suspended_are_told_apart_by_time(bucket: Bucket) -> None:
    bucket.versioning("Enabled")
    bucket.put("a", b"kept")
    bucket.versioning("Suspended")
    for body in (b"1", b"22", b"333"):
        bucket.put("a", body)
    told = await bucket.told(4)
    assert [event.version is None for event in told] == [False, True, True, True]
    assert len({event.id for event in told}) == 4
    assert await bucket.listed() == {b"a": [told[-1].id, told[0].id]}


async def test_an_object_older_than_versioning_stays_the_event_it_was(bucket: Bucket) -> None:
    bucket.put("a")
    (told,) = await bucket.told(1)
    bucket.versioning("Enabled")
    assert await bucket.listed() == {b"a": [told.id]}
    bucket.put("a", b"newer")
    _, newer = await bucket.told(2)
    assert await bucket.listed() == {b"a": [newer.id, told.id]}


@pytest.mark.parametrize("versioned", [False, True])
async def test_parts_put_together_are_one_event(bucket: Bucket, versioned: bool) -> None:
    if versioned:
        bucket.versioning("Enabled")
    ask, name = bucket.server.client.ask, bucket.name
    begun = ask("POST", name, b"large", {"uploads": ""}).body.decode()
    upload = begun.partition("<UploadId>")[2].partition("<")[0]
    part = ask("PUT", name, b"large", {"partNumber": "1", "uploadId": upload}, b"x").headers["etag"]
    parts = (
        f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{part}</ETag></Part></CompleteMultipartUpload>"
    )
    ask("POST", name, b"large", {"uploadId": upload}, parts.encode())
    (told,) = await bucket.told(1)
    assert told.reason == "multipart"
    assert await bucket.listed() == {b"large": [told.id]}


async def test_a_copy_is_an_event_of_its_own(bucket: Bucket) -> None:
    bucket.put("a")
    await bucket.client.copy_object(bucket.name, "b", CopySource(bucket.name, "a"))
    first, copied = await bucket.told(2)
    assert copied.reason == "copy"
    assert await bucket.listed() == {b"a": [first.id], b"b": [copied.id]}


async def test_what_is_deleted_is_listed_no_more_and_its_removal_is_another_event(bucket: Bucket) -> None:
    bucket.put("a")
    bucket.server.client.remove(bucket.name, b"a")
    created, removed = await bucket.told(2)
    assert removed.action is Action.REMOVED
    assert created.id != removed.id
    assert await bucket.listed() == {}


async def test_a_delete_marker_is_a_removal_and_what_comes_after_it_is_listed(bucket: Bucket) -> None:
    bucket.versioning("Enabled")
    bucket.put("a", b"1")
    bucket.server.client.remove(bucket.name, b"a")
    created, removed = await bucket.told(2)
    assert (removed.action, removed.reason) == (Action.REMOVED, "delete_marker")
    assert created.id != removed.id
    assert await bucket.listed() == {}
    bucket.put("a", b"2")
    *_, again = await bucket.told(3)
    assert (await bucket.listed())[b"a"][0] == again.id


async def test_odd_keys_are_the_same_everywhere(bucket: Bucket) -> None:
    keys = [
        "red flower+\u00e9%41.jpg",
        "a\nb",
        " x ",
        "-rf",
        "a%2Fb+c",
        "e\u0301",
        "n" * 255,
        "a&b<c>\"d'",
        "dir/in/side",
    ]
    for key in keys:
        await asyncio.to_thread(bucket.put, key)
    told = await bucket.told(len(keys))
    assert await bucket.listed() == {event.key: [event.id] for event in told}
    assert {event.key.decode() for event in told} == set(keys)
