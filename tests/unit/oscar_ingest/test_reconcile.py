"""What no notification told of is found by listing, for those services it is for and no others."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from oscar_events.bus.memory import MemoryBus
from oscar_events.identity import execution_id
from oscar_ingest.folder_record import File
from oscar_ingest.publisher import Publisher
from oscar_ingest.reconcile import STEP, Plan, Reconciled, Reconciler
from oscar_ingest.sources.listing import Place
from tests.unit.oscar_ingest.doubles import CatalogueDouble, events, reconciled
from tests.unit.oscar_ingest.test_publisher import publishing

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
LIFE = timedelta(days=14)


def file(key: bytes = b"a.jpg", *, bucket: str = "pics", age: timedelta = timedelta(hours=1)) -> File:
    ctime_ns = int((NOW - age).timestamp()) * 10**9
    return File(bucket, key, 7, 1, 0, ctime_ns)


def chosen(files: list[File], *services: Reconciled, aliases: dict[str, str] | None = None) -> list[set[str]]:
    plan = Plan(services, aliases or {})
    return [set(candidate.services.values()) for candidate in plan.choose(files, NOW, LIFE)]


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
    assert Plan(services, {}).places == [Place("docs", b""), Place("pics", b"in"), Place("pics", b"in-other")]


class Folders:
    """A bucket on disk, a catalogue and a reconciler that publishes to a bus in memory."""

    def __init__(self, root: Path) -> None:
        self.bucket = root / "pics"
        self.bucket.mkdir(parents=True)
        self.bus, self.catalogue = MemoryBus(), CatalogueDouble(reconciled("u", "pics"))
        self.publisher = Publisher(self.bus)
        self.reconciler = Reconciler(root, self.catalogue, self.publisher, tombstone_life=LIFE, aliases={})

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
    for number in range(2 * STEP + 1):
        (folders.bucket / str(number)).touch()
    assert await folders.reconciler.run_once() == 2 * STEP + 1


async def test_a_path_too_long_is_refused_once_and_not_at_every_listing(folders: Folders) -> None:
    folder = folders.bucket.joinpath(*["n" * 250] * 5)
    folder.mkdir(parents=True)
    (folder / "a").write_bytes(b"x")
    for _ in range(3):
        await folders.reconciler.run_once()
    assert await folders.published() == []
    assert [number async for number in _quarantined(folders.bus)] == [1]


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
