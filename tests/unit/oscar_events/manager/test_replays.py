"""Replays: the events of a range, for one service again, to the end whatever happens meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from oscar_events import codec
from oscar_events.bus.memory import MemoryBus
from oscar_events.bus.port import EVENTS
from oscar_events.cli.client import FrontClient
from oscar_events.datadir import Up
from oscar_events.errors import ConfigurationError, ConflictError, NotFoundError
from oscar_events.event import StorageEvent
from oscar_events.ledger import claims
from oscar_events.ledger.port import Ledger
from oscar_events.ledger.positions import Position
from oscar_events.ledger.services import Catalogue
from oscar_events.manager.control import Control
from oscar_events.manager.replays import BATCH_RECORDS, Replays
from oscar_events.record import Record
from tests.contracts.ledger.making import file_event, sighting
from tests.waiting import running, wait_until

EARLY = datetime(2026, 11, 1, tzinfo=UTC)
LATE = EARLY + timedelta(days=1)


@pytest.fixture
def replays(control: Control) -> Replays:
    return control.replays


async def told(bus: MemoryBus, count: int = 1, minute: int = 0, folder: str = "in") -> list[StorageEvent]:
    """Have so many events on the bus, of one minute."""
    seen = EARLY + timedelta(minutes=minute)
    events = [
        StorageEvent(**{**_fields(file_event(f"{folder}/{minute}-{number}".encode())), "recorded": seen})
        for number in range(count)
    ]
    await bus.publish(EVENTS, [codec.encode(event) for event in events])
    return events


def _fields(event: StorageEvent) -> dict[str, Any]:
    return {name: getattr(event, name) for name in StorageEvent.__slots__}


async def intake_has_read(ledger: Ledger, bus: MemoryBus) -> None:
    """Have intake's positions at the end of the log; the services of these tests were applied after it read."""
    topic = await bus.topic_id(EVENTS)
    read = [Position(topic, one.number, (await bus.offsets(one))[1]) for one in await bus.partitions(EVENTS)]
    await ledger.write(lambda connection: claims.claim(connection, Catalogue(), [], read))


async def to_the_end(asked: Any, replay: dict[str, Any]) -> dict[str, Any]:
    while replay["ended_at"] is None:
        replay = await asked.advance(replay["id"])
    return replay


def counts(found: dict[str, Any], names: Sequence[str] = ("read", "matched", "made", "there")) -> list[int]:
    return [found[name] for name in names]


async def test_a_service_applied_later_is_given_the_events_of_the_range_and_only_those(
    control: Control, replays: Replays, bus: MemoryBus, woken: list[str], blur: dict[str, Any]
) -> None:
    for minute in range(5):
        await told(bus, 2, minute)
        await told(bus, 1, minute, "elsewhere")
    await control.apply([blur])
    begun = await replays.begin("blur", EARLY + timedelta(minutes=1), EARLY + timedelta(minutes=3))
    ended = await to_the_end(replays, begun)
    assert counts(ended) == [9, 6, 6, 0]
    assert {run["key"] for run in await control.runs()} == {f"in/{m}-{n}" for m in (1, 2, 3) for n in (0, 1)}
    assert woken


async def test_a_second_replay_of_the_range_makes_nothing_and_one_as_new_makes_all(
    control: Control, replays: Replays, ledger: Ledger, bus: MemoryBus, blur: dict[str, Any]
) -> None:
    await told(bus, 3)
    await intake_has_read(ledger, bus)
    await control.apply([blur])
    first = await to_the_end(replays, await replays.begin("blur", EARLY, LATE))
    second = await to_the_end(replays, await replays.begin("blur", EARLY, LATE))
    third = await to_the_end(replays, await replays.begin("blur", EARLY, LATE, as_new=True))
    assert [counts(one, ["made", "there"]) for one in (first, second, third)] == [[3, 0], [0, 3], [3, 0]]
    assert [one["id"] for one in await replays.page()] == [one["id"] for one in (third, second, first)]


