"""A bus that commands may need is opened when they do, once, and its failure is theirs only then."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

import pytest

from oscar_events.bus.late import LateBus
from oscar_events.bus.memory import MemoryBus
from oscar_events.bus.port import EVENTS, Bus
from oscar_events.errors import BusError, ConflictError
from oscar_events.record import Record


class Watched(MemoryBus):
    """A bus that counts how often it is opened and closed. away: openings that fail."""

    def __init__(self, away: int = 0) -> None:
        super().__init__()
        self.away, self.opened, self.closed = away, 0, 0

    async def __aenter__(self) -> Self:
        if self.away:
            self.away -= 1
            raise BusError("the broker is away")
        self.opened += 1
        return await super().__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.closed += 1
        await super().__aexit__(kind, error, traceback)


async def test_nobody_asks_and_it_stays_closed() -> None:
    def never() -> Bus:
        raise AssertionError("it was opened")

    async with LateBus(never):
        pass


async def test_many_ask_at_once_and_it_is_opened_once_and_closed_in_the_end() -> None:
    watched = Watched()
    async with LateBus(lambda: watched) as bus:
        await asyncio.gather(*(bus.topic_id(EVENTS) for _ in range(5)))
        assert (watched.opened, watched.closed) == (1, 0)
    assert (watched.opened, watched.closed) == (1, 1)


async def test_what_opening_it_raises_is_raised_by_the_question_and_the_next_one_tries_again() -> None:
    watched = Watched(away=1)
    async with LateBus(lambda: watched) as bus:
        with pytest.raises(BusError, match="away"):
            await bus.topic_id(EVENTS)
        assert await bus.topic_id(EVENTS)


async def test_everything_a_bus_is_asked_is_answered_by_the_real_one() -> None:
    watched = Watched()
    async with LateBus(lambda: watched) as bus:
        [(partition, offset)] = await bus.publish(EVENTS, [Record(b"k", b"v", 5)])
        assert await bus.partitions(EVENTS) == await watched.partitions(EVENTS)
        assert await bus.offsets(partition) == (0, 1)
        assert await bus.committed("group", partition) is None
        assert await bus.retention(EVENTS) == await watched.retention(EVENTS)
        assert await bus.offset_at(partition, 0) == offset
        assert len(await bus.read({partition: 0}, 10)) == 1
        assert len(await bus.find(EVENTS, b"k", 0, 10)) == 1
        async with bus.consumer([EVENTS], "group") as member:
            assert len((await member.poll(max_records=10, max_wait=1)).deliveries) == 1


async def test_a_group_cannot_be_joined_before_it_is_open() -> None:
    async with LateBus(Watched) as bus:
        with pytest.raises(ConflictError, match="not open yet"):
            bus.consumer([EVENTS], "group")
