"""Files that may not be announced yet are looked at again, each when it makes sense."""

from __future__ import annotations

import asyncio

import pytest

from oscar_ingest.sources.waiting import Waiter, WaitingRoom


async def test_files_come_out_when_their_time_has_come_and_not_before() -> None:
    room = WaitingRoom()
    room.add(Waiter(b"late", "listed"), 0.05)
    room.add(Waiter(b"soon", "listed"), 0.01)
    started = asyncio.get_running_loop().time()
    async with asyncio.timeout(20):
        assert [(await room.next()).path, (await room.next()).path] == [b"soon", b"late"]
    assert asyncio.get_running_loop().time() - started >= 0.045
    assert len(room) == 0


async def test_one_who_waits_is_woken_by_a_file_that_is_due_earlier() -> None:
    room = WaitingRoom()
    room.add(Waiter(b"late", "listed"), 1000)
    waiting = asyncio.create_task(room.next())
    await asyncio.sleep(0)
    room.add(Waiter(b"soon", "listed"), 0)
    async with asyncio.timeout(20):
        assert (await waiting).path == b"soon"


async def test_a_file_that_comes_again_waits_once_and_by_its_latest_time() -> None:
    room = WaitingRoom()
    room.add(Waiter(b"a", "close_write"), 0.01)
    room.add(Waiter(b"a", "moved_to"), 0.02)
    async with asyncio.timeout(20):
        assert (await room.next()).reason == "moved_to"
    assert len(room) == 0


def test_a_writer_is_looked_at_soon_and_then_ever_less() -> None:
    time = 0.0
    room = WaitingRoom(clock=lambda: time)
    for looks in range(6):
        room.add(Waiter(b"%d" % looks, "listed", looks), None)
    assert [due for due, _, _ in sorted(room._due)] == pytest.approx([0.001, 0.01, 0.1, 1.0, 2.0, 2.0])


def test_a_writer_that_takes_days_is_still_looked_at() -> None:
    room = WaitingRoom(clock=lambda: 0.0)
    room.add(Waiter(b"a", "listed", looks=1_000_000), None)
    assert room._due[0][0] == 2.0


def test_a_full_room_says_so() -> None:
    room = WaitingRoom(limit=1)
    assert room.add(Waiter(b"a", "listed"), 1)
    assert not room.add(Waiter(b"b", "listed"), 1)
