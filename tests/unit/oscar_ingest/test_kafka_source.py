"""The source that reads a topic of somebody else, on buses in memory; on real brokers: tests/integration."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from oscar_events import codec, metrics, patience, progress
from oscar_events.bus.memory import MemoryBus
from oscar_events.bus.port import EVENTS, QUARANTINE, Partition
from oscar_events.errors import BusError, ConfigurationError, UnavailableError
from oscar_events.event import Action, StorageEvent
from oscar_events.notifications.port import Route
from oscar_events.quarantine import Refused, refused_in
from oscar_events.record import Record
from oscar_events.settings import LEAST_MESSAGE_BYTES
from oscar_ingest.publisher import Publisher
from oscar_ingest.sources import kafka
from oscar_ingest.sources.kafka import MAX_HEADER_BYTES, MAX_VALUE_BYTES, KafkaSource
from tests.unit.oscar_events.notifications.arriving import KEY, only_event, sample
from tests.unit.oscar_ingest.doubles import events, records
from tests.waiting import running, wait_until

TOPIC = "minio-events"
GROUP = "oscar-ingest-uploads"
ROUTE = Route(source="uploads", provider="minio.default")
TO_SERVICE = replace(ROUTE, service="plants")
SENT = datetime(2026, 11, 21, 12, tzinfo=UTC)
PUT = sample("minio-kafka-ObjectCreated-Put")


class Scene:
    """Their log, ours, and the source between them. listings: how often one was asked for."""

    def __init__(self, route: Route = ROUTE, partitions: int = 1) -> None:
        self.theirs, self.ours = MemoryBus(partitions, topics=[TOPIC]), MemoryBus()
        self.listings = 0
        self.away: Exception | None = None
        self.source = KafkaSource(route, TOPIC, GROUP, self._open, self.ours)

    def _open(self) -> MemoryBus:
        if self.away is not None:
            raise self.away
        return self.theirs

    def _list(self) -> None:
        self.listings += 1

    async def send(self, value: bytes, headers: Sequence[tuple[str, bytes]] = (), key: bytes | None = None) -> None:
        await self.theirs.publish(TOPIC, [Record(key, value, int(SENT.timestamp() * 1000), tuple(headers))])

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        async with running(self.source.run(Publisher(self.ours), self._list)):
            yield

    async def committed(self) -> int:
        offsets = [await self.theirs.committed(GROUP, one) or 0 for one in await self.theirs.partitions(TOPIC)]
        return sum(offsets)

    async def read_to_the_end(self) -> list[StorageEvent]:
        """Read all of their topic and return every event on ours."""
        ends = [(await self.theirs.offsets(one))[1] for one in await self.theirs.partitions(TOPIC)]

        async def done() -> bool:
            return await self.committed() == sum(ends)

        async with self.reading():
            await wait_until(done, "the topic to be read to its end")
        return await events(self.ours)

    async def quarantined(self) -> list[Refused]:
        return [refused_in(record.value) for record in await records(self.ours, QUARANTINE)]


async def test_what_minio_sends_to_kafka_is_the_same_event_as_what_it_sends_over_http() -> None:
    scene = Scene()
    await scene.send(PUT, key=b"in/" + KEY)
    [event] = await scene.read_to_the_end()
    over_http = only_event(PUT, ROUTE, content_type="application/json")
    assert (event.id, event.key, event.provider) == (over_http.id, KEY, "minio.default")
    assert event.raw.body == PUT


async def test_nothing_is_committed_before_our_bus_has_acknowledged() -> None:
    scene = Scene()
    await scene.send(PUT)
    for _ in range(3):
        scene.ours.fail_next_publish(BusError("asked for by the test"), stored=False)
    committed_at_publish: list[int] = []
    publish = scene.ours.publish

    async def watched(topic: str, told: Sequence[Record]) -> list[tuple[Partition, int]]:
        committed_at_publish.append(await scene.committed())
        return await publish(topic, told)

    scene.ours.publish = watched  # type: ignore[method-assign, assignment]
    assert len(await scene.read_to_the_end()) == 1
    assert committed_at_publish == [0, 0, 0, 0]


async def test_a_record_that_is_told_twice_as_the_commit_was_lost_is_one_event() -> None:
    scene = Scene()
    await scene.send(PUT)
    [first] = await scene.read_to_the_end()
    [partition] = await scene.theirs.partitions(TOPIC)
    async with scene.theirs.consumer([TOPIC], GROUP) as consumer:
        await wait_until(lambda: _assigned(consumer), "the partition")
        await consumer.commit({partition: 0})
    assert {event.id for event in await scene.read_to_the_end()} == {first.id}


async def _assigned(consumer: object) -> bool:
    await consumer.poll(max_records=1, max_wait=0)  # type: ignore[attr-defined]
    return bool(consumer.assignment())  # type: ignore[attr-defined]


async def test_poison_goes_to_quarantine_and_what_follows_it_goes_on() -> None:
    scene = Scene()
    await scene.send(b'{"Records": [{"eventSource": "minio:s3"}]}', [("content-type", b"application/json")])
    await scene.send(b"\xff\xfe")
    await scene.send(PUT)
    [event] = await scene.read_to_the_end()
    assert event.key == KEY
    broken, message = sorted(await scene.quarantined(), key=lambda kept: -kept.length)
    assert (broken.source, broken.headers) == ("uploads", {"content-type": "application/json"})
    assert "names no service" in message.reason


async def test_a_record_that_breaks_its_normaliser_is_kept_too(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()

    def broken(*_: object) -> None:
        raise RuntimeError("asked for by the test")

    monkeypatch.setattr("oscar_ingest.sources.normalised.normalise", broken)
    await scene.send(PUT)
    assert await scene.read_to_the_end() == []
    [kept] = await scene.quarantined()
    assert kept.body == PUT


async def test_a_record_larger_than_a_notification_may_be_goes_to_quarantine() -> None:
    scene = Scene(TO_SERVICE)
    await scene.send(b"x" * (MAX_VALUE_BYTES + 1))
    await scene.send(b"x" * MAX_VALUE_BYTES)
    assert len(await scene.read_to_the_end()) == 1
    [kept] = await scene.quarantined()
    assert "put content in a bucket" in kept.reason


@pytest.mark.parametrize("size", [MAX_HEADER_BYTES, 8 * 1024 * 1024])
async def test_headers_larger_than_an_envelope_has_room_for_are_refused_and_not_kept(size: int) -> None:
    scene = Scene(TO_SERVICE)
    await scene.send(b"7", [("ce_subject", b"x" * size)])
    assert await scene.read_to_the_end() == []
    [kept] = await scene.quarantined()
    assert (kept.body, kept.headers) == (b"7", {})
    assert f"{MAX_HEADER_BYTES} at most" in kept.reason


async def test_the_largest_record_that_is_taken_fits_the_least_that_topics_take() -> None:
    scene = Scene(TO_SERVICE)
    await scene.send(b"\x01" * MAX_VALUE_BYTES)  # six characters of JSON each
    await scene.read_to_the_end()
    [record] = await records(scene.ours, EVENTS)
    assert len(record.value) + MAX_HEADER_BYTES < LEAST_MESSAGE_BYTES


async def test_a_message_starts_its_service_and_is_named_by_where_it_lies() -> None:
    scene = Scene(TO_SERVICE)
    await scene.send(b"measured: 7")
    [event] = await scene.read_to_the_end()
    topic_id = await scene.theirs.topic_id(TOPIC)
    assert (event.action, event.service, event.raw.body) == (Action.RECEIVED, "plants", b"measured: 7")
    assert event.key == f"{topic_id}/0/0".encode()
    assert event.time == SENT


async def test_equal_messages_are_two_events_and_one_that_is_read_again_is_the_same() -> None:
    scene = Scene(TO_SERVICE)
    await scene.send(b"7")
    await scene.send(b"7")
    first = await scene.read_to_the_end()
    assert len({event.id for event in first}) == 2
    again = KafkaSource(TO_SERVICE, TOPIC, "another-group", lambda: scene.theirs, scene.ours)

    async def read_again() -> bool:
        return len(await events(scene.ours)) == 4

    async with running(again.run(Publisher(scene.ours), lambda: None)):
        await wait_until(read_again, "the second reading")
    assert {event.id for event in await events(scene.ours)} == {event.id for event in first}


async def test_messages_of_a_topic_that_was_made_again_are_not_taken_for_those_of_the_old_one() -> None:
    ids = set()
    for _ in range(2):
        scene = Scene(TO_SERVICE)
        await scene.send(b"7")
        ids |= {event.id for event in await scene.read_to_the_end()}
    assert len(ids) == 2


async def test_the_same_flowfile_of_nifi_is_one_event_wherever_it_lies() -> None:
    scene = Scene(TO_SERVICE, partitions=3)
    for key in (b"a", b"b", b"c"):
        await scene.send(b"7", [("UUID", b"0c5ed8a1"), ("mime.type", b"text/plain"), ("filename", "é".encode())], key)
    found = await scene.read_to_the_end()
    assert len({event.id for event in found}) == 1
    assert {event.content_type for event in found} == {"text/plain"}


async def test_cloudevents_in_headers_are_understood() -> None:
    scene = Scene(TO_SERVICE)
    attributes = {"ce_specversion": b"1.0", "ce_id": b"7", "ce_source": b"/lab", "ce_type": b"measured"}
    await scene.send(b'{"n": 1}', [*attributes.items(), ("content-type", b"application/json"), ("trace", b"\xff\x00")])
    [event] = await scene.read_to_the_end()
    assert (event.key, event.raw.body) == (b"/lab 7", b'{"n": 1}')


async def test_a_cloudevents_header_that_is_no_text_is_refused() -> None:
    scene = Scene(TO_SERVICE)
    await scene.send(b"{}", [("ce_specversion", b"1.0"), ("ce_id", b"\xff")])
    assert await scene.read_to_the_end() == []
    assert len(await scene.quarantined()) == 1


async def test_an_empty_record_starts_nothing() -> None:
    scene = Scene(TO_SERVICE)
    await scene.send(b"", key=b"in/gone.txt")
    assert await scene.read_to_the_end() == []
    assert await scene.quarantined() == []


async def test_authorization_is_never_kept() -> None:
    scene = Scene()
    await scene.send(b"?", [("Authorization", b"Bearer sesame"), ("uuid", b"1")])
    await scene.read_to_the_end()
    [kept] = await scene.quarantined()
    assert kept.headers == {"uuid": "1"}


async def test_a_position_the_topic_does_not_reach_is_an_alarm_and_reading_goes_on_at_its_start() -> None:
    scene = Scene()
    [partition] = await scene.theirs.partitions(TOPIC)
    async with scene.theirs.consumer([TOPIC], GROUP) as consumer:
        await wait_until(lambda: _assigned(consumer), "the partition")
        await consumer.commit({partition: 1000})  # as if the topic had been made again since
    await scene.send(PUT)
    alarms = metrics.alarms.labels("gap")._value.get()
    async with scene.reading():

        async def told() -> bool:
            return len(await events(scene.ours)) == 1 and await scene.committed() == 1

        await wait_until(told, "the record behind the gap")
    assert scene.listings == 1
    assert metrics.alarms.labels("gap")._value.get() == alarms + 1


@pytest.mark.parametrize("error", [UnavailableError("away"), ConfigurationError("the broker refuses the password")])
async def test_a_broker_that_cannot_be_read_is_told_and_waited_for(error: Exception) -> None:
    scene = Scene()
    await scene.send(PUT)
    scene.away = error
    async with scene.reading():
        await wait_until(lambda: scene.source.trouble, "the trouble to be told")
        assert scene.source.trouble == f"{TOPIC}: {error}"
        assert scene.source.not_live == ""
        scene.away = None

        async def told() -> bool:
            return len(await events(scene.ours)) == 1

        await wait_until(told, "the event after the outage")
        await wait_until(lambda: not scene.source.trouble, "the trouble to be over")


async def test_a_source_whose_batch_never_gets_done_is_not_live_and_one_that_waits_for_the_bus_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "STALLED_S", 1.0)
    monkeypatch.setattr(patience, "LONGEST_WAIT_S", 0.01)
    away, silent = Scene(), Scene()
    asked = 0

    async def refuse(topic: str, told: Sequence[Record]) -> list[tuple[Partition, int]]:
        nonlocal asked
        asked += 1
        raise BusError("asked for by the test")

    async def never_answer(topic: str, told: Sequence[Record]) -> list[tuple[Partition, int]]:
        return await asyncio.Event().wait() and []

    away.ours.publish = refuse  # type: ignore[method-assign, assignment]
    silent.ours.publish = never_answer  # type: ignore[method-assign, assignment]
    for scene in (away, silent):
        await scene.send(PUT)
    async with away.reading(), silent.reading():
        await wait_until(lambda: silent.source.not_live, "a stall")
        assert silent.source.not_live.startswith(f"reading the topic {TOPIC} made no progress")
        before = asked
        await wait_until(lambda: asked > before, "the other bus is asked again")
        assert away.source.not_live == ""
    assert await silent.committed() == await away.committed() == 0


@pytest.mark.parametrize("written", [-1, -(10**15), 2**63 - 1, 1_790_000_000_000_000])
async def test_a_record_whose_time_is_none_came_when_it_was_read_and_stops_nobody(written: int) -> None:
    """Brokers keep what a client writes there: nothing, microseconds, anything."""
    scene = Scene(TO_SERVICE)
    await scene.theirs.publish(TOPIC, [Record(None, b"7", written, ())])
    await scene.send(b"8")
    told = {event.raw.body: event for event in await scene.read_to_the_end()}
    assert told[b"7"].time == told[b"7"].recorded
    assert told[b"8"].time == SENT


async def test_records_are_published_in_batches() -> None:
    scene = Scene(TO_SERVICE)
    for number in range(3 * kafka.BATCH_RECORDS):
        await scene.send(b"%d" % number)
    found = await scene.read_to_the_end()
    assert sorted(int(event.raw.body) for event in found) == list(range(3 * kafka.BATCH_RECORDS))
    assert codec.decode((await records(scene.ours, EVENTS))[0].value).service == "plants"
