"""What sources yield reaches the bus: in order, whole, however long the bus is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import msgspec
import pytest

from oscar_events import metrics, progress
from oscar_events.bus.memory import MemoryBus
from oscar_events.bus.port import QUARANTINE, Partition
from oscar_events.errors import BusError
from oscar_events.event import StorageEvent
from oscar_events.identity import execution_id
from oscar_events.quarantine import KEPT_BYTES, Refused, quarantine_record
from oscar_events.record import Record
from oscar_ingest.folder_record import File, folder_event
from oscar_ingest.publisher import Publisher
from tests.unit.oscar_ingest.doubles import events, records
from tests.waiting import DEADLINE_S, running, wait_until

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def event(number: int, *service_uids: str, key: bytes = b"a") -> StorageEvent:
    return folder_event(File("in", key, 7, number, number, number), "listed", NOW, service_uids)


@asynccontextmanager
async def publishing(publisher: Publisher) -> AsyncIterator[None]:
    task = asyncio.create_task(publisher.run())
    try:
        async with asyncio.timeout(DEADLINE_S):
            yield
            await publisher.published()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_events_of_one_object_arrive_in_the_order_they_were_put() -> None:
    bus = MemoryBus()
    publisher = Publisher(bus, buffer=8, batch=3)
    async with publishing(publisher):
        for number in range(100):
            await publisher.put(event(number))
    assert [read.size for read in await events(bus)] == list(range(100))


async def test_a_bus_that_does_not_acknowledge_is_asked_until_it_does() -> None:
    bus = MemoryBus()
    bus.fail_next_publish(BusError("away"), stored=False)
    bus.fail_next_publish(BusError("acknowledgement lost"), stored=True)
    publisher = Publisher(bus)
    async with publishing(publisher):
        for number in range(5):
            await publisher.put(event(number))
    # The records whose acknowledgement was lost are there twice: the same ids, which claim nothing twice.
    ids = [read.id for read in await events(bus)]
    assert list(dict.fromkeys(ids)) == [event(number).id for number in range(5)]


async def test_what_the_bus_acknowledged_is_counted() -> None:
    published, refused = metrics.events_published, metrics.events_quarantined.labels("ingest")
    before = published._value.get(), refused._value.get()
    publisher = Publisher(MemoryBus())
    async with publishing(publisher):
        for number in (1, 1, 2):
            await publisher.put(event(number))
        await publisher.refuse(b"in/\xff", "folder", "too long")
    assert (published._value.get(), refused._value.get()) == (before[0] + 2, before[1] + 1)


async def test_whoever_puts_waits_while_the_buffer_is_full() -> None:
    bus = MemoryBus()
    publisher = Publisher(bus, buffer=2)
    put = asyncio.gather(*(publisher.put(event(number)) for number in range(5)))
    await asyncio.wait([put], timeout=0.05)
    assert not put.done()
    async with publishing(publisher):
        await put
    assert [read.size for read in await events(bus)] == list(range(5))


async def test_the_same_event_is_published_once_as_long_as_it_is_remembered() -> None:
    bus = MemoryBus()
    publisher = Publisher(bus, remembered=2)
    async with publishing(publisher):
        for number in (1, 1, 2, 1, 3, 2):  # 3 pushes 2 out: 1 was used since
            await publisher.put(event(number))
    assert [read.size for read in await events(bus)] == [1, 2, 3, 2]


async def test_what_was_given_up_before_there_was_room_is_published_when_it_is_put_again() -> None:
    bus = MemoryBus()
    publisher = Publisher(bus, buffer=1)
    await publisher.put(event(1))
    given_up = asyncio.create_task(publisher.put(event(2, "u")))
    refused = asyncio.create_task(publisher.refuse(b"in/\xff", "folder", "too long"))
    await asyncio.wait([given_up, refused], timeout=0.05)
    for task in (given_up, refused):  # as a listing is whose ingest lost its role
        task.cancel()
    await asyncio.gather(given_up, refused, return_exceptions=True)
    assert publisher.is_new([execution_id("default", "u", event(2).id)])
    async with publishing(publisher):
        await publisher.put(event(2, "u"))
        await publisher.refuse(b"in/\xff", "folder", "too long")
    assert [read.size for read in await events(bus)] == [1, 2]
    assert len(await records(bus, QUARANTINE)) == 1


async def test_however_much_is_told_what_a_listing_brought_is_not_published_by_the_next() -> None:
    bus = MemoryBus()
    publisher = Publisher(bus, remembered=2)
    async with publishing(publisher):
        await publisher.put(event(1, "u"))
        for number in range(2, 9):
            await publisher.put(event(number))
        assert not publisher.is_new([execution_id("default", "u", event(1).id)])
        await publisher.put(event(1, "u"))
    assert [read.size for read in await events(bus)] == list(range(1, 9))


async def test_a_bus_that_never_answers_is_a_stall_and_one_that_is_not_asked_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "STALLED_S", 0.05)
    bus = MemoryBus()
    publisher = Publisher(bus)
    begun = time.monotonic()

    async def never_answer(topic: str, told: Sequence[Record]) -> list[tuple[Partition, int]]:
        return await asyncio.Event().wait() and []

    bus.publish = never_answer  # type: ignore[method-assign, assignment]
    async with running(publisher.run()):
        await wait_until(lambda: time.monotonic() - begun > 2 * progress.STALLED_S, "it was idle for long")
        assert publisher.progress.not_live == ""
        await publisher.put(event(1))
        await wait_until(lambda: publisher.progress.not_live, "the stall is told")
        assert publisher.progress.not_live.startswith("publishing events made no progress")


async def test_an_event_for_named_services_is_new_until_each_of_them_was_named() -> None:
    bus = MemoryBus()
    publisher = Publisher(bus)
    async with publishing(publisher):
        await publisher.put(event(1))  # to whom it concerned then: says nothing about a service applied since
        for uids in (("u",), ("u",), ("u", "v"), ("v",)):
            await publisher.put(event(1, *uids))
    assert [read.service_uids for read in await events(bus)] == [(), ("u",), ("u", "v")]


async def test_what_is_refused_lies_in_quarantine_once_with_its_reason() -> None:
    bus = MemoryBus()
    publisher = Publisher(bus, now=lambda: NOW)
    async with publishing(publisher):
        for _ in range(3):
            await publisher.refuse(b"in/\xff", "folder", "too long")
    (record,) = await records(bus, QUARANTINE)
    refused = msgspec.json.decode(record.value, type=Refused)
    assert (refused.body, refused.length, refused.source) == (b"in/\xff", 4, "folder")
    assert (refused.reason, refused.time) == ("too long", "2026-11-21T00:00:00.000Z")


def test_of_something_large_the_quarantine_keeps_the_beginning_and_what_identifies_it() -> None:
    body = b"x" * (KEPT_BYTES + 1)
    refused = msgspec.json.decode(quarantine_record(body, "webhook", "no JSON", NOW).value, type=Refused)
    assert (len(refused.body), refused.length, len(refused.sha256)) == (KEPT_BYTES, KEPT_BYTES + 1, 64)
