"""What the SQLite log does beyond the contract: it stays when closed, and other processes may write to it."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from oscar_events.bus import local, sqlite
from oscar_events.bus.port import EVENTS
from oscar_events.bus.sqlite import SqliteBus
from oscar_events.errors import BusError, ConfigurationError
from oscar_events.record import Record

NOW_MS = time.time_ns() // 1_000_000


def records(count: int) -> list[Record]:
    return [Record(b"key", b"%d" % n, NOW_MS) for n in range(count)]


async def test_everything_is_still_there_after_closing_and_opening_again(tmp_path: Path) -> None:
    async with SqliteBus(tmp_path / "log.db") as bus:
        identity = await bus.topic_id(EVENTS)
        [(partition, _), *_] = await bus.publish(EVENTS, records(3))
        async with bus.consumer([EVENTS], "group") as consumer:
            await consumer.poll(max_records=3, max_wait=10)
            await consumer.commit({partition: 1})
    async with SqliteBus(tmp_path / "log.db") as bus, bus.consumer([EVENTS], "group") as consumer:
        assert await bus.topic_id(EVENTS) == identity
        assert [d.offset for d in (await consumer.poll(max_records=3, max_wait=10)).deliveries] == [1, 2]
        assert await bus.publish(EVENTS, records(1)) == [(partition, 3)]


async def test_a_topic_keeps_its_partitions_and_a_new_topic_is_added(tmp_path: Path) -> None:
    async with SqliteBus(tmp_path / "log.db", partitions=2, topics=["old"]):
        pass
    async with SqliteBus(tmp_path / "log.db", partitions=8, topics=["old", "new"]) as bus:
        assert len(await bus.partitions("old")) == 2
        assert len(await bus.partitions("new")) == 8


async def test_a_publish_wakes_a_waiting_poll_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "TICK_SECONDS", 3600)
    async with (
        SqliteBus(tmp_path / "log.db") as bus,
        bus.consumer([EVENTS], "group") as consumer,
        asyncio.timeout(10),
    ):
        await consumer.poll(max_records=9, max_wait=0)
        waiting = asyncio.create_task(consumer.poll(max_records=9, max_wait=3600))
        await asyncio.sleep(0)  # it has begun to listen
        await bus.offsets((await bus.partitions(EVENTS))[0])  # and, reads being done in order, has found nothing
        await bus.publish(EVENTS, records(1))
        assert len((await waiting).deliveries) == 1


async def test_a_new_owner_starts_behind_a_commit_that_is_still_being_written(tmp_path: Path) -> None:
    async with SqliteBus(tmp_path / "log.db") as bus:
        [(partition, _), *_] = await bus.publish(EVENTS, records(3))
        checking, go = asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()

        def check() -> None:
            loop.call_soon_threadsafe(checking.set)
            assert go.wait(10)

        storing = asyncio.create_task(bus.store("group", {partition: 2}, check))
        await checking.wait()
        starting = asyncio.create_task(bus.starts("group", [partition]))
        await asyncio.sleep(0)  # it has been handed in
        assert await bus.committed("group", partition) is None  # what a reader sees
        go.set()
        assert await starting == {partition: 2}
        await storing


async def test_what_another_process_publishes_is_noticed(tmp_path: Path) -> None:
    async with (
        SqliteBus(tmp_path / "log.db") as ours,
        SqliteBus(tmp_path / "log.db") as theirs,
        ours.consumer([EVENTS], "group") as consumer,
        asyncio.timeout(10),
    ):
        await consumer.poll(max_records=9, max_wait=0)
        waiting = asyncio.create_task(consumer.poll(max_records=9, max_wait=3600))
        await theirs.publish(EVENTS, records(1))
        assert len((await waiting).deliveries) == 1
        places = await ours.publish(EVENTS, records(1)) + await theirs.publish(EVENTS, records(1))
        assert [offset for _, offset in places] == [1, 2]


async def test_retention_goes_on_by_itself_until_nothing_old_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "EXPIRE_SECONDS", 0.01)
    monkeypatch.setattr(sqlite, "EXPIRE_RECORDS", 10)
    async with SqliteBus(tmp_path / "log.db", retention=timedelta(days=1)) as bus, asyncio.timeout(10):
        old = [Record(b"key", b"", NOW_MS - 2 * 86_400_000)] * 25
        [(partition, _), *_] = await bus.publish(EVENTS, old + records(2))
        while await bus.offsets(partition) != (25, 27):
            pass


async def test_a_failed_publish_uses_up_no_offset(tmp_path: Path) -> None:
    async with SqliteBus(tmp_path / "log.db") as bus:
        with closing(sqlite3.connect(tmp_path / "log.db", isolation_level=None)) as other:
            other.execute("CREATE TRIGGER full BEFORE INSERT ON records BEGIN SELECT raise(ABORT, 'disk full'); END")
            with pytest.raises(BusError, match="disk full"):
                await bus.publish(EVENTS, records(5))
            other.execute("DROP TRIGGER full")
        [(_, offset)] = await bus.publish(EVENTS, records(1))
        assert offset == 0


async def test_a_closed_bus_says_so(tmp_path: Path) -> None:
    async with SqliteBus(tmp_path / "log.db") as bus:
        pass
    with pytest.raises(BusError, match="closed"):
        await bus.publish(EVENTS, records(1))


async def test_a_file_of_another_release_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "log.db")) as other:
        other.execute("PRAGMA user_version = 99")
    with pytest.raises(ConfigurationError, match="newer oscar-events"):
        async with SqliteBus(tmp_path / "log.db"):
            pass


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log.db").write_bytes(b"not a database, " * 100)
    with pytest.raises(ConfigurationError, match=r"log\.db"):
        async with SqliteBus(tmp_path / "log.db"):
            pass
