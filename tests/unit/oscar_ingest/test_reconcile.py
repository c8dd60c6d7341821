"""What no notification told of is found by listing, for those services it is for and no others."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog

from oscar_events import codec
from oscar_events.bus.memory import MemoryBus
from oscar_events.bus.port import EVENTS
from oscar_events.errors import ConfigurationError, LedgerError, NotFoundError, OscarEventsError, UnavailableError
from oscar_events.identity import execution_id
from oscar_ingest.folder_record import File, folder_event
from oscar_ingest.listings.folder import PAGE, FolderLister
from oscar_ingest.listings.s3_page import ListedObject
from oscar_ingest.plan import Plan, Reconciled, Window
from oscar_ingest.publisher import Publisher
from oscar_ingest.reconcile import Content, Reconciler
from tests.unit.oscar_ingest.doubles import READ_ALL, CatalogueDouble, events, reconciled
from tests.unit.oscar_ingest.listings.synthetic import SyntheticLister
from tests.unit.oscar_ingest.test_publisher import publishing
from tests.waiting import wait_until

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
LIFE = timedelta(days=14)


def file(key: bytes = b"a.jpg", *, bucket: str = "pics", age: timedelta = timedelta(hours=1)) -> File:
    ctime_ns = int((NOW - age).timestamp()) * 10**9
    return File(bucket, key, 7, 1, 0, ctime_ns)


def chosen(
    files: list[File],
    *services: Reconciled,
    aliases: dict[str, str] | None = None,
    youngest: timedelta = timedelta(0),
) -> list[set[str]]:
    plan, window = Plan(services, aliases or {}), Window.at(NOW, LIFE, youngest)
    return [set(candidate.services.values()) for candidate in plan.choose("local.default", files, window)]


@pytest.mark.parametrize(
    ("found", "services", "uids"),
    [
        (file(), [reconciled("u", "pics")], {"u"}),
        (file(), [reconciled("u", "other")], None),
        (file(b"in/a.jpg"), [reconciled("u", "pics/in"), reconciled("v", "pics")], {"u", "v"}),
        (file(b"a.jpg"), [reconciled("u", "pics/in"), reconciled("v", "pics")], {"v"}),
        (file(b"a.png"), [reconciled("u", "pics", suffix=".jpg")], None),
        # An object of a store that is not ours is that one's to list
        (file(b"in/a.jpg"), [reconciled("u", "pics/in", provider="minio.default")], None),
        # Came before the service did
        (file(age=timedelta(hours=1)), [reconciled("u", "pics", since=NOW - timedelta(minutes=59))], None),
        # In the very second the service came: `since` is rounded down, so this may be for it
        (file(age=timedelta(hours=1)), [reconciled("u", "pics", since=NOW - timedelta(hours=1))], {"u"}),
        # So old that its tombstone may be gone: that nothing is known of it means nothing
        (file(age=LIFE - timedelta(days=1, seconds=-1)), [reconciled("u", "pics")], None),
        (file(age=LIFE - timedelta(days=1, seconds=1)), [reconciled("u", "pics")], {"u"}),
    ],
)
def test_for_whom_a_file_is(found: File, services: list[Reconciled], uids: set[str] | None) -> None:
    assert chosen([found], *services) == ([] if uids is None else [uids])


def test_a_file_is_for_services_that_know_folders_by_another_name() -> None:
    services = reconciled("u", "pics/in", provider="minio.default")
    assert chosen([file(b"in/a.jpg")], services, aliases={"minio.default": "local.default"}) == [{"u"}]


def test_only_what_inputs_cover_is_walked_and_nothing_twice() -> None:
    services = [
        reconciled("u", "pics/in/sub", "pics/in", "pics/in-other", "pics/in/sub2/deep"),
        reconciled("v", "docs"),
        reconciled("w", "docs/x", "docs"),
        reconciled("x", "away/in", provider="minio.default"),
    ]
    plan = Plan(services, {})
    assert plan.places("local.default") == {"docs": [b""], "pics": [b"in", b"in-other"]}
    assert plan.places("minio.default") == {"away": [b"in"]}


class Folders:
    """A bucket on disk, a catalogue and a reconciler that publishes to a bus in memory."""

    def __init__(self, root: Path) -> None:
        self.bucket = root / "pics"
        self.bucket.mkdir(parents=True)
        self.bus, self.catalogue = MemoryBus(), CatalogueDouble(reconciled("u", "pics"))
        self.publisher = Publisher(self.bus)
        self.reconciler = Reconciler(
            self.bus, self.catalogue, self.publisher, [FolderLister(root)], tombstone_life=LIFE, aliases={}
        )

    async def published(self) -> list[tuple[bytes, tuple[str, ...]]]:
        await self.publisher.published()
        return sorted((event.key, event.service_uids) for event in await events(self.bus))


@pytest.fixture
async def folders(tmp_path: Path) -> AsyncIterator[Folders]:
    folders = Folders(tmp_path)
    async with publishing(folders.publisher):
        yield folders


async def test_only_what_has_no_execution_is_published_and_names_whom_it_is_for(folders: Folders) -> None:
    folders.catalogue.services = [reconciled("u", "pics"), reconciled("v", "pics")]
    for name in ("done", "half", "new"):
        (folders.bucket / name).write_bytes(b"x")
    for name, uids in (("done", "uv"), ("half", "u")):
        stat = os.lstat(folders.bucket / name)
        event_id = File.from_stat("pics", name.encode(), stat).event_id
        folders.catalogue.executions |= {execution_id("default", uid, event_id) for uid in uids}
    assert await folders.reconciler.run_once() == 2
    assert await folders.published() == [(b"half", ("v",)), (b"new", ("u", "v"))]


async def test_what_intake_has_not_come_to_is_not_published_by_every_listing(folders: Folders) -> None:
    (folders.bucket / "a").write_bytes(b"x")
    assert [await folders.reconciler.run_once() for _ in range(3)] == [1, 0, 0]
    assert await folders.published() == [(b"a", ("u",))]


async def test_a_service_applied_later_gets_what_another_already_had(folders: Folders) -> None:
    (folders.bucket / "a").write_bytes(b"x")
    await folders.reconciler.run_once()
    folders.catalogue.services = [*folders.catalogue.services, reconciled("v", "pics")]
    await folders.reconciler.run_once()
    assert await folders.published() == [(b"a", ("u",)), (b"a", ("u", "v"))]


async def test_a_file_that_is_being_written_is_left_to_a_later_listing(folders: Folders) -> None:
    with (folders.bucket / "a").open("wb") as file:
        file.write(b"half")
        file.flush()
        assert await folders.reconciler.run_once() == 0
    assert await folders.reconciler.run_once() == 1


async def test_a_temporary_name_is_left_until_it_is_still(folders: Folders) -> None:
    path = folders.bucket / ".a.Xy12Zz"
    path.write_bytes(b"x")
    assert await folders.reconciler.run_once() == 0
    path.rename(folders.bucket / "a")
    assert await folders.reconciler.run_once() == 1
    assert await folders.published() == [(b"a", ("u",))]


async def test_more_files_than_one_step_are_all_found(folders: Folders) -> None:
    for number in range(2 * PAGE + 1):
        (folders.bucket / str(number)).touch()
    assert await folders.reconciler.run_once() == 2 * PAGE + 1


async def test_a_path_too_long_is_refused_once_and_not_at_every_listing(folders: Folders) -> None:
    folder = folders.bucket.joinpath(*["n" * 250] * 5)
    folder.mkdir(parents=True)
    (folder / "a").write_bytes(b"x")
    for _ in range(3):
        await folders.reconciler.run_once()
    assert await folders.published() == []
    assert [number async for number in _quarantined(folders.bus)] == [1]


def test_a_service_may_say_that_listings_are_not_for_it() -> None:
    silent = reconciled("u", "pics", reconcile=False)
    assert chosen([file()], silent, reconciled("v", "pics")) == [{"v"}]
    assert Plan([silent], {}).places("local.default") == {}


@pytest.mark.parametrize(("age", "uids"), [(1, []), (121, [{"u"}])])
def test_what_is_too_young_is_left_to_its_notification(age: int, uids: list[set[str]]) -> None:
    young = file(age=timedelta(seconds=age))
    assert chosen([young], reconciled("u", "pics"), youngest=timedelta(minutes=2)) == uids


class Store:
    """A store that is listed, a service `u` on its bucket, and a reconciler that publishes to a bus in memory."""

    def __init__(self, lister: SyntheticLister, *services: Reconciled) -> None:
        self.lister, self.bus = lister, MemoryBus()
        self.catalogue = CatalogueDouble(*services or [reconciled("u", "pics/in", provider=lister.provider)])
        self.publisher = Publisher(self.bus)
        self.reconciler = Reconciler(
            self.bus, self.catalogue, self.publisher, [lister], tombstone_life=LIFE, aliases={}
        )

    async def keys(self) -> list[bytes]:
        await self.publisher.published()
        return sorted(event.key for event in await events(self.bus))


def ago(**age: float) -> datetime:
    return datetime.now(UTC) - timedelta(**age)


async def test_what_intake_may_not_have_read_yet_is_left_to_a_later_listing() -> None:
    store = Store(SyntheticLister([(b"in/old", ago(hours=2)), (b"in/young", ago(minutes=30))]))
    async with publishing(store.publisher):
        waiting = folder_event(file(b"x"), "close_write", ago(hours=1))
        await store.bus.publish(EVENTS, [codec.encode(waiting)])
        store.catalogue.read = {}
        await store.reconciler.run_once()
        assert await store.keys() == [b"in/old", b"x"]
        assert store.reconciler.settled_after >= timedelta(hours=1)
        store.catalogue.read = READ_ALL
        await store.reconciler.run_once()
        assert await store.keys() == [b"in/old", b"in/young", b"x"]


async def test_a_flood_that_intake_has_not_come_to_is_not_published_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oscar_ingest.reconcile.REMEMBERED", 5)
    store = Store(SyntheticLister([(b"in/%d" % number, ago(hours=2)) for number in range(9)]))
    store.publisher = Publisher(store.bus, remembered=5)
    store.reconciler._publisher = store.publisher
    async with publishing(store.publisher):
        assert await store.reconciler.run_once() == 9
        store.catalogue.read = {}
        assert [await store.reconciler.run_once() for _ in range(3)] == [0, 0, 0]
        assert store.lister.listings == 1
        store.catalogue.read = READ_ALL
        # This catalogue never learns of an execution; the five last ones are remembered.
        assert await store.reconciler.run_once() == 4
        assert store.lister.listings == 2


async def test_what_intake_read_and_nothing_came_of_is_published_again_a_day_later() -> None:
    store = Store(SyntheticLister([(b"in/lost", ago(days=5))]))
    told_at = ago(days=3)
    store.publisher = Publisher(store.bus, now=lambda: told_at)
    store.reconciler._publisher = store.publisher
    async with publishing(store.publisher):
        assert await store.reconciler.run_once() == 1
        waiting = folder_event(file(b"x"), "close_write", ago(days=2, hours=12))
        await store.bus.publish(EVENTS, [codec.encode(waiting)])
        store.catalogue.read = {}  # what was published then may wait behind that
        assert await store.reconciler.run_once() == 0
        store.catalogue.read, told_at = READ_ALL, ago(hours=20)
        assert [await store.reconciler.run_once() for _ in range(2)] == [1, 0]


async def test_where_ids_cannot_tell_a_content_that_a_service_had_is_not_published_for_it() -> None:
    services = [reconciled(uid, "pics/in", provider="s3.default") for uid in "uv"]
    lister = SyntheticLister(
        [(b"in/a", ago(hours=1)), (b"in/b", ago(hours=1))], provider="s3.default", tells_time=False
    )
    store = Store(lister, *services)
    store.catalogue.contents = {Content("s3.default", "pics", b"in/a", "e1"): {"u"}}
    async with publishing(store.publisher):
        await store.reconciler.run_once()
        await store.publisher.published()
        found = {(event.key, event.service_uids, event.by_etag) for event in await events(store.bus)}
    assert found == {(b"in/a", ("v",), True), (b"in/b", ("u", "v"), True)}


@pytest.mark.parametrize(
    "error", [NotFoundError("no such bucket"), ConfigurationError("no rights"), UnavailableError("away")]
)
async def test_a_bucket_that_cannot_be_listed_is_said_once_a_minute_and_holds_up_no_other(
    error: OscarEventsError, monkeypatch: pytest.MonkeyPatch
) -> None:
    lister = SyntheticLister([(b"in/a", ago(hours=1))])
    lister.broken = {"broken": error}
    store = Store(lister, reconciled("u", "broken/in", "pics/in", provider="minio.default"))
    async with publishing(store.publisher):
        with structlog.testing.capture_logs() as said:
            assert [await store.reconciler.run_once() for _ in range(3)] == [1, 0, 0]
            monkeypatch.setattr("oscar_ingest.reconcile._SAY_AGAIN_S", 0)
            await store.reconciler.run_once()
            assert store.reconciler.trouble == str(error)
            lister.broken = {}
            await store.reconciler.run_once()
    assert [line["error"] for line in said if line["log_level"] == "warning"] == [str(error)] * 2
    assert store.reconciler.trouble == ""


async def test_a_store_that_does_not_answer_holds_up_no_other() -> None:
    answers = asyncio.Event()

    class Silent(SyntheticLister):
        async def pages(self, bucket: str, folders: Sequence[bytes]) -> AsyncGenerator[Sequence[ListedObject]]:
            await answers.wait()
            async for page in super().pages(bucket, folders):
                yield page

    silent = Silent([(b"in/late", ago(hours=1))])
    other = SyntheticLister([(b"in/a", ago(hours=1))], provider="minio.other")
    store = Store(silent, *(reconciled(uid, "pics/in", provider=f"minio.{uid}") for uid in ("default", "other")))
    store.reconciler = Reconciler(
        store.bus, store.catalogue, store.publisher, [silent, other], tombstone_life=LIFE, aliases={}
    )
    async with publishing(store.publisher):
        listing = asyncio.create_task(store.reconciler.run_once())

        async def found() -> bool:
            return [event.key for event in await events(store.bus)] == [b"in/a"]

        await wait_until(found, "what lies in the other store")
        answers.set()
        assert await listing == 2


async def test_a_ledger_that_is_away_ends_the_listing() -> None:
    store = Store(SyntheticLister([(b"in/a", ago(hours=1))]))

    async def away(*_: object) -> set[str]:
        raise LedgerError("asked for by the test")

    store.catalogue.known = away  # type: ignore[method-assign, assignment]
    async with publishing(store.publisher):
        with pytest.raises(LedgerError):
            await store.reconciler.run_once()


async def test_a_store_rests_between_listings_unless_something_may_have_been_missed() -> None:
    store = Store(SyntheticLister(rest=timedelta(hours=1)))
    for rested in (False, True, True, False):
        await store.reconciler.run_once(rested=rested)
    assert store.lister.listings == 2


async def _quarantined(bus: MemoryBus) -> AsyncIterator[int]:
    yield sum([(await bus.offsets(partition))[1] for partition in await bus.partitions("oscar.quarantine")])


@pytest.mark.benchmark
async def test_how_long_a_listing_of_known_files_takes(folders: Folders) -> None:
    for number in range(20_000):
        (folders.bucket / str(number)).touch()
    await folders.reconciler.run_once()
    started = time.perf_counter()
    assert await folders.reconciler.run_once() == 0
    print(f"\nlisting 20,000 files: {time.perf_counter() - started:.2f} s")