async def test_as_new_it_leaves_what_intake_has_not_read_to_intake(
    control: Control, replays: Replays, ledger: Ledger, bus: MemoryBus, blur: dict[str, Any]
) -> None:
    await control.apply([blur])
    ran = await told(bus, 5)
    await intake_has_read(ledger, bus)
    lagging = await told(bus, 7, minute=1)
    assert (await replays.preview("blur", EARLY, LATE, as_new=True))["made"] == 5
    assert counts(await to_the_end(replays, await replays.begin("blur", EARLY, LATE, as_new=True))) == [5, 5, 5, 0]
    seen = [sighting(event) for event in lagging]
    await ledger.write(lambda connection: claims.claim(connection, Catalogue(), seen))
    assert Counter(run["event_id"] for run in await control.runs()) == Counter(event.id for event in ran + lagging)


async def test_what_comes_after_it_began_is_no_part_of_it(
    control: Control, replays: Replays, bus: MemoryBus, blur: dict[str, Any]
) -> None:
    await told(bus, 2)
    await control.apply([blur])
    begun = await replays.begin("blur", EARLY, LATE)
    await told(bus, 2, minute=1)
    assert counts(await to_the_end(replays, begun)) == [2, 2, 2, 0]


async def test_a_long_one_goes_on_where_another_process_left_it(
    control: Control, replays: Replays, ledger: Ledger, bus: MemoryBus, blur: dict[str, Any]
) -> None:
    count = 3 * BATCH_RECORDS
    await told(bus, count)
    await control.apply([blur])
    begun = await replays.begin("blur", EARLY, LATE)
    half = await replays.advance(begun["id"])
    assert 0 < half["made"] < count
    after_a_kill = Replays(ledger, bus, {}, lambda: None)
    assert await after_a_kill.unfinished() == [begun["id"]]
    assert counts(await to_the_end(after_a_kill, half)) == [count, count, count, 0]
    assert await after_a_kill.unfinished() == []


async def test_the_platform_brings_every_unfinished_one_to_its_end_by_itself(
    control: Control, replays: Replays, ledger: Ledger, bus: MemoryBus, blur: dict[str, Any]
) -> None:
    await told(bus, 2)
    await intake_has_read(ledger, bus)
    await control.apply([blur])
    left = await replays.begin("blur", EARLY, LATE)

    async def have_ended() -> bool:
        return await replays.unfinished() == []

    async with running(replays.run()):
        await wait_until(have_ended, "what was left by a kill is finished")
        begun = await replays.begin("blur", EARLY, LATE, as_new=True)
        assert counts(await to_the_end(replays, begun)) == [2, 2, 2, 0]
    assert counts(await replays.show(left["id"])) == [2, 2, 2, 0]


async def test_a_preview_says_what_would_be_and_does_nothing(
    control: Control, replays: Replays, ledger: Ledger, bus: MemoryBus, blur: dict[str, Any]
) -> None:
    count = 2 * BATCH_RECORDS + 5
    await told(bus, count)
    await intake_has_read(ledger, bus)
    await control.apply([blur])
    for as_new, expected in ((False, [count, count, 0, count]), (True, [count, count, count, 0])):
        if not as_new:
            await to_the_end(replays, await replays.begin("blur", EARLY, LATE))
        sums = [0, 0, 0, 0]
        at = None
        while at is None or at:
            found = await replays.preview("blur", EARLY, LATE, as_new=as_new, at=at)
            sums = [sum(pair) for pair in zip(sums, counts(found), strict=True)]
            at = found["at"]
        assert sums == expected
    assert len(await control.runs()) == count
    assert len(await replays.page()) == 1


