"""The source of events on somebody's Kafka topic: read, published on the bus, and only then committed there.

In:  records of a topic: MinIO's Kafka target, NiFi's PublishKafka, CloudEvents in both modes, others as messages.
Out: events on the bus, unusable records in quarantine; the group's offsets on the topic.
Not here: what the bytes mean (oscar_events/notifications), the client (oscar_events/bus/kafka.py).

The sink it is given stays unused: what is put there is durable some time later, and an offset committed before that
would be a lost event (house rule 2). So it publishes by itself and waits, as webhook.py does. A record that cannot be
read goes to quarantine and the offset moves on: it would be as unreadable the next time, before all others.

Whatever is away, here or there, is waited out: other sources go on, and the records lie safely where they are.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from oscar_events import metrics
from oscar_events.bus.port import EVENTS, QUARANTINE, Bus, Consumer, Delivery, OffsetGoneError, Partition
from oscar_events.codec import encode
from oscar_events.config import PlatformConfig, SourceConfig
from oscar_events.errors import ConfigurationError, FencedError, OscarEventsError
from oscar_events.event import Action, StorageEvent
from oscar_events.log import logger
from oscar_events.notifications.port import Normalised, Notification, Refusal, Route
from oscar_events.patience import FIRST_WAIT_S, LONGEST_WAIT_S
from oscar_events.progress import Progress
from oscar_events.quarantine import quarantine_record
from oscar_events.record import Record
from oscar_ingest.sources.kept_headers import kept_headers
from oscar_ingest.sources.normalised import count, normalised
from oscar_ingest.sources.port import Sink, Source

_log = logger(__name__)

# One publish and one commit for so many; with 1 MiB each, Kafka's default limit, they are 64 MiB.
BATCH_RECORDS = 64
MAX_WAIT_S = 1.0
# As over HTTP: an envelope with its base64 then fits one record of the bus (design §3.1).
MAX_VALUE_BYTES = 128 * 1024
# Attributes of events come in them, and go into the envelope: as much as web servers take, a tenth of the value.
MAX_HEADER_BYTES = 16 * 1024
# No database holds a later time than 2**63 nanoseconds after 1970, in the year 2262.
_TIMES_END_MS = 2**63 // 1_000_000
# One line in this time says that a topic cannot be read.
_SAY_AGAIN_S = 60.0


def kafka_sources(config: PlatformConfig, bus: Bus) -> list[KafkaSource]:
    """Return the sources of type kafka that config.yaml has. Raises ConfigurationError without the client's library."""
    return [_source(source, bus) for source in config.sources.values() if source.topic is not None]


def _source(source: SourceConfig, bus: Bus) -> KafkaSource:
    topic = source.topic
    assert topic is not None  # chosen for it
    try:
        from oscar_events.bus.kafka import KafkaBus
    except ImportError as error:  # aiokafka is an extra
        raise ConfigurationError(
            f'the source {source.route.source} reads Kafka; install `pip install "oscar-events[kafka]"`'
        ) from error
    return KafkaSource(source.route, topic.name, topic.group, lambda: KafkaBus(topic.broker, topics=[topic.name]), bus)


