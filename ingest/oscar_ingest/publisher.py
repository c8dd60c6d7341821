"""Publishes what the sources yield: bounded, in batches, in order, until the bus has acknowledged.

In:  events and refused bytes, from any number of tasks. Out: records on the bus, in the order they were put.
Not here: making events (sources/), deciding what is listed (reconcile.py).

Nothing is dropped: while the bus is away the buffer fills, `put` waits, and with it whoever reads a kernel queue or a
socket. What was published lately is not published again. That is only an optimisation, which keeps repeated looks at
one file cheap: intake's claim is what makes a repeated event nothing.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from itertools import groupby

from oscar_events import metrics
from oscar_events.bus.port import EVENTS, QUARANTINE, Bus
from oscar_events.codec import encode
from oscar_events.event import StorageEvent
from oscar_events.identity import execution_id
from oscar_events.log import logger
from oscar_events.patience import until_available
from oscar_events.quarantine import quarantine_record
from oscar_events.record import Record

_log = logger(__name__)

# One batch is one durable write: at 256 records its cost is spread thin, and they are still below 1 MiB together.
BATCH = 256
# Four batches: enough that the next one is full when the last is acknowledged.
BUFFER = 4 * BATCH
# About 20 MB when full, and more than a laptop's folder changes while intake is behind.
REMEMBERED = 100_000


class Publisher:
    """The one way from a source to the bus. `run` has to run for anything to be published."""

    def __init__(
        self,
        bus: Bus,
        *,
        buffer: int = BUFFER,
        batch: int = BATCH,
        remembered: int = REMEMBERED,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._bus, self._batch, self._now = bus, batch, now
        self._waiting: asyncio.Queue[tuple[str, Record]] = asyncio.Queue(buffer)
        self._lately = _Lately(remembered)

    async def put(self, event: StorageEvent) -> None:
        """Take an event to be published, unless it lately was; wait while the buffer is full."""
        if self._lately.add_any(_names(event)):
            await self._waiting.put((EVENTS, encode(event)))

    async def refuse(self, body: bytes, source: str, reason: str) -> None:
        """Take bytes that are no usable event to the quarantine, unless the same lately went there; wait as `put`."""
        record = quarantine_record(body, source, reason, self._now())
        if self._lately.add_any([f"{source} {record.key!r}"]):
            _log.warning("input refused and quarantined", source=source, reason=reason)
            await self._waiting.put((QUARANTINE, record))

    def is_new(self, names: Iterable[str]) -> bool:
        """Tell whether any of these event or execution ids was not published lately."""
        return any(name not in self._lately for name in names)

    async def published(self) -> None:
        """Wait until the bus has acknowledged all that was put."""
        await self._waiting.join()

    async def run(self) -> None:
        """Publish until cancelled. What then still waits is lost here and found again by the next listing."""
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < self._batch and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            for topic, entries in groupby(batch, key=lambda entry: entry[0]):
                records = [record for _, record in entries]
                await until_available(partial(self._bus.publish, topic, records), "publishing events")
                if topic == EVENTS:
                    metrics.events_published.inc(len(records))
                else:
                    metrics.events_quarantined.labels("ingest").inc(len(records))
            for _ in batch:
                self._waiting.task_done()


def _names(event: StorageEvent) -> list[str]:
    """Return what makes publishing this event again pointless: for named services, each one's execution (design §3.9).

    An event that went to everybody says nothing about a service applied since; so the two are not the same.
    """
    if not event.service_uids:
        return [event.id]
    return [execution_id(event.tenant, uid, event.id) for uid in event.service_uids]


class _Lately:
    """The names added last, at most so many."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._names: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def add_any(self, names: Iterable[str]) -> bool:
        """Add the names; tell whether any of them was new."""
        new = False
        for name in names:
            new = name not in self._names or new
            self._names[name] = None
            self._names.move_to_end(name)
            if len(self._names) > self._limit:
                self._names.popitem(last=False)
        return new