async def test_a_range_the_log_reaches_in_part_says_from_when_it_does(
    control: Control, replays: Replays, bus: MemoryBus, blur: dict[str, Any]
) -> None:
    await control.apply([blur])
    await told(bus, 20)
    await told(bus, 20, minute=10)
    await bus.expire(int((EARLY + timedelta(days=7, minutes=5)).timestamp() * 1000))
    begun = await replays.begin("blur", EARLY, LATE)
    assert begun["reason"] == "the log no longer reaches there: it begins at 2026-11-01T00:10:00.000Z"
    assert counts(await to_the_end(replays, begun)) == [20, 20, 20, 0]
    whole = await replays.begin("blur", EARLY + timedelta(minutes=10), LATE)
    assert whole["reason"] == ""
    with pytest.raises(ConflictError, match="the log no longer reaches there: it begins at"):
        await replays.begin("blur", EARLY, EARLY + timedelta(minutes=1))


async def test_a_log_that_has_lost_everything_says_so(
    control: Control, replays: Replays, bus: MemoryBus, blur: dict[str, Any]
) -> None:
    await control.apply([blur])
    await told(bus)
    await bus.expire(int((EARLY + timedelta(days=30)).timestamp() * 1000))
    with pytest.raises(ConflictError, match="all it held is gone"):
        await replays.begin("blur", EARLY, LATE)


async def test_what_retention_takes_meanwhile_is_passed_over_and_told(
    control: Control, replays: Replays, bus: MemoryBus, blur: dict[str, Any]
) -> None:
    await control.apply([blur])
    await told(bus, 5)
    begun = await replays.begin("blur", EARLY, LATE)
    await bus.expire(int((EARLY + timedelta(days=30)).timestamp() * 1000))
    ended = await to_the_end(replays, begun)
    assert counts(ended) == [0, 0, 0, 0]
    assert "the log lost" in ended["reason"]


async def test_a_log_that_was_replaced_ends_it_with_the_reason(
    control: Control, replays: Replays, ledger: Ledger, bus: MemoryBus, blur: dict[str, Any]
) -> None:
    await control.apply([blur])
    await told(bus, 5)
    begun = await replays.begin("blur", EARLY, LATE)
    ended = await Replays(ledger, MemoryBus(partitions=2), {}, lambda: None).advance(begun["id"])
    assert ended["ended_at"] is not None
    assert "is another one than it was" in ended["reason"]


async def test_bytes_that_are_no_event_are_passed_over(
    control: Control, replays: Replays, bus: MemoryBus, blur: dict[str, Any]
) -> None:
    await control.apply([blur])
    await bus.publish(EVENTS, [Record(b"k", b"{", int(EARLY.timestamp() * 1000))])
    await told(bus, 1)
    assert counts(await to_the_end(replays, await replays.begin("blur", EARLY, LATE))) == [1, 1, 1, 0]


async def test_what_cannot_be_is_refused(control: Control, replays: Replays, blur: dict[str, Any]) -> None:
    with pytest.raises(NotFoundError, match="no service 'blur'"):
        await replays.begin("blur", EARLY, LATE)
    await control.apply([blur])
    with pytest.raises(ConfigurationError, match="ends before it begins"):
        await replays.begin("blur", LATE, EARLY)
    with pytest.raises(NotFoundError, match="no replay 'x'"):
        await replays.advance("x")


async def test_the_front_answers_about_replays_as_the_control_does(
    control: Control, replays: Replays, ledger: Ledger, bus: MemoryBus, up: Up, blur: dict[str, Any]
) -> None:
    await control.apply([blur])
    await told(bus, 3)
    await intake_has_read(ledger, bus)
    asked = FrontClient(up).replays
    found = await asked.preview("blur", EARLY, LATE, as_new=True)
    assert found == await replays.preview("blur", EARLY, LATE, as_new=True)
    assert await asked.preview("blur", EARLY, LATE, at=[[0, 0, 0]]) == {**found, "read": 0, "matched": 0, "made": 0}
    begun = await asked.begin("blur", EARLY, LATE)
    assert await asked.unfinished() == [begun["id"]]
    ended = await to_the_end(asked, begun)
    assert ended == await asked.show(begun["id"]) == await replays.show(begun["id"])
    assert await asked.page(limit=1) == [ended]
    with pytest.raises(NotFoundError, match="no replay 'x'"):
        await asked.show("x")