class KafkaSource(Source):
    """Brings a topic's records onto the bus, for as long as it runs. trouble: why it does not; empty while it does.

    open_log: makes a bus that knows the topic under its own name.
    """

    def __init__(
        self,
        route: Route,
        topic: str,
        group: str,
        open_log: Callable[[], Bus],
        bus: Bus,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__()
        self.trouble = ""
        self._route, self._topic, self._group = route, topic, group
        self._open_log, self._bus, self._now = open_log, bus, now
        # Of batches, and of looks that found none. Until it is open none is expected: that somebody's broker is away is
        # no reason to restart this process.
        self._progress = Progress(f"reading the topic {topic}")
        self._progress.rest()
        self._said_at = -_SAY_AGAIN_S
        self._topic_id = ""

    @property
    def not_live(self) -> str:
        return self._progress.not_live

    async def run(self, sink: Sink, on_gap: Callable[[], None]) -> None:
        """Read until cancelled. What a person has to mend, like a password, is said once a minute and tried again.

        on_gap: called when records were gone before they were read. What the topic holds is all read, from its start:
        it does not wait for `ready`.
        """
        wait = FIRST_WAIT_S
        while True:
            try:
                async with self._open_log() as log:
                    begin = partial(self._begin, log)
                    async with log.consumer([self._topic], self._group, on_assigned=begin) as consumer:
                        self._progress.made()
                        while True:
                            await self._step(log, consumer, on_gap)
                            self._progressed()
                            wait = FIRST_WAIT_S
            except OscarEventsError as error:
                self._say(error)
            await asyncio.sleep(wait * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, no secret
            wait = min(wait * 2, LONGEST_WAIT_S)

    async def _begin(self, log: Bus, partitions: frozenset[Partition]) -> Mapping[Partition, int]:
        """Return where to start: where the group was, but at the start of a topic that was made anew meanwhile.

        Asked at each assignment, as its records get their ids from it: with the old topic's id the new records would
        be repeats of the old ones, and nothing.
        """
        before, self._topic_id = self._topic_id, await log.topic_id(self._topic)
        if before in ("", self._topic_id):
            return {}
        return {partition: (await log.offsets(partition))[0] for partition in partitions}

    async def _step(self, log: Bus, consumer: Consumer, on_gap: Callable[[], None]) -> None:
        try:
            batch = await consumer.poll(max_records=BATCH_RECORDS, max_wait=MAX_WAIT_S)
        except OffsetGoneError as gone:
            await self._pass_gap(log, consumer, gone)
            on_gap()
            return
        if not batch.deliveries:
            return
        await self._take(batch.deliveries)
        try:
            await consumer.commit(batch.next_offsets())
        except FencedError:
            # Another member has the partition and reads these again; the events' ids make that nothing.
            _log.info("partition went to another member", source=self._route.source, records=len(batch.deliveries))

    async def _take(self, deliveries: Sequence[Delivery]) -> None:
        """Bring what the records come to on the bus; return when all of it is durable."""
        events: list[Record] = []
        refused: list[Record] = []
        said: list[tuple[Delivery, str]] = []
        for delivery in deliveries:
            headers = _headers(delivery.record)
            found = self._read(delivery, headers)
            events += [encode(_at(event, delivery.record)) for event in found.events]
            refused += [self._quarantined(refusal, headers) for refusal in found.refused]
            said += [(delivery, refusal.reason) for refusal in found.refused]
        for topic, records in ((EVENTS, events), (QUARANTINE, refused)):
            if records:
                doing = "publishing events of a topic"
                await self._progress.patiently(partial(self._bus.publish, topic, records), doing)
        metrics.events_published.inc(len(events))
        if refused:
            metrics.events_quarantined.labels("ingest").inc(len(refused))
        for delivery, reason in said:
            where = f"{delivery.partition.topic}/{delivery.partition.number}@{delivery.offset}"
            _log.warning("record refused and quarantined", source=self._route.source, where=where, reason=reason)

    def _read(self, delivery: Delivery, headers: dict[str, str]) -> Normalised:
        body = delivery.record.value
        if len(body) > MAX_VALUE_BYTES:
            why = f"it has {len(body)} bytes; a notification has at most {MAX_VALUE_BYTES}, put content in a bucket"
            return Normalised(refused=(Refusal(body, why),))
        if (size := sum(len(name) + len(value) for name, value in delivery.record.headers)) > MAX_HEADER_BYTES:
            why = f"its headers have {size} bytes; {MAX_HEADER_BYTES} at most"
            return Normalised(refused=(Refusal(body, why, headers={}),))
        # The topic's id, as a topic that was deleted and made again counts from 0 (event-formats.md §14 has the
        # cluster's, which stays the same then).
        own_id = f"{self._topic_id}/{delivery.partition.number}/{delivery.offset}"
        found = normalised(Notification(body, headers, self._now(), own_id), self._route)
        count(self._route.source, found)
        return found

    def _quarantined(self, refusal: Refusal, headers: dict[str, str]) -> Record:
        kept = kept_headers(headers if refusal.headers is None else refusal.headers)
        return quarantine_record(refusal.body, self._route.source, refusal.reason, self._now(), kept)

    async def _pass_gap(self, log: Bus, consumer: Consumer, gone: OffsetGoneError) -> None:
        """Alarm that the topic no longer reaches back to where the source was, and go on at its start."""
        metrics.alarms.labels("gap").inc()
        _log.error("records are gone from a topic before they were read", source=self._route.source, error=str(gone))
        self._topic_id = await log.topic_id(self._topic)  # a topic made anew has such a gap, and is another one
        with suppress(FencedError):  # another member has the partition, and will find the same
            await consumer.seek(gone.partition, gone.first)
            await consumer.commit({gone.partition: gone.first})

    def _progressed(self) -> None:
        self.ready.set()
        self._progress.made()
        if self.trouble:
            _log.info("the topic is read again", source=self._route.source, topic=self._topic)
            self.trouble, self._said_at = "", -_SAY_AGAIN_S

    def _say(self, error: OscarEventsError) -> None:
        self.trouble = f"{self._topic}: {error}"
        self._progress.rest()
        if time.monotonic() - self._said_at >= _SAY_AGAIN_S:
            self._said_at = time.monotonic()
            _log.error("a topic cannot be read, trying again", source=self._route.source, error=self.trouble)


def _headers(record: Record) -> dict[str, str]:
    """Return a record's headers as a notification has them: names in lower case, texts.

    Bytes that are no text stay recognisable as such where they should be text, so that the record is refused for it;
    elsewhere tools of all kinds put bytes, and they say nothing to us.
    """
    found: dict[str, str] = {}
    for given, value in record.headers:
        name = given.lower()
        try:
            found[name] = value.decode()
        except UnicodeDecodeError:
            if name.startswith("ce_") or name == "content-type":
                found[name] = value.decode(errors="surrogateescape")
    found.pop("authorization", None)
    if "mime.type" in found:  # as NiFi names it
        found.setdefault("content-type", found["mime.type"])
    return found


def _at(event: StorageEvent, record: Record) -> StorageEvent:
    """Return the event; of a message that says no time of its own, with the time of its record (§6).

    Others write there what they like, microseconds or -1 for none: such a record came when it was read.
    """
    is_untimed = event.action is Action.RECEIVED and event.time == event.recorded
    if not is_untimed or not 0 <= record.timestamp_ms < _TIMES_END_MS:
        return event
    return replace(event, time=datetime.fromtimestamp(record.timestamp_ms / 1000, UTC))
