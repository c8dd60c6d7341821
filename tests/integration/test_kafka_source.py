"""The source that reads somebody's topic, on a real broker: theirs and ours are one here, apart by their names."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition

from oscar_events import codec, metrics
from oscar_events.bus import kafka_watch
from oscar_events.bus.kafka import KafkaBus
from oscar_events.bus.kafka_topics import create_topics
from oscar_events.bus.port import EVENTS, QUARANTINE
from oscar_events.config import load_config
from oscar_events.datadir import DataDirectory
from oscar_events.event import StorageEvent
from oscar_events.quarantine import Refused, refused_in
from oscar_events.settings import KafkaSettings
from oscar_ingest.publisher import Publisher
from oscar_ingest.sources.kafka import KafkaSource, kafka_sources
from tests.testbed.topics import administrator
from tests.unit.oscar_events.notifications.arriving import sample
from tests.waiting import running, wait_until

PUT = sample("minio-kafka-ObjectCreated-Put")
CLOUDEVENT = (("ce_specversion", b"1.0"), ("ce_id", b"7"), ("ce_source", b"/lab"), ("ce_type", b"measured"))


@dataclass
class Scene:
    """Their topic and the platform's bus. gaps: how often a listing was asked for."""

    settings: KafkaSettings
    topic: str
    bus: KafkaBus
    directory: DataDirectory
    gaps: int = 0

    def source(self) -> KafkaSource:
        """The source as config.yaml has it."""
        [source] = kafka_sources(load_config(self.directory, {}), self.bus)
        return source

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[KafkaSource]:
        source = self.source()
        async with running(source.run(Publisher(self.bus), self._list)):
            yield source

    def _list(self) -> None:
        self.gaps += 1

    async def send(
        self, *values: bytes | None, headers: Sequence[tuple[str, bytes]] = (), partition: int | None = None
    ) -> None:
        async with producer(self.settings) as sender:
            for value in values:
                # A null value is what deletes a key from a compacted topic; aiokafka sends it with a key only.
                key = b"key" if value is None else None
                await sender.send_and_wait(self.topic, value, key=key, headers=headers, partition=partition)

    async def events(self) -> list[StorageEvent]:
        return [codec.decode(value) for value in await self._values(EVENTS)]

    async def quarantined(self) -> list[Refused]:
        return [refused_in(value) for value in await self._values(QUARANTINE)]

    async def _values(self, topic: str) -> list[bytes]:
        starts = {one: (await self.bus.offsets(one))[0] for one in await self.bus.partitions(topic)}
        return [delivery.record.value for delivery in await self.bus.read(starts, 10_000)]

    async def told(self, count: int) -> list[StorageEvent]:
        async def there() -> bool:
            return len(await self.events()) >= count

        await wait_until(there, f"{count} events")
        return await self.events()


@asynccontextmanager
async def producer(settings: KafkaSettings, **more: Any) -> AsyncIterator[AIOKafkaProducer]:
    sender = AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers, **more)
    await sender.start()
    try:
        yield sender
    finally:
        await sender.stop()


@pytest.fixture
async def scene(kafka_settings: KafkaSettings, tmp_path: Path) -> AsyncIterator[Scene]:
    topic = f"{kafka_settings.topic_prefix}uploads"
    own = {"bootstrap_servers": kafka_settings.bootstrap_servers, "session_timeout": "6s"}
    source = {"type": "kafka", "topic": topic, "provider": "minio", "service": "plants", "kafka": own, "group": topic}
    directory = DataDirectory(tmp_path)
    directory.config.write_text(json.dumps({"sources": {"uploads": source}}))
    await create_topics(kafka_settings)
    async with administrator(kafka_settings) as client:
        await client.create_topics([NewTopic(topic, 2, 1)])
    async with KafkaBus(kafka_settings) as bus:
        yield Scene(kafka_settings, topic, bus, directory)


async def test_what_others_write_becomes_events_and_the_rest_quarantine(scene: Scene) -> None:
    await scene.send(PUT, None, b'{"Records": [{"eventSource": "minio:s3"}]}', partition=0)
    await scene.send(b'{"n": 1}', headers=[*CLOUDEVENT, ("content-type", b"application/json")], partition=0)
    await scene.send(b"measured: 7", partition=1)
    async with scene.reading():
        found = await scene.told(3)
    assert {event.raw.body for event in found} == {PUT, b'{"n": 1}', b"measured: 7"}
    assert {event.service for event in found} == {"plants"}
    [kept] = await scene.quarantined()
    assert kept.source == "uploads"


async def test_who_comes_after_goes_on_where_the_one_before_was_cut_off(scene: Scene) -> None:
    for round_ in range(3):
        await scene.send(*(b"%d" % number for number in range(10 * round_, 10 * round_ + 10)))
        async with scene.reading():
            found = await scene.told(10 * round_ + 10)
    assert len({event.id for event in found}) == 30  # what was read twice is the same event
    assert sorted({int(event.raw.body) for event in found}) == list(range(30))


