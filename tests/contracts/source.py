"""What every source promises, as tests. A source subclasses SourceContract beside this file and gives the fixtures.

In:  a source, and a way to put objects where it looks. Out: pass or fail.
Not here: what only one source does (tests/unit/oscar_ingest/).
"""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from oscar_events.event import Action, StorageEvent
from oscar_ingest.sources.port import Source
from tests.waiting import wait_until


class Collector:
    """A sink that keeps what it is given, each event once as the publisher does; `room` cleared makes it wait."""

    def __init__(self) -> None:
        self.events: dict[str, StorageEvent] = {}
        self.refused: list[tuple[bytes, str]] = []
        self.gaps = 0
        self.room = asyncio.Event()
        self.room.set()

    async def put(self, event: StorageEvent) -> None:
        await self.room.wait()
        self.events.setdefault(event.id, event)

    async def refuse(self, body: bytes, source: str, reason: str) -> None:
        await self.room.wait()
        self.refused.append((body, reason))

    def note_gap(self) -> None:
        self.gaps += 1

    def keys(self) -> Counter[bytes]:
        """How many versions of each object came."""
        return Counter(event.key for event in self.events.values())


@asynccontextmanager
async def running(source: Source, collector: Collector) -> AsyncIterator[None]:
    """Run the source until the block ends; it must then end too."""
    task = asyncio.create_task(source.run(collector, collector.note_gap))
    try:
        await wait_until(lambda: source.ready.is_set() or task.done(), "the source to be ready")
        yield
    finally:
        task.cancel()
        outcome = (await asyncio.gather(task, return_exceptions=True))[0]
    assert isinstance(outcome, asyncio.CancelledError), outcome


class SourceContract:
    # Keys that the storage takes and a name may break on.
    odd_keys: Sequence[bytes] = (
        *(b"red flower+%41.jpg", "\u00e9".encode(), b"e\xcc\x81", b"a\nb", b" x ", b"\xff\xfe", b"-rf", b"a.b.c"),
        b"/".join([b"n" * 255] * 4)[:1024].rstrip(b"/"),
    )

    @pytest.fixture
    @abstractmethod
    def source(self) -> Source:
        """A source that looks at the bucket `in`, which exists."""

    @abstractmethod
    def put_object(self, key: bytes, body: bytes) -> None:
        """Put an object in the bucket `in`."""

    @pytest.fixture
    def collector(self) -> Collector:
        return Collector()

    async def test_an_object_put_is_one_event_that_says_what_it_is(self, source: Source, collector: Collector) -> None:
        before = time.time()
        async with running(source, collector):
            self.put_object(b"p/a.jpg", b"12345")
            await wait_until(lambda: collector.events, "the event")
        (event,) = collector.events.values()
        assert (event.bucket, event.key, event.size, event.action) == ("in", b"p/a.jpg", 5, Action.CREATED)
        # File times come from a clock that ticks every few milliseconds.
        assert before - 0.1 <= event.time.timestamp() <= event.recorded.timestamp() + 0.1
        assert event.service_uids == ()
        assert event.raw.body.startswith(b'{"EventName"')

    async def test_what_was_there_before_is_left_to_the_listing(self, source: Source, collector: Collector) -> None:
        self.put_object(b"before", b"x")
        async with running(source, collector):
            self.put_object(b"after", b"x")
            await wait_until(lambda: collector.events, "the event")
        assert collector.keys() == {b"after": 1}

    async def test_an_object_put_again_is_another_event(self, source: Source, collector: Collector) -> None:
        async with running(source, collector):
            self.put_object(b"a", b"1")
            await wait_until(lambda: len(collector.events) == 1, "the first version")
            self.put_object(b"a", b"22")
            await wait_until(lambda: len(collector.events) == 2, "the second version")
        assert [event.size for event in collector.events.values()] == [1, 2]

    async def test_any_key_comes_through_as_it_is(self, source: Source, collector: Collector) -> None:
        async with running(source, collector):
            for key in self.odd_keys:
                self.put_object(key, b"x")
            await wait_until(lambda: len(collector.events) == len(self.odd_keys), "all keys")
        assert collector.keys() == dict.fromkeys(self.odd_keys, 1)

    async def test_a_key_too_long_is_refused_with_its_bytes(self, source: Source, collector: Collector) -> None:
        key = b"/".join([b"n" * 255] * 5)
        async with running(source, collector):
            self.put_object(key, b"x")
            self.put_object(b"fine", b"x")
            await wait_until(lambda: collector.refused and collector.events, "the refusal")
        assert {body for body, _ in collector.refused} == {b"in/" + key}
        assert "1024" in collector.refused[0][1]
        assert collector.keys() == {b"fine": 1}

    async def test_nothing_is_lost_while_there_is_no_room(self, source: Source, collector: Collector) -> None:
        async with running(source, collector):
            collector.room.clear()
            for number in range(300):
                self.put_object(b"%d" % number, b"x")
            assert not collector.events
            collector.room.set()
            await wait_until(lambda: len(collector.events) == 300, "all events")
        assert collector.keys() == {b"%d" % number: 1 for number in range(300)}
