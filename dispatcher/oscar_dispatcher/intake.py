"""Intake: events from the bus become executions in the ledger, or quarantine; then, and only then, the offset moves.

In:  batches of the topic `oscar.events`. Out: claims, and a word to the scheduler about services with new work.
Not here: what an event starts and what is new (ledger/claims.py), which record of a batch is at fault (batch.py), what
waits for the quarantine (held.py), running anything (schedule.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

from oscar_dispatcher.batch import Claimer, is_event
from oscar_dispatcher.held import HeldPartitions
from oscar_events import metrics
from oscar_events.bus.port import EVENTS, Bus, Consumer, Delivery, OffsetGoneError, Partition
from oscar_events.errors import FencedError, UnavailableError
from oscar_events.ledger.backlog import backlog
from oscar_events.ledger.port import Ledger
from oscar_events.ledger.positions import LedgerForgotError, forgot, record_gap, stored_positions
from oscar_events.ledger.services import Catalogue
from oscar_events.log import logger
from oscar_events.progress import Progress

GROUP = "oscar-dispatcher"
# One transaction's worth: large enough that its commit is shared by many, small enough to hold the writer for ~20 ms.
BATCH_RECORDS = 256
MAX_WAIT_S = 1.0
# A batch is claimed and committed in some 30 ms. One that takes longer waits for a ledger that is away, and so would
# the member that gets the partitions; what it claims after that is nothing the second time.
_DRAIN_S = 5.0
# How often somebody who is given nothing looks whether there is something: a few questions to the bus.
_LOOK_S = 5.0
_LOOKING = "looking for events"

_log = logger(__name__)


class Intake:
    """Consumes events for as long as it runs. wake: called after a commit that made work."""

    def __init__(self, bus: Bus, ledger: Ledger, catalogue: Catalogue, wake: Callable[[], None]) -> None:
        self._bus, self._ledger = bus, ledger
        self.progress = Progress("taking events in")
        self._claimer = Claimer(ledger, catalogue, wake, self.progress)
        self._topic_id = ""
        self._positions: dict[Partition, int] = {}
        self._stored: dict[Partition, int] = {}  # of those, what the ledger is known to have
        self._between_batches = asyncio.Event()
        self._between_batches.set()
        self._look_at = 0.0
        self._is_behind = False
        self._reached = 0
        self.has_joined = False

    async def run(self) -> None:
        """Consume until cancelled. Outages of bus and ledger are waited out."""
        self._topic_id = await self.progress.patiently(
            lambda: self._bus.topic_id(EVENTS), "finding the topic of events"
        )
        consumer = self._bus.consumer([EVENTS], GROUP, on_assigned=self._where_to_start, on_revoked=self._let_go)
        async with consumer, HeldPartitions(self._bus, consumer) as self._held:
            while True:
                await self._step(consumer)

    async def _where_to_start(self, partitions: frozenset[Partition]) -> Mapping[Partition, int]:
        """Return what the ledger knows it has claimed: a restored ledger then reads again what it forgot."""
        # Each time: a topic that was made anew is another one, of which nothing was claimed.
        self._topic_id = await self.progress.patiently(
            lambda: self._bus.topic_id(EVENTS), "finding the topic of events"
        )
        stored = await self.progress.patiently(self._read_positions, "reading positions")
        starts = {partition: stored[partition.number] for partition in partitions if partition.number in stored}
        self._stored = {p: at for p, at in self._stored.items() if p not in partitions} | starts
        for partition in partitions - starts.keys():
            starts[partition], _ = await self.progress.patiently(
                partial(self._bus.offsets, partition), "finding the log's start"
            )
        self._held.forget(partitions)
        self._positions.update(starts)
        return starts

    async def _read_positions(self) -> dict[int, int]:
        return await self._ledger.read(lambda connection: stored_positions(connection, self._topic_id))

    async def _go_back(self, consumer: Consumer, error: str) -> None:
        """Read again what the ledger forgot: it was restored, or another copy of it took over, while this ran."""
        metrics.alarms.labels("ledger forgot").inc()
        _log.error("the ledger forgot events, they are read again", error=error)
        starts = await self._where_to_start(consumer.assignment())
        for partition, start in starts.items():
            with suppress(FencedError):
                await consumer.seek(partition, start)
            consumer.resume(partition)

    async def _let_go(self, partitions: frozenset[Partition]) -> None:
        """Let the batch under way be claimed and committed before others get its partitions."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                await self._between_batches.wait()
        self._held.forget(partitions)
        for partition in partitions:
            self._positions.pop(partition, None)
            self._stored.pop(partition, None)

    async def _step(self, consumer: Consumer) -> None:
        self._held.release_kept()
        try:
            batch = await self.progress.patiently(
                lambda: consumer.poll(max_records=BATCH_RECORDS, max_wait=MAX_WAIT_S), "polling for events"
            )
        except OffsetGoneError as gone:
            await self._pass_gap(consumer, gone)
            return
        self.has_joined = True
        if not batch.deliveries:
            await self._look_for_more(consumer)
            return
        self._between_batches.clear()
        try:
            await self._take_in(consumer, batch.deliveries)
        except LedgerForgotError as error:
            await self._go_back(consumer, str(error))
        finally:
            self._between_batches.set()
        self._is_behind = False
        self.progress.answered(_LOOKING)
        self.progress.made()

    async def _take_in(self, consumer: Consumer, deliveries: tuple[Delivery, ...]) -> None:
        """Claim what can be claimed, keep the rest in quarantine, and commit up to what can be neither."""
        done = await self._claimer.claim(self._topic_id, deliveries, self._stored, self._held.keep)
        self._stored |= {partition: at for partition, at in done.items() if partition in consumer.assignment()}
        await self._commit(consumer, done)
        await self._held.hold()
        metrics.events_consumed.inc(sum(one.offset < done.get(one.partition, 0) for one in deliveries))

    async def _commit(self, consumer: Consumer, offsets: Mapping[Partition, int]) -> None:
        self._positions.update(offsets)
        try:
            await self.progress.patiently(lambda: consumer.commit(offsets), "committing offsets")
        except FencedError:
            # Other members have some of the partitions, and read these again; the claims make that nothing.
            held = {partition: offsets[partition] for partition in offsets.keys() & consumer.assignment()}
            _log.info("partitions went to another member", lost=len(offsets) - len(held))
            with suppress(FencedError):
                await self.progress.patiently(lambda: consumer.commit(held), "committing offsets")

    async def _look_for_more(self, consumer: Consumer) -> None:
        """Find out whether nothing was delivered because there is nothing: a consumer may also have fallen silent."""
        if time.monotonic() >= self._look_at:
            # Who is away is told here: a poll that nobody answers is as one that finds nothing.
            with suppress(UnavailableError), self.progress.asking(_LOOKING):
                known = {partition.number: at for partition, at in self._stored.items()}
                if lost := forgot(await self._read_positions(), known):
                    await self._go_back(consumer, f"it no longer knows how far partitions {lost} were read")
                why = await self._unread(consumer)
                self._is_behind = bool(why)
                self.progress.blocked(why)
            self._look_at = time.monotonic() + _LOOK_S
        if not self._is_behind:
            self.progress.made()

    async def _unread(self, consumer: Consumer) -> str:
        """Return what should have been delivered and was not, empty if nothing."""
        assigned = consumer.assignment()
        if not assigned:
            return await self._unread_by_all()
        for partition in assigned - self._held.partitions:
            position = self._positions.get(partition)
            _, end = await self._bus.offsets(partition)
            # Not every offset has a record that is delivered: only one that can be read is missing.
            if position is not None and position < end and await self._is_readable(partition, position):
                return f"{partition.topic}/{partition.number} has {end - position} events that are not delivered"
        return ""

    async def _unread_by_all(self) -> str:
        """Judge a member that was given no partition: it is at fault only if nobody else takes the events in.

        A partition at a record that is no event may be held, by somebody who is at work.
        """
        waiting = await backlog(self._bus, self._ledger)
        is_moving, self._reached = waiting.reached != self._reached, waiting.reached
        if is_moving or not any(is_event(one) for one in waiting.heads):
            return ""
        return f"no partition is assigned to this process, and nobody takes in the {waiting.records} events that wait"

    async def _is_readable(self, partition: Partition, position: int) -> bool:
        try:
            return bool(await self._bus.read({partition: position}, 1))
        except OffsetGoneError:
            return True  # the next poll has to say so

    async def _pass_gap(self, consumer: Consumer, gone: OffsetGoneError) -> None:
        """Record that the log does not reach to where intake was, alarm, and go on at its start."""
        metrics.alarms.labels("gap").inc()
        _log.error("events are gone from the log", error=str(gone))
        await self.progress.patiently(
            lambda: self._ledger.write(
                lambda connection: record_gap(
                    connection, self._topic_id, gone.partition.number, gone.position, gone.first
                )
            ),
            "recording a gap",
        )
        self._positions[gone.partition] = self._stored[gone.partition] = gone.first
        with suppress(FencedError):  # another member has the partition, and will start where the ledger says
            await consumer.seek(gone.partition, gone.first)
        self.progress.made()
