"""Intake: events from the bus become executions in the ledger, or quarantine; then, and only then, the offset moves.

In:  batches of the topic `oscar.events`. Out: claims, and a word to the scheduler about services with new work.
Not here: what an event starts and what is new (ledger/claims.py), running anything (schedule.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime

from oscar_events import codec, metrics
from oscar_events.bus.port import EVENTS, QUARANTINE, Batch, Bus, Consumer, Delivery, OffsetGoneError, Partition
from oscar_events.errors import EventError, FencedError
from oscar_events.ledger import claims
from oscar_events.ledger.claims import Position, Sighting
from oscar_events.ledger.port import Ledger
from oscar_events.ledger.services import Catalogue
from oscar_events.log import logger
from oscar_events.patience import until_available
from oscar_events.quarantine import quarantine_record

GROUP = "oscar-dispatcher"
# One transaction's worth: large enough that its commit is shared by many, small enough to hold the writer for ~20 ms.
BATCH_RECORDS = 256
MAX_WAIT_S = 1.0

_log = logger(__name__)


class Intake:
    """Consumes events for as long as it runs. wake: called after a commit that made work."""

    def __init__(self, bus: Bus, ledger: Ledger, catalogue: Catalogue, wake: Callable[[], None]) -> None:
        self._bus, self._ledger, self._catalogue, self._wake = bus, ledger, catalogue, wake
        self._progress = time.monotonic()

    @property
    def stalled_s(self) -> float:
        """Seconds since the last batch, or the last look that found none, was done with (house rule 8)."""
        return time.monotonic() - self._progress

    async def run(self) -> None:
        """Consume until cancelled. Outages of bus and ledger are waited out."""
        self._topic_id = await until_available(lambda: self._bus.topic_id(EVENTS), "finding the topic of events")
        async with self._bus.consumer([EVENTS], GROUP, on_assigned=self._where_to_start) as consumer:
            while True:
                await self._step(consumer)
                self._progress = time.monotonic()

    async def _where_to_start(self, partitions: frozenset[Partition]) -> Mapping[Partition, int]:
        """Return what the ledger knows it has claimed: a restored ledger then reads again what it forgot."""
        stored = await until_available(
            lambda: self._ledger.read(lambda connection: claims.stored_positions(connection, self._topic_id)),
            "reading positions",
        )
        starts: dict[Partition, int] = {}
        for partition in partitions:
            first, _ = await self._bus.offsets(partition)
            starts[partition] = stored.get(partition.number, first)
        return starts

    async def _step(self, consumer: Consumer) -> None:
        try:
            batch = await until_available(
                lambda: consumer.poll(max_records=BATCH_RECORDS, max_wait=MAX_WAIT_S), "polling for events"
            )
        except OffsetGoneError as gone:
            await self._pass_gap(consumer, gone)
            return
        if not batch.deliveries:
            return
        sightings = [sighting for delivery in batch.deliveries if (sighting := await self._sighting(delivery))]
        await self._claim(batch, sightings)
        try:
            await until_available(lambda: consumer.commit(batch.next_offsets()), "committing offsets")
        except FencedError:
            # Another member has the partition and will read these again; the claims make that nothing.
            _log.info("partition went to another member", records=len(batch.deliveries))
        metrics.events_consumed.inc(len(batch.deliveries))

    async def _claim(self, batch: Batch, sightings: list[Sighting]) -> None:
        read = [
            Position(self._topic_id, partition.number, offset) for partition, offset in batch.next_offsets().items()
        ]
        uids = await until_available(
            lambda: self._ledger.write(lambda connection: claims.claim(connection, self._catalogue, sightings, read)),
            "claiming events",
        )
        if uids:
            self._wake()

    async def _sighting(self, delivery: Delivery) -> Sighting | None:
        """Return the delivery's event; put it in quarantine and return None if it is none."""
        try:
            return Sighting(codec.decode(delivery.record.value), delivery.record.value)
        except EventError as error:
            where = f"{delivery.partition.topic}/{delivery.partition.number}@{delivery.offset}"
            record = quarantine_record(delivery.record.value, where, str(error), datetime.now(UTC))
            await until_available(lambda: self._bus.publish(QUARANTINE, [record]), "publishing to quarantine")
            metrics.events_quarantined.labels("intake").inc()
            _log.warning("record kept in quarantine", where=where, reason=str(error))
            return None

    async def _pass_gap(self, consumer: Consumer, gone: OffsetGoneError) -> None:
        """Record that the log no longer reaches back to where intake was, alarm, and go on at its start."""
        metrics.alarms.labels("gap").inc()
        _log.error("events are gone from the log", error=str(gone))
        await until_available(
            lambda: self._ledger.write(
                lambda connection: claims.record_gap(
                    connection, self._topic_id, gone.partition.number, gone.position, gone.first
                )
            ),
            "recording a gap",
        )
        with suppress(FencedError):  # another member has the partition, and will start where the ledger says
            await consumer.seek(gone.partition, gone.first)
