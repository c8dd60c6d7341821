"""Files as scientists and their programs make them: none missed, none half-written, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog
from asyncinotify import Event, Inotify, Mask

from oscar_events.bus.memory import MemoryBus
from oscar_events.bus.port import EVENTS
from oscar_ingest.app import Ingest, IngestSettings
from tests.unit.oscar_ingest.doubles import CatalogueDouble, all_events, events, listed, reconciled, running
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")


def watches() -> int:
    """How many directories this process has the kernel watch."""
    about = [path.read_text() for path in Path("/proc/self/fdinfo").iterdir() if path.exists()]
    return sum(text.count("inotify wd:") for text in about)


class Up:
    """Ingest running on the bucket `pics`."""

    def __init__(self, root: Path) -> None:
        self.bucket = root / "buckets" / "pics"
        self.bucket.mkdir(parents=True)
        self.bus, self.catalogue = MemoryBus(), CatalogueDouble(reconciled("u", "pics"))
        self.ingest = Ingest(self.bus, self.catalogue, IngestSettings(self.bucket.parent))

    async def keys(self) -> list[bytes]:
        return sorted(event.key for event in await all_events(self.bus, self.bucket))

    async def told(self) -> list[bytes]:
        """What came without a listing."""
        return sorted(event.key for event in await all_events(self.bus, self.bucket) if not event.service_uids)

    async def has(self, *keys: bytes) -> bool:
        """Whether these objects have come, and no others, however often."""
        found = {event.key for event in await events(self.bus)}
        return {key for key in found if not key.startswith(b"marker-")} == set(keys)

    async def count(self) -> int:
        """How many records have come."""
        return sum([(await self.bus.offsets(partition))[1] for partition in await self.bus.partitions(EVENTS)])


@pytest.fixture
async def up(tmp_path: Path) -> AsyncIterator[Up]:
    up = Up(tmp_path)
    async with running(up.ingest):
        yield up


async def test_a_slow_writer_is_one_event_after_its_last_byte(up: Up) -> None:
    with (up.bucket / "slow").open("wb") as file:
        for _ in range(5):
            file.write(b"x" * 100)
            file.flush()
            await listed(up.ingest, up.catalogue)  # not even a listing brings it before
            assert await up.keys() == []
    # The source and a listing under way may both tell of it: one id.
    (told,) = {(event.id, event.size) for event in await all_events(up.bus, up.bucket)}
    assert told[1] == 500


async def test_a_file_two_write_is_announced_when_the_second_closes_it(up: Up) -> None:
    with (up.bucket / "shared").open("ab") as second:
        with (up.bucket / "shared").open("ab") as first:
            first.write(b"1")
        assert await up.keys() == []
        second.write(b"2")
    assert [event.size for event in await all_events(up.bus, up.bucket)] == [2]


async def test_each_version_of_a_file_is_an_event_of_its_own(up: Up) -> None:
    for size in (1, 2, 3):
        (up.bucket / "a").write_bytes(b"x" * size)
        await up.keys()
    assert [event.size for event in await all_events(up.bus, up.bucket)] == [1, 2, 3]


async def test_a_file_replaced_by_rename_is_a_new_event(up: Up, tmp_path: Path) -> None:
    for body in (b"1", b"2"):
        (tmp_path / "new").write_bytes(body)
        (tmp_path / "new").rename(up.bucket / "a")
        await up.keys()
    first, second = await all_events(up.bus, up.bucket)
    assert (first.key, first.reason) == (second.key, second.reason) == (b"a", "moved_to")
    assert first.id != second.id


async def test_folders_made_and_filled_in_one_breath_lose_nothing(up: Up) -> None:
    def fill() -> list[bytes]:
        keys = []
        for number in range(200):
            folder = up.bucket / f"{number}" / "deep" / "deeper"
            folder.mkdir(parents=True)
            for path in (up.bucket / f"{number}" / "a", folder / "b"):
                path.write_bytes(b"x")
                keys.append(os.fsencode(path.relative_to(up.bucket)))
        return sorted(keys)

    keys = await asyncio.to_thread(fill)  # while the loop is busy following
    assert await up.told() == keys


async def test_a_folder_moved_in_is_announced_with_all_it_holds_and_followed_from_then_on(
    up: Up, tmp_path: Path
) -> None:
    (tmp_path / "new/sub").mkdir(parents=True)
    (tmp_path / "new/sub/a").write_bytes(b"x")
    (tmp_path / "new").rename(up.bucket / "p")
    assert await up.told() == [b"p/sub/a"]
    (up.bucket / "p/sub/b").write_bytes(b"x")
    assert await up.told() == [b"p/sub/a", b"p/sub/b"]


async def test_a_folder_moved_away_is_followed_no_more_and_one_moved_within_by_its_new_name(
    up: Up, tmp_path: Path
) -> None:
    (up.bucket / "p/sub").mkdir(parents=True)
    assert await up.keys() == []
    (up.bucket / "p").rename(tmp_path / "away")
    (tmp_path / "away/sub/a").write_bytes(b"x")
    assert await up.keys() == []
    assert watches() == 2  # root and bucket
    (tmp_path / "away").rename(up.bucket / "q")
    (up.bucket / "q").rename(up.bucket / "r")
    (up.bucket / "r/sub/b").write_bytes(b"x")
    assert await up.told() == [b"r/sub/a", b"r/sub/b"]
    shutil.rmtree(up.bucket / "r")
    (up.bucket / "r/sub").mkdir(parents=True)
    (up.bucket / "r/sub/c").write_bytes(b"x")
    assert await up.told() == [b"r/sub/a", b"r/sub/b", b"r/sub/c"]


async def test_a_new_bucket_is_followed_and_files_beside_the_buckets_are_none(up: Up) -> None:
    root = up.bucket.parent
    (root / "no-object").write_bytes(b"x")
    (root / ".hidden").mkdir()
    (root / ".hidden/a").write_bytes(b"x")
    (root / "new").mkdir()
    (root / "new/a").write_bytes(b"x")
    assert await up.told() == [b"a"]


async def test_what_the_platform_stages_is_an_event_only_once_it_is_put(up: Up) -> None:
    staging = up.bucket / ".oscar-staging"
    staging.mkdir()
    (staging / "part").write_bytes(b"x")
    assert await up.keys() == []
    (staging / "part").rename(up.bucket / "result")
    assert await up.told() == [b"result"]


async def test_a_temporary_name_is_no_event_but_a_name_with_a_dot_that_stays_is_one(up: Up) -> None:
    (up.bucket / ".profile").write_bytes(b"x")
    (up.bucket / ".a.Xy12Zz").write_bytes(b"x")
    (up.bucket / ".a.Xy12Zz").rename(up.bucket / "a")
    assert await up.told() == [b"a"]
    await wait_until(lambda: up.has(b".profile", b"a"), "the name that stays")


async def test_files_that_vanish_at_once_harm_nobody(up: Up) -> None:
    def churn() -> None:
        for number in range(300):
            folder = up.bucket / f"{number}"
            folder.mkdir()
            (folder / "a").write_bytes(b"x")
            shutil.rmtree(folder)

    churning = asyncio.create_task(asyncio.to_thread(churn))
    while not churning.done():
        await listed(up.ingest, up.catalogue)
    await churning
    (up.bucket / "a").write_bytes(b"x")
    assert b"a" in await up.keys()


async def test_lost_kernel_events_are_made_good_by_a_listing_and_a_message_names_the_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Inotify.get
    losing = False

    async def get(inotify: Inotify) -> Event:
        nonlocal losing
        event = await read(inotify)
        while losing and not (event.name == Path("last") and Mask.CLOSE_WRITE in event.mask):
            event = await read(inotify)
        if losing:
            losing = False
            return Event(None, Mask.Q_OVERFLOW, 0, None)
        return event

    monkeypatch.setattr(Inotify, "get", get)
    up = Up(tmp_path)
    (up.bucket / "gone").mkdir()
    async with running(up.ingest):
        with structlog.testing.capture_logs() as logs:
            losing = True
            (tmp_path / "new").mkdir()
            (tmp_path / "new/a").write_bytes(b"x")
            (tmp_path / "new").rename(up.bucket / "p")
            (up.bucket / "gone").rename(tmp_path / "gone")
            (up.bucket / "last").write_bytes(b"x")
            await wait_until(lambda: up.has(b"last", b"p/a"), "what was lost")
        assert any("max_queued_events" in entry.get("fix", "") for entry in logs)
        assert watches() == 3  # root, bucket and p
        (up.bucket / "p/c").write_bytes(b"x")
        assert b"p/c" in await up.told()


async def test_a_folder_that_cannot_be_watched_is_listed_and_a_message_names_the_setting(
    up: Up, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(inotify: Inotify, path: bytes, mask: Mask) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Inotify, "add_watch", refuse)
    with structlog.testing.capture_logs() as logs:
        (up.bucket / "p").mkdir()
        assert await up.keys() == []
    (up.bucket / "p/a").write_bytes(b"x")
    await listed(up.ingest, up.catalogue)
    assert await up.keys() == [b"p/a"]
    assert any("max_user_watches" in entry.get("fix", "") for entry in logs)


async def test_ingest_is_not_ready_before_a_listing_and_goes_on_without_the_ledger(tmp_path: Path) -> None:
    up = Up(tmp_path)
    (up.bucket / "a").write_bytes(b"x")
    up.catalogue.away = True
    task = asyncio.create_task(up.ingest.run())
    try:
        folders = up.ingest._folders
        assert folders is not None
        await wait_until(folders.ready.is_set, "the watches")
        (up.bucket / "b").write_bytes(b"x")
        assert await up.keys() == [b"b"]
        assert not up.ingest.ready.is_set()
        up.catalogue.away = False
        up.ingest.request_listing()
        await wait_until(up.ingest.ready.is_set, "the first listing")
        await wait_until(lambda: up.has(b"a", b"b"), "what came before")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.benchmark
async def test_how_fast_files_are_announced(up: Up) -> None:
    def fill() -> None:
        for number in range(5000):
            (up.bucket / f"{number}").write_bytes(b"x")

    started = time.perf_counter()
    await asyncio.to_thread(fill)
    filled = time.perf_counter()
    await up.keys()
    print(f"\n5,000 files written in {filled - started:.2f} s, announced in {time.perf_counter() - started:.2f} s")
    delays = []
    for number in range(200):
        published = await up.count()
        (up.bucket / f"one-{number}").write_bytes(b"x")
        closed = time.perf_counter()
        while await up.count() == published:  # noqa: ASYNC110 each step of the loop is looked at
            await asyncio.sleep(0)
        delays.append(time.perf_counter() - closed)
    delays.sort()
    print(f"closed -> published: p50 {delays[100] * 1000:.2f} ms, p99 {delays[198] * 1000:.2f} ms")