async def test_two_at_a_time_share_the_topic_and_read_all_of_it(scene: Scene) -> None:
    async with scene.reading() as one, scene.reading() as another:
        await wait_until(lambda: one.ready.is_set() and another.ready.is_set(), "both to have joined")
        await scene.send(*(b"%d" % number for number in range(20)))
        await scene.told(20)

        async def all_there() -> bool:
            return {int(event.raw.body) for event in await scene.events()} == set(range(20))

        await wait_until(all_there, "every message")
    assert len({event.id for event in await scene.events()}) == 20


async def test_what_its_sender_took_back_is_never_an_event(scene: Scene) -> None:
    # As NiFi writes: in transactions.
    async with producer(scene.settings, transactional_id=scene.topic) as sender:
        async with sender.transaction():
            await sender.send(scene.topic, b"kept", partition=0)
        await sender.begin_transaction()
        await sender.send(scene.topic, b"taken back", partition=0)
        await sender.abort_transaction()
    await scene.send(b"after", partition=0)
    async with scene.reading():
        found = await scene.told(2)
    assert {event.raw.body for event in found} == {b"kept", b"after"}


async def test_records_that_are_gone_are_an_alarm_and_a_listing_and_no_end(scene: Scene) -> None:
    await scene.send(b"read", partition=0)
    async with scene.reading():
        await scene.told(1)

        async def committed() -> bool:
            async with KafkaBus(scene.settings.model_copy(update={"topic_prefix": ""}), [scene.topic]) as theirs:
                [partition, _] = await theirs.partitions(scene.topic)
                return await theirs.committed(scene.topic, partition) == 1

        await wait_until(committed, "the first record to be committed")
    await scene.send(*(b"gone" for _ in range(5)), b"left", partition=0)
    async with administrator(scene.settings) as client:
        await client.delete_records({TopicPartition(scene.topic, 0): RecordsToDelete(before_offset=6)})
    alarms = metrics.alarms.labels("gap")._value.get()
    async with scene.reading():
        found = await scene.told(2)
    assert {event.raw.body for event in found} == {b"read", b"left"}
    assert metrics.alarms.labels("gap")._value.get() == alarms + 1
    assert scene.gaps == 1


async def test_a_topic_that_is_not_there_yet_is_waited_for(scene: Scene) -> None:
    config = json.loads(scene.directory.config.read_text())
    config["sources"]["uploads"]["topic"] = scene.topic = f"{scene.topic}-later"
    scene.directory.config.write_text(json.dumps(config))
    async with scene.reading() as source:
        await wait_until(lambda: source.trouble, "the missing topic to be told")
        assert scene.topic in source.trouble
        async with administrator(scene.settings) as client:
            await client.create_topics([NewTopic(scene.topic, 1, 1)])
        await scene.send(b"7")
        await scene.told(1)
        await wait_until(lambda: not source.trouble, "the trouble to be over")


async def test_a_topic_made_anew_has_other_records_that_are_events_too(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_watch, "LOOK_SECONDS", 0.1)
    async with scene.reading():
        await scene.send(b"1", b"2", b"3", partition=0)
        await scene.told(3)
        async with administrator(scene.settings) as client:
            await client.delete_topics([scene.topic])
            await wait_until(lambda: _made(client, scene.topic), "the topic to be made anew")
        await scene.send(b"4", b"5", b"6", partition=0)
        found = await scene.told(6)
    ids = {event.raw.body: event.id for event in found}
    assert len(ids) == len(set(ids.values())) == 6


async def _made(client: AIOKafkaAdminClient, topic: str) -> bool:
    [(_, error_code, _)] = (await client.create_topics([NewTopic(topic, 2, 1)])).topic_errors
    return bool(error_code == 0)  # not while the old one is being deleted


async def test_a_record_the_client_cannot_read_is_told_and_is_the_end_of_nobody(scene: Scene) -> None:
    """As librdkafka's users can write it: it takes any bytes for the name of a header."""
    async with producer(scene.settings) as sender:
        batch = sender.create_batch()
        batch.append(timestamp=None, key=None, value=b"7", headers=[("name", b"value")])
        written = bytearray(batch._build())
        start = written.index(b"name")
        written[start : start + 1] = "\xe9".encode("latin-1")
        # CRC-32C of what follows it: https://kafka.apache.org/documentation/#recordbatch
        written[17:21] = calc_crc32c(memoryview(written)[21:]).to_bytes(4, "big")
        batch._buffer = bytes(written)
        await (await sender.send_batch(batch, scene.topic, partition=0))
    async with scene.reading() as source:
        await wait_until(lambda: "cannot be read" in source.trouble, "the record to be told")
