"""What no notification told of is found in a real MinIO, once, whatever kind of bucket it lies in (R1, R2, R4)."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import io
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog
from miniopy_async.commonconfig import ENABLED
from miniopy_async.versioningconfig import SUSPENDED, VersioningConfig

from oscar_events import codec
from oscar_events.bus.memory import MemoryBus
from oscar_events.bus.port import QUARANTINE
from oscar_events.event import MAX_HOPS, StorageEvent
from oscar_events.ledger import claims, services
from oscar_events.ledger.claims import Sighting
from oscar_events.ledger.positions import Position
from oscar_events.ledger.sqlite import SqliteLedger
from oscar_events.minio_client import minio_client
from oscar_events.notifications.objects import HOPS
from oscar_events.notifications.port import Notification, Route
from oscar_events.notifications.recognise import normalise
from oscar_ingest.catalogue import LedgerCatalogue
from oscar_ingest.listings.s3 import S3Lister
from oscar_ingest.publisher import Publisher
from oscar_ingest.reconcile import Reconciler
from tests.testbed.minio import WEBHOOK, MinioServer, announcing, running_minio
from tests.unit.oscar_ingest.doubles import ALWAYS, events, reconciled, records
from tests.unit.oscar_ingest.test_publisher import publishing
from tests.waiting import wait_until

PROVIDER = "minio.default"
ROUTE = Route(source="minio", provider=PROVIDER)
NOW = datetime(2026, 11, 21, tzinfo=UTC)


class Counted(S3Lister):
    """A lister that counts its requests."""

    requests = 0

    async def _ask(self, *args: object, **named: object) -> bytes:
        self.requests += 1
        return await super()._ask(*args, **named)  # type: ignore[arg-type]


class Scene:
    """One bucket, the service `u` on it, a ledger, and a reconciler that publishes to a bus in memory."""

    def __init__(self, minio: MinioServer, ledger: SqliteLedger, min_age: timedelta) -> None:
        self.minio, self.ledger, self.bus = minio, ledger, MemoryBus()
        self.publisher = Publisher(self.bus)
        self.catalogue = services.Catalogue()
        self.lister = Counted(PROVIDER, minio.settings, min_age)
        self.reconciler = Reconciler(
            self.bus,
            LedgerCatalogue(ledger),
            self.publisher,
            [self.lister],
            tombstone_life=timedelta(days=60),
            aliases={},
        )

    async def apply(self, *paths: str) -> str:
        service = reconciled("u", *paths, provider=PROVIDER).service.service
        return (await self.ledger.write(lambda c: services.apply(c, "default", service, ALWAYS))).uid

    async def reconcile(self) -> int:
        found = await self.reconciler.run_once()
        await self.publisher.published()
        return found

    async def take_in(self) -> int:
        """Claim all that lies on the bus, as intake does; return how many runs are new."""
        found = [Sighting(event, codec.encode(event).value) for event in await events(self.bus)]
        topic = await self.bus.topic_id("oscar.events")
        read = [
            Position(topic, partition.number, (await self.bus.offsets(partition))[1])
            for partition in await self.bus.partitions("oscar.events")
        ]
        return await self.claim(found, read)

    async def claim(self, found: list[Sighting], read: list[Position] | None = None) -> int:
        before = await self.ledger.read(_runs)
        await self.ledger.write(lambda connection: claims.claim(connection, self.catalogue, found, read or []))
        return await self.ledger.read(_runs) - before

    async def keys(self) -> list[bytes]:
        return sorted(event.key for event in await events(self.bus))


def _runs(connection: object) -> int:
    return int(connection.exec_driver_sql("SELECT count(*) FROM executions").scalar_one())  # type: ignore[attr-defined]


@pytest.fixture
async def scene(minio: MinioServer, tmp_path: Path) -> AsyncIterator[Scene]:
    async with SqliteLedger(tmp_path / "ledger.db") as ledger:
        scene = Scene(minio, ledger, timedelta(0))
        async with publishing(scene.publisher):
            yield scene


@contextlib.contextmanager
def receiver() -> Iterator[tuple[str, list[bytes]]]:
    """Yield the URL of a server that keeps what is posted to it, and what it kept."""
    bodies: list[bytes] = []

    class Keeping(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Keeping) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/", bodies
        finally:
            server.shutdown()
            serving.join()


def fill(minio: MinioServer, bucket: str, keys: list[bytes], content: bytes = b"x") -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda key: minio.client.put(bucket, key, content), keys))


async def test_a_thousand_objects_nobody_told_of_are_found_once_with_two_requests(
    scene: Scene, minio: MinioServer, new_bucket: Callable[[str], str]
) -> None:
    bucket = new_bucket("quiet")
    uid = await scene.apply(f"{bucket}/in")
    keys = [b"in/%04d" % number for number in range(1000)]
    await asyncio.to_thread(fill, minio, bucket, [*keys, b"other/a"])
    assert await scene.reconcile() == 1000
    assert await scene.keys() == keys
    assert {event.service_uids for event in await events(scene.bus)} == {(uid,)}
    assert scene.lister.requests == 2
    assert await scene.take_in() == 1000
    assert [await scene.reconcile(), await scene.take_in()] == [0, 0]


@pytest.mark.parametrize("versions", ["none", "kept", "suspended"])
async def test_a_notification_that_comes_after_the_listing_starts_nothing(
    minio_here: Path, tmp_path: Path, versions: str
) -> None:
    with receiver() as (url, bodies), running_minio(tmp_path / "minio", announcing(url, "Bearer x")) as minio:
        minio.client.make_bucket("late")
        if versions != "none":
            minio.client.keep_versions("late")
        if versions == "suspended":
            minio.client.put("late", b"in/0000", b"older than the suspension")
            minio.client.suspend_versions("late")
        minio.client.announce("late", WEBHOOK, "in/")
        keys = [b"in/%04d" % number for number in range(300)]
        fill(minio, "late", keys)
        fill(minio, "late", ["in/red flower+é%41.jpg".encode(), keys[7]], b"again")
        await wait_until(lambda: len(bodies) == 302, "every notification to be held back")
        async with SqliteLedger(tmp_path / "ledger.db") as ledger:
            scene = Scene(minio, ledger, timedelta(0))
            await scene.apply("late/in")
            async with publishing(scene.publisher):
                await scene.reconcile()
                listed = await scene.take_in()
            # Overwritten without a version, the first content of one key is gone; one more was there before `announce`
            assert listed == {"none": 301, "kept": 302, "suspended": 302}[versions]
            told = [event for body in bodies for event in told_by(body)]
            late = await scene.claim([Sighting(event, codec.encode(event).value) for event in told])
            assert late == {"none": 1, "kept": 0, "suspended": 1}[versions]  # the overwritten one, of which none knew


def told_by(body: bytes) -> tuple[StorageEvent, ...]:
    return normalise(Notification(body, {"content-type": "application/json"}, NOW, "fresh"), ROUTE).events


async def test_all_versions_are_found_but_none_that_was_deleted_afterwards(
    scene: Scene, minio: MinioServer, new_bucket: Callable[[str], str]
) -> None:
    bucket = new_bucket("versions")
    await scene.apply(f"{bucket}/in")
    minio.client.put(bucket, b"in/old", b"before versioning")
    minio.client.keep_versions(bucket)
    for key, contents in ((b"in/thrice", (b"1", b"22", b"333")), (b"in/gone", (b"1", b"22")), (b"in/back", (b"1",))):
        for content in contents:
            minio.client.put(bucket, key, content)
    minio.client.remove(bucket, b"in/gone")
    minio.client.remove(bucket, b"in/back")
    minio.client.put(bucket, b"in/back", b"again")
    await scene.reconcile()
    found = [(event.key, event.size, event.version is not None) for event in await events(scene.bus)]
    assert sorted(found) == [
        (b"in/back", 5, True),
        (b"in/old", 17, False),
        (b"in/thrice", 1, True),
        (b"in/thrice", 2, True),
        (b"in/thrice", 3, True),
    ]
    assert await scene.take_in() == 5


async def test_versions_of_one_key_over_several_pages_are_all_found(
    scene: Scene, minio: MinioServer, new_bucket: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oscar_ingest.listings.s3.PAGE", 3)
    bucket = new_bucket("pages")
    await scene.apply(f"{bucket}/in")
    minio.client.keep_versions(bucket)
    for key in (b"in/a b", b"in/c"):
        for size in range(5):
            minio.client.put(bucket, key, b"x" * size)
    minio.client.remove(bucket, b"in/c")
    minio.client.put(bucket, b"in/d", b"x")
    await scene.reconcile()
    found = sorted((event.key, event.size) for event in await events(scene.bus))
    assert found == [(b"in/a b", size) for size in range(5)] + [(b"in/d", 1)]


async def test_what_was_deleted_before_the_listing_starts_nothing(
    scene: Scene, minio: MinioServer, new_bucket: Callable[[str], str]
) -> None:
    bucket = new_bucket("deleted")
    await scene.apply(f"{bucket}/in")
    await asyncio.to_thread(fill, minio, bucket, [b"in/%d" % number for number in range(20)])
    for number in range(19):
        minio.client.remove(bucket, b"in/%d" % number)
    assert await scene.reconcile() == 1
    assert await scene.keys() == [b"in/19"]


async def test_writers_beside_a_listing_lose_nothing_and_double_nothing(
    scene: Scene, minio: MinioServer, new_bucket: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oscar_ingest.listings.s3.PAGE", 50)  # so that there is much to happen between
    bucket = new_bucket("busy")
    await scene.apply(f"{bucket}/in")
    stay = [b"in/stays-%03d" % number for number in range(300)]
    go = [b"in/goes-%03d" % number for number in range(200)]
    await asyncio.to_thread(fill, minio, bucket, [*stay[:150], *go])

    def write() -> None:
        with ThreadPoolExecutor(3) as pool:
            for key in (*stay[150:], *stay[:50]):
                pool.submit(minio.client.put, bucket, key, b"x")
            for key in go:
                pool.submit(minio.client.remove, bucket, key)

    writing = asyncio.create_task(asyncio.to_thread(write))
    while not writing.done():
        await scene.reconcile()
        await scene.take_in()
    await writing
    await scene.reconcile()
    await scene.take_in()
    rows = {event.id: event for event in await events(scene.bus)}
    assert {event.key for event in rows.values() if event.key in stay} == set(stay)
    # What lies there now has had its run, by the very id its own notification would have.
    async for page in S3Lister(PROVIDER, minio.settings, timedelta(0)).pages(bucket, [b"in"]):
        for found in page:
            assert found.key in stay
            assert found.event_id in rows
    runs = await scene.ledger.read(_runs)
    assert runs == len(rows)


async def test_a_missing_and_a_forbidden_bucket_are_said_once_and_hold_up_no_other(
    scene: Scene, minio: MinioServer, new_bucket: Callable[[str], str]
) -> None:
    bucket = new_bucket("fine")
    await scene.apply(f"{bucket}/in", "a-missing-one/in")
    await asyncio.to_thread(fill, minio, bucket, [b"in/a"])
    with structlog.testing.capture_logs() as said:
        assert [await scene.reconcile() for _ in range(3)] == [1, 0, 0]
    (warning,) = [line for line in said if line["log_level"] == "warning"]
    assert "a-missing-one" in warning["error"]
    assert "no such bucket" in warning["error"]


async def test_wrong_keys_are_said_with_what_to_correct(
    scene: Scene, minio: MinioServer, new_bucket: Callable[[str], str]
) -> None:
    await scene.apply(f"{new_bucket('wrong')}/in")
    scene.lister._settings["secret_key"] = "not-the-right-one"
    with structlog.testing.capture_logs() as said:
        assert await scene.reconcile() == 0
    (warning,) = [line for line in said if line["log_level"] == "warning"]
    assert "correct access_key and secret_key" in warning["error"]
    assert "not-the-right-one" not in warning["error"]


async def test_young_objects_are_left_to_their_notification(
    minio: MinioServer, new_bucket: Callable[[str], str], tmp_path: Path
) -> None:
    bucket = new_bucket("young")
    async with SqliteLedger(tmp_path / "ledger.db") as ledger:
        scene = Scene(minio, ledger, timedelta(seconds=3))
        await scene.apply(f"{bucket}/in")
        async with publishing(scene.publisher):
            minio.client.put(bucket, b"in/a", b"x")
            assert await scene.reconcile() == 0

            async def is_found() -> bool:
                return await scene.reconcile() == 1

            await wait_until(is_found, "the object to be old enough")


async def test_a_result_that_is_found_by_a_listing_still_says_how_many_runs_made_it(
    scene: Scene, minio: MinioServer, new_bucket: Callable[[str], str]
) -> None:
    bucket = new_bucket("hops")
    uid = await scene.apply(f"{bucket}/in")
    async with minio_client(minio.settings) as client:
        for key, hops in (("in/third", "3"), ("in/loop", str(MAX_HOPS + 1))):
            await client.put_object(bucket, key, io.BytesIO(b"x"), 1, metadata={HOPS: hops})
    assert [await scene.reconcile() for _ in range(2)] == [1, 0]  # the loop's is refused, and once
    (event,) = await events(scene.bus)
    assert (event.key, event.hop_count, event.service_uids) == (b"in/third", 3, (uid,))
    (refused,) = await records(scene.bus, QUARANTINE)
    assert b"a loop of services" in refused.value


@pytest.mark.parametrize("name", ["x-amz-meta-a!b", "x-amz-meta-a|b^`#$&*.+~'%", "x-amz-meta-"])
async def test_metadata_of_any_name_keeps_no_bucket_from_being_listed(
    scene: Scene, minio: MinioServer, new_bucket: Callable[[str], str], name: str
) -> None:
    bucket = new_bucket("named")
    await scene.apply(f"{bucket}/in")
    async with minio_client(minio.settings) as client:
        await client.put_object(bucket, "in/odd", io.BytesIO(b"x"), 1, metadata={name: "<v> & ]]>", HOPS: "3"})
        await client.put_object(bucket, "in/other", io.BytesIO(b"x"), 1)
    assert await scene.reconcile() == 2
    found = {event.key: event for event in await events(scene.bus)}
    assert found[b"in/odd"].metadata == {name: "<v> & ]]>", HOPS: "3"}
    assert found[b"in/odd"].hop_count == 3
    assert found[b"in/other"].metadata == {}


@pytest.mark.parametrize("kept", ["none", "all", "suspended"])
async def test_odd_keys_are_all_found_over_pages_of_one(
    scene: Scene, minio: MinioServer, new_bucket: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, kept: str
) -> None:
    monkeypatch.setattr("oscar_ingest.listings.s3.PAGE", 1)
    names = ["x", " ü+ü", "%2F", "a&<>\"'", "tab\there", "\x01", "a?b#c", "日本", "z z", "z+z", "q=1;2", "deep/er/x"]
    bucket, folder = new_bucket("odd"), "in a+b%"
    await scene.apply(f"{bucket}/{folder}")
    wanted = [f"{folder}/{name}".encode() for name in names]
    async with minio_client(minio.settings) as client:
        if kept != "none":
            await client.set_bucket_versioning(bucket, VersioningConfig(ENABLED))
        for name in names:
            await client.put_object(bucket, f"{folder}/{name}", io.BytesIO(b"x"), 1)
        if kept == "suspended":  # one more each, however often it is overwritten
            await client.set_bucket_versioning(bucket, VersioningConfig(SUSPENDED))
            for name in names * 2:
                await client.put_object(bucket, f"{folder}/{name}", io.BytesIO(b"y"), 1)
            wanted *= 2
    await scene.reconcile()
    assert await scene.keys() == sorted(wanted)
